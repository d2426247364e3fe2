"An image that is no chest has no answer, wherever it is shown; by force it has one that says so."

import json

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from hemidiaphragm_nb import checks, lung_width
from hemidiaphragm_nb import predict as predict_module
from hemidiaphragm_nb.app import make_app
from hemidiaphragm_nb.cli import app
from hemidiaphragm_nb.conformal import why_no_intervals
from hemidiaphragm_nb.dicom import SegWriter, SrWriter, read_sr
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.excursion import write_excursion
from hemidiaphragm_nb.findings import FINDINGS, finding_lines
from hemidiaphragm_nb.measure import MEASURES, as_columns, measure
from hemidiaphragm_nb.overlay import RED
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.predict import predict
from hemidiaphragm_nb.prediction_table import read_table
from hemidiaphragm_nb.presentation_state import GspsWriter
from hemidiaphragm_nb.radiograph import Radiograph
from hemidiaphragm_nb.readers import read_radiograph
from hemidiaphragm_nb.report_page import ReportWriter
from hemidiaphragm_nb.runtime import shipped_predictor
from hemidiaphragm_nb.session import Session, gap_in_words
from hemidiaphragm_nb.writers import OverlayWriter, predict_folder

REASON = FINDINGS["not_frontal"].meaning
NUMBERS = [
    *(f"{side}_{axis}" for side in ("right", "left") for axis in "xy"),
    *("gap_px", "gap_mm", "gap90_low_px", "gap90_high_px", "gap90_low_mm", "gap90_high_mm"),
    *(f"{side}_radius90_px" for side in ("right", "left")),
    *(name for name in MEASURES),
]


@pytest.mark.parametrize("black", [True, False], ids=["black below", "cut below"])
def test_no_landmark_where_the_picture_ends_above_the_domes(black):
    case = phantom(6)
    grey, end = case.image.astype(np.float32), int(case.landmarks[:, 1].min()) + 5
    if black:
        grey[end:] = grey.min()
    p = predict(Radiograph(grey if black else grey[:end]))
    assert np.isnan(p.points).all() and np.isnan(p.gap_px) and p.gap90_px is None
    assert {"landmark_at_edge", "landmark_off_image"} & {f.code for f in p.findings}
    assert not {"landmark_at_edge"} & {f.code for f in predict(Radiograph(case.image)).findings}


def test_every_output_says_in_the_finding_s_words_that_a_landmark_is_left_out(tmp_path):
    case = phantom(6)
    low = case.image[: int(case.landmarks[0, 1]) + 18]  # it ends at the left landmark
    header = dict(ViewPosition="AP", ImagerPixelSpacing=[0.7, 0.7])
    deep = write_example(tmp_path / "deep.dcm", phantom(3).image, **header)
    cut = write_example(tmp_path / "cut.dcm", low, **header)
    how = [SrWriter(), GspsWriter(), ReportWriter()]
    assert predict_folder([str(cut)], tmp_path / "out", writers=how) == []
    [row] = read_table(tmp_path / "out")
    side = "the left landmark lies at the lower edge of what is exposed: its dome may be cut off"
    said = f"{side}, and it is left out"
    assert said in row["warnings"] and row["left_y"] == ""
    report = read_sr(tmp_path / "out/cut_sr.dcm")
    assert f"no left landmark: {said}" in str(report) and "not found" not in str(report)
    state = pydicom.dcmread(tmp_path / "out/cut_gsps.dcm")
    drawn = {item.GraphicLayer: item for item in state.GraphicAnnotationSequence}["GAP"]
    texts = [text.UnformattedTextValue for text in drawn.TextObjectSequence]
    assert f"Warning: {said}" in texts
    lines, _ = write_excursion(deep, cut, tmp_path / "pair")
    assert f"The left excursion is unknown: in expiration {said}." in lines


def half_hidden(image: np.ndarray) -> list[np.ndarray]:
    "The picture, upright and turned over, with each half of it painted over."
    views = []
    for turned in (image, image.T):
        for rows, columns in ((0, 256), (256, 512)), ((256, 512), (0, 256)):
            views += [turned.astype(np.float32) for _ in range(2)]
            views[-2][slice(*rows)] = 200
            views[-1][:, slice(*columns)] = 200
    return views


@pytest.mark.parametrize("seed", [3, 4, 7])
def test_nothing_is_said_of_a_gap_that_is_not_there(seed):
    kinds, forced = set(), []
    for grey in half_hidden(phantom(seed, side=512).image):
        p = predict(Radiograph(grey))
        gone = np.isnan(p.points).any(1)
        kinds.add((p.status == "no answer", *gone.tolist()))
        if p.no_answer or gone.any():
            assert "gap_uncertain" not in {f.code for f in p.findings}
            assert np.isnan(p.gap_margin_px) and np.isnan(p.gap_px) and p.gap90_px is None
            sizes = as_columns(measure(p))
            for name in ("gap_relative", "gap_dome_apex_px", "gap_dome_apex_mm"):
                assert sizes[name] is None
            forced.append(predict(Radiograph(grey), force=True).gap_margin_px)
    assert (True, True, True) in kinds and len(kinds) > 1  # no answer at all, and others
    assert np.isfinite(forced).any()  # by force it is shown


