"Commands for a clinic and a study: a mistake is one sentence, with exit status 2."

import json
import os
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hemidiaphragm_nb import cli
from hemidiaphragm_nb.anatomy import Dials
from hemidiaphragm_nb.course import follow_patients, with_changes
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.excursion import excursion, write_excursion
from hemidiaphragm_nb.patients import Patients, pseudonym
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import Prediction
from hemidiaphragm_nb.prediction_table import read_table
from hemidiaphragm_nb.reader_agreement import write_agreement
from hemidiaphragm_nb.runtime import shipped_predictor
from hemidiaphragm_nb.writers import predict_folder

DATES = ["AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A radiograph without a date, one that is none, and tables with a mistake each."
    folder = tmp_path_factory.mktemp("clinic")
    (folder / "empty").mkdir()
    (folder / "undated").mkdir()
    write_example(folder / "undated/a.dcm", phantom(3, side=256).image, drop=DATES)
    (folder / "words.csv").write_text("a\nb,c\n\xff\n", encoding="latin-1")
    (folder / "few.csv").write_text("id,gap_px\nx,1\ny,2\n")
    (folder / "undated.csv").write_text("file,gap_mm,patient_id\na.png,1,x\n")
    row = "file,gap_mm,patient_id,day\na.png,{},x,1\n"
    (folder / "twice.csv").write_text(row.format(1) + row.format(2).splitlines()[1])
    (folder / "gapless.csv").write_text(row.format(""))
    (folder / "sixty.csv").write_text(row.format("sixty"))
    (folder / "lateral.csv").write_text("file,gap_mm,patient_id,day,view\na.png,1,x,1,LL\n")
    for name, who in (("one", "Meier"), ("other", "Schulze")):
        write_example(
            folder / f"{name}.dcm", phantom(3, side=256).image + (who < "N"), PatientID=who
        )
    rng = np.random.default_rng(0)
    for name in ("noise", "more"):
        Image.fromarray(rng.integers(0, 255, (256, 256), np.uint8)).save(folder / f"{name}.png")
    (folder / "header.csv").write_text(row.splitlines()[0] + "\n")
    (folder / "german.csv").write_text(row.format("3,5").replace(",", ";").replace("3;5", "3,5"))
    (folder / "tabs.csv").write_text(row.format(1).replace(",", "\t"))
    (folder / "commas.csv").write_text(row.format("3,5"))
    (folder / "percent.csv").write_text(row.format(8).replace("gap_mm", "gap_relative"))
    (folder / "dates.csv").write_text(row.format(1).replace("x,1", "x,20210305"))
    (folder / "semicolons.csv").write_text(row.format(1).replace(",", ";"))
    (folder / "days.csv").write_text("file,patient_id,day\nother.dcm,x,1\n")
    (folder / "text.csv").write_text("id,gap_px\nx,much\n")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.mark.parametrize(
    "words, said",
    [
        (["course", "absent"], "No such file"),
        (["course", "empty"], "the folder is empty"),
        (["course", "undated"], "no radiograph states patient and date"),
        (["course", "undated.csv"], "no column day"),
        (["course", "twice.csv"], "the image a.png has several rows"),
        (["course", "gapless.csv"], "no gap in it is a number"),
        (["course", "sixty.csv"], "row 1: gap_mm 'sixty' is no number"),
        (["course", "lateral.csv"], "no frontal row"),
        (["course", "header.csv"], "it has no rows"),
        (["course", "semicolons.csv"], "Save it with commas"),
        (["course", "german.csv"], "separated by semicolons"),
        (["agree", "german.csv", "few.csv"], "separated by semicolons"),
        (["course", "tabs.csv"], "separated by tabs"),
        (["course", "commas.csv"], "row 1: it has more cells than the header"),
        (["course", "percent.csv"], "8 % are 0.08"),
        (["course", "dates.csv"], "day 20210305 is beyond 100000"),
        (["course", "undated", "--days", "dates.csv"], "day 20210305 is beyond 100000"),
        (["course", "undated", "--days", "days.csv"], "names none of its 1 radiograph"),
        (["course", "words.csv"], "words.csv"),
        (["course", ""], ""),
        (["course", "few.csv", "--days", "few.csv"], "--days goes with a folder"),
        (["course", "undated", "--days", "few.csv"], "no column patient_id"),
        (["pair", "picture.png", "absent.png"], "picture.png"),
        (["pair", "undated/a.dcm"], ""),
        (["pair", "undated/a.dcm", "undated/a.dcm"], "the same picture"),
        (["pair", "undated", "undated/a.dcm"], "it is a folder"),
        (["pair", "one.dcm", "other.dcm"], "of another patient than one.dcm"),
        (["pair", "noise.png", "more.png"], "there is no excursion, for this does not look like"),
        (["pair", "undated/a.dcm", "undated/a.dcm", "--spacing", "0"], "--spacing takes"),
        (["agree", "few.csv", "few.csv"], "2 images in common"),
        (["agree", "few.csv", "absent.csv"], "absent.csv: No such file"),
        (["agree", "words.csv", "few.csv"], "words.csv"),
        (["agree", "few.csv", "text.csv"], "gap_px of x is no number"),
        (["agree", "few.csv", "header.csv"], "it has no rows"),
        (["agree", "few.csv", "twice.csv"], "the image a.png has several rows"),
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
    known = dict(spacing_source="ImagerPixelSpacing", radius90=radius)
    return Prediction("x", size[1], size[0], points, mask, spacing, **known)


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


@pytest.mark.parametrize("gap, changed", [(28.7, ""), (28.9, "first and previous")])
def test_the_limit_of_a_change_is_a_limit(gap, changed):
    "12.0 % of 240 mm are 28.8 mm."
    rows = dict(patient_id="P", kind="fixed", day=[0.0, 1.0], gap_mm=[0.0, gap])
    assert with_changes(pd.DataFrame(rows))["changed"].tolist() == ["", changed]


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    "Three radiographs of one patient and one of another, and a picture that states nothing."
    folder = tmp_path_factory.mktemp("series") / "in"
    folder.mkdir()
    image = phantom(3, side=256).image
    days = dict(a=("Meierhofer", "20210310"), b=("Meierhofer", "20210317"))
    days |= dict(c=("Schulze", "20210312"), d=("Meierhofer", "20210313"))
    for name, (who, date) in days.items():
        header = dict(PatientID=who, PatientName=who, AcquisitionDate=date)
        for other in ("StudyDate", "SeriesDate", "ContentDate"):
            header[other] = date
        write_example(folder / f"{name}.dcm", image, **header)
    (folder / "e.png").write_bytes(b"")
    return folder


def columns(out) -> list[list[str]]:
    return [[row["results"], row["patient_id"], row["day"]] for row in read_table(out)]


def test_pseudonyms_and_days_need_a_key(series, tmp_path):
    predict_folder([str(series)], tmp_path, writers=[])
    assert columns(tmp_path) == [[name, "", ""] for name in "abcd"]
    predict_folder([str(series)], tmp_path, writers=[], patients=Patients("our secret"))
    one, other = (pseudonym(b"our secret", who) for who in ("Meierhofer", "Schulze"))
    known = [["a", one, "0.0"], ["b", one, "7.0"], ["c", other, "0.0"], ["d", one, "3.0"]]
    assert columns(tmp_path) == known
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("?.json")}
    predict_folder([str(series)], tmp_path, writers=[], patients=Patients("our secret"))
    assert kept == {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("?.json")}
    some = [str(series / name) for name in ("d.dcm", "b.dcm")]  # the others' rows stay, behind
    predict_folder(some, tmp_path, writers=[], patients=Patients("our secret"))
    assert sorted(columns(tmp_path)) == known
    assert predict_folder(some, tmp_path / "two", writers=[], patients=Patients("k")) == []
    assert [row[2] for row in columns(tmp_path / "two")] == ["0.0", "4.0"]  # of this table
    predict_folder([str(series)], tmp_path, writers=[], patients=Patients("another"))
    assert {row[1] for row in columns(tmp_path)}.isdisjoint({one, other, ""})


def test_no_name_and_no_date_reaches_an_output(series, tmp_path):
    patients = Patients("our secret")
    predict_folder([str(series)], tmp_path, patients=patients)
    secrets = [b"Meierhofer", b"Schulze", b"our secret", b"202103", b"2021-03"]
    for path in tmp_path.rglob("*.*"):
        data = path.read_bytes()
        assert not any(secret in data for secret in secrets), path
    shift = [json.loads((tmp_path / f"{name}.json").read_text())["day_shifted"] for name in "ac"]
    assert abs(shift[1] - shift[0] - 2) > 1e-6  # each patient has a clock of its own


OPENED: list[str] = []
sys.addaudithook(lambda event, given: OPENED.append(str(given[0])) if event == "open" else None)


def test_a_course_reads_each_radiograph_once(series, tmp_path):
    for _ in range(2):  # predicted, then found finished
        OPENED.clear()
        lines, left_out, errors = follow_patients(series, tmp_path / "out", shipped_predictor)
        counts = {name: OPENED.count(os.fspath(series / f"{name}.dcm")) for name in "abcd"}
        assert counts == dict.fromkeys("abcd", 1)
        assert [line.split(":")[0] for line in lines[:2]] == ["patient 1", "patient 2"]
        assert "3 radiographs over 7 days" in lines[0] and "1 radiograph" in lines[1]
        assert left_out == [] and "e.png" in errors[0]
    table = pd.read_csv(tmp_path / "out/course.csv")
    assert table["day"].tolist() == [0, 3, 7, 0]


NAMES = [b"Mueller", b"Anna", b"Huber", b"2023"]


def test_a_course_of_a_folder_holds_no_name_and_no_date(tmp_path):
    "Whatever the radiographs' files are called; OUT/predictions has them by their own names."
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for day in ("20230105", "20230109"):
        header = dict(PatientID="Mueller Anna", AcquisitionDate=day)
        write_example(source / f"Mueller_Anna_{day}.dcm", phantom(3, side=256).image, **header)
    lines, left_out, errors = follow_patients(source, out, shipped_predictor)
    assert lines[0].startswith("patient 1: 2 radiographs over 4 days") and not left_out + errors
    written = [path for path in out.iterdir() if path.is_file()]
    assert sorted(path.name for path in written) == ["course.csv", "course.html", "patient_1.png"]
    assert not any(name in path.read_bytes() for path in written for name in NAMES)
    table = pd.read_csv(out / "course.csv")
    files = pd.read_csv(out / "predictions/predictions.csv")["file"]
    assert [files[row - 1][-12:-4] for row in table["row"]] == ["20230105", "20230109"]


@pytest.mark.parametrize("key", ["", "our secret"])
def test_a_course_of_a_table_holds_no_name_and_says_what_it_leaves_out(key, tmp_path):
    rows = ["Mueller_1.png,Mueller Anna,3,10,PA", "b,Mueller Anna,,11,PA", "c,,1,12,PA"]
    rows += ["d,Mueller Anna,9,12,PA", "e,Huber/../x,1,,AP", "f,Mueller Anna,5,60,lateral"]
    (tmp_path / "t.csv").write_text("\n".join(["file,patient_id,day,gap_mm,view", *rows]))
    out = tmp_path / "out"
    lines, left_out, errors = follow_patients(tmp_path / "t.csv", out, None, key=key)
    who = pseudonym(key.encode(), "Mueller Anna") if key else "patient 1"
    assert lines[0].startswith(f"{who}: 2 radiographs over 6 days; no change beyond")
    assert "for the shipped model" in lines[0]
    told = ["row 2: no day", "row 3: no patient", "row 6: its view is LATERAL"]
    assert len(left_out) == 3 and not errors
    assert all(words in line for words, line in zip(told, left_out))
    for path in out.iterdir():
        assert not any(name in path.read_bytes() + path.name.encode() for name in NAMES), path
    table = pd.read_csv(out / "course.csv")
    assert table["row"].tolist() == [1, 4, 5] and "image" not in table


def test_a_course_says_on_its_page_what_cannot_be_used(tmp_path):
    "A lateral radiograph and an empty file, by their reasons and without their names."
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name, view in (("Mueller", "PA"), ("Huber", "LL")):
        about = dict(ViewPosition=view, drop=["PatientOrientation"])
        write_example(source / f"{name}.dcm", phantom(3, side=256).image, **about)
    (source / "Anna.png").write_bytes(b"")
    _, left_out, errors = follow_patients(source, out, shipped_predictor)
    assert not left_out and len(errors) == 2
    page = (out / "course.html").read_text()
    assert "1 file cannot be used: its header says that its view is LL, not frontal." in page
    assert "1 file cannot be used: the file is empty." in page
    assert "the terminal" not in page and not any(name.decode() in page for name in NAMES[:3])


def test_a_course_says_which_view_is_unknown(tmp_path):
    "Two spellings that are known, and two radiographs of which one may be portable."
    rows = ["a,P,0,10,bedside", "b,P,1,80,p.a.", "c,P,2,10,", "d,P,3,70,chest"]
    (tmp_path / "t.csv").write_text("\n".join(["file,patient_id,day,gap_mm,view", *rows]))
    lines, *_ = follow_patients(tmp_path / "t.csv", tmp_path / "out", None)
    assert "4 radiographs over 3 days, 2 of them compared" in lines[0]
    assert lines[0].endswith("on day 3 (view unknown).")
    kinds = pd.read_csv(tmp_path / "out/course.csv", keep_default_na=False)["kind"]
    assert kinds.tolist() == ["portable", "fixed", "", ""]
    assert "one may be portable and another fixed" in (tmp_path / "out/course.html").read_text()


@pytest.mark.parametrize("known", [True, False], ids=["by the header", "not stated"])
def test_one_picture_at_two_scales_has_not_changed(known, tmp_path):
    """The detector's mm on one day, on the next those in the patient, by what is 0.6 of them; or
    two spacings of which nothing says whose they are.
    """
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    case = phantom(11, side=256, dials=Dials(elevated_right=38.0))
    pitch = 2 * case.view.pitch
    stated = "ImagerPixelSpacing" if known else "PixelSpacing"
    one = {stated: [pitch] * 2, "AcquisitionDate": "20210311", "ViewPosition": "AP"}
    two = one | dict(PixelSpacing=[0.6 * pitch] * 2)
    two |= dict(PixelSpacingCalibrationType="FIDUCIAL") if known else {}
    drop = [] if known else ["ImagerPixelSpacing"]
    write_example(source / "a.dcm", case.image, drop=drop, **one)
    write_example(source / "b.dcm", case.image, drop=drop, **two | dict(AcquisitionDate="20210312"))
    lines, left_out, errors = follow_patients(source, out, shipped_predictor)
    assert not left_out + errors
    word = "are" if known else "may be"
    assert f"mm {word} of different scales (spacing_source) and left aside" in lines[0]
    assert "no change beyond the smallest detectable one, 12.0 % of the lung's height" in lines[0]
    table = pd.read_csv(out / "course.csv")
    assert table["gap_mm"][1] == pytest.approx(0.6 * table["gap_mm"][0], abs=0.02)
    assert table["value"].tolist() == ["gap_relative"] * 2
    assert table["since_first"][1] == pytest.approx(0, abs=1e-3)
    page = (out / "course.html").read_text()
    assert (not known or "PixelSpacing / FIDUCIAL" in page) and "mm are the detector" not in page


def test_a_day_that_is_mirrored_or_shown_by_force_is_compared_with_none(tmp_path):
    "One chest, its gap 35 mm, mirrored on day 0 and by force on day 7; a true rise on day 5."
    head = "file,patient_id,day,view,gap_mm,right_height_mm,status,warnings,finding_codes"
    mirrored = "the image looks mirrored: right and left may be exchanged"
    rows = ["0,AP,-34,170,warnings,{},{}", "3,AP,35,170,ok,,", "5,AP,75,170,ok,,"]
    rows += ["7,AP,-90,170,forced,shown by force,forced"]
    for codes in ("mirrored", ""):  # a table of the page has the words alone
        text = [f"{row[0]}.png,x,{row.format(mirrored, codes)}" for row in rows]
        (tmp_path / "t.csv").write_text("\n".join([head, *text]))
        lines, _, _ = follow_patients(tmp_path / "t.csv", tmp_path / "out", None)
        assert "2 of them compared; beyond the smallest detectable change, 20.4 mm" in lines[0]
        assert lines[0].endswith(
            "on day 5. Compared with none: day 0 (right and left may be exchanged);"
            " day 7 (what the network predicted is shown by force)."
        )
        table = pd.read_csv(tmp_path / "out/course.csv")
        assert table["since_first"].fillna(0).tolist() == [0, 0, 40, 0]
        assert lines[0] in (tmp_path / "out/course.html").read_text()


def test_another_call_without_the_key_leaves_no_picture_of_the_former(tmp_path):
    people = enumerate(("Meier", "Meier", "Huber", "Huber"))
    rows = [f"{i}.png,{who},{i},AP,20" for i, who in people]
    (tmp_path / "t.csv").write_text("\n".join(["file,patient_id,day,view,gap_mm", *rows]))
    out = tmp_path / "out"
    follow_patients(tmp_path / "t.csv", out, None, key="secret")
    assert all(path.stem.startswith("anon-") for path in out.glob("*.png"))
    (out / "mine.png").write_text("")
    follow_patients(tmp_path / "t.csv", out, None)
    assert sorted(path.stem for path in out.glob("*.png")) == ["mine", "patient_1", "patient_2"]
    assert "anon-" not in (out / "course.html").read_text() + (out / "course.csv").read_text()


def test_days_of_one_scale_are_compared_and_the_others_named(tmp_path):
    "A table without gap_relative, whose day 2 is in the mm of a detector."
    head = "file,patient_id,day,view,gap_mm,spacing_source"
    fiducial, detector = "PixelSpacing / FIDUCIAL", "ImagerPixelSpacing"
    rows = [(0, 10, fiducial), (2, 30, detector), (3, 12, fiducial), (5, 60, fiducial)]
    text = [f"{day}.png,x,{day},AP,{gap},{source}" for day, gap, source in rows]
    (tmp_path / "t.csv").write_text("\n".join([head, *text]))
    lines, _, _ = follow_patients(tmp_path / "t.csv", tmp_path / "out", None)
    said = "whose mm are of different scales (spacing_source) and compared within each alone, 3 of"
    assert said in lines[0] and "(of another scale: day 2)" in lines[0]
    assert lines[0].endswith("28.8 mm for the shipped model, on day 5.")
    table = pd.read_csv(tmp_path / "out/course.csv")
    assert table["since_first"].fillna(0).tolist() == [0, 0, 2, 50]
    assert table["since_previous"].fillna(0).tolist() == [0, 0, 2, 48]
    page = (tmp_path / "out/course.html").read_text()
    assert "Its mm are in the patient (portable); on the detector, enlarged by 7 to 25% (" in page


def test_a_course_says_by_how_much_its_views_enlarge(tmp_path):
    "As the JSON of the same image does: 7 to 25 % at the bedside, 3 to 9 % upright."
    head = "file,patient_id,day,view,gap_mm,spacing_source"
    views = {"AP": "on the detector, enlarged by 7 to 25%"}
    views |= {"PA": "on the detector, enlarged by 3 to 9%"}
    text = [
        f"{view}{day}.png,x,{day},{view},20,ImagerPixelSpacing" for view in views for day in "12"
    ]
    for name, rows in (("ap", text[:2]), ("both", text)):
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *rows]))
        follow_patients(tmp_path / f"{name}.csv", tmp_path / name, None)
    page = {name: (tmp_path / name / "course.html").read_text() for name in ("ap", "both")}
    assert f"Its mm are {views['AP']}." in page["ap"]
    assert f"Its mm are {views['AP']} (portable); {views['PA']} (fixed)." in page["both"]


