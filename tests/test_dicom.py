"DICOM objects of any radiograph, and their writers in the loop over files."

import csv
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from highdicom.seg import segread
from pydicom import Dataset, dcmread, dcmwrite, uid
from pydicom.config import disable_value_validation
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from hemidiaphragm_nb.dicom import SegWriter, SrWriter, read_seg, read_sr, write_seg, write_sr
from hemidiaphragm_nb.dicom_copy import write_copy
from hemidiaphragm_nb.dicom_header import _SIDE_CODES
from hemidiaphragm_nb.dicom_source import EXAMPLE_HEADER, IDENTITIES, write_example
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import Prediction, predict
from hemidiaphragm_nb.radiograph import RadiographError
from hemidiaphragm_nb.readers import read_radiograph
from hemidiaphragm_nb.tilt import level_gap, level_gap_mm, lung_tilt
from hemidiaphragm_nb.usual_range import prediction_sentence
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


@pytest.mark.parametrize("kind", [CR, DX])
@pytest.mark.parametrize("calibration", ["GEOMETRY", "FIDUCIAL"])
def test_a_copy_of_a_calibrated_image_describes_its_calibration(kind, calibration, tmp_path):
    "PixelSpacingCalibrationDescription is needed beside the type; its own words are not copied."
    header = dict(PixelSpacing=[0.2, 0.2], PixelSpacingCalibrationType=calibration)
    header |= dict(PixelSpacingCalibrationDescription="at Hannelore's bed", InstanceNumber="1")
    path = write_example(tmp_path / "a.dcm", phantom(3, side=256).image, kind=kind, **header)
    made = dcmread(copy := write_copy(path, tmp_path / "copy.dcm"))
    assert made.PixelSpacingCalibrationType == calibration and made.PixelSpacing == [0.2, 0.2]
    assert made.PixelSpacingCalibrationDescription == "as the source's header states"
    if shutil.which("dciodvfy"):
        assert [line for line in complaints(copy) if kind == CR or "Calibration" in line] == []


@pytest.mark.parametrize("kind", [CR, DX, SC])
@pytest.mark.parametrize("view", ["AP SUPINE", "PA ERECT", "PORTABLE SUPINE", "AP"])
def test_a_copy_is_of_the_same_view(kind, view, tmp_path):
    "Else the copy's gap would be of another kind of radiograph than the original's."
    image = phantom(3, side=256).image
    path = write_example(tmp_path / "a.dcm", image, kind=kind, ViewPosition=view)
    copy = write_copy(path, tmp_path / "copy.dcm")
    assert read_radiograph(copy).view == read_radiograph(path).view == view
    codes = [item.CodeMeaning for item in dcmread(copy).get("ViewCodeSequence", [])]
    whole = {"AP": ["antero-posterior"], "PA": ["postero-anterior"]}
    assert codes == (whole.get(view[:2], []) if kind == DX else [])
    if kind != DX and shutil.which("dciodvfy"):
        assert complaints(copy) == []


@pytest.mark.parametrize("view, coded", [("AP", "AnteroPosterior"), ("PA", "PosteroAnterior")])
def test_a_view_that_is_coded_alone_is_read_and_copied(view, coded, tmp_path):
    "In DX the code is of type 1, ViewPosition of type 3."
    code, item = getattr(codes.cid4010, coded), Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code[:3]
    path, image = tmp_path / "a.dcm", phantom(3, side=256).image
    write_example(path, image, kind=DX, drop=["ViewPosition"], ViewCodeSequence=[item])
    copy = dcmread(write_copy(path, tmp_path / "copy.dcm"))
    assert read_radiograph(path).view == copy.ViewPosition == view
    assert copy.ViewCodeSequence[0].CodeMeaning == code.meaning
    older = [old for old in _SIDE_CODES if Code(old, "SRT", "") == code]  # as pydicom has it
    assert older and {_SIDE_CODES[old] for old in older} == {view}


OBLONG = {  # every second row, or column, left out: header, turn of the stored picture
    "square": (dict(PixelSpacing=[0.7, 0.7]), np.asarray),
    "by spacing": (dict(PixelSpacing=[1.4, 0.7]), lambda image: image[::2]),
    "by aspect": (dict(PixelAspectRatio=["2", "1"]), lambda image: image[::2]),
    "on its side": (
        dict(PixelSpacing=[0.7, 1.4], PatientOrientation=["F", "R"]),
        lambda image: np.rot90(image[::2]),
    ),
}


