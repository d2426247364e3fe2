"A file that cannot be opened and a writer that fails cost their file, and nothing is left of it."

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hemidiaphragm_nb import measure as measure_module
from hemidiaphragm_nb import session as session_module
from hemidiaphragm_nb import writers as writers_module
from hemidiaphragm_nb.abstain import without_points_off_image
from hemidiaphragm_nb.cli import app
from hemidiaphragm_nb.csv_files import load_table
from hemidiaphragm_nb.dicom import SrWriter, read_sr, write_sr
from hemidiaphragm_nb.dicom_reader import encode_dicom
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.lung_width import without_implausible_mm
from hemidiaphragm_nb.measure import measure
from hemidiaphragm_nb.networks import TorchPredictor, build_net
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.placement import TestTime
from hemidiaphragm_nb.predict import (
    Prediction,
    predict,
)
from hemidiaphragm_nb.prediction_table import ResultsError, TableWriter, read_table
from hemidiaphragm_nb.readers import read_radiograph
from hemidiaphragm_nb.recipes import recipe
from hemidiaphragm_nb.record_files import JsonWriter
from hemidiaphragm_nb.records import as_row
from hemidiaphragm_nb.report_page import ReportWriter
from hemidiaphragm_nb.runtime import Outputs
from hemidiaphragm_nb.session import Session, append_row
from hemidiaphragm_nb.writer_types import RecordWriter, Writer
from hemidiaphragm_nb.writers import (
    MaskWriter,
    Outcome,
    OverlayWriter,
    predict_folder,
)
from tools.project import ROOT

OF_FOLDER = ["predictions.csv", "predictions.resource.json"]
MEMORY = Path("/proc/self/mem")  # it opens, and cannot be read from its beginning


@pytest.fixture
def radiographs(tmp_path):
    folder = tmp_path / "radiographs"
    folder.mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.png"), phantom(3, side=256).image)
    return folder


@pytest.mark.skipif(not MEMORY.exists(), reason="no /proc on this machine")
def test_a_file_that_cannot_be_read_costs_itself(radiographs, tmp_path):
    (radiographs / "scan").symlink_to(MEMORY)
    errors = predict_folder([str(radiographs)], tmp_path / "out")
    assert [Path(error.path).name for error in errors] == ["scan"]
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert [Path(file).name for file in table["file"]] == ["a.png", "b.png"]


class OwnPredictor:
    "Half of each frame is right lung, half of it left; its card has what the protocol asks for."

    card = {"recipe": dict(tasks=("mask",), side=64, beta=125.0, decoder="tanh", shared=False)}

    def predict(self, frames):
        lungs = np.zeros((len(frames), 2, 64, 64), np.float32)
        lungs[:, 0, 10:40, 4:28] = lungs[:, 1, 10:44, 36:60] = 1
        return Outputs(None, lungs)


def test_a_predictor_of_ones_own_needs_no_more_than_the_protocol_says(radiographs, tmp_path):
    own, out = OwnPredictor(), tmp_path / "out"
    writers = [OverlayWriter(), MaskWriter(), ReportWriter()]
    assert predict_folder([str(radiographs)], out, own, writers=writers) == []
    table = pd.read_csv(out / "predictions.csv")
    assert table["left_y"].gt(table["right_y"]).all() and (out / "report.html").exists()
    session = Session.open(read_radiograph(radiographs / "a.png"), own)
    assert "a network of your own" in session.model_name()
    source = write_example(tmp_path / "a.dcm", phantom(3, side=256).image)
    made = write_sr(source, predict(source, own), tmp_path / "sr.dcm", card=own.card)
    by_hand = [[63.5, 157.5], [191.5, 173.5]]  # the middle of 24 columns of 64, their lowest row
    np.testing.assert_allclose(read_sr(made)["points"], by_hand, atol=2)


def test_each_radiograph_is_measured_once_for_all_that_is_written(tmp_path, monkeypatch):
    source, calls = write_example(tmp_path / "a.dcm", phantom(3, side=256).image), []

    def counted(*given, **options):
        calls.append(given)
        return measure(*given, **options)

    monkeypatch.setattr(measure_module, "measure", counted)
    out, writers = tmp_path / "out", [OverlayWriter(), SrWriter()]
    assert predict_folder([str(source)], out, writers=writers) == [] and len(calls) == 1
    assert (out / "a_sr.dcm").exists() and load_table(out / "predictions.csv")[
        "gap_px"
    ].notna().all()


class FailsOnce(Writer):
    "A writer that fails with the file `b`."

    name = "fails"

    def write(self, radiograph, prediction, stem):
        if stem.name == "b":
            raise OSError("no space left on device")
        return []


def test_a_writer_that_fails_leaves_nothing_of_its_file(radiographs, tmp_path):
    out = tmp_path / "out"
    predict_folder([str(radiographs)], out, writers=[OverlayWriter()])
    assert (out / "b.json").exists()
    writers = [OverlayWriter(), MaskWriter(), FailsOnce()]
    errors = predict_folder([str(radiographs)], out, writers=writers)
    assert [Path(error.path).name for error in errors] == ["b.png"]
    assert "no space left on device" in str(errors[0])
    left = sorted(path.name for path in out.iterdir())
    assert left == ["a.json", "a_mask.png", "a_overlay.png", *OF_FOLDER]


