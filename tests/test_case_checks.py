"What a look at every file of a data set tells before anybody trains on it."

import numpy as np
import pytest
from PIL import Image

from hemidiaphragm_nb.case_checks import validate_folder

SIDE = 200  # px
POINTS = {"right": (60, 140), "left": (140, 150)}  # x, y: the middle of each lower border


def mask() -> np.ndarray:
    "Two rectangles for lungs."
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[40:141, 30:91], labels[40:151, 110:171] = 1, 2
    return labels


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of cases, each `name: dict` of a mask (None for none), a patient, a picture's
    seed, and its line in landmarks.csv (None for none).
    """

    def make(**cases):
        lines = ["id,annotator,right_x,right_y,left_x,left_y"]
        people = ["id,patient_id,view"]
        for sub in ("images", "masks"):
            (tmp_path / sub).mkdir(exist_ok=True)
        for number, (name, case) in enumerate(cases.items()):
            noise = np.random.default_rng(case.get("seed", number)).integers(0, 9, (SIDE, SIDE))
            picture = Image.fromarray(noise.astype(np.uint8))
            picture.save(tmp_path / f"images/{name}.png", compress_level=number % 10)
            if case.get("mask", mask()) is not None:
                Image.fromarray(case.get("mask", mask())).save(tmp_path / f"masks/{name}.png")
            points = case.get("points", [*POINTS["right"], *POINTS["left"]])
            if points is not None:
                lines.append(",".join(map(str, [name, "a", *points])))
            people.append(f"{name},{case.get('patient', name)},PA")
        if not any(path.suffix for path in (tmp_path / "masks").iterdir()):
            (tmp_path / "masks").rmdir()
        (tmp_path / "landmarks.csv").write_text("\n".join(lines) + "\n")
        (tmp_path / "metadata.csv").write_text("\n".join(people) + "\n")
        return validate_folder(tmp_path)

    return make


def test_a_sound_folder_passes(folder):
    assert folder(a={}, b={}) == []


def test_an_empty_mask_is_an_error(folder):
    "It would train as `no lung`."
    [problem] = folder(a={}, b=dict(mask=mask() * 0))
    assert (problem.severity, problem.file) == ("error", "masks/b.png")
    assert "is empty" in problem.reason and "Draw the lungs" in problem.remedy


def test_a_picture_encoded_again_under_another_patient_is_told(folder, tmp_path):
    [problem] = folder(a=dict(seed=1), b=dict(seed=2), c=dict(seed=1))
    assert len({path.stat().st_size for path in (tmp_path / "images").iterdir()}) > 1
    assert (problem.severity, problem.file) == ("warning", "images/c.png")
    assert "same picture as images/a.png" in problem.reason
    assert folder(a=dict(seed=1, patient="p"), b=dict(seed=2), c=dict(seed=1, patient="p")) == []


def test_images_without_a_row_of_landmarks_are_told(folder):
    [problem] = folder(a={}, b=dict(points=None), c=dict(points=None), d=dict(points=[""] * 4))
    assert (problem.severity, problem.file) == ("warning", "landmarks.csv")
    assert "no row for 2 of 4 images: 'b', 'c'" in problem.reason


def test_a_landmark_off_the_only_lung_is_told(folder):
    found = folder(a=dict(mask=mask() * (mask() == 1), points=[60, 60, 140, 150]))
    assert [p.severity for p in found] == ["warning"] * 2
    assert ["no left lung" in p.reason for p in found] == [True, False]
    assert "from the lower border of its lung" in found[1].reason


@pytest.mark.parametrize("points", [[140, 60, 150, 140], [140, 70, 141, 150], [60, 30, 140, 150]])
def test_landmarks_where_no_diaphragm_is_are_told_without_a_mask(points, folder):
    "The first two have x and y exchanged."
    [problem] = folder(a=dict(mask=None, points=points))
    assert (problem.severity, problem.file) == ("warning", "images/a.png")
    assert "Check that x stands before y" in problem.remedy


@pytest.mark.parametrize("points", [[60, 140, 140, 150], ["", "", 140, 150], [60, 90, 140, 150]])
def test_plausible_landmarks_pass_without_a_mask(points, folder):
    assert folder(a=dict(mask=None, points=points)) == []