def test_a_course_says_what_it_leaves_out_and_who_is_known_by_a_study(tmp_path):
    "On the page too, without a file's name; a radiograph without PatientID is a study's."
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    image = phantom(3, side=256).image
    for i in (1, 2):
        uid = f"1.2.276.0.{i}"
        header = dict(StudyInstanceUID=uid, AcquisitionDate=f"2021031{i}", ViewPosition="PA")
        write_example(source / f"Mueller{i}.dcm", image, drop=["PatientID"], **header)
    write_example(source / "Huber.dcm", image, drop=[*DATES, "PatientID"])
    lines, left_out, errors = follow_patients(source, out, shipped_predictor)
    said = "2 radiographs state no PatientID: each of the 2 studies counts as a patient of its own."
    assert said in lines and lines[0].startswith("patient 1: 1 radiograph,")
    assert len(left_out) == 1 and not errors
    page = (out / "course.html").read_text()
    assert said in page and "Huber" not in page and "Mueller" not in page
    assert "1 radiograph is left out: its header does not state when it was taken." in page
    rows = ["Mueller1.dcm,x,1,PA", "Mueller2.dcm,x,2,LL", "Huber.dcm,x,5,PA"]
    (tmp_path / "days.csv").write_text("\n".join(["file,patient_id,day,view", *rows]))
    days = tmp_path / "days.csv"
    lines, left_out, _ = follow_patients(source, tmp_path / "b", shipped_predictor, days=days)
    assert lines[0].startswith("patient 1: 2 radiographs over 4 days") and len(left_out) == 1
    assert "its view in the table of days is LL, not frontal" in left_out[0]
    assert "1 radiograph is left out: its view in" in (tmp_path / "b/course.html").read_text()
    (tmp_path / "days.csv").write_text("\n".join(["file,patient_id,day,view", rows[1]]))
    with pytest.raises(ValueError, match="day of none of its frontal"):
        follow_patients(source, tmp_path / "c", shipped_predictor, days=days)


