"DICOM writers in the loop over files: what cannot be written costs that file, not the batch."

import csv
import shutil
import subprocess

import numpy as np
import pytest
from pydicom import dcmread, uid

from hemidiaphragm_nb.dicom import SegWriter, SrWriter, read_seg, read_sr, write_seg, write_sr
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import predict
from hemidiaphragm_nb.writers import predict_folder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    "Two radiographs and one without a study, predicted with both writers: errors, both folders."
    folder, case = tmp_path_factory.mktemp("radiographs"), phantom(3, side=256)
    for name, drop in (("b", ()), ("c", ["StudyInstanceUID"]), ("z", ())):
        write_example(folder / f"{name}.dcm", case.image, drop=drop)
    out = folder.with_name("results")
    return predict_folder([str(folder)], out, writers=[SegWriter(), SrWriter()]), folder, out


def test_one_radiograph_without_a_study_costs_itself_alone(results):
    errors, _, out = results
    assert [error.path.endswith("c.dcm") for error in errors] == [True]
    assert "lacks StudyInstanceUID" in str(errors[0])
    with open(out / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"][-5:] for row in rows] == ["b.dcm", "z.dcm"]


def test_objects_of_the_others_hold_their_rows(results):
    _, _, out = results
    for name in "bz":
        report, labels = read_sr(out / f"{name}_sr.dcm"), read_seg(out / f"{name}_seg.dcm")
        assert np.isfinite(report["points"]).all() and set(np.unique(labels)) == {0, 1, 2}
    assert not list(out.glob("c_*"))


def test_a_second_run_writes_nothing(results):
    _, folder, out = results
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.dcm")}
    assert len(predict_folder([str(folder)], out, writers=[SegWriter(), SrWriter()])) == 1
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.dcm")} == before
    predict_folder([str(folder)], out, writers=[SegWriter("keep"), SrWriter()])  # other settings
    changed = [path.name for path in out.glob("*.dcm") if path.stat().st_mtime_ns != before[path]]
    assert "b_seg.dcm" in changed


@pytest.mark.parametrize("directions, turns", [(["R", "F"], 0), (["L", "F"], 0), (["R", "H"], 2)])
def test_declared_orientation_changes_neither_sides_nor_numbers(directions, turns, tmp_path):
    "SEG and SR mark the stored picture, and call the patient's right lung right."

    def stored(array):
        mirrored = np.fliplr(array) if directions == ["R", "F"] else array
        return np.ascontiguousarray(np.rot90(mirrored, turns))

    image, out = phantom(3, side=256).image, tmp_path / "out"
    files = [write_example(tmp_path / "plain.dcm", image)]
    header = dict(PatientOrientation=directions)
    files += [write_example(tmp_path / "turned.dcm", stored(image), **header)]
    assert predict_folder([str(f) for f in files], out, writers=[SegWriter(), SrWriter()]) == []
    plain, turned = (read_seg(out / f"{name}_seg.dcm") for name in ("plain", "turned"))
    assert np.array_equal(stored(plain), turned)
    plain, turned = (read_sr(out / f"{name}_sr.dcm") for name in ("plain", "turned"))
    x, y = plain["points"].T
    x, y = (255 - x if directions[0] == "R" else x), (255 - y if directions[1] == "H" else y)
    assert np.allclose(turned["points"], np.stack([x, y], -1), atol=1e-3)
    assert turned["numbers"] == pytest.approx(plain["numbers"])


def complaints(path) -> list[str]:
    "The errors that dicom3tools' checker finds in an object, and dcmtk in reading it."
    checked = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
    lines = [line for line in checked.stderr.splitlines() if line.startswith("Error")]
    if shutil.which("dcmdump"):
        dumped = subprocess.run(
            ["dcmdump", "+P", "0020,0020", path], capture_output=True, text=True
        )
        lines += dumped.stderr.splitlines()
    return lines


CR, DX = uid.ComputedRadiographyImageStorage, uid.DigitalXRayImageStorageForPresentation
SC = uid.SecondaryCaptureImageStorage


@pytest.mark.parametrize(
    "kind, stated, kept",
    [
        *((kind, None, None) for kind in (CR, DX, SC)),
        *((kind, ["R", "F"], ["R", "F"]) for kind in (CR, DX, SC)),  # a mirror: the SEG is one too
        (CR, ["L", "F"], ["L", "F"]),
        (CR, [" lp", "F "], ["LP", "F"]),
        (CR, ["R"], None),  # states one edge
        (CR, ["RP"], None),
        (CR, ["L", "F", "X"], None),
        (CR, ["LR", "F"], None),  # states nothing
    ],
)
def test_patient_orientation_is_that_of_the_stored_picture(kind, stated, kept, tmp_path):
    image = phantom(3, side=256).image
    mirrored = bool(stated) and stated[0].startswith("R")
    image = np.fliplr(image).copy() if mirrored else image
    header = {"PatientOrientation": stated} if stated else {}
    path = write_example(tmp_path / "a.dcm", image, kind=kind, **header)
    if kind != DX and shutil.which("dciodvfy"):  # a DX would need what only a detector knows
        assert stated != kept or complaints(path) == []  # else it was written wrong on purpose
    made = predict(path)
    for identity in ("keep", "new"):
        seg = write_seg(path, made, tmp_path / f"{identity}_seg.dcm", identity)
        sr = write_sr(path, made, tmp_path / f"{identity}_sr.dcm", identity)
        ds = dcmread(seg)
        assert "PatientOrientation" in ds, "type 2C: present, if with no value"
        told = kept if identity == "keep" else None
        assert (list(ds.PatientOrientation) if ds.PatientOrientation else None) == told
        columns = [np.nonzero(read_seg(seg) == lung)[1].mean() for lung in (1, 2)]
        assert (columns[0] > columns[1]) == mirrored, "sides exchanged"
        if shutil.which("dciodvfy"):
            assert complaints(seg) == complaints(sr) == []


@pytest.mark.parametrize(
    "header, by_hand, said",
    [
        (dict(ImagerPixelSpacing=[0.5, 0.5]), None, "ImagerPixelSpacing, not corrected for magn"),
        (dict(PixelSpacing=[0.5, 0.5]), None, "for magnification is not stated"),
        (
            dict(PixelSpacing=[0.5, 0.5], PixelSpacingCalibrationType="GEOMETRY"),
            None,
            "millimetres at the scale of PixelSpacing / GEOMETRY|",
        ),
        ({}, (0.5, 0.5), "millimetres at the scale of a spacing stated by hand|"),
    ],
)
def test_the_report_says_of_magnification_what_is_known(header, by_hand, said, tmp_path):
    path = write_example(tmp_path / "a.dcm", phantom(3, side=512).image, **header)
    out = tmp_path / "out"
    assert predict_folder([str(path)], out, writers=[SrWriter()], spacing=by_hand) == []
    texts = [e.value for e in dcmread(out / "a_sr.dcm").iterall() if e.keyword == "TextValue"]
    assert said in "|".join([*texts, ""])
