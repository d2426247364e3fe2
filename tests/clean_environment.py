"""An environment for the wheel alone: no nbdev, no JupyterLab, and the network closed.

It borrows the packages of this environment instead of downloading them again, and does not see
those that the package does not require.
"""

import subprocess
import sys
from pathlib import Path

from tools import requirements
from tools.project import python, run

REFUSED = ("nbdev", "jupyterlab", "execnb", "pytest")
# Loaded when the clean environment starts, before anything else.
GUARD = """\
"Hide what the package does not require, and refuse every connection."
import re
import socket
import sys
from importlib.machinery import PathFinder

MODULES, DISTRIBUTIONS = {modules!r}, {distributions!r}


class OwnFinder(PathFinder):
    "Finds what PathFinder finds, except the modules and the distributions listed above."

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in MODULES
        return None if hidden else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *args, **kwargs):
        for found in super().find_distributions(*args, **kwargs):
            if re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower() not in DISTRIBUTIONS:
                yield found


def closed(*args, **kwargs):
    raise OSError("the network is closed in this environment")


sys.meta_path[:] = [OwnFinder if finder is PathFinder else finder for finder in sys.meta_path]
socket.socket.connect = socket.socket.connect_ex = closed
socket.getaddrinfo = socket.create_connection = closed
"""


class CleanEnvironment:
    """A virtual environment under `folder` with `wheel` installed, and what the keys `extras` of
    settings.ini list beside the requirements; commands run in `self.work`.
    """

    def __init__(self, folder: Path, wheel: Path, *extras: str):
        self.venv, self.work = folder / "venv", folder / "elsewhere"
        self.python = self.venv / "bin/python"
        self.work.mkdir()
        python("-m", "venv", "--without-pip", self.venv)
        # From elsewhere: an editable installation leaves its metadata in the project's folder, and
        # pip would take the wheel for installed there.
        pip = [sys.executable, "-m", "pip", f"--python={self.python}", "install"]
        options = ["--no-index", "--no-deps", "--quiet"]
        run(*pip, *options, wheel, cwd=self.work, PYTHONPATH="")
        (site,) = self.venv.glob("lib/*/site-packages")
        modules, distributions = requirements.foreign("requirements", *extras)
        guard = GUARD.format(modules=sorted({*modules, *REFUSED}), distributions=distributions)
        (site / "guard.py").write_text(guard, "utf-8")
        borrowed = [path for path in sys.path if path.endswith("site-packages")]
        (site / "borrowed.pth").write_text("\n".join([*borrowed, "import guard", ""]), "utf-8")

    def inside(self, *arguments) -> str:
        "The output of its Python, run elsewhere than in the project."
        return run(self.python, *arguments, cwd=self.work, PYTHONPATH="")

    def command(self, *arguments, limit: float = 300) -> str:
        "The output of the installed `hemidiaphragm` command."
        command = self.venv / "bin/hemidiaphragm"
        return run(command, *arguments, cwd=self.work, limit=limit, PYTHONPATH="")

    def error(self, code: str) -> str:
        "What running `code` in it writes to standard error."
        command = [self.python, "-c", code]
        return subprocess.run(command, cwd=self.work, capture_output=True, text=True).stderr