def test_a_patient_id_may_look_like_a_uid(tmp_path):
    "As an OID does that replaces it: two of them are two patients, and no studies."
    source = tmp_path / "in"
    source.mkdir()
    files = []
    for i in (1, 2):
        about = dict(PatientID=f"1.2.840.99.{i}", AcquisitionDate=f"2021031{i}")
        files.append(write_example(source / f"{i}.dcm", phantom(i, side=256).image, **about))
    with pytest.raises(ValueError, match="of another patient"):
        write_excursion(*files, tmp_path / "pair")
    lines, *_ = follow_patients(source, tmp_path / "out", shipped_predictor)
    assert lines[0].startswith("patient 1: 1 radiograph,") and "PatientID" not in "".join(lines)
    assert "PatientID" not in (tmp_path / "out/course.html").read_text()


def test_two_readers_px_are_scaled_by_their_own_sizes(tmp_path):
    "A at 512, B at 2048: the very same readings have no bias, and a gap 3 px larger one of 3 px."
    gaps = np.array([4.0, 10.0, 25.0, 40.0])
    a = pd.DataFrame(dict(id=list("abcd"), gap_px=gaps, left_y=300.0 + gaps, width=512, height=512))
    b = a.assign(gap_px=4 * (gaps + 3), left_y=4 * (a["left_y"] + 0.5) - 0.5)
    b = b.assign(width=2048, height=2048)
    a.to_csv(tmp_path / "a.csv"), b.to_csv(tmp_path / "b.csv")
    lines, _ = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    assert "bias -3.0 px of 512" in lines[0] and "bias 0.0 px of 512" in lines[1].replace("-0", "0")
    b.drop(columns="width").to_csv(tmp_path / "b.csv")
    lines, page = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    assert (
        lines[-1].startswith("B states no size of 4 images") and lines[-1][:20] in page.read_text()
    )