def noise(height=300, width=400) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Noise that calls itself a chest, a chest, and what both gave without and with force."
    work = tmp_path_factory.mktemp("abstain")
    (work / "in").mkdir()
    header = dict(PixelSpacing=[0.9, 0.9], ViewPosition="AP")
    write_example(work / "in/noise.dcm", noise(), **header)
    write_example(work / "in/chest.dcm", phantom(3).image, **header)
    results = {}
    for force in (False, True, False):
        how = [OverlayWriter(), SegWriter(), SrWriter(), ReportWriter()]
        assert predict_folder([str(work / "in")], work / "out", writers=how, force=force) == []
        rows = {row["results"]: row for row in read_table(work / "out")}
        record = json.loads((work / "out/noise.json").read_text(encoding="utf-8"))
        there = {path.name for path in (work / "out").iterdir()}
        report = read_sr(work / "out/noise_sr.dcm")
        picture = cv2.cvtColor(cv2.imread(str(work / "out/noise_overlay.png")), cv2.COLOR_BGR2RGB)
        page = (work / "out/report.html").read_text(encoding="utf-8")
        results[force] = rows, record, there, report, picture, page
    return results


def test_table_and_json_are_empty_and_give_the_reason_first(folder):
    rows, record, *_ = folder[False]
    row = rows["noise"]
    assert row["status"] == "no answer" and row["warnings"].startswith(REASON)
    assert {name: row[name] for name in NUMBERS} == dict.fromkeys(NUMBERS, "")
    assert record["status"] == "no answer" and record["no_answer"] == REASON
    assert record["findings"][0]["code"] == "not_frontal"
    assert record["findings"][0]["severity"] == "severe"
    assert all(record[name] is None for name in NUMBERS if not name.endswith("_cut"))
    assert rows["chest"]["status"] != "no answer" and rows["chest"]["gap90_low_mm"]
    low, gap, high = (
        float(rows["chest"][name]) for name in ("gap90_low_px", "gap_px", "gap90_high_px")
    )
    assert low < gap < high and abs(low + high - 2 * gap) < 0.02


def test_objects_picture_and_report_state_no_number(folder):
    _, _, there, report, picture, page = folder[False]
    assert "noise_seg.dcm" not in there and {"noise_sr.dcm", "chest_seg.dcm"} <= there
    measured = [name for group, name, _ in report["numbers"] if group]  # less the picture's size
    assert measured == [] and np.isnan(report["points"]).all()
    assert f"no answer: {REASON}" in report["comments"]
    assert not (picture == RED).all(-1).any()
    assert '"status":"no answer"' in page and "without an answer" in page


def test_force_shows_what_the_network_said_and_says_so(folder):
    rows, record, there, report, picture, page = folder[True]
    row = rows["noise"]
    assert row["status"] == "forced" and row["gap_px"]
    assert row["warnings"].startswith(f"shown by force, and no answer: {REASON}; {REASON}")
    assert record["no_answer"] == REASON and record["findings"][0]["code"] == "forced"
    assert "noise_seg.dcm" in there and report["numbers"]
    assert any("shown by force" in comment for comment in report["comments"])
    assert (picture == RED).all(-1).any() and '"status":"forced"' in page
    assert rows["chest"]["status"] == folder[False][0]["chest"]["status"]


def test_the_app_heads_it_with_the_reason():
    shown = make_app()
    shown.open_radiograph(Radiograph(noise().astype(np.float32)))
    assert f"No answer: {REASON}" in shown.gap.value or f"no answer: {REASON}" in shown.gap.value
    assert shown.viewer.points == [None, None] and shown.viewer.lung_paths == ["", ""]
    assert shown.viewer.gap_label == "" and "higher by" not in shown.gap.value


def test_a_lower_leg_has_no_answer():
    path = get_testdata_file("RG3_UNCR.dcm", download=False)
    if not path:
        pytest.skip("no RG3 here: `pip install pydicom-data` brings it")
    leg = read_radiograph(path, force=True)  # its header says EXTREMITY, and is rejected without
    answer, session = predict(leg), Session.open(leg)
    assert answer.status == "no answer" and np.isnan(answer.gap_px) and not answer.mask.any()
    assert answer.findings[0].code in ("not_frontal", "lungs_missing")
    assert gap_in_words(session.current) == f"no answer: {answer.no_answer}"
    assert session.heatmap is None
    forced = predict(leg, force=True)
    assert gap_in_words(forced).startswith("by force, no answer: ")
    assert np.isfinite(forced.gap_px)


def test_lungs_that_are_not_found():
    "Neither: no answer, also of an image that looks inverted. One: no gap, and its side empty."
    black = np.full((512, 512), 40, np.uint8)
    shades = cv2.resize(noise(16, 16), (512, 512)) // 8 + black
    inside, nothing = np.ones((512, 512), bool), np.zeros((2, 256, 256), np.float32)
    found = checks.check_prediction(shades, inside, nothing, np.zeros((512, 512), np.uint8))
    assert "lungs_missing" in [f.code for f in found]
    chest = phantom(3).image
    found = checks.check_prediction(255 - chest, inside, nothing, np.zeros((512, 512), np.uint8))
    assert {"lungs_missing", "inverted"} <= {f.code for f in found}


def test_the_table_of_findings_is_what_the_checks_use():
    assert checks._SPAN == FINDINGS["low_contrast"].limits["span"]
    assert {end: most for end, (most, _) in checks._ENDS.items()} == FINDINGS["cut_off"].limits
    assert (predict_module.MAX_DISAGREEMENT, predict_module.MAX_RADIUS) == (20.0, 20.0)
    assert lung_width.LUNG_WIDTHS == (60, 250)
    printed = CliRunner().invoke(app, ["columns", "--findings"]).output.splitlines()
    assert printed == finding_lines() and len(printed) == len(FINDINGS)


def test_what_ships_is_calibrated():
    card = shipped_predictor().card
    assert set(card["intervals"]) == {"right", "left", "gap"} and not why_no_intervals(card)
