"What notebook 15 does not show of `predict`: what it is given, limits, ties, lengths in frames."

import numpy as np
import pytest
import torch
from fastcore.test import test_close, test_eq
from PIL import Image

from hemidiaphragm_nb.conformal import landmark_score
from hemidiaphragm_nb.evaluate import each_case
from hemidiaphragm_nb.features import SIDES
from hemidiaphragm_nb.findings import FINDINGS
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.heatmaps import encode
from hemidiaphragm_nb.lung_width import without_implausible_mm
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import (
    MAX_DISAGREEMENT,
    MAX_GAP_SCORE,
    MAX_RADIUS,
    Prediction,
    _image_labels,
    expected_error,
    fuse,
    gap_findings,
    interpret,
    landmark_findings,
    lung_labels,
    mask_points,
    predict,
)
from hemidiaphragm_nb.radiograph import FRAME, Frame, Radiograph
from hemidiaphragm_nb.runtime import Outputs

for helper in (test_close, test_eq):
    helper.__test__ = False  # fastcore's checks are no tests of ours


def boxes(*starts, side=64, width=20):
    "(n, side, side) probabilities: a certain lung in rows 5 to 40, from each starting column on."
    planes = np.zeros((len(starts), side, side), np.float32)
    for plane, start in zip(planes, starts):
        plane[5:41, start : start + width] = 1
    return planes


def test_half_is_no_lung_and_a_tie_is_right():
    test_eq(lung_labels(np.full((2, 8, 8), 0.5)).max(), 0)
    test_eq(lung_labels(np.full((1, 8, 8), 0.5)).max(), 0)
    test_eq(np.unique(lung_labels(np.full((2, 8, 8), 0.6))), [1])
    both = np.stack([np.full((8, 8), 0.6), np.full((8, 8), 0.7)])
    test_eq(np.unique(lung_labels(both)), [2])


@pytest.mark.parametrize("start, label", [(5, 1), (39, 2)])
def test_a_lung_alone_is_of_the_side_that_it_lies_on(start, label):
    labels = lung_labels(boxes(start))
    test_eq(labels == label, boxes(start)[0] > 0)
    test_eq(np.unique(labels), [0, label])


def test_of_a_mask_without_sides_the_two_largest_pieces_count():
    mask = boxes(40).max(0, keepdims=True) + boxes(4)
    mask[0, 60:62, 30:32] = 1
    labels = lung_labels(mask)
    test_eq((labels == 1, labels == 2), (boxes(4)[0] > 0, boxes(40)[0] > 0))


def test_points_of_a_small_mask_in_the_frame():
    "The middle of columns 4 to 23 and the last row, 40, of 64 px; a pixel is 8 px of the frame."
    labels = lung_labels(boxes(4, 40))
    expected = [[14 * 8 - 0.5, 40.5 * 8 - 0.5], [50 * 8 - 0.5, 40.5 * 8 - 0.5]]
    test_close(mask_points(labels), expected, eps=1e-6)


def test_expected_error_inverts_equation_2():
    for distance in (0, 1, 10, 50):
        heat = np.ones((2, 5, 5))
        heat[:, 2, 3] = np.tanh(np.pi * distance / 125)
        test_close(expected_error(heat, 125), [distance] * 2, eps=1e-9)
    test_eq(expected_error(np.full((2, 3, 3), -0.2), 125), [0, 0])  # no distance is negative
    assert np.isfinite(expected_error(np.ones((2, 3, 3)), 125)).all()
    apart = np.stack([np.full((3, 3), 0.2), np.full((3, 3), 0.4)])
    test_close(expected_error(apart, 1), np.arctanh([0.2, 0.4]) / np.pi)


def test_doubts_begin_above_their_limits():
    codes = ["landmark_disagreement", "landmark_uncertain"]
    for apart, radius, expected in [
        (MAX_DISAGREEMENT, MAX_RADIUS, []),
        (MAX_DISAGREEMENT + 0.1, MAX_RADIUS, codes[:1]),
        (MAX_DISAGREEMENT, MAX_RADIUS + 0.1, codes[1:]),
        (MAX_DISAGREEMENT + 0.1, MAX_RADIUS + 0.1, codes),
    ]:
        found = landmark_findings(np.array([apart, 0]), np.array([radius, 0]))
        test_eq([(f.code, f.side) for f in found], [(code, "right") for code in expected])