def test_two_readers_mm_of_two_scales_are_left_out(tmp_path):
    "The same px; B's mm are 0.8 of A's by a calibrated spacing, which is no reader's error."
    gaps = np.array([10.0, 25.0, 40.0, 60.0])
    a = pd.DataFrame(dict(id=list("abcd"), gap_px=gaps, gap_mm=0.7 * gaps, width=512, height=512))
    a = a.assign(spacing_mm=0.7, spacing_source="ImagerPixelSpacing")
    b = a.assign(gap_mm=0.56 * gaps, spacing_mm=0.56, spacing_source="PixelSpacing / FIDUCIAL")
    a.to_csv(tmp_path / "a.csv"), b.to_csv(tmp_path / "b.csv")
    lines, page = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    said = "4 images have mm of another scale in B than in A, and they are left out."
    assert len(lines) == 2 and lines[0].startswith("gap_px") and lines[1] == said
    assert said in page.read_text()
    b.loc[1:, ["gap_mm", "spacing_mm"]] = a.loc[1:, ["gap_mm", "spacing_mm"]]
    b.to_csv(tmp_path / "b.csv")
    lines, _ = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    assert lines[1].startswith("gap_mm (both, all): 3 pairs, bias 0.0 mm")
    assert lines[2].startswith("1 image has mm of another scale")
    for table, name in ((a, "a.csv"), (b.assign(spacing_mm=0.56), "b.csv")):
        table.drop(columns="gap_px").to_csv(tmp_path / name)
    with pytest.raises(ValueError, match="4 images have mm of another scale"):
        write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")


