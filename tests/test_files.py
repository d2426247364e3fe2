"No cell of a CSV file is a formula; what a message shows is escaped; a full disk names the file."

import csv
import errno
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hemidiaphragm_nb.brain_weights import fetch_brain_weights
from hemidiaphragm_nb.card_checks import ModelError
from hemidiaphragm_nb.cli import app
from hemidiaphragm_nb.crossval import save_cases
from hemidiaphragm_nb.csv_files import load_table
from hemidiaphragm_nb.files import EscapedError, write_atomic
from hemidiaphragm_nb.folders import read_folder, write_folder
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.plan import Plan
from hemidiaphragm_nb.pretrained import WeightsError
from hemidiaphragm_nb.reports import evaluation_report, write_report
from hemidiaphragm_nb.runtime import shipped_predictor
from tools.project import ROOT

IDS = ["=1+1", "+a", "-b", "@c", "=HYPERLINK(0)", "-1", "d", "'e"]
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?")


def formulas(path) -> list[str]:
    "The cells of a CSV file that a spreadsheet would run."
    with open(path, newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert len(cells) > 1
    return [c for c in cells if FORMULA.match(c) and not NUMBER.fullmatch(c)]


@pytest.fixture(scope="module")
def frames():
    "Phantoms whose ids and patients a spreadsheet would run."
    made = phantom_frames(len(IDS), seed=9, side=64)
    return replace(made, table=made.table.assign(id=IDS, patient_id=IDS[::-1]))


def test_a_data_set_comes_back(frames, tmp_path):
    folder = write_folder(frames, tmp_path / "set")
    for name in ("landmarks.csv", "metadata.csv"):
        assert formulas(folder / name) == [], name
    table = read_folder(folder)
    assert table["id"].tolist() == IDS and table["patient_id"].tolist() == IDS[::-1]
    points = table[["right_x", "left_y"]].astype(float)
    assert np.isfinite(points).all(axis=None)


def test_the_tables_of_check_evaluate_and_reports(frames, tmp_path):
    folder = write_folder(frames, tmp_path / "set")
    (folder / "masks/=1+1.png").unlink()
    r = CliRunner().invoke(app, ["check", str(folder), "--out", str(tmp_path)])
    assert r.exit_code in (0, 1) and formulas(tmp_path / "problems.csv") == [], r.output
    large = phantom_frames(len(IDS), seed=9, side=512)
    named = replace(large, table=large.table.assign(id=IDS))
    evaluation_report(shipped_predictor(), named, tmp_path)
    assert formulas(tmp_path / "test_cases.csv") == []
    assert load_table(tmp_path / "test_cases.csv", dtype={"id": str})["id"].tolist() == IDS
    table = pd.DataFrame({"=name": ["<b>-c</b>", "0.5"]}, index=["@row", "b"])
    write_report({"rates": table}, tmp_path)
    assert formulas(tmp_path / "rates.csv") == []
    save_cases(tmp_path, Plan("none", ()), radiographs=pd.DataFrame({"id": IDS, "dice": -0.5}))
    assert formulas(tmp_path / "radiographs.csv") == []


def test_no_other_function_writes_csv():
    """So every table goes through `save_table`, and every row through `csv_text`; `table_row` calls
    it (`test_no_formula_in_the_table` of test_writers.py).
    """
    for path in sorted((ROOT / "hemidiaphragm_nb").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        to_a_file = re.search(r"\.to_csv\((?!index=False\))", text)  # else text, for a digest
        assert path.name == "csv_files.py" or not to_a_file, path.name
        escaped = "csv_text" in text or "= table_row(record)" in text
        assert not re.search(r"csv\.(Dict)?[wW]riter\(", text) or escaped, path.name


def test_a_name_that_commands_the_terminal_is_escaped(tmp_path, capsys, monkeypatch):
    def offline(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(WeightsError):
        fetch_brain_weights(tmp_path / "a\x1b[2Jb")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "a\\x1b[2Jb" in printed
    assert str(ModelError("a\x1b[2Jb", ValueError("no"))).startswith("a\\x1b[2Jb: no usable model")
    errors = {kind.__name__ for kind in EscapedError.__subclasses__()}
    assert {"ExperimentError", "ExportError", "ModelError", "RecipeError", "WeightsError"} <= errors


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from hemidiaphragm_nb.cli import main
from hemidiaphragm_nb.frames import phantom_frames
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
sys.argv = ["hemidiaphragm", "evaluate", "--cases", "10", "--out", sys.argv[1]]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="files of limited size")
def test_a_file_that_cannot_be_written_is_named(tmp_path):
    "The operating system rejects the bytes and names no file: the message does."
    out = tmp_path / "out"
    words = [sys.executable, "-c", FULL, str(out)]
    r = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert r.returncode == 2, r.stderr
    assert f"hemidiaphragm: {out / 'test_cases.csv'}: File too large" in r.stderr
    assert "Traceback" not in r.stderr and "Errno" not in r.stderr
    assert not list(out.glob(".*.tmp")), "what could not be written whole is left"


@pytest.fixture
def full_disk(monkeypatch):
    "A disk on which no picture finds room: half of it is written."

    def write(path, data, whole=Path.write_bytes):
        whole(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write)


def test_a_full_disk_names_the_phantom(full_disk, tmp_path):
    words = ["phantom", "--n", "1", "--side", "64", "--out", str(tmp_path / "set")]
    r = CliRunner().invoke(app, words)
    with pytest.raises(OSError, match="No space left") as told:
        raise r.exception
    assert told.value.filename == str(tmp_path / "set/images/phantom-000000.png")
    assert list((tmp_path / "set/images").iterdir()) == []


def test_a_full_disk_names_the_sheet_of_check(frames, tmp_path, monkeypatch, request):
    folder = write_folder(frames, tmp_path / "set")
    request.getfixturevalue("full_disk")
    r = CliRunner().invoke(app, ["check", str(folder), "--out", str(tmp_path / "out")])
    assert r.exception.filename == str(tmp_path / "out/oddest.png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["problems.csv"]


def test_a_full_disk_names_the_figure_of_a_report(full_disk, tmp_path):
    with pytest.raises(OSError, match="No space left") as told:
        write_report({"curve": plt.figure()}, tmp_path)
    assert told.value.filename == str(tmp_path / "curve.png")
    assert list(tmp_path.iterdir()) == []


def test_check_takes_names_with_dollars(frames, tmp_path):
    names = ["a$x^$b", *IDS[1:]]
    odd = replace(frames, table=frames.table.assign(id=names, patient_id=names))
    folder = write_folder(odd, tmp_path / "set")
    r = CliRunner().invoke(app, ["check", str(folder), "--out", str(tmp_path / "out")])
    assert r.exit_code == 0 and (tmp_path / "out/oddest.png").exists()


def test_a_name_that_reads_like_anothers_escape_has_its_own_temporary_file(tmp_path):
    "Two threads may write both at once."
    names, temporary = ["a\udcff.json", "a\\udcff.json"], set()
    for name in names:
        write_atomic(tmp_path / name, lambda file: (temporary.add(file.name), file.touch()))
    assert len(temporary) == 2
