"Measurements on masks whose answer is known: closed forms, other libraries, laws, exact anatomy."

from dataclasses import fields, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fastcore.test import test_close, test_eq
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label, regionprops

from hemidiaphragm_nb.anatomy import Dials, lung_mask
from hemidiaphragm_nb.features import FIELD_EDGE, SIDES, field_edges, radiation_field
from hemidiaphragm_nb.measure import (
    Lung,
    _draw_length,
    as_columns,
    diaphragm_contour,
    dome_height,
    lung_component,
    measure,
    measure_lung,
    plot_measurements,
)
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import Prediction, predict
from hemidiaphragm_nb.radiograph import Frame, Radiograph
from hemidiaphragm_nb.tilt import lung_tilt

for helper in (test_close, test_eq):
    helper.__test__ = False  # fastcore's checks are no tests of ours


def arch() -> np.ndarray:
    "A lung of 10 columns and 20 rows, 3 rows cut out of the middle of its base."
    labels = np.zeros((40, 60), np.uint8)
    labels[5:25, 8:18] = 1
    labels[22:25, 11:15] = 0
    return labels


def test_component_is_scikit_images_largest_region():
    rng = np.random.default_rng(0)
    for _ in range(200):
        noise = (rng.random((14, 17)) < 0.4).astype(np.uint8)
        lung, (top, left) = lung_component(noise, "right")
        regions = {r.bbox: r.area for r in regionprops(label(noise, connectivity=2))}
        box = (top, left, top + lung.shape[0], left + lung.shape[1])
        test_eq(lung.sum(), regions[box])
        test_eq(regions[box], max(regions.values()))


