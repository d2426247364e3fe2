"""Prove that the built wheel works by itself: no nbdev, no JupyterLab, outside the project, with the network closed.

The clean environment borrows the packages of this one instead of downloading them again, and does not see those
that the package does not require.
"""
import subprocess
import sys
import zipfile
from pathlib import Path

import checks
import requirements
from common import LIBRARY, Failed, python, run

# Loaded at start-up of the clean environment, before anything else.
GUARD = '''\
"Hide what the package does not require, and refuse every connection."
import re
import socket
import sys
from importlib.machinery import PathFinder

MODULES, DISTRIBUTIONS = {modules!r}, {distributions!r}


class OwnFinder(PathFinder):
    "Finds what PathFinder finds, except the modules and the distributions (with their plugins) listed above."

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in MODULES else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *args, **kwargs):
        for found in super().find_distributions(*args, **kwargs):
            if re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower() not in DISTRIBUTIONS:
                yield found


def closed(*args, **kwargs):
    raise OSError("the network is closed in this environment")


sys.meta_path[:] = [OwnFinder if finder is PathFinder else finder for finder in sys.meta_path]
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = closed
'''
REFUSED = ("nbdev", "jupyterlab", "execnb")


class CleanInstall:
    "The wheel, built and installed in an environment of its own under `folder`."

    def __init__(self, folder: Path):
        self.folder, self.tree = folder, folder / "tree"
        self.venv, self.work = folder / "venv", folder / "elsewhere"
        self.python = self.venv / "bin/python"

    def checks(self) -> dict:
        "The checks by name, in the order in which they depend on each other."
        return {
            "wheel builds": self.build,
            "wheel installs alone": self.install,
            "wheel imports alone": self.imports,
            "wheel: hemidiaphragm --help": self.help,
            "wheel: demo": self.demo,
            "wheel: phantom and predict": self.predict,
        }

    def build(self) -> str:
        "The source archive builds, and the wheel from it holds every module and the licence."
        checks.copy_tree(self.tree)
        python("-m", "build", "--no-isolation", "--outdir", self.folder / "dist", self.tree)
        wheel = self.wheel()
        names = set(zipfile.ZipFile(wheel).namelist())
        kept = [path for path in LIBRARY.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        missing = [str(p.relative_to(LIBRARY.parent)) for p in kept if str(p.relative_to(LIBRARY.parent)) not in names]
        missing += [] if any(name.endswith("LICENSE") for name in names) else ["LICENSE"]
        checks.fail_if(missing, "files are not in the wheel")
        return f"{wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB, {len(names)} files"

    def wheel(self) -> Path:
        built = sorted((self.folder / "dist").glob("*.whl"))
        if not built:
            raise Failed("no wheel was built")
        return built[0]

    def install(self) -> str:
        "The wheel installs beside nothing but borrowed packages; the guard closes the rest."
        python("-m", "venv", "--without-pip", self.venv)
        python("-m", "pip", f"--python={self.python}", "install", "--no-index", "--no-deps", "--quiet", self.wheel())
        (site,) = self.venv.glob("lib/*/site-packages")
        modules, distributions = requirements.foreign()
        guard = GUARD.format(modules=sorted({*modules, *REFUSED}), distributions=distributions)
        (site / "guard.py").write_text(guard, encoding="utf-8")
        borrowed = [path for path in sys.path if path.endswith("site-packages")]
        (site / "borrowed.pth").write_text("\n".join([*borrowed, "import guard"]) + "\n", encoding="utf-8")
        self.work.mkdir()
        return f"{len(distributions)} packages of this environment are hidden there, nbdev and jupyterlab among them"

    def inside(self, *arguments, **kwargs) -> str:
        "Output of the clean environment's Python, run elsewhere than in the project."
        return run(self.python, *arguments, cwd=self.work, **kwargs)

    def imports(self) -> str:
        "Every module imports from the wheel; nbdev and connections are refused (else the check proves nothing)."
        for name in REFUSED:
            if "ModuleNotFoundError" not in self.refusal(f"import {name}"):
                raise Failed(f"{name} can be imported in the clean environment")
        if "network is closed" not in self.refusal("import urllib.request as r; r.urlopen('https://example.org')"):
            raise Failed("the clean environment can connect")
        modules = sorted(path.stem for path in LIBRARY.glob("*.py") if path.stem != "__init__")
        imports = "\n".join(f"import hemidiaphragm_nb.{module}" for module in modules)
        output = self.inside("-c", f"{imports}\nprint(hemidiaphragm_nb)")
        if str(self.venv) not in output:
            raise Failed("the package came from elsewhere than the wheel", output)
        return f"{len(modules)} modules"

    def refusal(self, code: str) -> str:
        "What running `code` in the clean environment writes to standard error."
        return subprocess.run([self.python, "-c", code], cwd=self.work, capture_output=True, text=True).stderr

    def command(self, *arguments, **kwargs) -> str:
        "Output of the installed `hemidiaphragm` command."
        return run(self.venv / "bin/hemidiaphragm", *arguments, cwd=self.work, **kwargs)

    def help(self) -> str:
        output = self.command("--help")
        missing = [name for name in ("phantom", "predict", "train") if name not in output]
        checks.fail_if(missing, "commands are not in the help")
        return f"{len(output.splitlines())} lines"

    def demo(self) -> str:
        "The demonstration at its smallest: it trains, evaluates and predicts."
        self.command("demo", "--quick", "--out", "demo", limit=600)
        left = {path.suffix for path in (self.work / "demo").rglob("*") if path.is_file()}
        checks.fail_if(sorted({".csv", ".png", ".json", ".safetensors"} - left), "kinds of file are not in demo/")
        return "trained, judged and predicted, offline"

    def predict(self) -> str:
        "Phantoms are written and predicted on, with the model that comes along or else the demonstration's."
        model = [] if (LIBRARY / "weights/default").exists() else ["--model", "demo/model"]
        self.command("phantom", "--n", "2", "--side", "128", "--out", "phantoms")
        self.command("predict", "phantoms/images", "--out", "predicted", "--masks", *model)
        rows = (self.work / "predicted/predictions.csv").read_text(encoding="utf-8").splitlines()
        if not rows[0].startswith("file,right_x,right_y,left_x,left_y,gap_px,gap_mm,warnings") or len(rows) != 3:
            raise Failed("predictions.csv is not as documented", "\n".join(rows))
        return f"{len(rows) - 1} predictions, offline, with {model[-1] if model else 'the shipped model'}"