def test_a_gap_s_doubt_begins_above_its_limit():
    [found] = gap_findings(MAX_GAP_SCORE + 0.1, 33.4)
    test_eq((found.code, found.side), ("gap_uncertain", ""))
    test_eq(
        found.message,
        "gap uncertain: it may be 33 px of 512 larger or smaller, and farther off one time in ten",
    )
    for score in (MAX_GAP_SCORE - 0.1, MAX_GAP_SCORE, np.nan):
        test_eq(gap_findings(score, 33.4), [])
    for margin in (np.nan, np.inf):
        test_eq(gap_findings(MAX_GAP_SCORE + 0.1, margin), [])


@pytest.mark.parametrize("height, width", [(1024, 600), (300, 256)])
def test_labels_of_the_image_are_those_of_the_frame_enlarged(height, width):
    frame = Frame(height, width)
    yy, xx = np.mgrid[:height, :width]
    truth = np.zeros((height, width), np.uint8)
    for label, centre in ((1, 0.28), (2, 0.72)):
        near = np.hypot((xx - centre * width) / (0.2 * width), (yy - height / 2) / (0.3 * height))
        truth[near < 1] = label
    for planes in ([truth == 1, truth == 2], [truth > 0]):
        mask = np.stack([frame.mask(plane.astype(np.uint8)) for plane in planes])
        labels = _image_labels(frame, mask.astype(np.float32), lung_labels(mask))
        test_eq(labels.shape, truth.shape)
        assert (labels != truth).mean() < 0.01
        test_eq(labels[yy > 0.9 * height].max(), 0)


def answer(frame, **card):
    "What is made of outputs whose landmarks, mask and expected error (10 px of 512) are known."
    heat = np.ones((1, 2, 64, 64), np.float32)
    for k, column in enumerate((14, 50)):
        yy, xx = np.mgrid[:64, :64]
        distance = 8 * np.hypot(xx - column, yy - 40)
        heat[0, k] = np.tanh(np.pi * np.hypot(distance, 10) / 125)
    card |= {"recipe": dict(beta=125.0, decoder="argmin", shared=False)}
    outputs = Outputs(heat, boxes(4, 40)[None])
    return interpret(outputs, np.zeros((FRAME, FRAME), np.uint8), frame, card, checks=False)


def test_a_landmark_is_uncertain_by_one_factor_whatever_the_radius_stated():
    "As its documented threshold says; the error that the heatmaps expect is 10 px of 512."
    frame = Frame(FRAME, FRAME)
    for one, stated, codes in ((1.9, 5.0, []), (2.1, 0.5, ["landmark_uncertain"] * 2)):
        numbers = {side: {"limits": [], "factors": [stated]} for side in SIDES}
        found = answer(frame, radius_factor=one, intervals=numbers)
        scores = landmark_score(found.expected, found.disagreement)
        test_close(found.radius90, stated * scores)
        test_eq([f.code for f in found.findings], codes)
    rule = FINDINGS["landmark_uncertain"].threshold
    assert "expected error times" in rule and "`radius_factor`" in rule and "20 px of 512" in rule