def test_two_readers_grave_rows_views_and_few_pairs_are_told(tmp_path):
    "B has two of eight images mirrored, one of them by force; calls a PA one AP; three are PA."
    gaps = np.array([10.0, 25, 40, 60, 15, 30, 20, 35])
    a = pd.DataFrame(dict(id=list("abcdefgh"), gap_corrected_mm=gaps, right_area_mm2=20000 + gaps))
    a = a.assign(spacing_mm=0.7, spacing_source="ImagerPixelSpacing", width=512, height=512)
    a = a.assign(view=["AP", "AP SUPINE"] * 2 + ["AP"] + ["PA"] * 3)
    b = a.assign(gap_corrected_mm=gaps * ([-1] * 2 + [1] * 6), right_area_mm2=a.right_area_mm2 - 50)
    b = b.assign(finding_codes=["mirrored forced", "mirrored", "cut_off"] + [""] * 5)
    b = b.assign(status=["forced", "warnings", "warnings"] + ["ok"] * 5)
    b.loc[7, "view"] = "AP"
    a.to_csv(tmp_path / "a.csv"), b.to_csv(tmp_path / "b.csv")
    lines, page = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    assert lines[0].startswith("gap_corrected_mm (both, all): 8 pairs, bias 8.8 mm")  # 70 / 8
    assert lines[1].startswith("gap_corrected_mm (both, AP or AP SUPINE): 5 pairs, bias 14.0 mm")
    assert lines[2].startswith("right_area_mm2 (right, all): 8 pairs, bias 50.0 mm2")
    said = [
        "1 image has another kind of view in B than in A (PA in A, AP in B): in no group by view.",
        "Fewer than three pairs have no row: 2 pairs of gap_corrected_mm, right_area_mm2 (PA).",
        "2 images have a severe warning or a result shown by force in B (forced 1, mirrored 2),"
        " and count like any other.",
    ]
    assert lines[-3:] == said and all(line in page.read_text() for line in said)
    b.assign(spacing_mm=0.56).to_csv(tmp_path / "b.csv")  # mm² hang on the scale as well
    with pytest.raises(ValueError, match="8 images have mm of another scale"):
        write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")


