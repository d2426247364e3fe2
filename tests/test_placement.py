"Frames placed at the lungs and put back, against closed forms; and cards that ask for nonsense."

import json
import math
from dataclasses import asdict, astuple

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemidiaphragm_nb.card_checks import CardError, check_card
from hemidiaphragm_nb.interval_coverage import finding_rates, mean_of_splits, radius_coverage
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.placement import (
    LungPlace,
    Placement,
    TestTime,
    lung_place,
    place_at,
    placed,
    put_back,
)
from hemidiaphragm_nb.predict import predict
from hemidiaphragm_nb.radiograph import Radiograph
from hemidiaphragm_nb.runtime import OnnxPredictor, shipped_folder, shipped_predictor
from hemidiaphragm_nb.validate import gap_errors, held_out_cases, landmark_errors
from tools.project import ROOT

SIZE, SIDE = 256, 128  # px of the frame, and of the placed one

# A Gaussian that lies in the frame, in sides: height, x, y, standard deviation.
SPOTS = st.tuples(
    st.floats(0.1, 1), st.floats(0.4, 0.6), st.floats(0.4, 0.6), st.floats(0.03, 0.07)
)
PLACEMENTS = st.builds(
    lambda scale, x, y: Placement(scale, 0.5 + x - 0.5 * scale, 0.5 + y - 0.5 * scale),
    st.floats(0.6, 1.8),
    st.floats(-0.08, 0.08),
    st.floats(-0.08, 0.08),
)


def picture(spots, size, at=Placement(), blur=0.0):
    """A sum of Gaussians at the centres of pixels, placed and blurred (in sides, as placed).

    A Gaussian blurred by a Gaussian is one of summed variances; its integral is kept.
    """
    u = (np.arange(size) + 0.5) / size
    total = np.zeros((size, size))
    for height, x, y, wide in spots:
        own = at.scale * wide
        width = math.hypot(own, blur)
        rows, columns = (
            np.exp(-0.5 * ((u - at.scale * c - s) / width) ** 2) for c, s in ((y, at.y), (x, at.x))
        )
        total += height * (own / width) ** 2 * np.outer(rows, columns)
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(SPOTS, min_size=1, max_size=3), PLACEMENTS, st.floats(0.7, 3))
def test_a_placed_frame_is_the_closed_form(spots, at, blur):
    # the sums stand for integrals: exact to 1 in 1,000 where a Gaussian is 0.7 px wide or more
    wide = max(blur, 0.7 * at.scale * SIDE / SIZE)
    found = placed(picture(spots, SIZE), SIDE, at, blur)
    assert np.abs(found - picture(spots, SIDE, at, wide / SIDE)).max() < 1e-3 * len(spots)


@settings(max_examples=60, deadline=None)
@given(st.lists(SPOTS, min_size=1, max_size=3), PLACEMENTS)
def test_what_was_placed_comes_back(spots, at):
    maps = picture(spots, SIDE, at)[None]
    back = put_back(maps, at, 0.0)[0]
    # between pixels a line stands for the curve: an eighth of its second derivatives, a row's and
    # a column's; 4 px are the narrowest, as 0.03 sides of 128 px are
    curved = sum(h / 4 / (SIDE * s * at.scale) ** 2 for h, _, _, s in spots)
    u = (np.arange(SIDE) + 0.5) / SIDE
    seen = [(at.scale * u + s > 1 / SIDE) & (at.scale * u + s < 1 - 1 / SIDE) for s in (at.y, at.x)]
    inside = np.outer(*seen)
    assert np.abs(back - picture(spots, SIDE))[inside].max() < curved + 1e-5


