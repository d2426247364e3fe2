"""Run one notebook through nbdev's test command, and print how many of its cells were executed.

`coverage run --parallel-mode -m tests.run_notebook nbs/03_heatmaps.ipynb`

A notebook runs its own cells, not the module exported from them. So that coverage counts the
module's lines, each exported cell is compiled under the name and the line numbers which it has in
the module.
"""

import ast
import re
import sys
from pathlib import Path

from execnb.shell import CaptureShell
from IPython.core.compilerop import CachingCompiler
from nbdev.test import nbdev_test

LIBRARY = Path(__file__).resolve().parent.parent / "hemidiaphragm_nb"
MARK = re.compile(r"# %% \S*?([^/\s]+\.ipynb) #(\S+)")  # above each exported cell: notebook, id


def exported_places(notebook: str) -> dict[str, tuple[str, int]]:
    "Of each exported cell of `notebook`, by its id: the module and the line where it begins there."
    places = {}
    for module in sorted(LIBRARY.rglob("*.py")):
        for number, line in enumerate(module.read_text(encoding="utf-8").splitlines(), start=1):
            found = MARK.match(line)
            if found and found[1] == notebook:
                places[found[2]] = (str(module), number + 1)
    return places


def code_line(source: str) -> int:
    "The number of the first line of `source` below its directives."
    lines = source.splitlines()
    return next((i for i, line in enumerate(lines, 1) if not line.lstrip().startswith("#|")), 1)


class PlacedCompiler(CachingCompiler):
    "Compiles a cell under the `place` (file, lines to shift by) that the shell sets for it."

    place = None

    def __call__(self, source, filename, symbol, **kwargs):
        if PlacedCompiler.place and isinstance(source, ast.AST):
            filename, shift = PlacedCompiler.place
            ast.increment_lineno(source, shift)
        return super().__call__(source, filename, symbol, **kwargs)


def follow_cells(notebook: str, executed: list[str], disturb=None) -> None:
    """Have the shell that nbdev uses compile exported cells in place, and note each cell that runs.

    `disturb`, if given, is called with the notebook's names before each code cell.
    """
    places, run_cell = exported_places(notebook), CaptureShell.cell

    def cell(self, cell, *args, **kwargs):
        if cell.cell_type == "code" and cell.source.strip():
            executed.append(cell.id)
            module, line = places.get(cell.id, ("", 0))
            PlacedCompiler.place = (module, line - code_line(cell.source)) if module else None
            if disturb:
                disturb(self.user_ns)
        return run_cell(self, cell, *args, **kwargs)

    CaptureShell.cell = cell
    CaptureShell.compiler_class = PlacedCompiler


def main(path: str) -> None:
    executed: list[str] = []
    disturb = getattr(sys.modules.get("sitecustomize"), "disturb", None)  # see other_processor/
    follow_cells(Path(path).name, executed, disturb)
    try:
        nbdev_test(path=path, n_workers=0, timing=True)
    finally:
        print(f"cells executed: {len(executed)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