def test_two_readers_without_a_spacing_are_told_so_and_rows_without_mm_are_not_counted(tmp_path):
    gaps = np.array([10.0, 25.0, 40.0, 60.0, np.nan])
    a = pd.DataFrame(dict(id=list("abcde"), gap_mm=gaps))
    a.to_csv(tmp_path / "a.csv"), a.to_csv(tmp_path / "b.csv")
    lines, page = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    said = "A and B state no spacing of 4 images: their mm may be of two scales, and are compared"
    assert lines[-1].startswith(said) and said in page.read_text()
    a.assign(spacing_mm=0.7, spacing_source="ImagerPixelSpacing").to_csv(tmp_path / "b.csv")
    lines, _ = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    assert lines[-1] == "A states no spacing of 4 images: its mm may be of any scale."
    sized = a.assign(gap_px=gaps, width=512, height=512)
    sized.to_csv(tmp_path / "b.csv")  # A has no px, and so none that its sizes are missing for
    lines, _ = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    assert "size of" not in "".join(lines)


def test_two_readers_rows_are_of_one_image_or_are_left_out(tmp_path):
    "Equal names in folders: a row is compared with the same path's, however the folders lie."
    names = ["anna/1", "anna/2", "bert/1", "bert/2", "carl/1"]
    a = pd.DataFrame(dict(file=[f"in/{n}.dcm" for n in names], gap_px=[1, 2, 3, 4, 5]))
    b = pd.DataFrame(dict(file=[f"C:\\images\\{n}.png" for n in names[3::-1]] + ["2.png"]))
    b["gap_px"] = [4.5, 3.5, 2.5, 1.5, 99]
    a.to_csv(tmp_path / "a.csv"), b.to_csv(tmp_path / "b.csv")
    lines, page = write_agreement(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out")
    assert lines[0].startswith("gap_px (both, all): 4 pairs, bias -0.5 px, limits -0.5 to -0.5")
    assert lines[1:4] == [
        "The folder in of A is taken for C:/images of B.",
        "1 row has no certain partner in B: A's in/carl/1.",
        "1 row has no certain partner in A: B's 2.",
    ]
    assert lines[3] in page.read_text().replace("&#x27;", "'")


@pytest.fixture(scope="module")
def breaths(tmp_path_factory):
    "Two breaths of a phantom, the second with headers of one scale, of another, and of none."
    folder = tmp_path_factory.mktemp("breaths")
    raised = dict(elevated_right=40.0, elevated_left=20.0)
    deep, shallow = (phantom(3, side=256, dials=Dials(**d)) for d in ({}, raised))
    pitch = 2 * deep.view.pitch
    detector = dict(ImagerPixelSpacing=[pitch] * 2)
    patient = dict(PixelSpacing=[0.85 * pitch] * 2, PixelSpacingCalibrationType="FIDUCIAL")
    files = {"in": write_example(folder / "in.dcm", deep.image, **detector)}
    for name, header in dict(one=detector, other=detector | patient).items():
        files[name] = write_example(folder / f"{name}.dcm", shallow.image, **header)
    spacings = ["ImagerPixelSpacing", "PixelSpacing"]
    files["none"] = write_example(folder / "none.dcm", shallow.image, drop=spacings)
    return files


def test_a_pair_of_two_scales_has_no_mm_and_says_why(breaths, tmp_path):
    "The same two pictures, whatever the second's header says of its scale, moved by the same px."
    table, lines = {}, {}
    for name in ("one", "other", "none"):
        lines[name], _ = write_excursion(breaths["in"], breaths[name], tmp_path / name)
        table[name] = pd.read_csv(tmp_path / name / "excursion.csv")
    same = ["px", "half_px", "relative", "half_relative"]
    for name in ("other", "none"):
        assert table[name]["mm"].isna().all() and table[name]["half_mm"].isna().all()
        np.testing.assert_allclose(table[name][same], table["one"][same], atol=1e-3)
        assert " px (" in lines[name][0] and "usual" not in lines[name][0]
        assert "Lengths in mm" not in " ".join(lines[name])
    assert table["one"]["mm"].notna().all()
    said = "warning: their spacings are of different scales (ImagerPixelSpacing in inspiration,"
    assert any(line.startswith(said) for line in lines["other"])
    assert any("only that in inspiration has a spacing" in line for line in lines["none"])
    assert not any("heights are compared in px" in line for line in lines["one"])
    about = table["other"][["spacing_sources", "warnings"]].iloc[0]
    assert about["spacing_sources"] == "ImagerPixelSpacing; PixelSpacing / FIDUCIAL"
    assert said in about["warnings"] and table["other"]["enlarged_high"].isna().all()
    assert table["one"]["enlarged_high"].tolist() == [1.25, 1.25]


def test_a_pair_of_two_views_is_warned_of_and_stands_beside_what_is_usual(tmp_path, monkeypatch):
    files = [
        write_example(tmp_path / f"{view}.dcm", phantom(seed, side=256).image, ViewPosition=view)
        for seed, view in ((3, "AP"), (4, "PA"))
    ]
    drawn = []
    note = "matplotlib.figure.Figure.supxlabel"
    monkeypatch.setattr(note, lambda figure, text, **words: drawn.extend(text.split()))
    lines, _ = write_excursion(*files, tmp_path / "out")
    assert any(line.startswith("warning: the one in inspiration is AP") for line in lines)
    assert drawn == " ".join(lines).split()  # all of it stands under the picture
    table = pd.read_csv(tmp_path / "out/excursion.csv")
    assert table["views"].tolist() == ["AP; PA"] * 2
    assert "warning: the one in inspiration is AP" in table["warnings"][1]
    assert table[["usual_mm", "usual_sd_mm"]].to_numpy().tolist() == [[49, 17], [52, 16]]