@pytest.mark.parametrize("name", OBLONG)
def test_the_tilt_of_oblong_pixels_is_the_patient_s(name, tmp_path):
    "It is that of the phantom's own mask, and so is the gap had the apices been level."
    case, (header, made) = phantom(1), OBLONG[name]
    stored = np.ascontiguousarray(made(case.image))
    p = predict(write_example(tmp_path / "a.dcm", stored, **header))
    tilt = lung_tilt(case.mask)
    assert abs(p.tilt - tilt) < 0.5 and tilt > 4
    rows = 1 if name == "square" else 2  # of the phantom, a pixel
    assert p.aspect == rows and p.mask.shape[0] == 512 // rows
    upright = p.points * [1, rows]  # in the phantom's square pixels
    assert rows * p.gap_corrected_px == pytest.approx(level_gap(upright, p.tilt), abs=0.1)
    # the network, which has learnt from square pixels, errs more on others
    most = 8 if name == "square" else 18
    assert abs(rows * p.gap_corrected_px - level_gap(case.landmarks, tilt)) < most
    assert "The lungs' apices are tilted by 4" in prediction_sentence(p, 0.15)
    level = level_gap_mm(p.points, p.tilt, p.spacing)
    assert level is None or level == pytest.approx(p.gap_corrected_px * 0.7 * rows)


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
        if identity == "new":  # what the copy says that they refer to
            kept = dcmread(write_copy(path, tmp_path / "copy.dcm")).PatientOrientation or None
        told = kept and list(kept)
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
            "at the scale of PixelSpacing / GEOMETRY, which are those in the patient|",
        ),
        (
            dict(PixelSpacing=[0.5, 0.5], ImagerPixelSpacing=[0.6, 0.6]),
            None,
            "PixelSpacing / calibrated: it is smaller than ImagerPixelSpacing, so calibrated in",
        ),
        (
            {},
            (0.5, 0.5),
            "a spacing stated by hand; whether they are corrected for magnification is",
        ),
        (
            dict(ImagerPixelSpacing=[0.5, 0.5], EstimatedRadiographicMagnificationFactor="1.1"),
            None,
            "MagnificationFactor, which are those in the patient|",
        ),
    ],
)
def test_the_report_says_of_magnification_what_is_known(header, by_hand, said, tmp_path):
    path = write_example(tmp_path / "a.dcm", phantom(3, side=512).image, **header)
    out = tmp_path / "out"
    assert predict_folder([str(path)], out, writers=[SrWriter()], spacing=by_hand) == []
    texts = [e.value for e in dcmread(out / "a_sr.dcm").iterall() if e.keyword == "TextValue"]
    assert said in "|".join([*texts, ""])
    assert any("usual range: 1 to 2.5 cm" in t and "Parkhurst Exchange" in t for t in texts)
    calibrated = "in the patient|" in said or "calibrated" in said
    assert calibrated != any("detector" in text for text in texts)  # in the sentence of the gap


@pytest.fixture
def made(tmp_path):
    "A radiograph and the phantom's truth about it."
    case = phantom(3, side=256)
    path = write_example(tmp_path / "radiograph.dcm", case.image, PixelSpacing=[0.7, 0.6])
    points = case.landmarks / 2 - 0.25
    about = dict(spacing=(0.7, 0.6), spacing_source="PixelSpacing")
    return path, Prediction(str(path), 256, 256, points, case.mask, **about)


@pytest.mark.parametrize(
    "kind, inverse, spacing, width, hidden",
    [
        (CR, True, (0.5, 0.5), 256, ()),
        (DX, False, None, 251, (1,)),  # one bit a pixel, and no multiple of 8
        (SC, True, None, 133, (1, 2)),
        (uid.DigitalXRayImageStorageForProcessing, False, (0.2, 0.1), 250, (2,)),
    ],
)
def test_masks_come_back_exactly(kind, inverse, spacing, width, hidden, made, tmp_path):
    case = phantom(3, side=256)
    labels = case.mask[:, :width]
    labels = np.where(np.isin(labels, hidden), 0, labels).astype(np.uint8)
    about = dict(inverse=inverse, kind=kind, drop=["FrameOfReferenceUID"] * (width % 2))
    about |= dict(PixelSpacing=list(spacing)) if spacing else {}
    path = write_example(tmp_path / "kind.dcm", case.image[:, :width], **about)
    answer = replace(made[1], width=width, mask=labels, spacing=spacing)
    for identity in IDENTITIES:
        out = write_seg(path, answer, tmp_path / "any.dcm", identity)
        assert np.array_equal(read_seg(out), answer.mask)
        assert segread(out).number_of_frames == 2