def test_json_and_table_come_whether_or_not_they_are_named(radiographs, tmp_path):
    named = [TableWriter(), MaskWriter(), JsonWriter()]
    for out, writers in ((tmp_path / "one", [MaskWriter()]), (tmp_path / "other", named)):
        assert predict_folder([str(radiographs)], out, writers=writers) == []
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()}
        for out in ("one", "other")
    )
    assert one == other
    assert sorted(one) == ["a.json", "a_mask.png", "b.json", "b_mask.png", *OF_FOLDER]


class Names(RecordWriter):
    "A writer of records that fails with that of `b` where asked."

    def __init__(self, fails: bool = False):
        self.names, self.fails = [], fails

    @contextmanager
    def open(self, out):
        def take(record):
            if record["results"] == "b" and self.fails:
                raise OSError("no space left on device")
            self.names.append(record["results"])

        yield take


def test_a_writer_of_records_takes_what_the_table_has_and_its_failure_costs_the_file(
    radiographs, tmp_path
):
    out, names = tmp_path / "out", Names(fails=True)
    other = write_image(tmp_path / "c.png", seed=5)
    assert predict_folder([str(other)], out) == []
    [error] = predict_folder([str(radiographs)], out, writers=[names], workers=1)
    assert Path(error.path).name == "b.png"
    assert "its results could not be made (no space left on device)" in str(error)
    assert names.names == list(rows_of(out)) == ["a", "c"]
    before = (out / "b.json").stat().st_mtime_ns
    names = Names()
    assert predict_folder([str(radiographs)], out, writers=[names]) == []
    assert names.names == list(rows_of(out)) == ["a", "b", "c"]
    assert (out / "b.json").stat().st_mtime_ns == before, "predicted twice"


class Breaks(RecordWriter):
    "A writer of records that raises in one of its tasks: open, take (of `a`), reject or close."

    name = "breaks"

    def __init__(self, task: str, error: BaseException):
        self.task, self.error, self.took = task, error, []

    def _at(self, task: str):
        if self.task == task:
            raise self.error

    @contextmanager
    def open(self, out):
        self._at("open")
        yield self.take
        self._at("close")

    def take(self, record):
        if record["results"] == "a":
            self._at("take")
        self.took.append(record["results"])

    def reject(self, error):
        self._at("reject")


