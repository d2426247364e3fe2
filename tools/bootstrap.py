"""Make the project's environment: a Python from 3.11 to 3.13 with the project, editable, in it.

`python3 tools/bootstrap.py --venv .venv [--extras train] [--locked]` needs `venv`, or else uv.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("python3", "python3.13", "python3.12", "python3.11", "python", sys.executable)
DISK_GB = 11  # packages (`train` 6.5 GB, `dev` 8 GB, mostly CUDA), and downloads while unpacked
BASE_GB = 1  # without extras
HERE = "import sys; print('%d.%d' % sys.version_info[:2])"
OTHER_PYTHON = """this machine's python3 is {}, and the project needs one from 3.11 to 3.13:
'apt-get install python3.11 python3.11-venv' where the distribution has it, or install uv, which
brings a Python of its own"""
NO_PYTHON = """no Python from 3.11 to 3.13 here: 'apt-get install python3 python3-venv' (Debian,
Ubuntu), 'brew install python@3.13' (macOS), or name one with PYTHON=/path/to/python3.12"""
NO_VENV = """this Python cannot make environments: 'apt-get install python3-venv' (Debian, Ubuntu),
or install uv"""


def stop(reason):
    sys.exit("bootstrap: " + " ".join(reason.split()))


def works(*command):
    "Whether `command` runs and succeeds; it prints nothing."
    try:
        quiet = subprocess.DEVNULL
        return subprocess.call([str(part) for part in command], stdout=quiet, stderr=quiet) == 0
    except OSError:
        return False


def python3_here():
    "The version of this machine's `python3`, as 3.10; None where there is none."
    try:
        return subprocess.check_output(["python3", "-c", HERE], universal_newlines=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def fits(python):
    "Whether `python` is of a version that the project supports."
    return works(python, "-c", "import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13)")


def make_environment(venv, wanted):
    "A virtual environment with pip: made by the Python `wanted` or else found, or by uv."
    python = next((name for name in ([wanted] if wanted else NAMES) if fits(name)), None)
    if wanted and not python:
        stop(f"PYTHON={wanted} is no Python from 3.11 to 3.13")
    if python and works(python, "-m", "venv", "--clear", venv):
        return
    shutil.rmtree(venv, ignore_errors=True)
    if not shutil.which("uv"):
        here = python3_here()
        stop(NO_VENV if python else OTHER_PYTHON.format(here) if here else NO_PYTHON)
    if subprocess.call(["uv", "venv", "--seed", "--python", python or "3.13", str(venv)]):
        stop("uv could not make the environment (its message is above)")


def install(venv, *what):
    "pip install, unpacking beside the environment: a small /tmp cannot hold torch."
    scratch = venv / "tmp"
    scratch.mkdir(exist_ok=True)
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    settings = {"TMPDIR": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [str(venv / "bin/python"), "-m", "pip", "install", "--no-compile", *quiet, *what]
    failed = subprocess.call(command, cwd=ROOT, env={**os.environ, **settings})
    shutil.rmtree(scratch, ignore_errors=True)
    if failed:
        stop("pip could not install what is needed (its message is above)")


def compile_packages(venv):
    """Bytecode of all that is installed, on every core: half a minute, where pip takes minutes.

    Left to the imports, none is written where PYTHONDONTWRITEBYTECODE is set, as in many
    containers, and each start of a program that loads torch then takes ten seconds longer.
    """
    packages = [str(path) for path in (venv / "lib").glob("python3*/site-packages")]
    # some packages hold files that no Python can compile: nobody imports them
    subprocess.call([str(venv / "bin/python"), "-m", "compileall", "-qq", "-j", "0", *packages])


def open_cv_without_desktop(venv):
    """Replace OpenCV's library by the headless one where this machine lacks those of a desktop.

    Both packages fill the folder `cv2`; opencv-python's needs libGL, which a bare machine lacks.
    """
    python = venv / "bin/python"
    if works(python, "-c", "import cv2"):
        return
    code = "from importlib.metadata import version; print(version('opencv-python'))"
    number = subprocess.check_output([str(python), "-c", code], universal_newlines=True).strip()
    print("bootstrap: no desktop here: OpenCV " + number + " without windows", flush=True)
    install(venv, "--force-reinstall", "--no-deps", "opencv-python-headless==" + number)
    if not works(python, "-c", "import cv2"):
        stop("OpenCV does not load: see " + str(python) + " -c 'import cv2'")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--venv", default=".venv", help="folder of the environment")
    parser.add_argument("--python", default="", help="interpreter to build it with")
    parser.add_argument("--extras", default="", help="extras to add, as train,app")
    parser.add_argument("--locked", action="store_true", help="the versions of requirements.lock")
    asked = parser.parse_args()
    venv = Path(asked.venv).absolute()
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
        stop(f"{venv} is no virtual environment: move it away, or choose another with VENV=")
    python = venv / "bin/python"
    there = fits(python) and works(python, "-m", "pip", "--version")
    needed = DISK_GB if asked.extras else BASE_GB
    free = shutil.disk_usage(venv.parent).free / 1e9
    if free < needed and not (there and works(python, "-c", "import torch")):
        stop(f"{free:.1f} GB are free at {venv.parent}, and installing needs {needed} GB")
    if not there:
        make_environment(venv, asked.python)
    what = f".[{asked.extras}]" if asked.extras else "."
    time = "minutes" if asked.extras else "a minute"
    print(f"bootstrap: installing {what}; the first time takes {time} and {needed} GB", flush=True)
    locked = ["-c", "requirements.lock"] if asked.locked else []
    install(venv, *locked, "-e", what)
    open_cv_without_desktop(venv)
    compile_packages(venv)


if __name__ == "__main__":
    main()
