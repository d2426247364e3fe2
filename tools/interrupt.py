"""Kill `hemidiaphragm predict` half-way through a folder, and let the same command go on: nothing lost, nothing done twice."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, Failed, python, tail

RADIOGRAPHS = 40
SECONDS = 300  # within which half of the radiographs must be predicted
COMMAND = "from hemidiaphragm_nb.cli import main; main()"


def started(folder: Path, out: Path) -> subprocess.Popen:
    "`hemidiaphragm predict`, running."
    words = [sys.executable, "-c", COMMAND, "predict", "radiographs", "--out", str(out), "--masks"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])}
    return subprocess.Popen(words, cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(process: subprocess.Popen) -> str:
    "The output at the end; `Failed` unless exactly the broken file was refused."
    output, _ = process.communicate(timeout=2 * SECONDS)
    if process.returncode != 1 or f"{RADIOGRAPHS} of {RADIOGRAPHS + 1} images predicted" not in output:
        raise Failed(f"predict exited with {process.returncode}", tail(output))
    return output


def stamps(out: Path) -> dict[str, int]:
    "When each radiograph's JSON was written."
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*.json")}


def contents(out: Path) -> dict[str, bytes]:
    "All results; unfinished files that a killed process leaves begin with a dot."
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and not p.name.startswith(".")}


def kill_half_way(folder: Path, out: Path) -> dict[str, int]:
    "Kill the prediction once half of the radiographs are done: what was done by then."
    process, end = started(folder, out), time.monotonic() + SECONDS
    while len(stamps(out)) < RADIOGRAPHS // 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = stamps(out)
    if process.returncode != -signal.SIGKILL or not RADIOGRAPHS // 2 <= len(done) < RADIOGRAPHS:
        raise Failed(f"it was not killed half-way: {len(done)} of {RADIOGRAPHS} done, exit code {process.returncode}")
    if (out / "predictions.csv").exists():
        raise Failed("predictions.csv is there before it is whole")
    return done


def prediction_survives_a_kill() -> str:
    "Killed and continued, the results are byte for byte those of an undisturbed run; what was done is not done again."
    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-kill-") as scratch:
        folder = Path(scratch)
        python("-c", COMMAND, "phantom", "--n", RADIOGRAPHS, "--side", 128, "--out", folder / "phantoms")
        shutil.move(folder / "phantoms/images", folder / "radiographs")
        (folder / "radiographs/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        finished(started(folder, folder / "whole"))
        done = kill_half_way(folder, folder / "out")
        finished(started(folder, folder / "out"))
        after = stamps(folder / "out")
        again = [name for name, stamp in done.items() if after[name] != stamp]
        if again:
            raise Failed(f"{len(again)} of {len(done)} radiographs done before the kill were predicted again")
        whole, out = contents(folder / "whole"), contents(folder / "out")
        differing = sorted(name for name in whole.keys() | out.keys() if whole.get(name) != out.get(name))
        if differing:
            raise Failed(f"{len(differing)} files differ from those of an undisturbed run", "\n".join(differing[:20]))
        changed = sorted((folder / "radiographs").glob("*.png"))[3]
        os.utime(changed, ns=(1, 1))
        finished(started(folder, folder / "out"))
        anew = [name for name, stamp in stamps(folder / "out").items() if stamp != after[name]]
        if anew != [f"{changed.stem}.json"]:
            raise Failed(f"one radiograph changed, predicted anew were {anew or 'none'}")
    return f"killed after {len(done)} of {RADIOGRAPHS} radiographs; {len(whole)} files equal to an undisturbed run's; a changed radiograph is predicted anew"


CHECKS = {"predict survives kill -9": prediction_survives_a_kill}


if __name__ == "__main__":
    try:
        print(prediction_survives_a_kill())
    except Failed as failure:
        sys.exit(f"{failure}\n{failure.detail}")
