"Notebooks, tests, scripts: formatted and linted by ruff; what is private stays in its module."

import ast
import sys

import nbformat
import pytest

from tools.project import LIBRARY, ROOT, run

PLACES = {
    "notebooks": ["nbs", "answers", "index.ipynb"],
    "scripts": ["tests", "tools", "docs", "setup.py", "conftest.py"],
}


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]], ids=["format", "lint"])
@pytest.mark.parametrize("places", PLACES)
def test_ruff_changes_nothing(command, places):
    paths = [ROOT / place for place in PLACES[places]]
    run(sys.executable, "-m", "ruff", *command, *paths)


def private_imports(source: str) -> list[str]:
    "What a module takes of another one of the library although its name begins with `_`."
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.level or LIBRARY.name in node.module):
            names = [alias.name for alias in node.names]
            found += [name for name in names if name[0] == "_" and name[:2] != "__"]
    return found


def test_no_module_imports_what_is_private_to_another():
    assert private_imports("from .files import _digest, shown\n") == ["_digest"]
    modules = [path for path in LIBRARY.glob("*.py") if path.name != "_modidx.py"]
    found = {path.stem: private_imports(path.read_text(encoding="utf8")) for path in modules}
    assert {module: names for module, names in found.items() if names} == {}


def test_what_the_page_folds_jupyterlab_folds_too():
    open_cells = []
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.source.startswith("#| code-fold: true"):
                hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
                open_cells += [] if hidden else [f"{path.stem}: {cell.id}"]
    assert open_cells == []
