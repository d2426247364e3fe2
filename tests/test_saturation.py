"Analysis I on invented results whose truth is known, and the parts of its figures."

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hemidiaphragm_nb.error_curves import decoder_frame, plot_accuracy, plot_cdf
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.heatmaps import DECODERS, SATURATED, encode
from hemidiaphragm_nb.metrics import threshold_accuracy
from hemidiaphragm_nb.published import published
from hemidiaphragm_nb.results import export_results, load_results
from hemidiaphragm_nb.runs import Results
from hemidiaphragm_nb.saturation import (
    BETAS,
    _draw_saturation,
    saturation_answers,
)
from hemidiaphragm_nb.tables import accuracy_frame, errors_once


def invented(spread, left: float, seed: int = 0) -> Results:
    "Five repeats of every β, 134 of 673 images each; errors scaled by `spread(β)` and on the left."
    rng, runs, cases, decoders = np.random.default_rng(seed), [], [], []
    for repeat in range(5):
        ids = [f"image-{i:04d}" for i in sorted(rng.choice(673, 134, replace=False))]
        for beta in BETAS:
            label = {"analysis": "saturation", "name": f"β {beta}", "repeat": repeat}
            e = rng.lognormal(1.5, 0.6, (134, 2)) * spread(beta) * [1, left]
            rows = threshold_accuracy(e).itertuples()
            hits = {f"{r.lung}_{r.threshold}": r.accuracy for r in rows}
            setting = {"data": "invented", "beta": float(beta), "lam_hem": 0.95, "images": 134}
            runs.append(label | setting | hits)
            table = pd.DataFrame({"id": ids, "right_px": e[:, 0], "left_px": e[:, 1]})
            scores = {k: rng.random(134) for k in ("dice", "jaccard", "auc")}
            cases.append(table.assign(**scores, **label))
            decoders += [table.assign(**label, decoder=d) for d in DECODERS]
    losses = {k: rng.random(3000) for k in ("train_loss", "valid_loss", "seconds")}
    history = pd.DataFrame(losses).assign(analysis="saturation", name="β 1", repeat=0)
    tables = (pd.concat(t, ignore_index=True) for t in (cases, [history], decoders))
    return Results(pd.DataFrame(runs), *tables)


@pytest.fixture(scope="module")
def rising() -> Results:
    return invented(lambda beta: 20 / min(beta, 50), 2)


def first_words(results: Results) -> list[str]:
    return [s.split(":")[0] for s in saturation_answers(results)]


def test_rising_results_are_called_rising(rising):
    assert first_words(rising) == ["Yes", "Yes", "No", "Yes"]


def test_flat_results_are_not_called_rising():
    rise, level, fall, left = first_words(invented(lambda beta: 1, 1))
    assert rise != "Yes" and (level, left) == ("No", "No")


def test_a_beta_that_did_not_learn_is_no_rise():
    rise = saturation_answers(invented(lambda beta: 1000 if beta == 1 else 1, 1))[0]
    assert rise.startswith("Only from β = 1 px, which did not learn; from 10 px on no")
    assert "Less β = 10 px, the smallest that learnt" in rise and "for 8 comparisons" in rise
    assert first_words(invented(lambda beta: 1000, 1))[0] == "Not shown"


def test_falling_results_are_called_falling():
    answers = first_words(invented(lambda beta: beta**0.5, 0.5))
    assert answers == ["No, the smallest is the best", "No", "Yes", "No, the opposite"]


def test_fall_is_measured_from_a_beta_fixed_before_looking(rising):
    fall = saturation_answers(rising)[2]
    assert "compared with β = 50 px (97.5 % intervals, for 2 comparisons)" in fall
    assert "β = 175 px" in fall and "β = 200 px" in fall
    # only one of the two is worse: 150 px and 175 px are as good as 50 px
    torn = invented(lambda beta: 4 if beta == 200 else 1, 1)
    assert first_words(torn)[2] == "Undecided"
    gone = [t[t["name"] != "β 50"] for t in (rising.runs, rising.cases)]
    without = Results(*gone, rising.history, rising.decoders)
    assert first_words(without)[2] == "Undecided"


