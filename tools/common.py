"""What the test tools share: the project's folder, how a check ends, and how a command is run."""
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "hemidiaphragm_nb"
NOTEBOOKS = ROOT / "nbs"


class Skipped(Exception):
    "Raised by a check that cannot run here, with the reason."


class Failed(Exception):
    "Raised by a check that failed: a short reason, and `detail` lines to print below it."

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.detail = detail


def tail(text: str, lines: int = 40) -> str:
    "The last `lines` lines of `text`."
    return "\n".join(text.rstrip().splitlines()[-lines:])


def run(*command, limit: float = 300, cwd: Path = ROOT, **variables: str) -> str:
    "Output of `command`; `Failed` when it exits non-zero, or is ended, children too, after `limit` seconds."
    words = [str(word) for word in command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", **variables}
    process = subprocess.Popen(
        words, cwd=cwd, env=environment, text=True, encoding="utf-8", errors="replace", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise Failed(f"took over {limit:.0f} s", tail(output)) from None
    if process.returncode:
        raise Failed(f"{Path(words[0]).name} exited with {process.returncode}", tail(output))
    return output


def python(*arguments, **kwargs) -> str:
    "Output of this environment's Python run with `arguments`."
    return run(sys.executable, *arguments, **kwargs)


def tracked_files() -> list[str]:
    "Files of the working tree that git tracks or would track (ignored ones left out)."
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    return sorted(name for name in listed if name and os.path.lexists(ROOT / name))
