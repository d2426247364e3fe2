"Analysis III on invented results whose truth is known, and the parts of its figures."

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hemidiaphragm_nb.loss_curves import log_band, loss_curves, settled_epoch
from hemidiaphragm_nb.multitask import (
    _draw_threshold,
    _loss_figures,
    _sign_agreement,
    compare_tasks,
    multitask_answer,
    single_and_multi,
    task_effects,
    task_location,
    task_masks,
    threshold_curve,
    verdicts,
)
from hemidiaphragm_nb.published import published
from hemidiaphragm_nb.runs import Results

EPOCHS = 16


def invented(gain, dice, n: int = 30) -> Results:
    "Both tasks together come `gain` px nearer and `dice` higher than each alone."
    base = pd.DataFrame(dict(repeat=0, id=[f"{i:02d}" for i in range(n)], left_px=12.0))
    base = base.assign(right_px=10.0 + np.arange(n), dice=0.9, auc=0.99)
    near = dict(right_px=base.right_px - gain, left_px=12.0 - gain, dice=0.9 + dice)
    parts = {
        "heatmap": base.assign(dice=np.nan, auc=np.nan),
        "mask": base.assign(right_px=np.nan, left_px=np.nan),
        "both": base.assign(**near),
    }
    runs, history = [], []
    for name, t in parts.items():
        sides = dict(right=t.right_px, left=t.left_px, both=t[["right_px", "left_px"]])
        hits = {
            f"{lung}_{k}": 100 * (e.to_numpy() < v).mean()
            for lung, e in sides.items()
            for k, v in (("R", 100), ("R/2", 50), ("R/5", 20), ("R/10", 10))
        }
        scores = {k: t.dice.mean() for k in ("dice", "jaccard", "auc", "accuracy", "precision")}
        runs.append(dict(name=name, repeat=0, images=n) | hits | scores | dict(recall=1.0))
        heat, mask = 0.5 ** np.arange(EPOCHS), 0.8 ** np.arange(EPOCHS)
        own = {"heatmap": (heat, None), "mask": (None, mask), "both": (heat, mask)}[name]
        losses = {k: v for k, v in zip(("heatmap", "mask"), own) if v is not None}
        joint = losses.get(name, 0.95 * heat + 0.05 * mask)
        both = {f"{p}_{k}": v for p in ("train", "valid") for k, v in losses.items()}
        both |= {"train_loss": joint, "valid_loss": joint}
        history.append(pd.DataFrame(dict(name=name, repeat=0, epoch=range(EPOCHS)) | both))
    cases = pd.concat([t.assign(name=name) for name, t in parts.items()])
    return Results(pd.DataFrame(runs), cases, pd.concat(history), pd.DataFrame())


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_band_is_the_geometric_mean_and_symmetric_on_a_logarithmic_axis(values):
    mean, low, high = (b.item() for b in log_band(np.array(values)[:, None]))
    assert 0 < low <= mean * (1 + 1e-9) and mean <= high * (1 + 1e-9)
    assert mean == pytest.approx(stats.gmean(values), rel=1e-6)
    assert high / mean == pytest.approx(mean / low, rel=1e-6)


def test_band_stays_positive_where_the_plain_one_does_not():
    bad = np.array([[0.01], [0.01], [1.0]])
    assert bad.mean() - bad.std() < 0 < log_band(bad)[1].item()
    assert log_band(np.array([[0.01], [1.0]]))[0] == pytest.approx([0.1])


def test_curves_of_each_task():
    history = invented(0.0, 0.0).history
    curves = {n: loss_curves(history, n) for n in ("heatmap", "mask", "both")}
    assert {n: list(c.loss.unique()) for n, c in curves.items()} == {
        "heatmap": ["loss", "heatmap"],
        "mask": ["loss", "mask"],
        "both": ["loss", "heatmap", "mask"],
    }
    one = curves["heatmap"]  # alone, the joint loss is the task's
    alone, joint = (one[one.loss == v]["mean"].to_numpy() for v in ("heatmap", "loss"))
    assert alone == pytest.approx(joint)
    with pytest.raises(ValueError, match="no history of 'lungs'"):
        loss_curves(history, "lungs")


def test_saved_results_give_the_same_tables_and_answer(tmp_path):
    live = invented(3.0, 0.01)
    live.decoders = pd.DataFrame(dict(name=["both"], repeat=[0], right_px=[1.0], left_px=[1.0]))
    live.save(tmp_path)
    saved = Results.load(tmp_path)
    for table in (task_location, task_masks, compare_tasks):
        pd.testing.assert_frame_equal(table(saved), table(live), atol=1e-4, check_dtype=False)
    assert multitask_answer(saved) == multitask_answer(live)


def test_figures_of_losses():
    figures = _loss_figures(invented(0.0, 0.0))
    assert [len(f.axes) for f in figures.values()] == [3, 1, 1]
    for ax in (ax for f in figures.values() for ax in f.axes):
        assert ax.get_yscale() == "log" and len(ax.lines[0].get_xdata()) == EPOCHS


@pytest.mark.parametrize(
    "values, epoch", [([1.0, 1, 1], 1), ([3.0, 2, 1], 3), ([9.0, 5, 1.05, 2, 1.1, 1.0], 5)]
)
def testsettled_epoch(values, epoch):
    curve = dict(loss="mask", split="valid", epoch=range(1, len(values) + 1), mean=values)
    assert settled_epoch(pd.DataFrame(curve), "mask") == epoch


