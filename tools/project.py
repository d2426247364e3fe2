"""Where the project's files are, and how a command is run: what the tests and the tools share."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "hemidiaphragm_nb"
NOTEBOOKS = ROOT / "nbs"
ANSWERS = ROOT / "answers"


class CommandFailed(AssertionError):
    "A command failed: what, and the end of what it printed."


def tail(text: str, lines: int = 40) -> str:
    "The last `lines` lines of `text`."
    return "\n".join(text.rstrip().splitlines()[-lines:])


def run(*command, limit: float = 300, cwd: Path = ROOT, **variables: str) -> str:
    """The output of `command`, which finds this checkout's package first.

    Raises: CommandFailed where it exits non-zero, or is ended, with its children, after `limit`
    seconds.
    """
    __tracebackhide__ = True
    words = [str(word) for word in command]
    defaults = {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env={**os.environ, **defaults, **variables},
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except BaseException as stopped:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if not isinstance(stopped, subprocess.TimeoutExpired):
            raise
        raise CommandFailed(f"{' '.join(words)}\ntook over {limit:.0f} s\n{tail(output)}") from None
    if process.returncode:
        ending = f"exited with {process.returncode}"
        raise CommandFailed(f"{' '.join(words)}\n{ending}\n{tail(output)}")
    return output


def python(*arguments, **kwargs) -> str:
    "The output of this environment's Python."
    __tracebackhide__ = True
    return run(sys.executable, *arguments, **kwargs)


def tracked_files() -> list[str]:
    "The files of the working tree that git tracks or would track: ignored ones are left out."
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    return sorted(name for name in listed if name and os.path.lexists(ROOT / name))


def copy_tree(target: Path) -> list[str]:
    "Copy the working tree's files to `target`, links kept, and return their names."
    names = tracked_files()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return names


def notebooks() -> list[Path]:
    "The notebooks: the index, the lessons by number, the engine's by name."
    paths = [path for path in NOTEBOOKS.rglob("*.ipynb") if not _hidden(path)]
    return sorted(paths, key=lambda p: (p.name != "index.ipynb", len(p.parts), p.name))


def _hidden(path: Path) -> bool:
    "Whether nbdev leaves `path` out: a part of it starts with a dot or an underscore."
    return any(part[0] in "._" for part in path.relative_to(NOTEBOOKS).parts)


def read_notebook(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path: Path) -> list[str]:
    "The sources of the code cells of the notebook at `path`."
    cells = read_notebook(path)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def exported_modules() -> dict[str, Path]:
    "The notebook of each module, as its `#| default_exp` names it."
    found = {}
    for path in notebooks():
        sources = "\n".join(code_cells(path))
        if name := re.search(r"^#\|\s*default_exp\s+(\S+)", sources, re.M):
            found[name[1]] = path
    return found


def module_files() -> list[Path]:
    "The exported modules' files."
    generated = {"__init__.py", "_modidx.py"}
    return sorted(path for path in LIBRARY.rglob("*.py") if path.name not in generated)
