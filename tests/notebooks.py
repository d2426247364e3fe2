"""A notebook as a test: run as a reader would, what it proves counted, what it covers measured."""

import ast
import io
import re
from pathlib import Path

import nbformat
import pytest
from coverage import Coverage
from IPython.core.inputtransformer2 import TransformerManager
from nbdev.config import get_config
from nbdev.test import nb_test_cells

from tools.project import ANSWERS, LIBRARY, NOTEBOOKS, ROOT, CommandFailed, notebooks, python

SECONDS = 600  # limit for one notebook
COVERED = 90  # percent of the exported lines that the notebooks must execute
CHECKS = re.compile(r"(test|assert|check_raises)(_|$)|^(ExceptionExpected|raises)$")


def is_assertion(node: ast.AST) -> bool:
    "Whether `node` is an assert statement or a call such as `test_eq(...)`, `assert_equal(...)`."
    if isinstance(node, ast.Assert):
        return True
    function = node.func if isinstance(node, ast.Call) else None
    return bool(CHECKS.match(getattr(function, "attr", getattr(function, "id", ""))))


def assertions(source: str) -> int:
    "The number of assertions written in a cell."
    tree = ast.parse(TransformerManager().transform_cell(source))
    return sum(map(is_assertion, ast.walk(tree)))


def planned_cells(path: Path) -> list:
    "The code cells that must run: those that nbdev tests; of an answers notebook all."
    if path.is_relative_to(ANSWERS):
        cells = nbformat.read(path, as_version=4).cells
        cells = [cell for cell in cells if cell.cell_type == "code"]
    else:
        flags = get_config(ROOT).tst_flags
        cells = nb_test_cells(path, flags.split() if isinstance(flags, str) else flags)
    return [cell for cell in cells if cell.source.strip()]


def execute(path: Path, coverage: str = "", limit: float = SECONDS, **variables: str):
    """Run the notebook at `path`, with coverage data written to the folder `coverage` if named.

    Returns: how many cells were executed, and how many assertions they make. Raises: CommandFailed
    where it fails, leaves out a cell or asserts nothing.
    """
    __tracebackhide__ = True
    planned, measure = planned_cells(path), []
    if coverage:
        data = f"--data-file={coverage}/.coverage"
        measure = ["-m", "coverage", "run", "--parallel-mode", data, f"--source={LIBRARY}"]
    output = python(*measure, "-m", "tests.run_notebook", path, limit=limit, **variables)
    executed = int(re.findall(r"^cells executed: (\d+)$", output, re.M)[-1])
    proofs = sum(assertions(cell.source) for cell in planned)
    if executed != len(planned) or not executed:
        raise CommandFailed(f"{executed} cells executed, of {len(planned)} that should be")
    if not proofs:
        raise CommandFailed(f"{executed} cells executed, and none asserts anything")
    return executed, proofs


class NotebookFile(pytest.File):
    "A notebook, collected: one test."

    def collect(self):
        yield NotebookItem.from_parent(self, name=self.path.name, nodeid=self.nodeid)


class NotebookItem(pytest.Item):
    "The test of a notebook; its id is the notebook's path."

    def runtest(self):
        lesson = self.path.is_relative_to(NOTEBOOKS)
        executed, proofs = execute(self.path, self.config.coverage_folder if lesson else "")
        self.user_properties += [("cells", executed), ("assertions", proofs)]

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, CommandFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.nodeid


class NotebookSummary:
    "Counts what the notebooks proved, and checks coverage at the end of a run of all of them."

    def __init__(self, folder: str):
        self.folder, self.passed, self.report, self.percent = folder, {}, "", None

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed and report.nodeid.endswith(".ipynb"):
            self.passed[report.nodeid] = dict(report.user_properties)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session):
        every = {path.relative_to(ROOT).as_posix() for path in notebooks()}
        if every <= self.passed.keys():
            self.percent, self.report = covered(self.folder)
            if self.percent < COVERED and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if not self.passed:
            return
        terminalreporter.section("notebooks")
        cells, proofs = (
            sum(counts[key] for counts in self.passed.values()) for key in ("cells", "assertions")
        )
        executed = f"{cells} cells executed, {proofs} assertions"
        terminalreporter.line(f"{len(self.passed)} notebooks passed: {executed}")
        if self.percent is None:
            terminalreporter.line("coverage is checked where every notebook of nbs/ passes")
            return
        terminalreporter.line(self.report)
        line = f"{self.percent:.1f} % of the exported lines executed; {COVERED} % is the floor"
        terminalreporter.line(line, red=self.percent < COVERED)


def covered(folder: str) -> tuple[float, str]:
    "The percentage of the exported lines that the notebooks executed, and each module's."
    coverage = Coverage(data_file=f"{folder}/.coverage", config_file=str(ROOT / "pyproject.toml"))
    coverage.combine([folder])
    text = io.StringIO()
    percent = coverage.report(file=text)
    rows = [line.split() for line in text.getvalue().splitlines() if line.endswith("%")]
    return percent, ", ".join(f"{Path(row[0]).stem} {row[-1]}" for row in rows[:-1])