def test_contour_starts_outside_and_spans_the_base():
    yy, xx = np.mgrid[:120, :160]
    toy = np.zeros((120, 160), np.uint8)
    for k, (inner, out, base) in enumerate(((70, -1, 95), (90, 1, 105)), 1):
        reach = (xx - inner) * out
        dome = base - 20 * np.clip(1 - ((reach - 25) / 25) ** 2, 0, None)
        toy[(reach >= 0) & (reach < 50 + (base - yy) * 0.2) & (yy > 12) & (yy < dome)] = k
    right, left = (diaphragm_contour(toy, side) for side in SIDES)
    test_eq((right[0, 0] < right[-1, 0], left[0, 0] > left[-1, 0]), (True, True))
    test_eq((right[0], right[-1]), ([19.5, 94.5], [70.5, 94.5]))  # the base's lowest row is 94
    test_eq(len(right) // 2, 51)
    assert lung_component(toy, "right")[0].shape[1] > 60, "the wall leans out above the angle"
    test_eq(diaphragm_contour(np.zeros((9, 9)), "left").shape, (0, 2))


def test_dome_height_of_closed_forms():
    t = np.linspace(0, np.pi, 2001)
    ellipse = np.stack([50 - 30 * np.cos(t), 80 - 12 * np.sin(t)], 1)
    test_close(dome_height(ellipse)[:2], (12, 60))
    test_close(dome_height(ellipse[::-1])[:2], (12, 60))
    x = np.linspace(0, 40, 2001)
    for rise, slope in ((10, 0.0), (10, 0.5), (6, -0.8)):
        leaning = np.stack([x, 70 + slope * x - 4 * rise * x * (40 - x) / 40**2], 1)
        exact = (rise * np.cos(np.arctan(slope)), 40 * np.hypot(1, slope))
        test_close(dome_height(leaning)[:2], exact, eps=1e-5)
    test_eq(dome_height(ellipse * [1, -1])[0], 0)  # a sagging one
    test_close(dome_height(ellipse, (0.5, 2.0))[:2], (6, 120))  # rows of 0.5 mm, columns of 2 mm
    test_eq(dome_height(np.zeros((0, 2)))[2], -1)


def test_rectangle():
    box = np.zeros((40, 60), np.uint8)
    box[5:25, 8:18] = 1
    m = measure_lung(box, "right", level=24.5)
    test_eq((m.area_px2, m.width_px, m.height_px, m.dome_px, m.chord_px), (200, 10, 20, 0, 10))
    test_eq(m.cut, ())
    assert np.isnan(m.area_mm2) and np.isnan(m.width_mm)


STEEP = np.zeros((60, 30), np.uint8)
for column in range(4, 16):
    STEEP[2 : 55 - 4 * (column - 4), column] = 1  # a base at 76°: both set squares touch its foot
SIDE = {"area_px2", "width_px", "dome_px", "chord_px"}


@pytest.mark.parametrize(
    "labels, level, cut, unknown",
    [
        (arch(), 20.0, (), set()),
        (arch()[5:], 20.0, ("top",), {"area_px2", "height_px"}),
        (arch()[:25], 20.0, ("bottom",), {"area_px2", "dome_px", "chord_px"}),
        (arch()[:, 8:], 20.0, ("left",), SIDE),
        (arch()[:, :18], 20.0, ("right",), SIDE),
        (arch()[:, 12:16], 20.0, ("left", "right"), SIDE),  # narrow, and cut on both sides
        (arch(), np.nan, (), {"height_px"}),
        (arch(), 2.0, (), {"height_px"}),  # a landmark above the apex
        (STEEP, 20.0, (), {"dome_px", "chord_px"}),
        (arch() * 0, 20.0, (), SIDE | {"height_px"}),
    ],
)
def test_what_a_radiograph_cannot_tell_is_unknown(labels, level, cut, unknown):
    m = measure_lung(labels, "right", level)
    names = [f.name for f in fields(m) if f.name.endswith(("_px", "_px2"))]
    test_eq(m.cut, cut)
    test_eq({name for name in names if np.isnan(getattr(m, name))}, unknown)


@pytest.mark.parametrize("side", ["top", "bottom", "left"])
def test_a_black_border_cuts_a_lung_as_the_edge_of_the_image_does(side):
    "The phantom's exact lungs, cut by a border that its picture shows, and by cropping there."
    case = phantom(3)
    whole = measure(case.mask, case.landmarks)
    rows, columns = (np.flatnonzero((case.mask == 1).any(axis)) for axis in (1, 0))
    line = {"top": rows[0] + 30, "bottom": int(case.landmarks[0, 1]) - 20, "left": columns[0] + 25}
    kept = np.zeros(case.mask.shape, bool)
    if side == "left":
        kept[:, line[side] :] = True
    else:
        kept[slice(line[side], None) if side == "top" else slice(line[side])] = True
    image, labels = np.where(kept, case.image, 0).astype(np.uint8), np.where(kept, case.mask, 0)
    field = radiation_field(image, np.ones_like(kept))
    bordered = measure(labels, case.landmarks, field_px=field_edges(field, Frame(512, 512)))
    box = tuple(slice(*np.flatnonzero(kept.any(a))[[0, -1]] + (0, 1)) for a in (1, 0))
    shift = box[1].start, box[0].start
    cropped = measure(labels[box], case.landmarks - shift)
    for m in (bordered, cropped):
        assert side in m.right.cut and np.isnan(m.right.area_px2)
        assert np.isnan(m.right.height_px) == (side != "left")
        assert np.isnan(m.gap_relative) == (side != "left")
        assert np.isnan(m.right.dome_px) == np.isnan(m.right.dome_apex[0]) == (side != "top")
        assert np.isnan(m.gap_dome_apex_px) == (side != "top")
        assert np.isnan(m.right.width_px) == (side == "left")
    if side == "top":
        assert bordered.right.dome_px == cropped.right.dome_px == whole.right.dome_px
        assert np.isnan(lung_tilt(labels, top=field[0].start + FIELD_EDGE))
    if side == "left":
        sizes = [(m.left.area_px2, m.left.height_px, m.left.dome_px) for m in (bordered, whole)]
        assert sizes[0] == sizes[1] and np.isfinite(sizes).all()


def test_a_predicted_lung_with_a_cut_apex_has_no_height_and_no_tilt():
    case = phantom(3)
    image = case.image.astype(np.float32)
    image[: np.flatnonzero(case.mask.any(1))[0] + 40] = 0
    p = predict(Radiograph(image))
    m = measure(p)
    assert {f.edge for f in p.findings if f.code == "cut_off"} == {"top"}
    assert m.right.cut == m.left.cut == ("top",) and np.isfinite(p.gap_px)
    unknown = [p.tilt, p.gap_corrected_px, m.gap_relative, m.right.height_px, m.left.height_px]
    assert np.isnan(unknown).all() and np.isfinite([m.right.dome_px, m.left.dome_px]).all()


@pytest.mark.parametrize("spacing", [(0.0, 0.0), (np.nan, 0.2), (0.2,), None])
def test_spacing_that_is_none_gives_no_mm(spacing):
    assert np.isnan(measure_lung(arch(), "right", 21.5, spacing).width_mm)


def test_nothing_one_lung_and_bad_shapes():
    nothing = measure(np.zeros((30, 30), np.uint8))
    numbers = (nothing.gap_px, nothing.gap_mm, nothing.gap_relative, nothing.ratio("area"))
    assert np.isnan([*numbers, nothing.right.area_px2]).all()
    test_eq(set(as_columns(nothing).values()), {None, ""})
    points = np.array([[12.0, 21], [40, 31]])
    without_mask = Prediction("a.png", 60, 40, points, np.zeros((40, 60), np.uint8))
    m = measure(without_mask)
    assert m.gap_px == 10 and np.isnan(m.gap_relative) and np.isnan(m.right.width_px)
    one = measure(arch(), [points[0], [np.nan, np.nan]])
    assert np.isnan(one.gap_px) and np.isnan(one.gap_relative) and one.right.width_px == 10
    with pytest.raises(ValueError, match=r"\(h, w\)"):
        measure(arch()[None])
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        measure(arch(), points=[1, 2])


@st.composite
def chests(draw):
    "Labels of two ragged lungs that touch no border."
    h, w = draw(st.integers(40, 70)), draw(st.integers(44, 90))
    labels = np.zeros((h, w), np.uint8)
    for k, start in enumerate((1, w // 2 + 1), 1):
        n = draw(st.integers(8, w // 2 - 2))

        def ragged(low, high, n=n):
            return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))

        ends = zip(ragged(1, h // 2 - 1), ragged(h // 2 + 1, h - 1))
        for x, (a, b) in enumerate(ends, start):
            labels[a:b, x] = k
    return labels


def numbers(m) -> dict:
    "All numbers of a measurement by name."
    ratios = {f"ratio_{k}": m.ratio(k) for k in ("height", "width", "area")}
    row = {"gap_px": m.gap_px, "gap_mm": m.gap_mm, "gap_relative": m.gap_relative} | ratios
    row["gap_dome_apex_px"] = m.gap_dome_apex_px
    names = [f.name for f in fields(Lung) if f.name not in ("dome_apex", "cut")]
    return row | {f"{s}_{name}": getattr(getattr(m, s), name) for s in SIDES for name in names}


def same(a, b, only="", **factors):
    "Every number of b is a's times the factor of its unit; unknown ones are unknown in both."
    for name, v in numbers(a).items():
        if only in name and np.isnan(v):
            assert np.isnan(numbers(b)[name]), name
        elif only in name:
            factor = factors.get(name.split("_")[-1], 1)
            test_close(numbers(b)[name], v * factor, eps=1e-6 * (1 + abs(v)))


POINTS = st.lists(st.floats(20, 40), min_size=4, max_size=4).map(lambda v: np.reshape(v, (2, 2)))
SPACINGS = st.tuples(st.floats(0.1, 1), st.floats(0.1, 1))


@settings(max_examples=60, deadline=None)
@given(chests(), POINTS, SPACINGS)
def test_laws_of_scale_shift_and_mirror(labels, points, spacing):
    a, (row, column) = measure(labels, points, spacing), spacing
    larger = np.kron(labels, np.ones((2, 2), np.uint8))
    twice = measure(larger, (points + 0.5) * 2 - 0.5, (row / 2, column / 2))
    same(a, twice, px=2, px2=4)  # twice the pixels of half the size
    split = np.repeat(labels, 2, 0), (points + 0.5) * [1, 2] - 0.5, (row / 2, column)
    same(a, measure(*split), only="mm")  # rows split in two
    same(a, measure(np.pad(labels, ((3, 5), (7, 2))), points + [7, 3], spacing))  # moved
    mirrored = np.array([0, 2, 1], np.uint8)[labels[:, ::-1]]
    b = measure(mirrored, (points * [-1, 1] + [labels.shape[1] - 1, 0])[::-1], spacing)
    gaps = ("gap_px", "gap_mm", "gap_dome_apex_px", "gap_dome_apex_mm")
    signs = {name: -getattr(b, name) for name in gaps}
    same(a, replace(b, right=b.left, left=b.right, **signs))
    test_close(b.ratio("area"), 1 / a.ratio("area"))


def exact_sizes(case, fine: np.ndarray, k: int) -> dict:
    "Sizes of lung k from the phantom's geometry, px of 512; `fine` is its mask of 2048 px."
    yy, xx = (v * 0.25 + 0.125 - 0.5 for v in np.nonzero(fine == k + 1))
    outer, inner = (xx[(yy + s * xx).argmax()] for s in ((-1, 1) if k == 0 else (1, -1)))
    x = np.linspace(outer, inner, 4001)
    y = case.contour(k, x)
    u = np.array([x[-1] - x[0], y[-1] - y[0]])
    u /= np.hypot(*u)
    dome = np.abs(u[0] * (y - y[0]) - u[1] * (x - x[0])).max()
    height = case.landmarks[k, 1] - (yy.min() - 0.125)
    return dict(width=np.ptp(case.extents[k]), area=len(yy) / 16, height=height, dome=dome)


def test_sizes_agree_with_the_phantoms_geometry():
    rows = []
    for seed in range(5):
        case = phantom(seed, portable=False)
        m = measure(case.mask, case.landmarks)
        fine = lung_mask(case.view.at(2048), case.chest, case.field)
        for k, side in enumerate(SIDES):
            for what, value in exact_sizes(case, fine, k).items():
                got = getattr(getattr(m, side), f"{what}_px2" if what == "area" else f"{what}_px")
                rows.append(dict(what=what, off=abs(got - value)))
    worst = pd.DataFrame(rows).groupby("what").off.max()
    # px; a pixel is in or out by its centre, and the ends are found to 0.1 px
    for what, limit in dict(width=1.2, area=60, height=0.65, dome=1.0).items():
        assert worst[what] < limit, what


def test_domes_apices_are_those_of_the_phantoms_geometry():
    "The highest point of the exact contour between its exact ends; its gap is of these two."
    high, across = [], []
    for seed in range(6):
        case = phantom(seed, portable=seed % 2 == 0)
        m, exact = measure(case.mask, case.landmarks), []
        for k, side in enumerate(SIDES):
            ends = diaphragm_contour(case.mask, side)[[0, -1], 0]
            x = np.linspace(*ends, 20001)
            y = case.contour(k, x)
            exact.append((x[y.argmin()], y.min()))
            across.append(getattr(m, side).dome_apex[0] - exact[-1][0])
            high.append(getattr(m, side).dome_apex[1] - exact[-1][1])
        test_close(m.gap_dome_apex_px, exact[1][1] - exact[0][1], eps=1.0)
    assert np.abs(high).max() <= 0.5 + 1e-3  # half a pixel, as the whole contour
    assert np.abs(across).max() < 6  # px: a dome is flat at its top


def test_domes_apex_of_shapes_known_by_hand():
    test_eq(measure_lung(arch(), "right").dome_apex, (12.5, 21.5))  # columns 11 to 14 of row 21
    leaning = np.zeros((60, 40), np.uint8)
    for column in range(5, 25):
        leaning[5 : 40 + column // 5, column] = 1
    test_eq(measure_lung(leaning, "right").dome_apex, (7.0, 40.5))  # the first five columns
    assert np.isnan(measure_lung(arch()[:25], "right").dome_apex).all()  # its ends are cut off
    test_eq(as_columns(measure(arch()))["right_dome_apex_y"], 21.5)


@pytest.mark.parametrize("spacing, unit", [((0.5, 0.5), "mm"), (None, "px")])
def test_drawing_names_every_length_once(spacing, unit):
    case = phantom(21, side=128, dials=Dials(elevated_right=15, scatter=0.6))
    points = (case.landmarks + 0.5) / 4 - 0.5
    ax = plot_measurements(case.mask, points, spacing, case.image)
    assert sum(t.get_text().endswith(unit) for t in ax.texts) == 7
    plt.close(ax.figure)


def test_drawing_of_nothing():
    ax = plot_measurements(np.zeros((30, 30)))
    assert [t.get_text() for t in ax.texts] == []
    plt.close(ax.figure)


@pytest.mark.parametrize(
    "start, end, alignment",
    [((5, 5), (9, 5), "bottom"), ((9, 5), (5, 5), "bottom"), ((100, 0), (100, 9), "center")],
)
def test_a_number_stands_above_what_lies_and_beside_what_stands(start, end, alignment):
    ax = plt.subplots()[1]
    _draw_length(ax, start, end, "4 px", "red")
    [text] = [text for text in ax.texts if text.get_text() == "4 px"]
    test_eq(text.get_va(), alignment)
    test_eq(tuple(text.xy), tuple(np.add(start, end) / 2))
    plt.close(ax.figure)