def test_level_comes_with_its_interval_and_counts(rising):
    level = saturation_answers(rising)[1]
    assert "the highest of them is that of β = " in level
    assert "patients, 5 trainings a setting" in level


def test_results_without_a_complete_repeat_show_nothing(rising):
    runs = rising.runs.iloc[[0, 11]]  # β 1 of one repeat, β 10 of another
    lonely = Results(runs, rising.cases, rising.history, rising.decoders)
    assert saturation_answers(lonely)[0].startswith("Not shown: no repeat is complete")


def test_full_size_archive_is_small_and_gives_the_same_answers(rising, tmp_path):
    folder = export_results(rising, tmp_path / "invented/saturation")
    assert sum(p.stat().st_size for p in folder.iterdir()) < 2e6
    assert saturation_answers(load_results(folder)) == saturation_answers(rising)
    distinct = len(errors_once(rising)["β 50"])
    assert abs(distinct - 673 * (1 - 0.8**5)) < 40


def test_curve_is_the_share_below_each_distance():
    errors = {"a": np.array([[5.0, 15], [np.nan, 80]]), "b": np.array([[2.0, np.inf], [3.0, 4.0]])}
    ax = plot_cdf(errors)
    for line, v in zip(ax.lines, ([5, 15, 80], [2, 3, 4, np.inf])):
        for x in (4.5, 10, 50, 400):
            if x > v[0]:
                step = np.searchsorted(line.get_xdata(), x, side="right") - 1
                assert line.get_ydata()[step] == pytest.approx(100 * (np.array(v) < x).mean())
    plt.close()


def test_accuracy_is_drawn_as_it_is_in_the_table():
    paper = published("moris2024_table3")
    ax = plot_accuracy({"ours": paper, "paper": paper}, lungs=("left",))
    theirs = paper[paper.lung == "left"]["R/10_mean"].tolist()
    assert ax.containers[1].lines[0].get_ydata().tolist() == theirs
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["left, ours", "left, paper"]
    plt.close()


def test_one_repeat_has_no_spread(rising):
    tables = (t[t["repeat"] == 0] for t in (rising.runs, rising.cases))
    one = Results(*tables, pd.DataFrame(), pd.DataFrame())
    assert accuracy_frame(one)["R/10_std"].isna().all()
    assert accuracy_frame(rising)["R/10_std"].notna().all()


def test_decoders_are_in_the_order_of_the_plan(rising):
    frame = decoder_frame(rising)
    assert list(frame.index) == [(n, d) for n in rising.names for d in sorted(DECODERS)]
    known = threshold_accuracy(rising.errors()["β 125"]).query("lung == 'both'")
    for t, accuracy in zip(known.threshold, known.accuracy):
        assert frame.loc[("β 125", "tanh"), t] == pytest.approx(accuracy)


def test_slider_draws_target_and_curve_of_its_beta(rising):
    case = phantom_frames(1, seed=5, side=128)
    tables = (t[t["name"] != "β 1"] for t in (rising.runs, rising.cases))
    some = Results(*tables, pd.DataFrame(), pd.DataFrame())
    figures = {b: _draw_saturation(b, some, case) for b in (1, 10, 125)}
    dark = {b: (f.axes[1].images[0].get_array() < 0.9).mean() for b, f in figures.items()}
    assert dark[1] < dark[10] < dark[125]
    for b, strong in ((1, []), (10, ["β 10"]), (125, ["β 125"])):
        lines = figures[b].axes[2].lines
        assert [k.get_label() for k in lines if k.get_linewidth() == 1.6] == strong
    assert "was not run" in figures[1].axes[2].get_title()


def test_funnel_rises_and_is_as_wide_as_theory_says():
    middle = np.array([[[150.3, 260.8], [350.1, 255.2]]])
    at = np.array([[[256.0, 255.0], [255.0, 255.0]]])  # one pixel beside the landmark
    for b in (50, 125):
        grey = (encode(middle, 512, b)[0, 0] < SATURATED).mean()
        radius = b * np.arctanh(SATURATED) / np.pi
        assert grey == pytest.approx(np.pi * radius**2 / 512**2, abs=1e-3)
        h = encode(at, 512, b)[0]
        assert h[1, 255, 256] - h[1, 255, 255] == pytest.approx(np.pi / b, rel=0.01)
