"""How long each slider of the lessons takes to redraw: `docs/sliders.md`.

`python -m tools.slider_times` runs what leads to each slider in a kernel, moves every slider over
its whole range there, and prints a row a slider; `python -m tools.slider_times 03 15 --write`
measures those lessons again and writes their rows. A time is what the kernel's process computes
from the new value to the finished picture, so that other work on the machine does not count.
"""

import argparse
import json
import os
import re
from pathlib import Path
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient

from tests.jupyterlab import SHORT, SKIPPED_CELLS, needed
from tests.test_widgets import WIDGETS
from tools.project import NOTEBOOKS, ROOT, code_cells

PAGE = ROOT / "docs/sliders.md"
HEAD = """# How fast the sliders redraw

Every slider of the lessons redraws while it is dragged, and a picture in 0.1 s follows the hand. A
time is what the kernel's process computes from the new value to the finished picture, over the
slider's whole range, on one core without a GPU: on a core that does nothing else, the time one
waits (lesson 01: the time that passed, on two cores with little else to do). The browser adds some
hundredths of a second. Lessons 10 to 14 have no row: they draw all their pictures before the slider
is there, and then compute nothing. Measured by `python -m tools.slider_times --write`;
`tests/test_sliders.py` holds the table to the lessons.

| lesson | picture | slider | median (s) | 9 in 10 below (s) | values |
|---|---|---|---|---|---|
"""
WATCH = """
import ipywidgets as _widgets
_interact, _output, _found = _widgets.interact, _widgets.interactive_output, []

def _watch(f, **controls):
    _interact(f, **controls)
    _found.append((f.__name__, list(f.widget.children)))
    return f

def _watch_output(f, controls):
    _found.append((f.__name__, list(controls.values())))
    return _output(f, controls)

_widgets.interact, _widgets.interactive_output = _watch, _watch_output
"""
MEASURE = """
import json as _json
import time as _time

def _values(slider):
    if isinstance(slider, _widgets.SelectionSlider):
        return list(slider.options)
    n = min(12, round((slider.max - slider.min) / slider.step))
    steps = [slider.min + (slider.max - slider.min) * i / n for i in range(n + 1)]
    return [round(v) if isinstance(slider, _widgets.IntSlider) else v for v in steps]

_kinds, _rows = (_widgets.FloatSlider, _widgets.IntSlider, _widgets.SelectionSlider), []
for _name, _controls in _found:
    for _slider in (c for c in _controls if isinstance(c, _kinds)):
        _before, _times = _slider.value, []
        for _again in range(2):
            for _value in _values(_slider):
                if _value != _slider.value:
                    _start = _time.process_time()
                    _slider.value = _value
                    _times.append((_again, _time.process_time() - _start))
        _slider.value = _before
        _second = sorted(t for again, t in _times if again)
        _rows.append(dict(picture=_name, slider=_slider.description, n=len(_second),
            median=_second[len(_second) // 2], late=_second[int(0.9 * len(_second))],
            drag=_slider.continuous_update))
print("ROWS", _json.dumps(_rows))
"""


def measure(notebook: Path) -> list[dict]:
    "A row for each slider of the notebook at that path."
    cells = [source for source in code_cells(notebook) if not SKIPPED_CELLS.search(source)]
    kept = [source for source, keep in zip(cells, needed(cells, WIDGETS), strict=True) if keep]
    code = [nbformat.v4.new_code_cell(source) for source in (WATCH, *kept, MEASURE)]
    book = nbformat.v4.new_notebook(cells=code)
    trains = any("run_plan(" in source for source in kept)
    variables = SHORT if trains else {}  # the time of a picture does not depend on its training
    place = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(book, timeout=900, kernel_name="python3", resources=place)
    with patch.dict(os.environ, variables):
        client.execute()
    text = "".join(output.get("text", "") for output in book.cells[-1].outputs)
    return json.loads(re.search(r"ROWS (.*)", text)[1])


def line(lesson: str, row: dict) -> str:
    "A slider's row of the page."
    times = f"{row['median']:.3f} | {row['late']:.3f} | {row['n']}"
    return f"| {lesson[:2]} | `{row['picture']}` | {row['slider']} | {times} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lessons", nargs="*", help="numbers; without them all that have sliders")
    parser.add_argument("--write", action="store_true", help="write docs/sliders.md")
    options = parser.parse_args()
    found = {path.stem: path for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))}
    chosen = [name for name in found if not options.lessons or name[:2] in options.lessons]
    chosen = [name for name in chosen if any(map(WIDGETS.search, code_cells(found[name])))]
    old = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    rows = [text for text in old if re.match(r"\| \d\d ", text)]
    for name in chosen:
        new = [line(name, row) for row in measure(found[name])]
        print(*new, sep="\n", flush=True)
        rows = [text for text in rows if text[2:4] != name[:2]] + new
        if options.write:
            PAGE.write_text(HEAD + "\n".join(sorted(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