@given(PLACEMENTS, st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_beside_a_placed_frame_stands_what_is_asked(at, beside):
    back = put_back(np.full((2, 1, SIDE, SIDE), beside, np.float32), at, beside)
    np.testing.assert_allclose(back, beside, atol=1e-6)


@given(
    st.floats(0.35, 0.65),
    st.floats(0.35, 0.65),
    st.floats(0.12, 0.3),
    st.floats(0.12, 0.3),
)
@settings(max_examples=60, deadline=None)
def test_an_ellipse_has_its_place_and_takes_it_along(x, y, a, b):
    u = (np.arange(512) + 0.5) / 512
    ellipse = ((u - x) / a)[None] ** 2 + ((u - y) / b)[:, None] ** 2 <= 1
    lungs = np.float32(np.stack([ellipse & (u < x), ellipse & (u >= x)]))
    found = lung_place(lungs)
    # the mean square distance of an ellipse's points from its centre is (a² + b²) / 4
    closed = (x, y, math.hypot(a, b) / 2)
    np.testing.assert_allclose((found.x, found.y, found.radius), closed, atol=0.002)

    goal = LungPlace(0.5, 0.46, 0.15)
    near = place_at(found, goal)
    moved = LungPlace(near.scale * x + near.x, near.scale * y + near.y, near.scale * closed[2])
    np.testing.assert_allclose((moved.x, moved.y), (goal.x, goal.y), atol=0.004)
    if 0.6 < goal.radius / found.radius < 1.8:
        np.testing.assert_allclose(moved.radius, goal.radius, atol=0.004)

    placed_lungs = placed(lungs.max(0), 512, near, 0.7)[None]
    again = lung_place(placed_lungs)
    np.testing.assert_allclose((again.x, again.y, again.radius), astuple(moved), atol=0.004)


@given(st.floats(0.01, 0.04))
@settings(max_examples=10, deadline=None)
def test_hardly_any_lung_has_no_place(radius):
    u = (np.arange(128) + 0.5) / 128 - 0.5
    disc = np.float32(np.hypot(*np.meshgrid(u, u)) < radius)[None]
    assert lung_place(disc) is None  # π · 0.04² is less than 1 in 130


BROKEN = {
    "a word": ("twice", "test_time is 'twice', not a table"),
    "nothing in it": ({}, "not a table of blur, x, y, radius, copies"),
    "a turn": (asdict(TestTime()) | {"turn": 90}, "not a table"),
    "no blur": (asdict(TestTime()) | {"blur": 0}, "test_time has no usable blur"),
    "nowhere": (asdict(TestTime()) | {"x": math.nan}, "test_time has no usable x"),
    "a text": (asdict(TestTime()) | {"y": "0.46"}, "test_time has no usable y"),
    "a truth": (asdict(TestTime()) | {"radius": True}, "test_time has no usable radius"),
    "no copy": (asdict(TestTime()) | {"copies": []}, "test_time has no usable copies"),
    "too many": (asdict(TestTime()) | {"copies": [[1, 0, 0]] * 17}, "no usable copies"),
    "two numbers": (asdict(TestTime()) | {"copies": [[1, 0]]}, "no usable copies"),
    "far aside": (asdict(TestTime()) | {"copies": [[1, 0.9, 0]]}, "no usable copies"),
    "no list": (asdict(TestTime()) | {"copies": 4}, "no usable copies"),
    "a blot": (asdict(TestTime()) | {"blur": 2.1}, "test_time has no usable blur"),
    "in a corner": (
        asdict(TestTime()) | {"x": 0.8, "y": 0.8, "copies": [[1, 0.2, 0.2]] * 2},
        "test_time would cut the lungs off",
    ),
    "too large": (asdict(TestTime()) | {"radius": 0.34}, "would cut the lungs off"),
    "one aside": (asdict(TestTime()) | {"copies": [[1, 0, 0], [1, 0, 0.2]]}, "cut the lungs off"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_card_with_a_broken_test_time_is_rejected(name):
    card = shipped_predictor().card
    assert check_card(card) is card and "test_time" in card
    found, reason = BROKEN[name]
    with pytest.raises(CardError) as error:
        check_card(card | {"test_time": found})
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"blur": 2},
        {"x": 0.4, "y": 0.6, "copies": [[1, 0, 0]]},
        {"x": 0.7, "y": 0.3, "radius": 0.2, "copies": [[1, 0, 0]]},
    ],
)
def test_what_a_card_may_ask_for_shows_the_lungs(change):
    shipped = shipped_predictor()
    card = check_card(shipped.card | {"test_time": asdict(TestTime()) | change})
    p = predict(Radiograph(phantom(3).image), OnnxPredictor(card, shipped.infer))
    assert p.findings == []
    assert np.abs(p.points - predict(Radiograph(phantom(3).image)).points).max() < 10


