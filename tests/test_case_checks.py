"What a look at every file of a data set tells before anybody trains on it."

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hemidiaphragm_nb import agreement
from hemidiaphragm_nb.case_checks import draw_cases, odd_cases, validate_folder
from hemidiaphragm_nb.case_files import read_mask
from hemidiaphragm_nb.folders import load_frames, read_csv, read_folder
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.pictures import undo_orientation
from hemidiaphragm_nb.problems import DatasetError

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


@pytest.mark.parametrize("size", [1, 8, 9])
def test_a_lung_of_a_few_pixels_is_an_error(size, folder):
    "Of 200 x 200 px it takes 80 at least: 8 x 8 is too small, 9 x 9 is not."
    labels = mask() * (mask() == 2)
    labels[60 : 60 + size, 60 : 60 + size] = 1
    found = folder(a=dict(mask=labels, points=[""] * 4))
    if size == 9:
        return  # small, and not impossible
    [problem] = found
    assert (problem.severity, problem.file) == ("error", "masks/a.png")
    assert f"its right lung has {size * size} px" in problem.reason
    assert "0.2 % of an image" in problem.remedy


@pytest.mark.parametrize("heart", [False, True])
@pytest.mark.parametrize("label", [1, 2])
def test_both_lungs_under_one_label_are_an_error(label, heart, folder):
    "Not a missing lung; whether or not the other label is something else, such as the heart."
    labels = (mask() > 0) * np.uint8(label)
    labels[100:141, 92:109] = (3 - label) * heart
    [problem] = folder(a=dict(mask=labels, points=[""] * 4))
    assert (problem.severity, problem.file) == ("error", "masks/a.png")
    assert f"label {label} lies on both sides of the image" in problem.reason
    assert problem.remedy.startswith("Label the patient's right lung, on the image's left, 1")


def test_a_lung_that_touches_the_other_is_told_from_both(folder):
    "One over half of the image is a single lung, in pieces or not; one over three quarters is two."
    for width, told in ((100, "has no left lung"), (150, "label 1 lies on both sides")):
        labels = mask() * 0
        labels[40:141, 20 : 20 + width] = 1
        [problem] = folder(a=dict(mask=labels, points=[""] * 4))
        assert told in problem.reason
        labels[60:63] = 0
        [problem] = folder(a=dict(mask=labels, points=[""] * 4))
        assert told in problem.reason


def test_both_lungs_of_a_pixel_are_two_errors(folder):
    labels = mask() * 0
    labels[140, 60], labels[150, 140] = 2, 1  # nor do they tell the sides
    found = folder(a=dict(mask=labels))
    assert [(p.severity, p.file) for p in found] == [("error", "masks/a.png")] * 2
    assert {p.reason for p in found} == {"its right lung has 1 px", "its left lung has 1 px"}


def test_masks_without_a_lung_are_the_oddest():
    "One lacks a lung, one has a speck, of one no landmark can be read, one is rather dark."
    frames = phantom_frames(16, side=128)
    frames.images[3] //= 9
    frames.masks[4][frames.masks[4] == 1] = 0
    frames.masks[5][frames.masks[5] == 2] = 0
    frames.masks[5, 60, 90] = 2
    frames.points[6, 0] = np.nan
    ids = list(frames.table["id"])
    odd = odd_cases(frames, 4)
    assert set(odd.index[:3]) == {ids[4], ids[5], ids[6]} and odd.index[3] == ids[3]
    assert np.isinf(odd["oddness"][:3]).all() and np.isfinite(odd["oddness"].iloc[3])
    why = ["area of the right lung", "area of the left lung", "right landmark, x"]
    assert list(odd["why"][ids[4:7]]) == why
    frames.has_mask[:] = False  # nothing is known of the lungs
    assert np.isfinite(odd_cases(frames)["oddness"]).all()


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
    [no_masks, problem] = folder(a=dict(mask=None, points=points))
    assert (problem.severity, problem.file) == ("warning", "images/a.png")
    assert "Check that x stands before y" in problem.remedy
    assert no_masks.file == "masks/"


@pytest.mark.parametrize("points", [[60, 140, 140, 150], ["", "", 140, 150], [60, 90, 140, 150]])
def test_plausible_landmarks_pass_without_a_mask(points, folder):
    [no_masks] = folder(a=dict(mask=None, points=points))
    assert (no_masks.severity, no_masks.file) == ("warning", "masks/")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("across", "told"), [(0.3, []), (0.55, ["warning"]), (0.65, ["error"]), (0.8, ["error"])]
)
def test_a_landmark_alone_on_the_other_half_is_told(side, across, told, folder):
    "`across` is the way to the other side, of the width; a heart's shift is a tenth at most."
    x = SIDE * (across if side == "right" else 1 - across)
    points = [x, 140, "", ""] if side == "right" else ["", "", x, 140]
    [*found, no_masks] = sorted(folder(a=dict(mask=None, points=points)), key=lambda p: p.file)
    assert no_masks.file == "masks/"
    assert [p.severity for p in found] == told
    if told == ["error"]:
        assert f"the {side} landmark lies on the image's {side}" in found[0].reason
        assert "swap the sides" in found[0].remedy


