"""The DICOM objects as other programs take them: a table of tool, version, input and result.

`python -m tests.test_conformance` prints it; `docs/conformance.md` has the last one printed. A tool
that is not installed is skipped by its name.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

import cv2
import highdicom
import numpy as np
import pytest
from pydicom import dcmread, uid

from hemidiaphragm_nb.dicom import write_seg, write_sr
from hemidiaphragm_nb.dicom_copy import write_copy
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.measure import as_columns, measure
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import predict
from hemidiaphragm_nb.presentation_state import write_gsps
from hemidiaphragm_nb.readers import read_radiograph
from hemidiaphragm_nb.secondary_capture import write_sc

KINDS = {
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "SC": uid.SecondaryCaptureImageStorage,
}
LOSSY = dict(LossyImageCompression="01", LossyImageCompressionRatio="8.5")
LOSSY |= dict(LossyImageCompressionMethod="ISO_10918_1")
DETECTOR = dict(PixelIntensityRelationship="LOG", PixelIntensityRelationshipSign=-1)  # a DX has
DETECTOR |= dict(RescaleSlope=1, RescaleIntercept=0, RescaleType="US", BurnedInAnnotation="NO")
DETECTOR |= dict(PresentationLUTShape="IDENTITY", ImagerPixelSpacing=[0.2, 0.2])
DETECTOR |= dict(WindowCenter=128, WindowWidth=256, PatientOrientation=["L", "F"])


@cache
def objects() -> dict[str, Path]:
    "All objects of three kinds of radiograph, under both identities, by what they are."
    folder = Path(tempfile.mkdtemp(prefix="conformance-"))
    found, image = {}, phantom(3, side=256).image
    for kind, sop in KINDS.items():
        header = LOSSY | (DETECTOR if kind == "DX" else {})
        source = write_example(folder / f"{kind}.dcm", image, kind=sop, **header)
        radiograph = read_radiograph(source)
        answer = predict(radiograph)
        sizes = as_columns(measure(answer))
        for identity in ("new", "keep"):
            stem = folder / f"{kind}_{identity}"
            found[f"SEG of {kind} ({identity})"] = write_seg(
                source, answer, f"{stem}_seg", identity
            )
            made = write_sr(source, answer, f"{stem}_sr", identity, sizes=sizes)
            found[f"SR of {kind} ({identity})"] = made
            made = write_gsps(source, answer, f"{stem}_gsps", identity)
            found[f"GSPS of {kind} ({identity})"] = made
            made = write_sc(source, radiograph, answer, f"{stem}_sc", identity)
            found[f"capture of {kind} ({identity})"] = made
        found[f"copy of {kind}"] = write_copy(source, f"{stem}_copy")
    return found


def ran(*words, env: dict | None = None) -> tuple[int, str]:
    "Exit status and all output of a program."
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, errors="replace", env=env, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def by_dciodvfy(path: Path) -> str:
    errors = [line for line in ran("dciodvfy", path)[1].splitlines() if line.startswith("Error")]
    return "; ".join(errors) or "no error"


def by_dcmtk(tool: str):
    "What one of dcmtk's programs says against an object."

    def check(path: Path) -> str:
        status, text = ran(tool, path)
        wrong = [line for line in text.splitlines() if re.match("(E|F): ", line)]
        return "; ".join(wrong) or ("no error" if status == 0 else f"exit status {status}")

    return check


def by_dcm2json(path: Path) -> str:
    "dcmtk's JSON is pydicom's."
    import json

    status, text = ran("dcm2json", path)
    there = json.loads(text[text.index("{") :])
    same = there["00080018"]["Value"][0] == dcmread(path).SOPInstanceUID
    return "no error" if status == 0 and same else f"exit status {status}"


def by_highdicom(path: Path) -> str:
    "Its own readers, which check what they read."
    ds = dcmread(path)
    if ds.SOPClassUID == uid.SegmentationStorage:
        read = highdicom.seg.segread(path)
        assert read.number_of_segments == 2
    elif ds.Modality == "SR":
        regions = highdicom.sr.srread(path).content.get_planar_roi_measurement_groups()
        assert [r.roi.graphic_type.value for r in regions] == ["POINT", "POINT", "POLYLINE"]
    elif ds.Modality == "PR":
        layers = [layer.GraphicLayer for layer in ds.GraphicLayerSequence]
        drawn = [item.GraphicLayer for item in ds.GraphicAnnotationSequence]
        assert drawn == layers  # it has no reader of its own for what it writes
    else:
        highdicom.imread(path)
    return "no error"


def by_dcmp2pgm(path: Path) -> str:
    "dcmtk shows the radiograph with the state, as it is shown without."
    names = dict(new="copy of {}", keep="radiograph {}")
    kind, identity = re.fullmatch(r"(\w+)_(\w+)_gsps", path.name).groups()
    image = pictures()[names[identity].format(kind)]
    with tempfile.TemporaryDirectory() as out:
        ran("dcmp2pgm", "-p", path, image, Path(out) / "state.pgm")
        window = ["+Wi", "1"] if "WindowCenter" in dcmread(image) else ["+Wn"]
        ran("dcm2pnm", *window, image, Path(out) / "plain.pgm")
        shown = [cv2.imread(str(Path(out) / f"{n}.pgm"), -1) for n in ("state", "plain")]
    if any(picture is None for picture in shown):
        return "rejected: it shows nothing"
    off = np.abs(np.subtract(*shown, dtype=float)).max()
    return "no error" if off <= 1 else f"shown otherwise, by {off:.0f} of 255"


def pictures() -> dict[str, Path]:
    "The radiographs themselves and their copies, by what they are."
    copies = {name: path for name, path in objects().items() if name.startswith("copy")}
    folder = next(iter(copies.values())).parent
    return copies | {f"radiograph {kind}": folder / f"{kind}.dcm" for kind in KINDS}


READERS = Path(__file__).parents[1] / ".readers/bin"  # of `make readers`
READ = """
import sys, pydicom, pydicom_seg
try:
    pydicom_seg.MultiClassReader().read(pydicom.dcmread(sys.argv[1]))
    print("no error")