@pytest.mark.parametrize("height, width", [(1024, 1024), (1024, 600), (600, 1024)])
def test_lengths_in_the_image_are_those_of_its_longer_side(height, width):
    found = answer(Frame(height, width), radius_factor=1.5)
    test_close(found.expected, [10, 10], eps=1e-3)
    test_close(found.radius90, [1.5 * 10 * 2] * 2, eps=1e-2)  # 1024 px are 512 of the frame
    test_eq(found.findings, [])
    test_eq(np.isnan(answer(Frame(height, width)).radius90), [True, True])
    wide = answer(Frame(height, width), radius_factor=2.1)
    test_eq([f.code for f in wide.findings], ["landmark_uncertain"] * 2)
    points = (1 - 0.75) * found.readings["heatmap"] + 0.75 * found.readings["mask"]
    corner = np.array([(1024 - width) // 2, (1024 - height) // 2])
    test_close(found.points, (points + 0.5) * 2 - 0.5 - corner, eps=1e-6)
    test_close(
        found.disagreement,
        np.linalg.norm(found.readings["heatmap"] - found.readings["mask"], axis=1),
    )
    test_eq((found.width, found.height, found.mask.shape), (width, height, (height, width)))


def test_readings_are_fused_case_by_case():
    heat = np.array([[[0.0, 0], [8, 8]], [[3, 4], [np.nan, np.nan]], [[1, 1], [2, 2]]])
    mask = np.array([[[3.0, 4], [8, 8]], [[3, 4], [5, 5]], [[1, 1], [np.nan, np.nan]]])
    points, apart = fuse(heat, mask, weight=0.5)
    test_eq(points.tolist(), [[[1.5, 2], [8, 8]], [[3, 4], [5, 5]], [[1, 1], [2, 2]]])
    np.testing.assert_allclose(apart, [[5, 0], [0, np.nan], [0, np.nan]])


def test_a_lung_too_narrow_is_believed_where_the_image_cuts_it():
    for columns, known in ((slice(0, 100), True), (slice(10, 110), False), (slice(300, 400), True)):
        mask = np.zeros((50, 400), np.uint8)
        mask[5:45, columns] = 1
        p = Prediction("a.dcm", 400, 50, np.ones((2, 2)), mask, (0.7, 0.59), "PixelSpacing")
        believed = without_implausible_mm(p)
        test_eq(believed.spacing, (0.7, 0.59) if known else None)
        test_eq([f.side for f in believed.findings], [] if known else ["right"])


GREY = phantom(3, side=256).image


@pytest.mark.parametrize(
    "pixels",
    [
        GREY,
        GREY.astype(np.float32) / 255,
        GREY.tolist(),
        torch.tensor(GREY),
        torch.tensor(GREY)[None].float(),
        Image.fromarray(GREY),
        GREY.tobytes(),
        None,
    ],
)
def test_pixels_alone_are_pointed_to_a_radiograph(pixels):
    with pytest.raises(TypeError, match=r"Radiograph\(numpy.asarray\(pixels") as error:
        predict(pixels)
    assert "\n" not in str(error.value) and type(pixels).__qualname__ in str(error.value)


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor, Image.fromarray])
def test_the_advice_of_that_error_works(convert, tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    read = predict(tmp_path / "a.png")
    given = predict(Radiograph(np.asarray(convert(GREY), np.float32)))
    np.testing.assert_array_equal(given.points, read.points)
    assert predict(str(tmp_path / "a.png")).gap_px == read.gap_px


NOISE = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
NO_PICTURES = {
    "tensor": (torch.tensor(NOISE), "a torch.Tensor"),
    "PIL": (Image.fromarray(GREY), "a PIL.Image.Image"),
    "list": (NOISE.tolist(), "a builtins.list"),
    "colour": (np.dstack([NOISE] * 3), r"an array of float32 and shape \(40, 50, 3\)"),
    "batch": (NOISE[None], r"shape \(1, 40, 50\)"),
    "row": (NOISE[0], r"shape \(50,\)"),
    "texts": (NOISE.astype(str), "an array of <U"),
    "complex": (NOISE.astype(complex), "an array of complex"),
    "empty": (NOISE[:0], "fewer than 16 a side"),
    "NaN": (np.where(NOISE > 1, np.nan, NOISE), "not finite"),
    "infinite": (np.where(NOISE > 1, np.inf, NOISE), "not finite"),
    "constant": (0 * NOISE, "constant"),
}


@pytest.mark.parametrize("pixels, told", NO_PICTURES.values(), ids=NO_PICTURES)
def test_a_radiograph_of_what_is_no_picture_is_one_plain_error(pixels, told):
    with pytest.raises(ValueError, match=told) as error:
        predict(Radiograph(pixels))
    assert "numpy.asarray(pixels, numpy.float32) of shape (height, width)" in str(error.value)
    assert type(error.value) is ValueError


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float64])
def test_pixels_of_other_numbers_are_predicted_alike(kind):
    as_floats = predict(Radiograph(GREY.astype(np.float32)))
    np.testing.assert_array_equal(predict(Radiograph(GREY.astype(kind))).points, as_floats.points)


def test_evaluate_and_predict_agree_on_a_point_off_the_image():
    "`interpret` leaves it out, whoever asks."

    class Low:
        card = {"recipe": dict(beta=125.0, decoder="tanh", shared=False)}

        def predict(self, frames):
            maps = encode(np.array([[[160.0, 516.0], [350.0, 300.0]]]), 256)
            return Outputs(np.repeat(maps, len(frames), 0), None)

    frames = phantom_frames(1, seed=0, side=512)
    (case,) = each_case(frames, Low())
    answer = predict(Radiograph(frames.images[0, 0].astype(np.float32)), Low())
    for p in (case.prediction, answer):
        assert np.isnan(p.points[0]).all() and abs(p.points[1] - [350, 300]).max() < 2
        assert "the right landmark would lie off the image: it is left out" in p.warnings