@pytest.mark.parametrize("label", [1, 2])
@pytest.mark.parametrize(
    ("across", "told"), [(0.3, []), (0.55, ["warning"]), (0.65, ["error"]), (0.8, ["error"])]
)
def test_a_lung_alone_on_the_other_half_is_told(label, across, told, folder):
    x = int(SIDE * (across if label == 1 else 1 - across))
    lung = np.zeros((SIDE, SIDE), np.uint8)
    lung[40:141, x - 30 : x + 31] = label
    found = folder(a=dict(mask=lung, points=[""] * 4))
    side, other = [("right", "left"), ("left", "right")][label - 1]
    if told == ["error"]:  # not that the other lung is to be drawn
        [problem] = found
        assert (problem.severity, problem.file) == ("error", "masks/a.png")
        assert f"label {label} lies on the image's {side}" in problem.reason
        assert "swap 1 and 2" in problem.remedy
    else:
        assert [p.severity for p in found] == [*told, "warning"]
        assert f"has no {other} lung" in found[-1].reason


def test_landmarks_of_nobody_are_told(folder):
    [problem] = folder(a=dict(points=None), b=dict(points=None))
    assert (problem.severity, problem.file) == ("warning", "landmarks.csv")
    assert "no row of the annotator 'a' for any of the 2 images" in problem.reason


def test_landmarks_of_another_annotator_alone_are_told(folder, tmp_path):
    assert folder(a={}, b={}) == []
    path = tmp_path / "landmarks.csv"
    path.write_text(path.read_text().replace(",a,", ",b,"))
    [problem] = validate_folder(tmp_path)
    assert "no row of the annotator 'a' for any" in problem.reason


def test_masks_under_another_name_are_told(folder, tmp_path):
    assert folder(a={}, b={}) == []
    (tmp_path / "masks").rename(tmp_path / "Masks")
    [problem] = validate_folder(tmp_path)
    assert (problem.severity, problem.file) == ("warning", "masks/")
    assert "there is Masks/" in problem.reason and "Rename it to masks/" in problem.remedy


@pytest.mark.parametrize("name", ["landmarks.csv", "metadata.csv"])
def test_a_table_under_another_name_is_told(name, folder, tmp_path):
    assert folder(a={}, b={}) == []
    (tmp_path / name).rename(tmp_path / name.title())
    told = [p for p in validate_folder(tmp_path) if p.file == name]
    assert [p.severity for p in told] == ["warning"]
    assert f"there is {name.title()}" in told[0].reason


def test_images_under_another_name_are_told(tmp_path):
    (tmp_path / "Images").mkdir()
    [problem] = validate_folder(tmp_path)
    assert "there is Images/" in problem.reason


@pytest.mark.parametrize("name", ["landmarks.csv", "metadata.csv", "masks"])
def test_what_cannot_be_read_is_one_problem_among_all(name, folder, tmp_path):
    assert folder(a={}, b={}) == []
    Image.fromarray(mask() * 0).save(tmp_path / "masks/b.png")
    if name == "masks":  # a file where a folder should be
        shutil.rmtree(tmp_path / name)
        (tmp_path / name).write_text("")
    else:
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
    errors = {p.file: p for p in validate_folder(tmp_path) if p.severity == "error"}
    assert set(errors) == ({"masks/"} if name == "masks" else {name, "masks/b.png"})
    assert "cannot be" in errors[f"{name}/" if name == "masks" else name].reason


def test_a_table_without_permission_is_a_problem(tmp_path, monkeypatch):
    def reject(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "t.csv").write_text("id\n")
    monkeypatch.setattr(type(tmp_path), "read_bytes", reject)
    [problem] = read_csv(tmp_path / "t.csv", ["id"])[1]
    assert "Permission denied" in problem.reason and "Errno" not in problem.reason


def test_folders_and_links_to_nothing_among_the_images_are_told(folder, tmp_path):
    assert folder(a={}, b={}) == []
    (tmp_path / "images/more").mkdir()
    (tmp_path / "images/c.png").symlink_to("nowhere.png")
    told = [(p.severity, p.file) for p in validate_folder(tmp_path)]
    assert sorted(told) == [("warning", "images/c.png"), ("warning", "images/more/")]


def test_an_empty_mask_file_is_named(folder, tmp_path):
    assert folder(a={}, b={}) == []
    for content, told in ((b"", "the file is empty"), (b"text", "no picture of PNG")):
        (tmp_path / "masks/b.png").write_bytes(content)
        [problem] = validate_folder(tmp_path)
        assert problem.file == "masks/b.png" and told in problem.reason
        assert "0x" not in str(problem)