def test_other_alphabets_survive(made, tmp_path):
    name = "Yamada^Tarou=山田^太郎"
    header = dict(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=name)
    path = write_example(tmp_path / "ja.dcm", phantom(3, side=256).image, **header)
    out = write_seg(path, made[1], tmp_path / "ja_seg.dcm", "keep")
    assert str(dcmread(out).PatientName) == name


def test_no_message_quotes_a_header_of_nonsense(made, tmp_path, capfd):
    header = dict(StudyDate="Hannelore", PatientName="Hannelore Mueller")
    with disable_value_validation():
        path = write_example(tmp_path / "odd.dcm", phantom(3, side=256).image, **header)
    write_seg(path, made[1], tmp_path / "odd_seg.dcm")
    with pytest.raises(RadiographError, match="odd.dcm: its header cannot be used") as caught:
        write_sr(path, made[1], tmp_path / "odd_sr.dcm", "keep")
    printed = capfd.readouterr()
    assert "Hannelore" not in str(caught.value) + printed.out + printed.err


@pytest.mark.parametrize(
    "syntax",
    [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian],
)
def test_how_the_radiograph_was_stored_does_not_matter(syntax, made, tmp_path):
    source, answer = made
    ds, stored = dcmread(source), tmp_path / "stored.dcm"
    ds.file_meta.TransferSyntaxUID = syntax
    how = dict(implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    dcmwrite(stored, ds, **how)
    report = dcmread(write_sr(stored, answer, tmp_path / "stored_sr.dcm", "keep"))
    assert str(report.PatientName) == EXAMPLE_HEADER["PatientName"]
    assert report.StudyDate == EXAMPLE_HEADER["StudyDate"]
    assert report.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    lungs = [
        write_seg(path, answer, tmp_path / "lungs.dcm").read_bytes() for path in (source, stored)
    ]
    assert lungs[0] == lungs[1]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_header_without_a_patient(identity, made, tmp_path):
    about = [n for n in EXAMPLE_HEADER if not n.endswith("UID") and n != "PatientSex"]
    image = phantom(3, side=256).image
    sparse = write_example(
        tmp_path / "a.dcm", image, drop=about, PatientSex="X"
    )  # unknown to DICOM
    out = write_seg(sparse, made[1], tmp_path / "b.dcm", identity)
    assert np.array_equal(read_seg(out), made[1].mask)


# Attributes of type 1 (present, with a value) and type 2 (present) that PS3.3 lists for the modules
# of both objects, written out by hand. Those of type C are left to highdicom.
ALWAYS = (
    "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality SeriesNumber"
    " InstanceNumber ContentDate ContentTime Manufacturer",
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime"
    " ReferringPhysicianName StudyID AccessionNumber",
)
SEG = (
    "ImageType SamplesPerPixel PhotometricInterpretation PixelRepresentation BitsAllocated"
    " BitsStored HighBit Rows Columns NumberOfFrames LossyImageCompression SegmentationType"
    " SegmentSequence ContentLabel ManufacturerModelName DeviceSerialNumber SoftwareVersions"
    " SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"
    " DimensionOrganizationSequence DimensionIndexSequence ReferencedSeriesSequence PixelData",
    "ContentDescription ContentCreatorName PatientOrientation",
)
SR = (
    "CompletionFlag VerificationFlag ValueType ConceptNameCodeSequence ContinuityOfContent"
    " ContentSequence CurrentRequestedProcedureEvidenceSequence CodingSchemeIdentificationSequence",
    "PerformedProcedureCodeSequence ReferencedPerformedProcedureStepSequence",
)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("write, own_names", [(write_seg, SEG), (write_sr, SR)])
def test_attributes_that_the_standard_requires(write, own_names, identity, made, tmp_path):
    ds = dcmread(write(*made, tmp_path / "x.dcm", identity))
    filled, present = (f"{a} {b}".split() for a, b in zip(ALWAYS, own_names))
    assert [k for k in filled if k not in ds or ds[k].is_empty] == []
    assert [k for k in present if k not in ds] == []
    meta = ds.file_meta
    assert meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert meta.MediaStorageSOPClassUID == ds.SOPClassUID
    uids = [e.value for e in ds.iterall() if e.VR == "UI" and isinstance(e.value, str)]
    assert all(uid.UID(value).is_valid for value in uids)
    if write is write_seg:
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.SamplesPerPixel) == (1, 1, 0, 1)
        assert ds.PhotometricInterpretation == "MONOCHROME2" and ds.SegmentationType == "BINARY"
        assert len(ds.PixelData) == (2 * 256 * 256 + 7) // 8
