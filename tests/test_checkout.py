"The checkout is in step with itself: notebooks, modules, README, metadata, lock."

import ast
import hashlib
import os
import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from tools import make_readme, requirements
from tools.project import (
    LIBRARY,
    NOTEBOOKS,
    ROOT,
    code_cells,
    copy_tree,
    notebooks,
    read_notebook,
    run,
    tracked_files,
)

NOTEBOOK_BYTES = 1_000_000
CELL_LINES = 50  # of an exported cell without its signature and docstring
REGISTRIES = r"pypi|pythonhosted|npmjs|yarnpkg|anaconda|crates|deb\.debian|archive\.ubuntu"
HOST = re.compile(rf"\b(?:{REGISTRIES})\.(?:org|com|io|net|dev)\b")


def digests(folder: Path) -> dict[str, str]:
    "SHA-256 of each file under `folder`, bytecode left out."
    files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.parametrize("command", ["nbdev-export", "nbdev-clean"])
def test_command_changes_nothing(command, tmp_path):
    copy_tree(tmp_path)
    before = digests(tmp_path)
    run(Path(sys.executable).with_name(command), cwd=tmp_path, PYTHONPATH="")
    after = digests(tmp_path)
    after.pop("nbs/.last_checked", None)
    names = before.keys() | after.keys()
    assert not sorted(name for name in names if before.get(name) != after.get(name))


def test_nbdev_test_runs_by_name(tmp_path):
    "nbdev's own command on the folder of notebooks; two short ones stand for all."
    command = Path(sys.executable).with_name("nbdev-test")
    assert "Success." in run(command, "nbs", "--file-re", "04_losses|cases", limit=600)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_notebook_fits(path):
    assert path.stat().st_size <= NOTEBOOK_BYTES
    notebook = read_notebook(path)
    assert "widgets" not in notebook["metadata"], "it carries widget state"
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert "error" not in [output["output_type"] for output in outputs]
    exported = [
        source for source in code_cells(path) if re.search(r"^#\|\s*exports?\b", source, re.M)
    ]
    lengths = {source.partition("\n")[2][:80]: written_lines(source) for source in exported}
    assert {start: n for start, n in lengths.items() if n > CELL_LINES} == {}


def written_lines(source: str) -> int:
    """The lines of an exported cell that say what it does: no directives, imports, signatures,
    docstrings.
    """
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("#|")]
    defined = (ast.FunctionDef, ast.ClassDef)
    nodes = list(ast.walk(ast.parse(source)))
    imports = [n for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom))]
    definitions = [node for node in nodes if isinstance(node, defined)]
    imported = sum(node.end_lineno - node.lineno + 1 for node in imports)
    return len(lines) - imported - sum(map(heading_lines, definitions))


def heading_lines(node: ast.FunctionDef | ast.ClassDef) -> int:
    "The lines of a signature and a docstring, beyond the first."
    first = node.body[0]
    return (first.end_lineno if ast.get_docstring(node) else first.lineno - 1) - node.lineno


def test_the_index_is_linked_among_the_notebooks():
    link = NOTEBOOKS / "index.ipynb"
    assert link.is_symlink() and os.readlink(link) == "../index.ipynb"


def test_readme_is_what_the_index_gives():
    files = make_readme.rendered()
    stale = [
        name
        for name, content in files.items()
        if not (ROOT / name).exists() or (ROOT / name).read_bytes() != content
    ]
    assert not stale, "run `make readme`"


def test_metadata_stands_once():
    "Name and version are the same everywhere, and no other key stands in two places."
    settings = requirements.settings()
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    number = settings["version"]
    assert pyproject["project"]["name"] == settings["lib_name"]
    assert pyproject["tool"]["nbdev"]["lib_path"] == settings["lib_name"]
    assert set(pyproject["project"]) == {"name", "dynamic", "urls"}
    assert not set(pyproject["tool"]["nbdev"]) & set(settings)
    assert f'__version__ = "{number}"' in (LIBRARY / "__init__.py").read_text(encoding="utf-8")
    assert version(settings["lib_name"]) == number, "the installed version"
    for name, pattern in {"CITATION.cff": "version: {}$", "CHANGELOG.md": r"## {}\b"}.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.search("^" + pattern.format(re.escape(number)), text, re.M), name


def test_the_lock_meets_the_requirements():
    assert not requirements.unlocked(), "run `make lock`"


def test_the_demonstration_predicts_before_torch_comes(tmp_path):
    lines = run("make", "--dry-run", "demo", f"VENV={tmp_path}", cwd=ROOT).splitlines()
    steps = [line for line in lines if "bootstrap.py" in line or "/hemidiaphragm demo" in line]
    assert ["--extras" in step for step in steps] == [False, False, True, False]
    assert "--shipped" in steps[1] and "--shipped" not in steps[3]


def test_the_tests_that_took_over_old_checks_are_there():
    text = (ROOT / "docs" / "tests.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert len(named) > 40
    lines = {name: (ROOT / name).read_text(encoding="utf-8") for name, _ in named}
    lost = [f"{name}::{test}" for name, test in named if f"def {test}(" not in lines[name]]
    assert lost == []


def test_no_file_names_the_host_of_a_registry():
    "Whoever installs may use a mirror: pip, npm and apt know where their packages are."
    found = []
    for name in tracked_files():
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            text = path.read_text(encoding="utf-8", errors="ignore")
            found += [f"{name}: {host}" for host in set(HOST.findall(text))]
    assert not found