def test_a_name_with_dollars_is_drawn():
    frames = phantom_frames(2, side=64)
    frames.table["id"] = ["a$\\frac$b", "c"]
    draw_cases(frames, {name: name for name in frames.table["id"]}).canvas.draw()


def test_a_label_with_dollars_is_drawn():
    course = pd.DataFrame({"day": [0.0, 3.0], "gap_relative": [0.1, 0.2]})
    agreement.plot_course(course, label="a$\\frac$b").figure.canvas.draw()


BACK = {6: 8, 8: 6}  # the turn that another undoes


def turned(folder, orientation: int, size=(SIDE, SIDE), points=True):
    """A radiograph that its header turns; its mask and landmarks drawn on the stored pixels, or
    (a landmark) on the upright ones.
    """
    upright = mask()[: size[0], : size[1]]
    noise = np.random.default_rng(3).integers(0, 99, size).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for sub, array, header in (("images", noise, exif), ("masks", upright, None)):
        (folder / sub).mkdir(exist_ok=True)
        stored = Image.fromarray(undo_orientation(array, BACK.get(orientation, orientation)))
        stored.save(folder / sub / "a.png", **({"exif": header} if header else {}))
    (folder / "metadata.csv").write_text("id,patient_id,view\na,1,PA\n")
    return read_folder(folder), upright


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 7, 8])
@pytest.mark.parametrize("size", [(SIDE, SIDE), (SIDE - 20, SIDE)])
def test_a_mask_of_the_stored_pixels_is_rejected_everywhere(orientation, size, tmp_path):
    table, upright = turned(tmp_path, orientation, size)
    with pytest.raises(DatasetError, match="Turn the mask: ") as loaded:
        load_frames(table, progress=False)
    assert f"orientation {orientation} in its header" in str(loaded.value)
    with pytest.raises(DatasetError, match="Turn the mask: "):
        agreement.measure_cases(table)
    [checked] = [p for p in validate_folder(tmp_path) if p.severity == "error"]
    [problem] = loaded.value.problems
    assert checked[1:] == problem[1:]  # one remedy, and it works:
    path = tmp_path / "masks/a.png"
    Image.fromarray(undo_orientation(np.array(Image.open(path)), orientation)).save(path)
    with pytest.warns(UserWarning, match="Check that the mask lies on the turned image"):
        frames = load_frames(table, progress=False)
    assert (read_mask(path) == upright).all() and frames.masks.max() == 2
    assert {p.severity for p in validate_folder(tmp_path)} == {"warning"}


def test_an_upside_down_mask_is_asked_for(tmp_path):
    "Mirrored top to bottom no side is wrong."
    table, _ = turned(tmp_path, 4)
    with pytest.warns(UserWarning, match="orientation 4 .*Check that the mask lies"):
        load_frames(table, progress=False)


def test_a_single_lung_on_the_wrong_half_of_a_turned_image_is_rejected(tmp_path):
    table, upright = turned(tmp_path, 3)
    Image.fromarray(undo_orientation(upright * (upright == 2), 3)).save(tmp_path / "masks/a.png")
    with pytest.raises(DatasetError, match="left side lies on the image's left"):
        load_frames(table, progress=False)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_mask_that_its_own_header_turns_is_turned(ending, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / f"a.{ending}"
    Image.fromarray(mask()[::-1, ::-1].copy()).save(path, exif=exif)
    assert (read_mask(path) == mask()).all()


POINTS_OF = {"stored": [139, 59, 59, 49], "upright": [60, 140, 140, 150]}


@pytest.mark.parametrize("pixels", POINTS_OF)
def test_landmarks_of_a_turned_image(pixels, tmp_path):
    turned(tmp_path, 3)
    shutil.rmtree(tmp_path / "masks")
    row = ",".join(map(str, ["a", "a", *POINTS_OF[pixels]]))
    header = "id,annotator,right_x,right_y,left_x,left_y"
    (tmp_path / "landmarks.csv").write_text(f"{header}\n{row}\n")
    table, told = read_folder(tmp_path), validate_folder(tmp_path)
    about = [p.severity for p in told if "orientation 3" in p.reason]
    assert about == ["error" if pixels == "stored" else "warning"]
    if pixels == "stored":
        with pytest.raises(DatasetError, match="Turn the pair of landmarks"):
            load_frames(table, progress=False)
        with pytest.raises(DatasetError, match="Turn the pair of landmarks"):
            agreement.measure_cases(table)
    else:
        with pytest.warns(UserWarning, match="Check that the pair of landmarks"):
            assert not pd.isna(load_frames(table, progress=False).points).any()
