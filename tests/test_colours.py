"A colour means one thing: figures, overlays, the app and the page have the same ones."

import re

import nbformat
import pytest

from hemidiaphragm_nb.features import SIDES
from hemidiaphragm_nb.figures import COLOURS
from hemidiaphragm_nb.overlay import LUNG_COLOURS, RED
from tools.project import LIBRARY, NOTEBOOKS, ROOT

COLOUR = r"#[0-9a-f]{6}"
VIEWER = (LIBRARY / "static/viewer.css").read_text(encoding="utf8").lower()
PAGE = (ROOT / "web/src/pictures.js").read_text(encoding="utf8").lower()


def colours(pattern: str, text: str) -> set[str]:
    "The colours that follow what the pattern matches."
    found = {c for match in re.findall(pattern, text) for c in re.findall(COLOUR, match)}
    assert found, pattern
    return found


@pytest.mark.parametrize("side", SIDES)
def test_a_lung_has_one_colour(side):
    colour = COLOURS[side].lower()
    assert "#{:02x}{:02x}{:02x}".format(*LUNG_COLOURS[SIDES.index(side)]) == colour
    assert colours(rf"\.lung\.{side} {{[^}}]*}}", VIEWER) == {colour}
    assert colours(rf"{side}: *\"{COLOUR}\"", PAGE) == {colour}


def test_a_predicted_landmark_has_one_colour():
    colour = COLOURS["prediction"].lower()
    assert "#{:02x}{:02x}{:02x}".format(*RED) == colour
    assert colours(rf"border: 3px solid {COLOUR}|radial-gradient\(circle, {COLOUR}", VIEWER) == {
        colour
    }
    assert colours(rf"fillstyle = \"{COLOUR}\"", PAGE) == {colour}


@pytest.mark.parametrize("lesson", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda p: p.stem)
def test_a_lesson_asks_for_a_colour_by_what_it_means(lesson):
    "`C0` to `C3` are the colours of truth, prediction, left and right: those have names."
    for cell in nbformat.read(lesson, as_version=4).cells:
        assert cell.cell_type != "code" or not re.search(r"""["']C[0-3]["']""", cell.source)