FAILED = "could not be made (RuntimeError: mine); the writer breaks failed."
TASKS = {
    "take": ("a.png", FAILED, ["b"]),
    "reject": (
        "c.png",
        "the writer breaks could not be told of it (RuntimeError: mine).",
        ["a", "b"],
    ),
    "open": ("out", "the writer breaks could not be opened (RuntimeError: mine).", ["a", "b"]),
    "close": ("out", "the writer breaks could not be closed (RuntimeError: mine).", ["a", "b"]),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_writer_of_records_that_fails_in_any_task_ends_no_batch(task, radiographs, tmp_path):
    (radiographs / "c.png").write_bytes(b"nothing")
    out, name, text, done = tmp_path / "out", *TASKS[task]
    breaks, names, told = Breaks(task, RuntimeError("mine")), Names(), []
    errors = predict_folder(
        [str(radiographs)],
        out,
        writers=[OverlayWriter(), breaks, names],
        report=lambda file, error: told.append((file.name, error)),
    )
    [error] = [error for error in errors if "RuntimeError" in str(error)]
    assert Path(error.path).name == name and text in str(error)
    assert sorted({Path(e.path).name for e in errors}) == sorted({name, "c.png"})
    assert len(errors) == len({name, "c.png"})
    assert [name for name, _ in told] == ["a.png", "b.png", "c.png"]
    assert all(error in errors for _, error in told if error)
    assert list(rows_of(out)) == names.names == done
    assert breaks.took == ([] if task == "open" else done)
    assert not (out / "predictions.csv.part").exists()


@pytest.mark.parametrize("task", ["open", "take", "reject", "close"])
def test_an_interruption_in_a_writer_interrupts(task, radiographs, tmp_path):
    (radiographs / "c.png").write_bytes(b"nothing")
    writers = [Breaks("close", RuntimeError("mine")), Breaks(task, KeyboardInterrupt())]
    with pytest.raises(KeyboardInterrupt):
        predict_folder([str(radiographs)], tmp_path / "out", writers=writers)


class BreakingTable(TableWriter):
    "A table that fails with the row of `a`, or when it is closed."

    def __init__(self, task: str):
        self.task = task

    @contextmanager
    def open(self, out):
        def take(record):
            if record["results"] == "a" and self.task == "take":
                raise RuntimeError("mine")
            add(record)

        with super().open(out) as add:
            yield take
        if self.task == "close":
            raise RuntimeError("mine")


@pytest.mark.parametrize("task, rows", [("take", ["b"]), ("close", ["a", "b"])])
def test_a_table_that_fails_with_a_row_is_whole_without_it(task, rows, radiographs, tmp_path):
    out, outcome = tmp_path / "out", Outcome()
    writers = [OverlayWriter(), BreakingTable(task)]
    [error] = predict_folder([str(radiographs)], out, writers=writers, outcome=outcome)
    assert Path(error.path).name == ("a.png" if task == "take" else "out")
    assert "BreakingTable" in str(error) and "(RuntimeError: mine)" in str(error)
    assert list(rows_of(out)) == [row["results"] for row in outcome.rows] == rows
    assert sorted(p.name for p in out.iterdir() if p.name[:1] == "p") == OF_FOLDER
    before = (out / "a.json").stat().st_mtime_ns
    assert predict_folder([str(radiographs)], out) == []
    assert list(rows_of(out)) == ["a", "b"] and (out / "a.json").stat().st_mtime_ns == before
    other, outcome = write_image(tmp_path / "d.png", seed=5), Outcome()
    [error] = predict_folder([str(other)], out, writers=writers, outcome=outcome)  # a is earlier
    assert Path(error.path).name == ("a.png" if task == "take" else "out")
    assert list(rows_of(out)) == ["d", *rows] and outcome.earlier == len(rows)


class WritesAndFails(Writer):
    "A writer that fails with `b` when its file is there."

    name, ending = "half", "_half.txt"

    def __init__(self, error: BaseException):
        self.error = error

    def write(self, radiograph, prediction, stem):
        file = stem.with_name(stem.name + self.ending)
        file.write_text("half")
        if stem.name == "b":
            raise self.error
        return [file]


class BreakingJson(JsonWriter):
    "STEM.json that fails with `b`."

    def write(self, record, stem):
        if stem.name == "b":
            raise RuntimeError("mine")
        super().write(record, stem)


class Nothing(Writer):
    "A writer that forgets to say what it wrote of `b`."

    name, ending = "nothing", "_nothing.txt"

    def write(self, radiograph, prediction, stem):
        stem.with_name(stem.name + self.ending).write_text("there")
        return None if stem.name == "b" else []


BROKEN = {
    "json": (BreakingJson(), "(RuntimeError: mine); the writer BreakingJson failed"),
    "raises": (
        WritesAndFails(RuntimeError("mine")),
        "(RuntimeError: mine); the writer half failed",
    ),
    "ends": (WritesAndFails(SystemExit(3)), "(SystemExit: 3); the writer half failed"),
    "forgets": (Nothing(), "object is not iterable); the writer nothing failed"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_nothing_is_left_of_a_result_however_a_writer_fails(how, radiographs):
    "Beside the radiographs, where what is left would be somebody else's for the next call."
    writer, text = BROKEN[how]
    given, writers = (
        [str(radiographs / f"{stem}.png") for stem in "ab"],
        [OverlayWriter(), MaskWriter()],
    )
    assert predict_folder(given, radiographs, writers=writers) == []
    broken = [writers[0], writer, writers[1]]
    [error] = predict_folder(given, radiographs, writers=broken, resume=False)
    assert Path(error.path).name == "b.png" and text in str(error)
    assert [path.name for path in radiographs.glob("b*")] == ["b.png"]
    assert list(rows_of(radiographs)) == ["a"]
    assert predict_folder(given, radiographs, writers=writers) == []
    assert list(rows_of(radiographs)) == ["a", "b"]


def test_a_failure_leaves_the_file_that_no_writer_came_to(radiographs, tmp_path):
    "In a folder of results, where an unlisted mask may be replaced; but it was not."
    out = tmp_path / "out"
    predict_folder([str(radiographs / "a.png")], out)
    (out / "b_mask.png").write_bytes(b"drawn by hand")
    writers = [OverlayWriter(), FailsOnce(), MaskWriter()]
    [error] = predict_folder([str(radiographs)], out, writers=writers)
    assert "no space left on device); the writer fails failed" in str(error)
    assert [path.name for path in out.glob("b*")] == ["b_mask.png"]
    assert (out / "b_mask.png").read_bytes() == b"drawn by hand"


def test_the_outcome_is_what_the_table_says(radiographs, tmp_path):
    out, how = tmp_path / "out", dict(writers=[MaskWriter(), SrWriter()])
    predict_folder([str(radiographs)], out, **how)
    more = tmp_path / "more"
    write_image(more / "=c.png")
    cv2.imwrite(str(more / "mirrored.png"), phantom(3, side=256).image[:, ::-1])
    (more / "broken.png").write_bytes(b"nothing")
    for _ in range(2):  # predicted, then used again
        outcome = Outcome()
        errors = predict_folder([str(more)], out, outcome=outcome, **how)
        assert (outcome.total, len(errors), outcome.earlier) == (3, 1, 2)
        table = read_table(out)[: len(outcome.rows)]
        assert outcome.rows == [{k: row[k] for k in outcome.rows[0]} for row in table]
        assert outcome.rows[1]["status"] == "warnings" and outcome.rows[1]["warnings"]
        names = [{"mask": [f"{n}_mask.png"], "sr identity=new": []} for n in ("=c", "mirrored")]
        assert outcome.files == names


def test_the_command_lists_its_inputs_once(radiographs, tmp_path, monkeypatch):
    asked, find = [], writers_module.find_inputs
    monkeypatch.setattr(
        writers_module,
        "find_inputs",
        lambda *given, **how: asked.append(given) or find(*given, **how),
    )
    r = CliRunner().invoke(app, ["predict", str(radiographs), "--out", str(tmp_path / "out")])
    assert r.exit_code == 0 and "2 of 2 images predicted" in r.output
    assert len(asked) == 1


def test_a_report_is_measured_once(radiographs, monkeypatch):
    session, asked = Session.open(read_radiograph(radiographs / "a.png")), []
    for module in (session_module, measure_module):
        monkeypatch.setattr(module, "measure", lambda p: asked.append(p) or measure(p))
    row = session.row("a")
    assert session.gap_table() and len(asked) == 1
    assert row["gap_px"] == as_row(session.current)["gap_px"]


def write_image(path: Path, seed: int = 3) -> Path:
    "A small radiograph, whatever the file's name is."
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", phantom(seed, side=256).image)[1].tobytes())
    return path


def rows_of(out: Path) -> dict[str, dict]:
    "The table's rows by the name of their results."
    return {row["results"]: row for row in read_table(out)}


@pytest.mark.parametrize("length", [235, 255])
def test_a_long_name_is_predicted_and_written_whole(tmp_path, length):
    name = "n" * (length - 4) + ".png"
    write_image(tmp_path / "in" / name)
    write_image(tmp_path / "in/short.png", seed=4)
    out = tmp_path / "out"
    assert (
        predict_folder([str(tmp_path / "in")], out, writers=[OverlayWriter(), MaskWriter()]) == []
    )
    rows = rows_of(out)
    assert sorted(Path(row["file"]).name for row in rows.values()) == [name, "short.png"]
    for results in rows:
        assert (out / f"{results}.json").exists() and (out / f"{results}_overlay.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on this system")
def test_a_name_that_is_no_text_and_one_that_commands_the_terminal(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    write_image(folder / "a.png")
    strange, broken = os.fsdecode(b"scan\xff.png"), "bro\x1b[2Jken.png"
    write_image(folder / strange, seed=4)
    (folder / broken).write_bytes(b"nothing")
    r = CliRunner().invoke(app, ["predict", str(folder), "--out", str(out)])
    assert r.exit_code == 1 and "2 of 3 images predicted" in r.output
    assert "\x1b" not in r.output and "bro\\x1b[2Jken.png" in r.output
    assert set(rows_of(out)) == {"a", "scan\\udcff"}
    record = json.loads((out / os.fsdecode(b"scan\xff.json")).read_text(encoding="utf-8"))
    assert os.fsencode(record["file"]) == os.fsencode(folder / strange)
    before = (out / os.fsdecode(b"scan\xff.json")).stat().st_mtime_ns
    predict_folder([str(folder)], out)
    assert (out / os.fsdecode(b"scan\xff.json")).stat().st_mtime_ns == before, "predicted twice"


def test_a_terminal_command_in_a_header_is_escaped(tmp_path):
    grey = phantom(3, side=256).image
    data = encode_dicom(grey, ViewPosition="\x1b[31mLL\x07")
    (tmp_path / "a.dcm").write_bytes(data)
    r = CliRunner().invoke(app, ["predict", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "\x1b" not in r.output and "\x07" not in r.output


def test_a_locked_folder_and_a_locked_file_cost_themselves(tmp_path, monkeypatch):
    folder, out, listing = tmp_path / "in", tmp_path / "out", os.scandir
    for name in ("a.png", "locked/b.png", "open/c.png"):
        write_image(folder / name)

    def scandir(place):
        if Path(place).name == "locked":
            raise PermissionError(13, "Permission denied", str(place))
        return listing(place)

    monkeypatch.setattr(os, "scandir", scandir)
    errors = predict_folder([str(folder)], out)
    monkeypatch.undo()
    assert [str(error) for error in errors] == [
        f"{folder / 'locked'}: this folder cannot be listed. Ask for the right to read it, or"
        " leave it out."
    ]
    assert set(rows_of(out)) == {"a", "open/c"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is locked for root")
def test_rights_that_lack(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "locked/b.png"):
        write_image(folder / name)
    write_image(folder / "secret.png").chmod(0)
    (folder / "locked").chmod(0)
    errors = predict_folder([str(folder)], out)
    (folder / "locked").chmod(0o700)
    assert sorted(Path(error.path).name for error in errors) == ["locked", "secret.png"]
    assert set(rows_of(out)) == {"a"} and not any("Errno" in str(error) for error in errors)


def test_uid_names_hidden_files_and_equal_names(tmp_path):
    grey = phantom(3, side=256).image
    for name in ("s/1.2.276.0.1", "s/1.2.276.0.10", "s/1.2.276.0.2", "s/._x.dcm", "s/.h/y.dcm"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_dicom(grey))
    write_image(tmp_path / "one/x.png")
    write_image(tmp_path / "two/x.png", seed=4)
    out = tmp_path / "out"
    inputs = [str(tmp_path / name) for name in ("s", "one", "two")]
    assert predict_folder(inputs, out) == []
    uids = [f"1.2.276.0.{n}" for n in (1, 10, 2)]
    rows = rows_of(out)
    assert list(rows) == [*uids, "x", "x-2"]
    for name, row in rows.items():
        record = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        assert record["file"] == row["file"]
    assert Path(rows["x-2"]["file"]).parent.name == "two"


def test_a_second_call_adds_to_the_table_and_takes_no_name(tmp_path):
    out = tmp_path / "out"
    write_image(tmp_path / "one/x.png")
    write_image(tmp_path / "two/x.png", seed=4)
    for name in ("one", "two", "two"):
        predict_folder([str(tmp_path / name)], out)
    files = {name: Path(row["file"]).parent.name for name, row in rows_of(out).items()}
    assert files == {"x-2": "two", "x": "one"}
    (out / "x.json").unlink()  # its results do not stand any more
    predict_folder([str(tmp_path / "two")], out)
    assert list(rows_of(out)) == ["x"] or list(rows_of(out)) == ["x-2"]


def test_no_formula_in_the_table(tmp_path, monkeypatch):
    names = ["=1+1.png", "+a.png", "-b.png", "@c.png", "d=.png"]
    for name in names:
        write_image(tmp_path / "in" / name)
    monkeypatch.chdir(tmp_path / "in")
    assert predict_folder(names, tmp_path / "out") == []
    table = (tmp_path / "out/predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[0] for line in table] == [f"./{name}" for name in names[:4]] + [
        "d=.png"
    ]
    assert not any(cell[:1] in "=+@" for line in table for cell in line.split(",") if cell)
    assert all(Path(line.split(",")[0]).exists() for line in table)
    again = predict_folder(["-b.png"], tmp_path / "out")
    assert again == [] and len(read_table(tmp_path / "out")) == 5


LATE = ("status", "spacing_source", "results")  # columns that the first tables did not have


@pytest.mark.parametrize("lacking", [LATE[:1], LATE[1:2], LATE])
def test_a_table_of_an_older_version_gets_the_columns_that_it_lacks(tmp_path, lacking):
    out = tmp_path / "out"
    names = ["a.png", "sub/b.c.png"]
    for i, name in enumerate(names):
        write_image(tmp_path / "in" / name, seed=i)
    predict_folder([str(tmp_path / "in")], out)
    new, whole = read_table(out), pd.read_csv(out / "predictions.csv", dtype=str)
    whole.drop(columns=list(lacking)).to_csv(out / "predictions.csv", index=False)
    for record in (out / "a.json", out / "sub/b.c.json"):
        facts = json.loads(record.read_text(encoding="utf-8"))
        facts = {k: v for k, v in facts.items() if k not in lacking or k == "spacing_source"}
        record.write_text(json.dumps(facts), encoding="utf-8")
    assert [row["file"] for row in read_table(out)] == [row["file"] for row in new]
    write_image(tmp_path / "more/d.png", seed=5)
    assert predict_folder([str(tmp_path / "more")], out) == []
    rows = read_table(out)
    assert [row["results"] for row in rows] == ["d", "a", "sub/b.c"] and rows[1:] == new
    r = CliRunner().invoke(app, ["predict", str(tmp_path / "in/a.png"), "--out", str(out)])
    assert r.exit_code == 0 and "2 rows of earlier calls stay in the table" in r.output, r.output


def test_a_report_is_added_to_an_older_table(tmp_path):
    path, row = tmp_path / "reports.csv", {"report": "=b", "status": "ok", "use": "-"}
    path.write_text("report,use\na,first", encoding="utf-8")  # whose last line was cut
    append_row(path, row)
    append_row(path, row | {"report": "c"})
    table = load_table(path, keep_default_na=False)
    assert table["report"].tolist() == ["a", "=b", "c"]
    assert table["status"].tolist() == ["", "ok", "ok"]
    assert "=" not in {line[:1] for line in path.read_text(encoding="utf-8").splitlines()}
    path.write_text("report,other\na,b\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other columns \(other\).*Rename it"):
        append_row(path, row)
    assert path.read_text(encoding="utf-8") == "report,other\na,b\n"


LOOP = """
import sys
from hemidiaphragm_nb.cli import app
try: app(["predict", sys.argv[1], "--out", sys.argv[2]])
except ValueError as error:
    print(error)
    sys.exit(2)
"""


def test_two_processes_in_one_folder(tmp_path):
    for i in range(6):
        write_image(tmp_path / f"in/{i}.png", seed=i)
    words = [sys.executable, "-c", LOOP, str(tmp_path / "in"), str(tmp_path / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    how = dict(env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    both = [subprocess.Popen(words, **how) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes and set(codes) <= {0, 2}, outputs
    for code, output in zip(codes, outputs):
        assert ("6 of 6 images" if code == 0 else "another call is writing") in output
    assert sorted(rows_of(tmp_path / "out")) == [str(i) for i in range(6)]
    left = [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    assert left == []


def test_leftovers_are_swept_and_a_removed_folder_is_named(radiographs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".00112233445566aa.123.tmp").write_bytes(b"half")
    (out / "predictions.csv.part").write_text("half")
    predict_folder([str(radiographs)], out)
    names = {"a.json", "b.json", "a_overlay.png", "b_overlay.png", *OF_FOLDER}
    assert {path.name for path in out.iterdir()} == names

    def remove(file, error):
        shutil.rmtree(out, ignore_errors=True)

    with pytest.raises(ResultsError, match="removed while this went on") as error:
        predict_folder([str(radiographs)], out, report=remove, resume=False, workers=1)
    assert str(out) in str(error.value) and "Errno" not in str(error.value)


def test_a_full_disk_is_named_and_nothing_is_left(radiographs, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ResultsError) as error:
        predict_folder([str(radiographs)], tmp_path / "out")
    assert "No space left on device" in str(error.value) and "Errno" not in str(error.value)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.csv.part"]


def test_a_file_in_place_of_the_folder_is_named(radiographs, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ResultsError, match="no folder for results"):
        predict_folder([str(radiographs)], tmp_path / "out")


def lungs_of(width: int, cut: bool = False) -> Prediction:
    "A hand-made answer of 600 x 1000 px whose lungs are so many pixels wide."
    mask = np.zeros((600, 1000), np.uint8)
    mask[100:500, 0 if cut else 20 :][:, :width] = 1
    mask[100:500, 520 : 520 + width] = 2
    points = np.array([[60.0, 480], [560, 499]])
    return Prediction("a.dcm", 1000, 600, points, mask, (0.5, 0.5), "PixelSpacing")


@pytest.mark.parametrize(
    "width, cut, believed",
    [
        (119, False, False),
        (120, False, True),  # 60 mm
        (121, False, True),
        (479, False, True),
        (119, True, False),  # the other lung is whole
    ],
)
@pytest.mark.parametrize("source", ["PixelSpacing", "stated by hand", ""])
def test_no_millimetres_where_a_lung_would_be_too_narrow(width, cut, believed, source):
    p = without_implausible_mm(replace(lungs_of(width, cut), spacing_source=source))
    assert bool(p.warnings) != believed
    columns = [v for k, v in as_row(p).items() if k.endswith(("_mm", "_mm2"))]
    assert len(columns) > 8 and any(v is not None for v in columns) == believed
    if not believed:
        assert "59.5 mm wide; lengths in mm are left out" in p.warnings[0]
        assert (source or "the spacing (") in p.warnings[0] and as_row(p)["spacing_source"] == ""


@pytest.mark.parametrize("mm, believed", [(2.5, True), (2.6, False)])
@pytest.mark.parametrize("cut", [False, True])
def test_no_millimetres_where_a_lung_would_be_too_wide(mm, believed, cut):
    p = without_implausible_mm(replace(lungs_of(100, cut), spacing=(0.5, mm)))
    assert (p.gap_mm is not None) == believed == (p.warnings == [])


@pytest.mark.parametrize("mm, believed", [(0.12, True), (0.119, False)])  # 120 and 119 mm of image
def test_no_millimetres_where_the_image_would_be_too_narrow_for_two_lungs(mm, believed):
    p = lungs_of(100, cut=True)
    mask = np.where(p.mask == 2, 0, p.mask)
    p = without_implausible_mm(replace(p, mask=mask, spacing=(mm, mm)))
    assert (p.spacing is not None) == believed
    assert believed or "the image would be 119 mm wide; lengths in mm are left out" in p.warnings[0]


@pytest.mark.parametrize("spacing, source", [(0.01, "PixelSpacing"), (None, "stated by hand")])
def test_implausible_millimetres_stand_nowhere(spacing, source, tmp_path):
    header = dict(PixelSpacing=[spacing] * 2) if spacing else {}
    path = write_example(tmp_path / "a.dcm", phantom(3, side=256).image, **header)
    by_hand, out = None if spacing else (0.01, 0.01), tmp_path / "out"
    assert predict_folder([str(path)], out, writers=[SrWriter()], spacing=by_hand) == []
    record, [row] = json.loads((out / "a.json").read_text()), read_table(out)
    report = read_sr(out / "a_sr.dcm")
    session = Session.open(read_radiograph(path, spacing=by_hand))
    answers = record, {k: v or None for k, v in row.items()}, session.row("a")
    for answer in answers:
        lengths = [v for k, v in answer.items() if k.endswith(("_mm", "_mm2"))]
        assert len(lengths) > 8 and lengths == [None] * len(lengths)
        assert "mm wide; lengths in mm are left out" in str(answer["warnings"])
        assert source in str(answer["warnings"]) and not answer["spacing_source"]
    assert report["numbers"] and not {unit for *_, unit in report["numbers"]} & {"mm", "mm2"}
    assert any("mm are left out" in comment for comment in report["comments"])
    assert dict(session.gap_table())["in mm"] == "no spacing, or none believed"


def test_what_is_read_by_force_and_stated_by_hand_says_so(tmp_path):
    path = write_example(tmp_path / "a.dcm", phantom(3, side=256).image, Modality="CT")
    out, writers = tmp_path / "out", [SrWriter()]
    assert len(predict_folder([str(path)], out, writers=writers)) == 1
    assert predict_folder([str(path)], out, writers=writers, force=True) == []
    [row] = read_table(out)
    assert "it was read by force" in row["warnings"] and row["spacing_mm"] == ""
    how = dict(writers=writers, force=True, spacing=(1.4, 1.4))
    assert predict_folder([str(path)], out, **how) == []  # again, for it is read otherwise
    record, [row] = json.loads((out / "a.json").read_text()), read_table(out)
    assert record["reading"] == {"force": True, "spacing": [1.4, 1.4]}
    assert row["spacing_source"] == record["spacing_source"] == "stated by hand"
    assert float(row["gap_mm"]) == pytest.approx(1.4 * float(row["gap_px"]), abs=0.02)
    comments = read_sr(out / "a_sr.dcm")["comments"]
    assert any("scale of a spacing stated by hand" in comment for comment in comments)
    before = (out / "a.json").stat().st_mtime_ns
    assert predict_folder([str(path)], out, **how) == []
    assert (out / "a.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["0", "-0.1", "nan", "inf", "1,2,3", "0.1 mm", ",", "0.1;0.2"])
def test_a_spacing_that_is_none_is_an_error(text, radiographs, tmp_path):
    out = tmp_path / "out"
    words = ["predict", str(radiographs), "--out", str(out), "--spacing", text]
    r = CliRunner().invoke(app, words)
    assert isinstance(r.exception, ValueError) and "--spacing takes" in str(r.exception)
    assert not out.exists()


def test_the_same_relative_name_in_two_folders(tmp_path, monkeypatch):
    "Named from different folders `film.png` is two files: both stay, and neither is done twice."
    out = tmp_path / "out"
    for i, ward in enumerate(("one", "two")):
        write_image(tmp_path / ward / "film.png", seed=i)
    for ward in ("one", "two", "one", "two"):
        monkeypatch.chdir(tmp_path / ward)
        assert predict_folder(["film.png"], out) == []
        before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.json")}
    assert before == {p.name: p.stat().st_mtime_ns for p in out.glob("*.json")}
    rows = rows_of(out)
    assert set(rows) == {"film", "film-2"} and {r["file"] for r in rows.values()} == {"film.png"}
    places = {n: json.loads((out / f"{n}.json").read_text(encoding="utf-8"))["path"] for n in rows}
    assert places == {
        "film": str(tmp_path / "one/film.png"),
        "film-2": str(Path.cwd() / "film.png"),
    }
    assert "path" not in rows["film"]


def test_results_of_an_older_version_name_no_path(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_image(tmp_path / "film.png")
    monkeypatch.chdir(tmp_path)
    predict_folder(["film.png"], out)
    facts = json.loads((out / "film.json").read_text(encoding="utf-8"))
    (out / "film.json").write_text(json.dumps({k: v for k, v in facts.items() if k != "path"}))
    before = (out / "film.json").stat().st_mtime_ns
    predict_folder(["film.png"], out)
    assert (out / "film.json").stat().st_mtime_ns == before and list(rows_of(out)) == ["film"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on this system")
@pytest.mark.parametrize("older", [False, True])
def test_a_name_that_is_no_text_stays_in_the_table(tmp_path, older):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    names = [b"scan\xff.dcm", b"scan\\udcff.dcm"]  # the second reads like the first's escape
    for name in names[: 1 if older else 2]:
        write_example(folder / os.fsdecode(name), phantom(3, side=256).image)
    words = ["predict", str(folder), "--seg", "--out", str(out)]
    r = CliRunner().invoke(app, words)
    assert r.exit_code == 0 and "nothing written" not in r.output, r.output
    if older:
        table = pd.read_csv(out / "predictions.csv", dtype=str)
        table.drop(columns="results").to_csv(out / "predictions.csv", index=False)
    write_image(tmp_path / "more/d.png", seed=5)
    for _ in range(1 if older else 2):
        assert predict_folder([str(tmp_path / "more")], out) == []
        assert [row["results"] for row in read_table(out)][0] == "d"
    assert len(read_table(out)) == (2 if older else 3)


@pytest.mark.parametrize("name", ["a.json", "a_overlay.png", "a_mask.png"])
def test_what_is_no_result_is_not_replaced(radiographs, name):
    "Results beside the radiographs, where somebody keeps annotations of the same names."
    (radiographs / name).write_text('{"image": "a.png", "annotations": []}')
    before = (radiographs / name).read_bytes()
    given, writers = [str(radiographs / f"{stem}.png") for stem in "ab"], [MaskWriter()]
    for resume in (True, False):
        again = [OverlayWriter(), *writers]
        [error] = predict_folder(given, radiographs, writers=again, resume=resume)
        assert f"{name} stands in {radiographs} and is no result of this program" in str(error)
        assert (radiographs / name).read_bytes() == before
        assert list(rows_of(radiographs)) == ["b"]
    (radiographs / name).unlink()
    assert predict_folder(given, radiographs, writers=again) == []
    assert predict_folder(given, radiographs, writers=again, resume=False) == []  # its own


class Kills(Writer):
    "A writer that ends the process, as a power cut would, with the file `b`."

    name, ending = "kills", "_x.png"

    def write(self, radiograph, prediction, stem):
        if stem.name == "b":
            os._exit(9)
        return []


def test_a_killed_call_goes_on_beside_the_radiographs_and_foreign_files_stay(radiographs):
    "Its overlay of `b` is there, and no STEM.json that lists it."
    (radiographs / "c.json").write_text('{"annotations": []}')
    write_image(radiographs / "c.png", seed=5)
    program = (
        "from tests.test_writers import *; from sys import argv;"
        "predict_folder(argv[1:2], argv[2], writers=[OverlayWriter(), Kills()], workers=1)"
    )
    pattern, out = str(radiographs / "*.png"), str(radiographs)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", program, pattern, out], env=environment)
    assert ended.returncode == 9 and (radiographs / "b_overlay.png").exists()
    [error] = predict_folder([pattern], radiographs)
    assert "c.json stands in" in str(error)
    assert list(rows_of(radiographs)) == ["a", "b"]
    assert json.loads((radiographs / "c.json").read_text()) == {"annotations": []}
    assert not list(radiographs.glob("*_overlay_overlay.png"))


@pytest.mark.parametrize("text", ["", "{", '{\n "gap_', "\0" * 800])
def test_a_torn_record_is_made_again(text, radiographs, tmp_path):
    out = tmp_path / "out"
    predict_folder([str(radiographs)], out)
    whole = (out / "a.json").read_text()
    (out / "a.json").write_text(text)
    assert predict_folder([str(radiographs)], out) == []
    assert json.loads((out / "a.json").read_text()) == json.loads(whole)


def test_a_row_stays_where_another_writer_is_rejected(radiographs):
    given = [str(radiographs / f"{stem}.png") for stem in "ab"]
    assert predict_folder(given, radiographs) == []
    before = rows_of(radiographs)
    (radiographs / "a_mask.png").write_bytes(b"drawn by hand")
    [error] = predict_folder(given, radiographs, writers=[OverlayWriter(), MaskWriter()])
    assert "a_mask.png stands in" in str(error)
    assert rows_of(radiographs) == {"b": before["b"], "a": before["a"]}


def test_rows_that_were_put_out_do_not_come_back(radiographs, tmp_path):
    out, other = tmp_path / "out", write_image(tmp_path / "c.png", seed=5)
    predict_folder([str(radiographs)], out)
    (radiographs / "a.png").write_text("broken")
    predict_folder([str(radiographs)], out)
    assert predict_folder([str(other)], out) == []
    assert sorted(rows_of(out)) == ["b", "c"]
    predict_folder([str(other)], out, resume=False)
    predict_folder([str(other)], out)
    assert sorted(rows_of(out)) == ["c"]


def test_a_table_that_a_spreadsheet_saved_again_is_read(radiographs, tmp_path):
    out, other = tmp_path / "out", write_image(tmp_path / "c.png", seed=5)
    predict_folder([str(radiographs)], out)
    table = out / "predictions.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert predict_folder([str(other)], out) == []
    assert sorted(rows_of(out)) == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["id,age\n1,70\n", "file;right_x\n", '{"a": 1}'])
def test_a_table_of_another_program_is_not_replaced(text, radiographs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "predictions.csv").write_text(text)
    with pytest.raises(ResultsError, match="is not as this program writes it"):
        predict_folder([str(radiographs)], out)
    assert [path.read_text() for path in out.iterdir()] == [text]


@pytest.mark.parametrize("kept", [0, 5, 400, -2])
def test_rows_that_a_torn_table_lost_come_back(kept, radiographs, tmp_path):
    out = tmp_path / "out"
    predict_folder([str(radiographs)], out)
    whole = rows_of(out)
    table = out / "predictions.csv"
    table.write_bytes(table.read_bytes()[:kept])
    third = write_image(tmp_path / "c.png", seed=5)
    assert predict_folder([str(third)], out) == []
    found = rows_of(out)
    assert sorted(found) == ["a", "b", "c"]
    assert {name: found[name] for name in whole} == whole


def test_a_torn_file_of_a_result_is_written_again(radiographs, tmp_path):
    out = tmp_path / "out"
    predict_folder([str(radiographs)], out)
    whole = (out / "a_overlay.png").read_bytes()
    (out / "a_overlay.png").write_bytes(whole[:100])
    assert predict_folder([str(radiographs)], out) == []
    assert (out / "a_overlay.png").read_bytes() == whole


def test_a_landmark_off_the_image_is_left_out_everywhere(tmp_path):
    "In CSV, JSON and SR alike: of a radiograph that is cut off at the bottom."
    mask = np.zeros((100, 100), np.uint8)
    mask[10:100, 10:40], mask[10:100, 60:90] = 1, 2
    p = Prediction("a.dcm", 100, 100, np.array([[25.0, 90.0], [75.0, 101.0]]), mask)
    row = as_row(without_points_off_image(p))
    assert (row["right_y"], row["left_y"], row["gap_px"]) == (90.0, None, None)
    assert row["left_height_px"] is None and row["right_height_px"] is not None
    assert row["warnings"] == "the left landmark would lie off the image: it is left out"
    p = replace(p, radius90=np.array([9.0, 27.0]), disagreement=np.array([2.0, 30.0]))
    row = as_row(without_points_off_image(p))
    assert (row["right_radius90_px"], row["left_radius90_px"]) == (9.0, None)
    assert row["left_disagreement_px512"] is None


def test_a_resumed_run_takes_nothing_from_another_network_nor_from_another_reading(
    radiographs, tmp_path
):
    own, out = recipe("fast", side=64, width=4), tmp_path / "out"
    model = TorchPredictor(build_net(own).eval(), own, {"created": "2026-11-22", "git_commit": ""})
    other = TorchPredictor(build_net(replace(own, seed=1)).eval(), own, model.card)
    placed = replace(model, card=model.card | {"test_time": asdict(TestTime())})
    noted, stamps, digests = replace(model, card=model.card | {"use": None}), [], []
    for predictor in (model, noted, other, placed, placed):
        assert predict_folder([str(radiographs)], out, predictor) == []
        stamps.append((out / "a.json").stat().st_mtime_ns)
        digests.append(json.loads((out / "a.json").read_text())["model"]["digest"])
    assert digests[0] == digests[1] and len(set(digests)) == 3 and stamps[3] == stamps[4]
