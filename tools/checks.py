"""Checks of the package as a whole: in step with the notebooks, consistent, small, quick to import."""
import ast
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import make_readme
import requirements
from common import LIBRARY, NOTEBOOKS, ROOT, Failed, python, run, tracked_files

NOTEBOOK_KB = 300
CELL_LINES = 30
IMPORT_SECONDS = 3.0
PICKLES = re.compile(r"pickle\.loads?\(|joblib\.load\(|load_learner\(|allow_pickle=True|weights_only=False")


def fail_if(problems: list[str], what: str) -> None:
    "`Failed` with the list of `problems`, if there are any."
    if problems:
        raise Failed(f"{len(problems)} {what}", "\n".join(problems))


def copy_tree(target: Path) -> list[str]:
    "Copy the working tree's files to `target`, links kept, and return their names."
    names = tracked_files()
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return names


def digests(folder: Path) -> dict[str, str]:
    "SHA-256 of each file under `folder`, bytecode left out."
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def unchanged_by(command: str) -> str:
    "nbdev's `command` leaves a copy of the working tree as it is."
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve()
        copy_tree(tree)
        before = digests(tree)
        run(Path(sys.executable).with_name(command), cwd=tree)
        after = digests(tree)
    after.pop("nbs/.last_checked", None)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    fail_if(changed, f"files that {command} changes")
    return f"{command} changes none of {len(before)} files"


def read_notebook(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]


def notebook_problems(path: Path) -> list[str]:
    "What makes the notebook at `path` unfit to commit: too large, widget state, errors, long exported cells."
    problems, kilobytes = [], path.stat().st_size / 1000
    if kilobytes > NOTEBOOK_KB:
        problems.append(f"{path.name}: {kilobytes:.0f} kB, over {NOTEBOOK_KB} kB")
    if "widgets" in read_notebook(path)["metadata"]:
        problems.append(f"{path.name}: carries widget state")
    for cell in code_cells(path):
        source = "".join(cell["source"])
        lines = [line for line in source.splitlines() if line.strip() and not line.startswith("#|")]
        if re.search(r"^#\|\s*exports?\b", source, re.M) and len(lines) > CELL_LINES:
            problems.append(f"{path.name}: an exported cell of {len(lines)} lines, over {CELL_LINES}: {lines[0]}")
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            problems.append(f"{path.name}: an error among the outputs of: {lines[0]}")
    return problems


def notebooks_fit() -> str:
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    fail_if([problem for path in paths for problem in notebook_problems(path)], "problems in notebooks")
    return f"{len(paths)} notebooks, the largest {max(path.stat().st_size for path in paths) / 1000:.0f} kB"


def index_link() -> str:
    link = NOTEBOOKS / "index.ipynb"
    if not link.is_symlink() or os.readlink(link) != "../index.ipynb":
        raise Failed("nbs/index.ipynb is no link to ../index.ipynb")
    return "nbs/index.ipynb -> ../index.ipynb"


def metadata_agrees() -> str:
    "Name and version are the same everywhere, and no other key stands in two places."
    settings = requirements.settings()
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    number = settings["version"]
    sources = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "CHANGELOG.md")}
    wrong = {
        "pyproject.toml: name": pyproject["project"]["name"] != settings["lib_name"],
        "pyproject.toml: lib_path": pyproject["tool"]["nbdev"]["lib_path"] != settings["lib_name"],
        "pyproject.toml: more than name, dynamic and urls": set(pyproject["project"]) != {"name", "dynamic", "urls"},
        "pyproject.toml: a key of settings.ini": bool(set(pyproject["tool"]["nbdev"]) & set(settings)),
        "__version__": f'__version__ = "{number}"' not in (LIBRARY / "__init__.py").read_text(encoding="utf-8"),
        "installed version": version(settings["lib_name"]) != number,
        "CITATION.cff": not re.search(rf"^version: {re.escape(number)}$", sources["CITATION.cff"], re.M),
        "CHANGELOG.md": not re.search(rf"^## {re.escape(number)}\b", sources["CHANGELOG.md"], re.M),
    }
    fail_if([place for place, is_wrong in wrong.items() if is_wrong], f"places disagree with settings.ini ({number})")
    return f"{settings['lib_name']} {number} in {len(wrong)} places"


def lock_meets_requirements() -> str:
    fail_if(requirements.unlocked(), "requirements that requirements.lock does not meet: run `make lock`")
    return f"{len(requirements.direct())} requirements are met"


def import_is_quick() -> str:
    "`import hemidiaphragm_nb` takes under 3 s, interpreter included (best of three)."
    times = []
    for _ in range(3):
        start = time.monotonic()
        python("-c", "import hemidiaphragm_nb")
        times.append(time.monotonic() - start)
    if min(times) > IMPORT_SECONDS:
        raise Failed(f"{min(times):.2f} s, over {IMPORT_SECONDS} s")
    return f"{min(times):.2f} s"


def exported_from() -> dict[str, str]:
    "Of each notebook that exports: its module's name and the notebook's, in the notebooks' order."
    order = {}
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        sources = "\n".join("".join(cell["source"]) for cell in code_cells(path))
        if found := re.search(r"^#\|\s*default_exp\s+(\S+)", sources, re.M):
            order[found[1]] = path.stem
    return order


def imported_modules(path: Path) -> set[str]:
    "Modules of this package that the module at `path` imports, inside functions too."
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith(LIBRARY.name)):
            module = (node.module or "").removeprefix(LIBRARY.name).strip(".")
            names |= {module} if module else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith(LIBRARY.name + ".")}
    return names


FRONT_DOOR = "cli"  # a command may open any room, and does so only when it is called


def imports_go_back() -> str:
    "A module imports only from modules of earlier notebooks."
    rank = {module: position for position, module in enumerate(exported_from())}
    modules = {path.stem for path in LIBRARY.glob("*.py")} - {"__init__", "_modidx"}
    fail_if(sorted(modules - rank.keys()), "modules that no notebook exports")
    problems = [
        f"{module} imports {other}, of a later notebook"
        for module in rank.keys() - {FRONT_DOOR}
        for other in sorted(imported_modules(LIBRARY / f"{module}.py") & modules)
        if rank[other] >= rank[module]
    ]
    fail_if(problems, "imports against the notebooks' order")
    return f"{len(rank)} modules, each from its notebook"


def no_pickles() -> str:
    "No exported code unpickles: neither directly nor through a loader that does."
    problems = [
        f"{path.name}:{number}: {line.strip()}"
        for path in sorted(LIBRARY.glob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if PICKLES.search(line)
    ]
    fail_if(problems, "places that load pickles")
    return "none is loaded"


def readme_in_step() -> str:
    files = make_readme.rendered()
    stale = [name for name in files if not (ROOT / name).exists() or (ROOT / name).read_bytes() != files[name]]
    fail_if(stale, "files out of step with index.ipynb: run `make readme`")
    return "README.md is what index.ipynb gives"


CHECKS = {
    "export in step": lambda: unchanged_by("nbdev-export"),
    "notebooks are clean": lambda: unchanged_by("nbdev-clean"),
    "notebooks fit": notebooks_fit,
    "index link": index_link,
    "README in step": readme_in_step,
    "metadata agrees": metadata_agrees,
    "lock meets requirements": lock_meets_requirements,
    "imports go back": imports_go_back,
    "no pickles": no_pickles,
    "import is quick": import_is_quick,
}
