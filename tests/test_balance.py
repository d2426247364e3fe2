"Analysis II on invented results whose truth is known, and the parts of its figures."

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemidiaphragm_nb.balance import (
    _REFERENCE,
    LAMBDAS,
    _agreement,
    _asked_weight,
    _dominated,
    _draw_lambda,
    _pair_name,
    _plot_pull,
    _published_pairs,
    balance_answer,
    hit_differences,
    location_table,
    mask_differences,
    mask_table,
)
from hemidiaphragm_nb.runs import Results
from hemidiaphragm_nb.tables import side_by_side

NAMES = [_pair_name(0.1, 0.9), _pair_name(0.5, 0.5), _REFERENCE]


def invented(worse: float) -> Results:
    "One setting misses the right landmark by `worse` px more, another is as the reference."
    labels = [dict(name=n, repeat=r) for r in range(2) for n in NAMES]
    cases = [
        label
        | dict(
            id=f"{i:02d}",
            right_px=5.0 + i / 9 + worse * label["name"].startswith("λ 0.1"),
            left_px=4.0,
            dice=0.9 + i / 1000,
        )
        for label in labels
        for i in range(20)
    ]
    cases = pd.DataFrame(cases)
    runs = []
    for label in labels:
        own = cases[(cases.name == label["name"]) & (cases.repeat == label["repeat"])]
        px = dict(right=own[["right_px"]], left=own[["left_px"]], both=own[["right_px", "left_px"]])
        hits = {
            f"{lung}_{t}": 100 * (e.to_numpy() < v).mean()
            for lung, e in px.items()
            for t, v in (("R", 100), ("R/2", 50), ("R/5", 20), ("R/10", 10))
        }
        lam = float(label["name"].removeprefix("λ ").split(",")[0])
        setting = dict(analysis="balance", weighting="fixed", lam_hem=lam, images=20)
        runs.append(label | setting | hits | dict(dice=own.dice.mean()))
    return Results(pd.DataFrame(runs), cases, pd.DataFrame(), pd.DataFrame())


def test_differences_of_hits():
    lost = hit_differences(invented(30.0)).set_index("setting")
    # every right landmark is lost, no left one
    assert lost.loc["λ 0.1, 0.9", ["difference", "low", "high"]].tolist() == [-50.0, -50.0, -50.0]
    assert lost.loc["λ 0.1, 0.9", "effect"] == -1.0
    assert lost.loc["λ 0.5, 0.5", ["difference", "p_holm"]].tolist() == [0.0, 1.0]
    # larger errors, but not across 10 px
    assert hit_differences(invented(0.001)).difference.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="no row"):
        hit_differences(invented(1.0), reference="λ 0.2, 0.8")


@pytest.mark.parametrize(
    "worse, small, words",
    [
        (30.0, 0.5, "Do small λ_hem lose R/10? Yes: 1 of 1"),
        (30.0, 0.6, "Do small λ_hem lose R/10? Some do: 1 of 2"),
        (0.0, 0.5, "Do small λ_hem lose R/10? No: 0 of 1"),
        (0.0, 0.05, "No setting with λ_hem below 0.05"),
    ],
)
def test_answer_follows_the_intervals(worse, small, words):
    assert balance_answer(hit_differences(invented(worse)), small=small).startswith(words)


@pytest.mark.parametrize(
    "verdicts, claim",
    [
        (
            ("lower", "lower"),
            "Yes: 2 of 2 with λ_hem below 0.6. “Small λ_hem loses R/10”: confirmed",
        ),
        (("lower", "undecided"), "Some do: 1 of 2"),
        (("equal", "undecided"), "Not shown: 0 of 2"),
        (("equal", "higher"), "No: 0 of 2 with λ_hem below 0.6. “Small λ_hem loses R/10”: refuted"),
    ],
)
def test_claim_needs_every_verdict(verdicts, claim):
    table = hit_differences(invented(30.0))
    table = table.assign(setting=["λ 0.1, 0.9", "λ 0.3, 0.7"], verdict=verdicts)
    answer = balance_answer(table)
    assert answer.startswith(f"Do small λ_hem lose R/10? {claim}")
    assert "undecided. Diff" in answer or "undecided" not in verdicts
    assert answer.endswith("20 images, 2 trainings a setting.")


