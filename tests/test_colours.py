"A colour means one thing: figures, overlays, the app and the page have the same ones."

import re

import matplotlib as mpl
import nbformat
import pytest
from matplotlib.colors import to_hex

from hemidiaphragm_nb.features import SIDES
from hemidiaphragm_nb.figures import COLOURS, STYLE
from hemidiaphragm_nb.overlay import LUNG_COLOURS, RED
from tools.project import LIBRARY, NOTEBOOKS, ROOT

COLOUR = r"#[0-9a-f]{6}"
VIEWER = (LIBRARY / "static/viewer.css").read_text(encoding="utf8").lower()
EXPLORE = (LIBRARY / "static/explore.js").read_text(encoding="utf8")
EXPLORED = {"beta": set(), "errors": {"right", "left"}, "lambda": set()}
EXPLORED["dials"] = {"truth", "prediction"}
BOOKS = sorted(path for path in NOTEBOOKS.rglob("*.ipynb") if path.stem != "index")
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


def test_a_curve_without_a_meaning_has_no_colour_of_one():
    "The style's cycle is what a curve takes that names no colour."
    sheet = mpl.rc_params_from_file(STYLE, use_default_template=False)
    cycle = {to_hex(colour) for colour in sheet["axes.prop_cycle"].by_key()["color"]}
    assert len(cycle) == 4 and not cycle & {colour.lower() for colour in COLOURS.values()}


@pytest.mark.parametrize("function, meanings", EXPLORED.items())
def test_an_exploration_of_the_page_asks_for_a_colour_by_what_it_means(function, meanings):
    "Ours and the paper's are neither left nor right, neither truth nor prediction."
    body = re.search(rf"^  function {function}\(.*?^  }}$", EXPLORE, re.M | re.S)[0]
    assert set(re.findall(r"colours\.(\w+)", body)) == meanings
    assert not re.search(COLOUR, body)


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_a_notebook_asks_for_a_colour_by_what_it_means(book):
    "By its name in `COLOURS`, not by its number."
    meant = "|".join(COLOURS.values())
    for cell in nbformat.read(book, as_version=4).cells:
        defines = re.search(r"^COLOURS = ", cell.source, re.M)
        assert cell.cell_type != "code" or defines or not re.search(meant, cell.source, re.I)
