"""`hemidiaphragm predict`, stopped half-way through a folder and started again: nothing is lost,
nothing is done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.project import ROOT, python, tail

RADIOGRAPHS = 40
SECONDS = 300  # within which half of the radiographs must be predicted
COMMAND = ("-c", "from hemidiaphragm_nb.cli import main; main()")


def start(folder: Path, out: Path) -> subprocess.Popen:
    "`hemidiaphragm predict`, running."
    words = [sys.executable, *COMMAND, "predict", "radiographs", "--out", str(out), "--masks"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: subprocess.Popen) -> None:
    "Wait until the end: all but the broken file are predicted."
    output, _ = process.communicate(timeout=2 * SECONDS)
    assert process.returncode == 1, tail(output)
    assert f"{RADIOGRAPHS} of {RADIOGRAPHS + 1} images predicted" in output


def stamps(out: Path) -> dict[str, int]:
    "When each radiograph's JSON was written; one that only names what is being written is none."
    return {
        path.name: path.stat().st_mtime_ns
        for path in out.glob("*.json")
        if "file" in json.loads(path.read_text(encoding="utf-8"))
    }


def contents(out: Path) -> dict[str, bytes]:
    "All results; unfinished files that a killed process leaves begin with a dot."
    files = [path for path in out.rglob("*") if path.is_file() and path.name[0] != "."]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def stop_half_way(folder: Path, out: Path, how: signal.Signals) -> tuple[int, str]:
    "Stop the prediction once half of the radiographs are done: its exit status and last words."
    process, end = start(folder, out), time.monotonic() + SECONDS
    while len(stamps(out)) < RADIOGRAPHS // 2:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(how)
    output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    "A folder of phantoms and a broken file, and what an undisturbed run makes of them: `whole`."
    folder = tmp_path_factory.mktemp("interrupted")
    options = ["--n", RADIOGRAPHS, "--side", 128, "--out", folder / "phantoms"]
    python(*COMMAND, "phantom", *options)
    shutil.move(folder / "phantoms/images", folder / "radiographs")
    (folder / "radiographs/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    finish(start(folder, folder / "whole"))
    return folder


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_prediction_goes_on(folder, how):
    out = folder / how.name
    status, output = stop_half_way(folder, out, how)
    if how == signal.SIGINT:
        assert status == 130 and "interrupted; finished work is saved" in output, tail(output)
        assert "terminate" not in output, tail(output)
    else:
        assert status == -how
    done = stamps(out)
    assert RADIOGRAPHS // 2 <= len(done) < RADIOGRAPHS
    assert not (out / "predictions.csv").exists(), "the table is there before it is whole"

    finish(start(folder, out))
    after = stamps(out)
    assert {name: after[name] for name in done} == done, "predicted twice"
    assert contents(out) == contents(folder / "whole")


def test_only_a_changed_radiograph_is_predicted_again(folder):
    before = stamps(folder / "whole")
    changed = sorted((folder / "radiographs").glob("*.png"))[3]
    os.utime(changed, ns=(1, 1))
    finish(start(folder, folder / "whole"))
    after = stamps(folder / "whole")
    assert [name for name in after if after[name] != before[name]] == [f"{changed.stem}.json"]
