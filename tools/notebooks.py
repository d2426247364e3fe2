"""Run the notebooks for the tests, each in a process of its own, and report what they proved and covered."""
import ast
import re
from functools import partial
from pathlib import Path

import nbformat
from common import LIBRARY, NOTEBOOKS, ROOT, Failed, python
from IPython.core.inputtransformer2 import TransformerManager
from nbdev.config import get_config
from nbdev.test import nb_test_cells

SECONDS = 300  # limit for one notebook
ANSWERS, ANSWER_SECONDS = ROOT / "answers", 120  # the exercises' answers, and the limit for one notebook of them
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


def execute(path: Path, planned: list, *measure: str, limit: float = SECONDS) -> str:
    "Run the notebook at `path` (`measure`: with what); `Failed` also where it leaves a planned cell out or asserts nothing."
    output = python(*measure, ROOT / "tools/notebook.py", path, limit=limit)
    executed = int(re.findall(r"^cells executed: (\d+)$", output, re.M)[-1])
    proofs = sum(assertions(cell.source) for cell in planned)
    note = f"{executed} cells executed, {proofs} assertions"
    if executed != len(planned) or not executed:
        raise Failed(f"{note}; {len(planned)} cells were to be executed")
    if not proofs:
        raise Failed(f"{note}: nothing can fail")
    return note


def run(path: Path, scratch: Path) -> str:
    "Run the notebook at `path` under coverage."
    measure = ["coverage", "run", "--parallel-mode", f"--data-file={scratch / '.coverage'}", f"--source={LIBRARY}"]
    planned = [cell for cell in nb_test_cells(path, get_config().tst_flags.split()) if cell.source.strip()]
    return execute(path, planned, "-m", *measure)


def cells_of(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def exercises(lesson: Path) -> list[int]:
    "Numbers of the exercises that close a lesson; none for a notebook without."
    text = "\n".join(cell.source for cell in cells_of(lesson) if cell.cell_type == "markdown")
    return [int(number) for number in re.findall(r"^(\d+)\. ", text.partition("## Exercises")[2], re.M)]


def answered(path: Path) -> dict[int, int]:
    "Number of each exercise under whose heading an answer stands: number of assertions there."
    found, number = {}, 0
    for cell in cells_of(path):
        if heading := re.match(r"## Exercise (\d+)$", cell.source.partition("\n")[0]):
            number = int(heading[1])
            found[number] = 0
        elif cell.cell_type == "code" and number:
            found[number] += assertions(cell.source)
    return found


def answer(lesson: Path) -> str:
    "Run the answers to a lesson, every cell of them, without coverage."
    path = ANSWERS / lesson.name
    cells = [cell for cell in cells_of(path) if cell.cell_type == "code" and cell.source.strip()]
    return execute(path, cells, limit=ANSWER_SECONDS)


def answers_complete() -> str:
    "Each lesson with exercises has an answer to each of them that can fail; answers keep no outputs."
    wanted = {path.name: exercises(path) for path in found() if exercises(path)}
    there = {path.name for path in ANSWERS.glob("*.ipynb")}
    problems = [f"{name}: no lesson has these exercises" for name in sorted(there - wanted.keys())]
    for name, numbers in wanted.items():
        given = answered(ANSWERS / name) if name in there else {}
        if list(given) != numbers:
            problems.append(f"{name}: exercises {numbers}, answers to {list(given)}")
        problems += [f"{name}: the answer to exercise {number} asserts nothing" for number, proofs in given.items() if not proofs]
        if name in there and any(cell.get("outputs") or cell.get("execution_count") for cell in cells_of(ANSWERS / name)):
            problems.append(f"{name}: outputs were kept; clear them")
    if problems or not wanted:
        raise Failed(f"{len(problems)} problems with answers", "\n".join(problems))
    return f"{sum(map(len, wanted.values()))} exercises of {len(wanted)} lessons"


def answer_checks() -> dict:
    "Name of each check of the answers, and what does it."
    lessons = [path for path in found() if exercises(path)]
    return {"answers: complete": answers_complete} | {f"answers: {path.stem.partition('_')[0]}": partial(answer, path) for path in lessons}


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
