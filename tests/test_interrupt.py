"""`hemidiaphragm predict`, killed half-way through a folder and started again: nothing is lost,
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


def kill_half_way(folder: Path, out: Path) -> dict[str, int]:
    "Kill the prediction once half of the radiographs are done: what was done by then."
    process, end = start(folder, out), time.monotonic() + SECONDS
    while len(stamps(out)) < RADIOGRAPHS // 2:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return stamps(out)


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


def test_prediction_survives_kill_9(folder):
    done = kill_half_way(folder, folder / "out")
    assert RADIOGRAPHS // 2 <= len(done) < RADIOGRAPHS
    assert not (folder / "out/predictions.csv").exists(), "the table is there before it is whole"

    finish(start(folder, folder / "out"))
    after = stamps(folder / "out")
    assert {name: after[name] for name in done} == done, "predicted twice"
    assert contents(folder / "out") == contents(folder / "whole")


def test_only_a_changed_radiograph_is_predicted_again(folder):
    before = stamps(folder / "whole")
    changed = sorted((folder / "radiographs").glob("*.png"))[3]
    os.utime(changed, ns=(1, 1))
    finish(start(folder, folder / "whole"))
    after = stamps(folder / "whole")
    assert [name for name in after if after[name] != before[name]] == [f"{changed.stem}.json"]
