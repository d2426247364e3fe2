"Accuracies and coverage of made-up radiographs, by counting; and one weight and level everywhere."

import inspect

import numpy as np
import pandas as pd
import pytest
from fastcore.test import test_close, test_eq

from hemidiaphragm_nb import validate
from hemidiaphragm_nb.interval_coverage import radius_coverage
from hemidiaphragm_nb.predict import MASK_WEIGHT, fuse

for helper in (test_close, test_eq):
    helper.__test__ = False  # fastcore's checks are no tests of ours

RIGHT, LEFT = (9.9, 10.1, 49.5, 99.5), (19.9, 20.1, 50.5, 100.5)  # px off


def radiographs(right=RIGHT, left=LEFT, expected=1.0, **columns) -> pd.DataFrame:
    "Radiographs of as many patients, both readings this far too low."
    table = pd.DataFrame({"patient_id": [f"p{i}" for i in range(len(right))], "view": "PA"})
    table = table.assign(dice=0.9, fold=np.arange(len(right)) % 2)
    for side, errors in (("right", right), ("left", left)):
        table[f"{side}_expected"] = expected
        for reading in ("heatmap", "mask"):
            table[f"{side}_{reading}_dx"], table[f"{side}_{reading}_dy"] = 0.0, errors
    return table.assign(**columns)


@pytest.mark.parametrize("name", ["weight", "level"])
def test_functions_agree_on_the_mask_s_weight_and_on_nine_times_in_ten(name):
    functions = [fuse, *(getattr(validate, f) for f in validate.__all__ if f[0].islower())]
    found = [inspect.signature(f).parameters.get(name) for f in functions]
    values = [parameter.default for parameter in found if parameter]
    test_eq((len(values), set(values)), {"weight": (9, {MASK_WEIGHT}), "level": (4, {0.9})}[name])


def test_readings_are_weighed():
    table = radiographs((8.0,), (4.0,), right_mask_dy=np.nan, left_heatmap_dy=0.0)
    test_close(validate.landmark_errors(table), [[8, 3]])
    test_close(validate.gap_errors(table), [3 - 8])
    test_close(validate.landmark_errors(table, 0.25), [[8, 1]])
    table = radiographs((3.0,), (0.0,), right_heatmap_dx=4.0, right_mask_dx=4.0)
    test_close(validate.landmark_errors(table), [[5, 0]])


@pytest.mark.parametrize("missing, left", [("heatmap", 4.0), ("mask", 2.0)])
def test_where_one_reading_is_missing_both_errors_take_the_other(missing, left):
    table = radiographs((8.0,), (4.0,), left_heatmap_dy=2.0)
    table[f"left_{missing}_dx"] = table[f"left_{missing}_dy"] = np.nan
    test_close(validate.landmark_errors(table), [[8, left]])
    test_close(validate.gap_errors(table), [left - 8])


def test_the_gap_s_error_is_that_of_the_fused_points():
    rng = np.random.default_rng(0)
    truth, heat, mask = rng.uniform(0, 512, (3, 2, 2))
    heat[1], mask[0] = np.nan, np.nan
    table = {}
    for name, points in (("heatmap", heat), ("mask", mask)):
        for side, (dx, dy) in zip(("right", "left"), points - truth):
            table |= {f"{side}_{name}_dx": [dx], f"{side}_{name}_dy": [dy]}
    fused, table = fuse(heat, mask)[0], pd.DataFrame(table)
    gap = (fused - truth)[:, 1]
    test_close(validate.gap_errors(table), [gap[1] - gap[0]])
    test_close(validate.landmark_errors(table), [np.linalg.norm(fused - truth, axis=-1)])


def test_accuracies_by_counting():
    table = validate.crossval_table(radiographs(view=["PA", "AP", "AP Supine", "PA"]))
    test_eq(list(table.index), ["all", "portable", "fixed", "right", "left"])
    share = table[["R", "R/2", "R/5", "R/10"]].map(lambda cell: float(cell.split()[0]))
    test_eq(share.loc["all"].tolist(), [87.5, 62.5, 37.5, 12.5])
    test_eq(share.loc["right"].tolist(), [100, 75, 50, 25])
    test_eq(share.loc["left"].tolist(), [75, 50, 25, 0])
    test_eq(share.loc["portable"].tolist(), [100, 75, 25, 0])
    test_eq(table["radiographs"].tolist(), [4, 2, 2, 4, 4])
    test_eq(float(table.loc["right", "median error (px)"]), (10.1 + 49.5) / 2)
    test_eq(float(table.loc["all", "median gap error (px)"]), (1 + 10) / 2)
    test_eq(table["Dice"].str.slice(0, 5).tolist(), ["0.900"] * 3 + [""] * 2)


def test_coverage_by_counting():
    "Errors 1 to 20 in one fold, 21 to 40 in another: the factor of each comes from the other."
    right, left = np.arange(1.0, 41).reshape(20, 2).T
    table = radiographs(right, left, fold=[0] * 10 + [1] * 10)
    covered = validate.coverage(table).set_index("fold")
    # of 20 errors the 19th: 39 of the second fold for the first, 19 of the first for the second
    test_eq(covered["factor"].tolist(), [39, 19, 37])
    test_eq(covered["covered (%)"].tolist(), [100, 0, 50])
    test_eq(covered["radiographs"].tolist(), [10, 10, 20])
    test_eq(covered["median radius (px)"].tolist(), [39, 19, 29])


def test_groups_by_radius_hold_a_quarter_each():
    rng = np.random.default_rng(0)
    errors, expected = rng.uniform(1, 20, (2, 40, 2))
    table = radiographs(errors[:, 0], errors[:, 1], fold=np.arange(40) % 4, view=["AP", "PA"] * 20)
    table["right_expected"], table["left_expected"] = expected.T
    groups = radius_coverage(table)
    quarters = [f"{name} quarter" for name in ("smallest", "second", "third", "largest")]
    test_eq(groups.loc[quarters, "n"].tolist(), [20] * 4)
    test_eq(
        groups.loc[["all", "right", "left", "both sides at once"], "n"].tolist(), [80, 40, 40, 40]
    )
    # small radii hold less, for these errors have nothing to do with what was expected
    assert groups.loc[quarters[0], "before (%)"] < groups.loc[quarters[3], "before (%)"]
