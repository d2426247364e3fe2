"""Run the notebooks for the tests, each in a process of its own, and report what they proved and covered."""
import ast
import re
from pathlib import Path

from common import LIBRARY, NOTEBOOKS, ROOT, Failed, python
from IPython.core.inputtransformer2 import TransformerManager
from nbdev.config import get_config
from nbdev.test import nb_test_cells

SECONDS = 300  # limit for one notebook
COVERED = 90  # percent of the exported lines that the notebooks must execute
CHECKS = re.compile(r"(test|assert|check_raises)(_|$)|^(ExceptionExpected|raises)$")


def found() -> list[Path]:
    "The notebooks, in the order of their names, `index.ipynb` first."
    paths = [path for path in NOTEBOOKS.glob("*.ipynb") if not path.name.startswith((".", "_"))]
    return sorted(paths, key=lambda path: (path.name != "index.ipynb", path.name))


def is_assertion(node: ast.AST) -> bool:
    "Whether `node` is an assert statement or a call like `test_eq(...)` or `np.testing.assert_allclose(...)`."
    if isinstance(node, ast.Assert):
        return True
    function = node.func if isinstance(node, ast.Call) else None
    return bool(CHECKS.match(getattr(function, "attr", getattr(function, "id", ""))))


def assertions(source: str) -> int:
    "Number of assertions written in a cell."
    tree = ast.parse(TransformerManager().transform_cell(source))
    return sum(map(is_assertion, ast.walk(tree)))


def run(path: Path, scratch: Path) -> str:
    "Run the notebook at `path` under coverage; `Failed` also where it executes no cell or asserts nothing."
    measure = ["coverage", "run", "--parallel-mode", f"--data-file={scratch / '.coverage'}", f"--source={LIBRARY}"]
    output = python("-m", *measure, ROOT / "tools/notebook.py", path, limit=SECONDS)
    executed = int(re.findall(r"^cells executed: (\d+)$", output, re.M)[-1])
    planned = [cell for cell in nb_test_cells(path, get_config().tst_flags.split()) if cell.source.strip()]
    proofs = sum(assertions(cell.source) for cell in planned)
    note = f"{executed} cells executed, {proofs} assertions"
    if executed != len(planned) or not executed:
        raise Failed(f"{note}; {len(planned)} cells were to be executed")
    if not proofs:
        raise Failed(f"{note}: nothing can fail")
    return note


def coverage(scratch: Path) -> str:
    "Percentage of the exported lines that the notebooks executed, with each module's."
    data = f"--data-file={scratch / '.coverage'}"
    python("-m", "coverage", "combine", "--quiet", data, scratch)
    report = python("-m", "coverage", "report", data)
    rows = [line.split() for line in report.splitlines() if line.endswith("%")]
    percent = {Path(row[0]).stem: int(row[-1].rstrip("%")) for row in rows}
    total = percent.pop("TOTAL")
    note = f"{total} % of exported lines: " + ", ".join(f"{name} {value}" for name, value in percent.items())
    if total < COVERED:
        raise Failed(f"{note}; {COVERED} % is the floor")
    return note