def test_masks_are_compared_in_dice():
    worse = invented(30.0)
    worse.cases["dice"] -= 0.03 * worse.cases["name"].str.startswith("λ 0.1")
    masks = mask_differences(worse).set_index("setting")
    assert masks["verdict"].to_dict() == {"λ 0.1, 0.9": "lower", "λ 0.5, 0.5": "equal"}
    assert masks.loc["λ 0.1, 0.9", "difference"] == pytest.approx(-0.03)
    assert masks.loc["λ 0.1, 0.9", "effect"] == -1.0
    answer = balance_answer(hit_differences(worse), masks.reset_index())
    assert "Dice lower, -0.0300 (-0.0300 to -0.0300)" in answer


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_some_setting_is_not_dominated(rows):
    dominated = _dominated(np.array(rows))
    assert not dominated.all()
    for row, lost in zip(rows, dominated):
        assert lost == any(o != row and o[0] >= row[0] and o[1] >= row[1] for o in rows)


def test_tables_are_those_of_the_paper_with_n():
    results, paper5, paper6 = invented(30.0), _published_pairs(5), _published_pairs(6)
    ours5, ours6 = location_table(results), mask_table(results)
    assert list(ours5.columns.drop("n")) == list(paper5.columns)
    assert list(ours6.columns.drop("n")) == list(paper6.columns)
    assert set(ours5["n"]) == {2}
    wide = side_by_side(paper5, ours5, ["setting", "lung"])
    assert wide.loc[("λ 0.1, 0.9", "both"), "R/10, paper"] == "60.82 ± 4.26"
    assert wide.loc[("λ 0.1, 0.9", "right"), "R/10, ours"] == "0.00 ± 0.00"
    assert wide.loc[("λ 0.3, 0.7", "both"), "R/10, ours"] == "–"
    assert wide.loc[("λ 0.5, 0.5", "left"), ["n, paper", "n, ours"]].tolist() == ["5", "2"]
    masks = side_by_side(paper6, ours6, ["setting"], digits=4)
    assert masks.loc["λ 0.99, 0.01", "dice, paper"] == "0.9665 ± 0.0006"
    assert len(wide) == 3 * len(LAMBDAS)


def test_asked_weight_is_inverse_to_the_losses():
    losses = dict(train_heatmap=[1.0, 0.05], train_mask=[1.0, 0.95])
    history = pd.DataFrame(dict(name="learned", repeat=0, epoch=[0, 1], **losses))
    assert _asked_weight(history)[0].tolist() == pytest.approx([0.5, 0.95])


def test_agreement_with_the_paper():
    paper = _published_pairs(5)
    same = _agreement(paper)
    assert "8 settings" in same and "is 1.00; the same setting is worst" in same
    reverse = _agreement(paper.assign(**{"R/10_mean": -paper["R/10_mean"]}))
    assert "is -1.00" in reverse and "in the paper λ 0.1, 0.9" in reverse
    few = "Fewer than three settings in common: no order to compare."
    assert _agreement(paper.head(3)) == few


PULL = pd.DataFrame(
    [
        dict(moment=m, lam_hem=lam, heatmap=1e-4, mask=2e-4, fraction=s)
        for lam, s in ((0.1, 0.004), (0.5, 0.05), (0.95, 0.4))
        for m in ("start", "end")
    ]
)


@pytest.mark.parametrize("lam", [0.1, 0.5, 0.95])
def test_slider_shows_pull_curve_and_row(lam):
    results = invented(30.0)
    name = {0.1: NAMES[0], 0.5: NAMES[1], 0.95: NAMES[2]}[lam]
    fig = _draw_lambda(results, PULL, lam)
    e = results.errors()[name]
    assert fig.get_suptitle().startswith(name)
    assert f"R/10 {100 * (e < 10).mean():.1f} %" in fig.get_suptitle()
    assert fig.get_suptitle().endswith("n = 2")
    assert fig.axes[0].get_title().startswith("masks dominate")
    x, y = next(line for line in fig.axes[1].lines if line.get_label() == name).get_data()
    read = y[(x < 10).sum() - 1] if (x < 10).any() else 0  # R/10 off the drawn curve
    assert read == pytest.approx(100 * (e < 10).mean())
    assert len(_draw_lambda(results, None, lam).axes) == 1


def test_settings_that_were_not_run():
    with pytest.raises(ValueError, match="was not run"):
        _draw_lambda(invented(1.0), PULL, 0.2)
    ax = plt.figure().gca()
    _plot_pull(PULL, 0.7, ax)  # no network was trained there
    assert "before training" in ax.get_title()
    plt.close()
