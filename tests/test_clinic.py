"Commands for a clinic and a study: a mistake is one sentence, with exit status 2."

import sys

import numpy as np
import pandas as pd
import pytest

from hemidiaphragm_nb import cli
from hemidiaphragm_nb.course import with_changes
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.excursion import excursion
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import Prediction


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A radiograph without a date, one that is none, and tables with a mistake each."
    folder = tmp_path_factory.mktemp("clinic")
    (folder / "empty").mkdir()
    (folder / "undated").mkdir()
    drop = ["AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate"]
    write_example(folder / "undated/a.dcm", phantom(3, side=256).image, drop=drop)
    (folder / "words.csv").write_text("a\nb,c\n\xff\n", encoding="latin-1")
    (folder / "few.csv").write_text("id,gap_px\nx,1\ny,2\n")
    (folder / "undated.csv").write_text("file,gap_mm,patient_id\na.png,1,x\n")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.mark.parametrize(
    "words, said",
    [
        (["course", "absent"], "No such file"),
        (["course", "empty"], "no radiograph states patient and date"),
        (["course", "undated"], "no radiograph states patient and date"),
        (["course", "undated.csv"], "no column day"),
        (["course", "words.csv"], "words.csv"),
        (["course", ""], ""),
        (["course", "few.csv", "--days", "few.csv"], "--days goes with a folder"),
        (["course", "undated", "--days", "few.csv"], "no column patient_id"),
        (["pair", "picture.png", "absent.png"], "picture.png"),
        (["pair", "undated/a.dcm"], ""),
        (["pair", "undated/a.dcm", "undated/a.dcm", "--spacing", "0"], "--spacing takes"),
        (["agree", "few.csv", "few.csv"], "2 images in common"),
        (["agree", "few.csv", "absent.csv"], "absent.csv: No such file"),
        (["agree", "words.csv", "few.csv"], "words.csv"),
        (["predict", "undated", "--copy", "--identity", "keep"], "--copy goes with"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_status_2(words, said, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["hemidiaphragm", *words, "--out", "results"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    printed = capsys.readouterr()
    assert end.value.code == 2, printed
    assert "Traceback" not in printed.err + printed.out
    assert said in printed.err
    assert "Usage" in printed.err or printed.err.strip().count("\n") <= 1


def prediction(heights, spacing, size=(500, 400), radius=None) -> Prediction:
    "Two lungs from row 50 on of these heights."
    mask = np.zeros(size, np.uint8)
    for label, (left, height) in enumerate(zip((50, 250), heights), 1):
        mask[50 : 50 + height, left : left + 100] = label
    points = np.array([[100, 49.5 + heights[0]], [300, 49.5 + heights[1]]])
    return Prediction("x", size[1], size[0], points, mask, spacing, radius90=radius)


def test_excursion_by_hand():
    "300 and 200 rows against 240 and 190, of 0.5 mm; then the second at another scale."
    one, two = prediction((300, 200), (0.5, 0.5)), prediction((240, 190), (0.5, 0.5))
    right, left = excursion(one, two)
    assert (right.px, right.mm, right.relative) == (60, 30, 0.2)
    assert (left.px, left.mm, left.relative) == (10, 5, 0.05)
    two = prediction((120, 95), (1.0, 1.0), radius=np.array([3.0, 4.0]))
    one = prediction((300, 200), (0.5, 0.5), radius=np.array([8.0, 6.0]))
    right, left = excursion(one, two)
    assert (right.mm, left.mm) == (30, 5)
    assert right.half_mm == pytest.approx(np.hypot(8 * 0.5, 3 * 1.0))
    assert left.half_mm == pytest.approx(np.hypot(6 * 0.5, 4 * 1.0))


@pytest.mark.parametrize("gap, changed", [(28.0, ""), (28.2, "first and previous")])
def test_the_limit_of_a_change_is_a_limit(gap, changed):
    "11.7 % of 240 mm are 28.08 mm."
    rows = dict(patient_id="P", kind="fixed", day=[0.0, 1.0], gap_mm=[0.0, gap])
    assert with_changes(pd.DataFrame(rows))["changed"].tolist() == ["", changed]