def test_tables_are_those_of_the_paper_with_n():
    results = invented(3.0, 0.01)
    for ours, name in ((task_location(results), "table7"), (task_masks(results), "table8")):
        assert list(ours.columns.drop("n")) == list(published(f"moris2024_{name}").columns)
        assert set(ours["n"]) == {1} and ours.filter(like="_std").isna().all(axis=None)
    dice = task_masks(results).set_index("task")["dice_mean"]
    assert dice.tolist() == pytest.approx([90.0, 91.0])


def test_comparison_finds_what_was_put_in():
    t = compare_tasks(invented(3.0, -0.01)).set_index("figure")
    found = t.loc["both_px", ["difference", "low", "high", "effect"]].tolist()
    assert found == pytest.approx([-3.0, -3.0, -3.0, 1.0])
    assert t.loc["dice", ["difference", "effect"]].tolist() == pytest.approx([-0.01, -1.0])
    p = stats.wilcoxon(np.full(30, -0.01)).pvalue
    assert t.loc["dice", "p"] / p == pytest.approx(1)
    # of five, the four smallest are equal: all get the factor of the first; AUC does not differ
    assert t.loc["right_px", "p_holm"] / t.loc["right_px", "p"] == pytest.approx(5)
    assert t.loc["auc", ["difference", "p", "p_holm"]].tolist() == [0.0, 1.0, 1.0]
    px = {f: single_and_multi(invented(3.0, 0), f) for f in ("right_px", "left_px", "both_px")}
    mean = (px["right_px"] + px["left_px"]) / 2
    assert px["both_px"].to_numpy() == pytest.approx(mean.to_numpy())


def test_patients_are_the_unit():
    gain = np.r_[np.full(20, 1.0), np.full(10, -1.0)]  # 20 images of one patient, 10 patients
    ids = [f"{i:02d}" for i in range(30)]
    table = pd.DataFrame(dict(id=ids, patient_id=[0] * 20 + [*range(1, 11)]))
    t = compare_tasks(invented(gain, 0.0), table).set_index("figure").loc["both_px"]
    assert (t.images, t.patients) == (30, 11)
    assert t.effect < 0 and t.difference < 0


def test_verdicts():
    landmarks = dict(right_px="helps", left_px="helps", both_px="helps")
    told = verdicts(compare_tasks(invented(3.0, -0.01))).to_dict()
    assert told == landmarks | dict(dice="harms", auc="not shown")
    assert set(verdicts(compare_tasks(invented(0.0, 0.0)))) == {"not shown"}
    few = invented(3.0, 0.0, n=4)  # four patients prove nothing, however equal
    assert set(verdicts(compare_tasks(few))) == {"not shown"}


@pytest.mark.parametrize(
    "gain, dice, landmarks, masks",
    [
        (3.0, 0.0, "helps;", "equal;"),
        (-3.0, 0.02, "equal;", "helps;"),
        (0.0, -0.02, "equal;", "harms;"),
    ],
)
def test_headline_says_what_was_measured(gain, dice, landmarks, masks):
    answer = multitask_answer(invented(gain, dice))
    assert f"landmarks: {landmarks}" in answer and f"masks: {masks}" in answer
    claim = "refuted" if masks == "harms;" else "confirmed"
    assert f"beyond these margins: {claim}. 30 images, 1 trainings" in answer


def test_a_cost_that_cannot_be_excluded_is_undecided():
    shift = 0.04 * np.where(np.arange(8) % 2, 1.0, -1.0)
    results = invented(0.0, shift, n=8)
    assert "masks: undecided; Dice" in multitask_answer(results)
    assert "beyond these margins: undecided" in multitask_answer(results)
    found = task_effects(results)["masks"]
    assert found.low < -0.01 < 0.01 < found.high and found.difference == pytest.approx(0.0)


def test_every_threshold():
    assert threshold_curve(invented(0.0, 0.0)).difference.abs().max() == 0.0
    t = threshold_curve(invented(3.0, 0.0), (10.0, 20.0)).set_index("threshold")
    # left 12 px becomes 9; right 10, 11, 12 become 7, 8, 9
    assert t.loc[10.0, ["single", "multi"]].tolist() == pytest.approx([0.0, 100 * 33 / 60])


def test_slider_shows_errors_and_difference():
    results = invented(3.0, 0.0)
    curve, rows = threshold_curve(results), task_location(results).query("lung == 'both'")
    assert (curve.low <= curve.difference).all() and (curve.difference <= curve.high).all()
    for t, name in ((10.0, "R/10"), (20.0, "R/5"), (50.0, "R/2"), (100.0, "R")):
        row = curve[curve.threshold == t].iloc[0]
        assert [row.single, row.multi] == pytest.approx(rows[f"{name}_mean"].tolist())
        fig = _draw_threshold(results, curve, t)
        assert f"alone {row.single:.1f} %, together {row.multi:.1f} %" in fig.get_suptitle()
        assert fig.axes[0].lines[-1].get_xdata()[0] == t
    with pytest.raises(ValueError, match="no threshold of 3.3 px"):
        _draw_threshold(results, curve, 3.3)


def test_signs_of_the_paper():
    paper7, paper8 = published("moris2024_table7"), published("moris2024_table8")
    assert _sign_agreement(paper7, paper8).same.all()
    swapped = paper7.assign(task=paper7.task.map({"single": "multi", "multi": "single"}))
    assert _sign_agreement(swapped, paper8).same.tolist() == [False] * 4 + [True] * 6