def moved_by_hand(grey: np.ndarray) -> dict:
    "The same chest, and where a point of it comes to lie: a factor, and px to the right and down."
    black, (height, width) = grey.min(), grey.shape
    larger = cv2.resize(grey, (width + 5, height + 5), interpolation=cv2.INTER_AREA)
    smaller = cv2.resize(grey, (width - 3, height - 3), interpolation=cv2.INTER_AREA)
    down = np.vstack([np.full((3, width), black, grey.dtype), grey[:-3]])
    aside = np.hstack([np.full((height, 2), black, grey.dtype), grey[:, :-2]])
    return {
        "down": (down, 1, (0, 3)),
        "aside": (aside, 1, (2, 0)),
        "padded": (np.pad(grey, 3, constant_values=black), 1, (3, 3)),
        "padded below": (np.pad(grey, ((0, 4), (0, 0)), constant_values=black), 1, (0, 0)),
        "larger": (larger, (width + 5) / width, (0, 0)),
        "smaller": (smaller, (width - 3) / width, (0, 0)),
    }


@pytest.mark.parametrize("seed", [3, 6, 8])
def test_a_few_pixels_at_an_edge_hardly_move_a_landmark(seed):
    "What the several readings are for: see `placement`."
    grey = phantom(seed, side=512).image
    points = predict(Radiograph(grey)).points
    assert np.isfinite(points).all()
    for name, (other, scale, shift) in moved_by_hand(grey).items():
        found = predict(Radiograph(other)).points
        back = (found + 0.5 - shift) / scale - 0.5
        apart = np.linalg.norm(back - points, axis=1) * 512 / max(grey.shape)
        assert (apart < 1).all(), f"{name}: {apart.round(2)}"


def test_the_changelog_has_the_numbers_of_the_results():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf8").split("### A smaller installation")[0]
    text, real = " ".join(text.split()), ROOT / "results" / "covid_cxr"
    cases = held_out_cases()
    error, gap = landmark_errors(cases), np.abs(gap_errors(cases))
    within = [100 * (error < r).mean() for r in (10, 20)]
    moves = pd.read_csv(real / "variants/movements.csv").groupby("id")["point"].max()
    fused = json.loads((real / "shipped/test.json").read_text())["test"]["fused"]
    int8 = pd.read_csv(real / "shipped/int8.csv")[["right_move_px512", "left_move_px512"]]
    int8 = int8.to_numpy()[np.isfinite(int8)]
    table, again = radius_coverage(cases), mean_of_splits(cases, radius_coverage)
    held = table["after (%)"].drop([k for k in table.index if ", largest" in k or "both" in k])
    promised = [k for k in held.index if ", " not in k]  # by side and view apart
    other = again.loc[promised, "after (%)"]
    tenth = table.loc[["right, largest tenth", "left, largest tenth"]]
    found = pd.read_csv(real / "crossval/warnings.csv", dtype={"id": str})
    rates = finding_rates(cases, found).loc["all"]
    sizes = [
        (shipped_folder() / n).stat().st_size / 1e6 for n in ("fast.onnx", "weights.safetensors")
    ]
    for sentence in (
        f"{len(cases)} radiographs of {cases['patient_id'].nunique()} persons) {within[0]:.1f} %",
        f"within R/10 and {within[1]:.1f} % within R/5, Dice is {cases['dice'].mean():.3f}",
        f"{np.median(error):.2f} px of 512 in the median and a gap by {np.median(gap):.2f}",
        f"{(moves > 1).sum()} of the {len(moves)} radiographs held out",
        f"and {(moves > 3).sum()} by more than 3 px",
        f"R/10 is {fused['R/10']:.1f} %, R/5 {fused['R/5']:.1f} %, Dice {fused['Dice']:.3f}",
        f"move a landmark by {np.median(int8):.1f} px in the median",
        f"by more than 1 px in {100 * (int8 > 1).mean():.0f} %, by {int8.max():.1f} px at most",
        f"holds in {held.min():.1f} to {held.max():.1f} % by side",
        f"{other.min():.1f} to {other.max():.1f} % in the mean of twenty others",
        "in {:.1f} % (right) and {:.1f} % (left)".format(*tenth["after (%)"]),
        f"with {tenth['n'].max()} landmarks each",
        f"{rates['wrong gaps with one (%)']:.1f} % have a finding (n = {rates['wrong gaps']:.0f})",
        f"of the others {rates['right gaps with one (%)']:.1f} %",
        f"`fast.onnx` has {sizes[0]:.1f} MB",
        f"`weights.safetensors` {sizes[1]:.1f} ",
    ):
        assert sentence in text, sentence
