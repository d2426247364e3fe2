"""Make the project's environment with nothing but Python's standard library.

`python3 tools/bootstrap.py --venv .venv [--extras dev,lab] [--locked]` makes the virtual environment when it is
missing, gives it pip, installs this project into it (editable) with its requirements, and checks that OpenCV loads.
The script itself runs on any Python from 3.6; the environment gets a Python from 3.11 to 3.13.
"""
import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

ROOT = Path(__file__).resolve().parent.parent
PIP_INDEX = "https://pypi.org/pypi/pip/json"  # PyPI's JSON page about pip: the only address in the project's tools
OLDEST, NEWEST = (3, 11), (3, 13)
DISK_GB = 11  # packages (6.7 GB, most of it CUDA) and the downloads while they are unpacked
ROOMY_GB = 16  # below this much free disk pip keeps no second copy of the downloads
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class SetupError(Exception):
    "A reason to stop that the user can do something about."


def say(text):
    print("bootstrap: " + text, flush=True)


def run(*command, **kwargs):
    "Run `command`, stopping with its own message when it fails."
    done = subprocess.run([str(part) for part in command], **kwargs)
    if done.returncode:
        raise SetupError("this command failed (its message is above): " + " ".join(map(str, command)))
    return done


def version_of(python):
    "`(major, minor)` of the interpreter `python`, or None where it does not run."
    code = "import sys; print(sys.version_info[0], sys.version_info[1])"
    try:
        out = subprocess.check_output([str(python), "-c", code], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(int(part) for part in out.split())


def suits(python):
    "Whether `python` runs and is of a version that the project supports."
    version = version_of(python)
    return version is not None and OLDEST <= version <= NEWEST


def find_python(wanted=""):
    "The interpreter to build on: `wanted` when given, else the first on the path that suits."
    if wanted:
        if suits(wanted):
            return wanted
        found = version_of(wanted)
        raise SetupError("PYTHON={} is not a Python from 3.11 to 3.13 (version found: {}).".format(wanted, found))
    candidates = ["python3", "python3.13", "python3.12", "python3.11", "python", sys.executable]
    for name in candidates:
        path = shutil.which(name)
        if path and suits(path):
            return path
    raise SetupError(
        "no Python from 3.11 to 3.13 found (this one is {}). On Debian 12 or 13 and Ubuntu 24.04: 'apt-get install "
        "python3'; or name one: 'make demo PYTHON=/path/to/python3.12'.".format(platform.python_version())
    )


def check_disk(venv):
    "Stop early, with figures, when the packages cannot fit beside `venv`."
    free = shutil.disk_usage(str(venv.parent)).free / 1e9
    if free < DISK_GB:
        raise SetupError("{:.1f} GB free at {}, and installing needs {} GB.".format(free, venv.parent, DISK_GB))
    return free


def fetch_pip(folder):
    "Download pip's newest wheel from PyPI into `folder`, verify its SHA-256, and return its path."
    try:
        with urllib.request.urlopen(PIP_INDEX, timeout=60) as reply:
            page = json.load(reply)
        wheel = next(item for item in page["urls"] if item["packagetype"] == "bdist_wheel")
        with urllib.request.urlopen(urljoin(PIP_INDEX, wheel["url"]), timeout=60) as reply:
            data = reply.read()
    except OSError as error:
        raise SetupError(
            "pip could not be fetched from PyPI ({}). Is the network reachable, and 'ca-certificates' installed? "
            "With 'apt-get install python3-venv' this step is not needed.".format(error)
        )
    if hashlib.sha256(data).hexdigest() != wheel["digests"]["sha256"]:
        raise SetupError("the downloaded pip does not have the SHA-256 that PyPI states; nothing was run.")
    path = folder / wheel["filename"]
    path.write_bytes(data)
    return path


def make_venv(python, venv):
    "A virtual environment at `venv` with pip, whether or not `python` can unpack its own copy."
    say("making {} with {} ({})".format(venv.name, python, ".".join(map(str, version_of(python)))))
    if subprocess.run([str(python), "-m", "venv", "--clear", str(venv)], **QUIET).returncode == 0:
        return
    say("this Python carries no pip of its own (Debian keeps it in python3-venv): fetching pip's wheel from PyPI")
    run(python, "-m", "venv", "--clear", "--without-pip", venv)
    wheel = fetch_pip(venv)
    run(venv / "bin/python", wheel / "pip", "install", "--quiet", "--no-index", wheel)
    wheel.unlink()


def usable(venv):
    "Whether `venv` already is an environment with a fitting Python and pip."
    python = venv / "bin/python"
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
        raise SetupError("{} is no virtual environment: move it away, or choose another with VENV=.".format(venv))
    return suits(python) and subprocess.run([str(python), "-m", "pip", "--version"], **QUIET).returncode == 0


def pip_install(venv, arguments, free):
    "pip install, unpacking beside the environment (a small /tmp cannot hold torch) and quiet where nobody watches."
    scratch = venv / "tmp"
    scratch.mkdir(exist_ok=True)
    options = [] if sys.stdout.isatty() else ["--quiet"]
    options += ["--no-cache-dir"] if free < ROOMY_GB else []
    environment = dict(os.environ, TMPDIR=str(scratch), PIP_DISABLE_PIP_VERSION_CHECK="1")
    environment["PYTHONWARNINGS"] = "ignore"  # setuptools has advice for every editable install
    try:
        run(venv / "bin/python", "-m", "pip", "install", *options, *arguments, cwd=str(ROOT), env=environment)
    finally:
        shutil.rmtree(str(scratch), ignore_errors=True)


def install(venv, extras, locked):
    "Install the project, editable, with its requirements and `extras`."
    installed = any(venv.glob("lib/*/site-packages/torch/version.py"))
    free = shutil.disk_usage(str(venv)).free / 1e9 if installed else check_disk(venv)
    what = "the project" + (" with " + extras if extras else "")
    say("installing {}{}".format(what, "" if installed else ": some minutes, about 3 GB to download"))
    if locked:
        pip_install(venv, ["-r", "requirements.lock"], free)
    pip_install(venv, ["-e", ".[{}]".format(extras) if extras else "."], free)


def mend_opencv(venv):
    """Exchange OpenCV's library for the headless one where a shared library of the desktop is missing.

    `opencv-python` and `opencv-python-headless` (which grad-cam brings) fill the same folder `cv2`; the first needs
    libGL, which a bare machine does not have.
    """
    python = venv / "bin/python"
    tried = subprocess.run([str(python), "-c", "import cv2"], stderr=subprocess.PIPE)
    error = tried.stderr.decode("utf-8", "replace")
    if tried.returncode and "cannot open shared object file" in error:
        code = "from importlib.metadata import version; print(version('opencv-python'))"
        version = subprocess.check_output([str(python), "-c", code]).decode().strip()
        say("OpenCV needs a desktop library that is not here ({}).".format(error.strip().splitlines()[-1]))
        say("installing opencv-python-headless {} over it: the same OpenCV without windows".format(version))
        pip_install(venv, ["--force-reinstall", "--no-deps", "opencv-python-headless==" + version], ROOMY_GB)
        run(python, "-c", "import cv2")
    elif tried.returncode:
        raise SetupError("OpenCV does not load:\n" + error)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--venv", default=".venv", help="folder of the environment")
    parser.add_argument("--python", default="", help="interpreter to build it with (default: one from 3.11 to 3.13)")
    parser.add_argument("--extras", default="", help="extras to add, as dev,lab")
    parser.add_argument("--locked", action="store_true", help="exactly the versions of requirements.lock")
    options = parser.parse_args()
    venv = Path(os.path.abspath(options.venv))
    try:
        if not usable(venv):
            python = find_python(options.python)
            check_disk(venv)
            make_venv(python, venv)
        install(venv, options.extras, options.locked)
        mend_opencv(venv)
    except SetupError as error:
        sys.exit("bootstrap: " + str(error))


if __name__ == "__main__":
    main()