except Exception as error:
    print(f"rejected: {error}")
"""


def tool_path(name: str) -> str | None:
    "Where a program is: installed, or one of `make readers`."
    return shutil.which(name) or shutil.which(name, path=str(READERS))


def by_pydicom_seg(path: Path) -> str:
    "Its own reader's answer, in its own environment: it does not import beside pydicom 3."
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return ran(READERS / "python", "-W", "ignore", "-c", READ, path, env=own)[1].strip()


def version_of_pydicom_seg() -> str:
    line = "from importlib.metadata import version as v; print(v('pydicom-seg'), v('pydicom'))"
    mine, its = ran(READERS / "python", "-c", line)[1].split()
    return f"{mine} with pydicom {its}"


def by_dcmqi_seg(path: Path) -> str:
    out = tempfile.mkdtemp()
    tool = tool_path("segimage2itkimage")
    status, text = ran(tool, "--inputDICOM", path, "--outputDirectory", out)
    shutil.rmtree(out)
    wrong = re.findall("(?:ERROR|FATAL|E|F): ?(.*)", text)
    return "no error" if status == 0 else "rejected: " + (wrong[0] if wrong else str(status))


def by_dcmqi_sr(path: Path) -> str:
    with tempfile.TemporaryDirectory() as out:
        tool, made = tool_path("tid1500reader"), Path(out) / "x.json"
        status, text = ran(tool, "--inputDICOM", path, "--outputMetadata", made)
    return "no error" if status == 0 else f"exit status {status}: {text[-100:]}"


def first_number(*words) -> str:
    "The version that a program prints."
    return next(iter(re.findall(r"\d+\.\d+[\w.]*", ran(*words)[1])), "unknown")


def of_package(name: str) -> str:
    "The version of a Debian package; 'unknown' elsewhere."
    if not shutil.which("dpkg-query"):
        return "unknown"
    return ran("dpkg-query", "-W", "-f=${Version}", name)[1] or "unknown"


EVERY = ("SEG", "SR", "GSPS", "capture", "copy")
TOOLS = {  # name: (what must be installed, version, which objects, the check)
    "dciodvfy": ("dciodvfy", lambda: of_package("dicom3tools"), EVERY, by_dciodvfy),
    "dcmdump": (
        "dcmdump",
        lambda: first_number("dcmdump", "--version"),
        EVERY,
        by_dcmtk("dcmdump"),
    ),
    "dsrdump": (
        "dsrdump",
        lambda: first_number("dsrdump", "--version"),
        ("SR",),
        by_dcmtk("dsrdump"),
    ),
    "dcmp2pgm": (
        "dcmp2pgm",
        lambda: first_number("dcmp2pgm", "--version"),
        ("GSPS",),
        by_dcmp2pgm,
    ),
    "dcm2json": ("dcm2json", lambda: first_number("dcm2json", "--version"), EVERY, by_dcm2json),
    "highdicom": ("", lambda: version("highdicom"), EVERY, by_highdicom),
    "pydicom-seg": ("pydicom-seg", version_of_pydicom_seg, ("SEG",), by_pydicom_seg),
    "segimage2itkimage": (
        "segimage2itkimage",
        lambda: first_number(tool_path("segimage2itkimage"), "--version"),
        ("SEG",),
        by_dcmqi_seg,
    ),
    "tid1500reader": (
        "tid1500reader",
        lambda: first_number(tool_path("tid1500reader"), "--version"),
        ("SR",),
        by_dcmqi_sr,
    ),
}
REJECTED = {  # and why: docs
    "pydicom-seg": "Pixel measures FG is missing",
    "segimage2itkimage": "Failed to get image directions",
}


def is_there(tool: str) -> bool:
    "Whether the test can run a tool."
    if tool == "pydicom-seg":
        return (READERS / "python").exists() and not ran(
            READERS / "python", "-c", "import pydicom_seg"
        )[0]
    return not TOOLS[tool][0] or tool_path(TOOLS[tool][0]) is not None


def rows(tool: str) -> list[tuple[str, str, str, str]]:
    "(tool, version, input, result) for each object that a tool is for."
    _, its_version, kinds, check = TOOLS[tool]
    inputs = {name: path for name, path in objects().items() if name.startswith(kinds)}
    return [(tool, its_version(), name, check(path)) for name, path in inputs.items()]


@pytest.mark.parametrize("tool", TOOLS)
def test_objects_as_others_take_them(tool):
    if not is_there(tool):
        pytest.skip(f"{tool} is not installed: see docs/conformance.md")
    for _, _, name, result in rows(tool):
        if tool in REJECTED:
            assert result == "no error" or REJECTED[tool] in result, (name, result)
        else:
            assert result == "no error", (tool, name, result)


def test_no_two_objects_share_an_id():
    ids = [dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in objects().values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_new_objects_refer_to_the_copy_and_say_that_it_was_lossy(kind):
    made = {name: dcmread(path) for name, path in objects().items()}
    copy = made[f"copy of {kind}"]
    seg, sr = made[f"SEG of {kind} (new)"], made[f"SR of {kind} (new)"]
    instance = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    reference = evidence.ReferencedSOPSequence[0]
    state = made[f"GSPS of {kind} (new)"].ReferencedSeriesSequence[0]
    drawn_on, of = state.ReferencedImageSequence[0], made[f"capture of {kind} (new)"]
    for item in (instance, reference, drawn_on, of.SourceImageSequence[0]):
        assert item.ReferencedSOPInstanceUID == copy.SOPInstanceUID
        assert item.ReferencedSOPClassUID == copy.SOPClassUID == KINDS[kind]
    others = [seg, sr, of, made[f"GSPS of {kind} (new)"]]
    assert {ds.StudyInstanceUID for ds in others} == {copy.StudyInstanceUID}
    assert {ds.PatientID for ds in others} == {copy.PatientID}
    assert state.SeriesInstanceUID == copy.SeriesInstanceUID
    assert evidence.SeriesInstanceUID == copy.SeriesInstanceUID
    for ds in (seg, of, copy):
        assert [str(ds[name].value) for name in LOSSY] == list(LOSSY.values())


def test_the_table_in_the_documentation_is_of_these_tools():
    text = (Path(__file__).parents[1] / "docs" / "conformance.md").read_text(encoding="utf-8")
    text = text[text.index("| tool | version") :]
    found = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.split(" | ")[0].removeprefix("| ") for line in found[1:]} == set(TOOLS)
    for line in found[1:]:
        tool, _, _, result = line.strip("| ").split(" | ")
        assert result == "no error" or REJECTED.get(tool, "never") in result, line


def table() -> str:
    "The table in Markdown, equal results of a tool in one row."
    lines = ["| tool | version | input | result |", "|---|---|---|---|"]
    for tool in TOOLS:
        if not is_there(tool):
            print(f"{tool} is not installed", file=sys.stderr)
            continue
        by_result: dict[tuple, list[str]] = {}
        for name, its_version, what, result in rows(tool):
            by_result.setdefault((name, its_version, result), []).append(what)
        for (name, its_version, result), what in by_result.items():
            lines.append(f"| {name} | {its_version} | {', '.join(what)} | {result} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
