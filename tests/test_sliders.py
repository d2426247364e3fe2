"What the lessons' sliders draw, asked of their callbacks, and the measured time of each."

import re
from dataclasses import fields, replace

import matplotlib
import numpy as np
import pytest
from sklearn.metrics import f1_score

from hemidiaphragm_nb.anatomy import Dials
from hemidiaphragm_nb.phantom import phantom
from tests.jupyterlab import SKIPPED_CELLS, needed
from tests.test_widgets import WITH_WIDGETS
from tools.project import NOTEBOOKS, ROOT, code_cells

LIMIT = 0.1  # s: a slower picture does not follow the hand


@pytest.fixture(autouse=True)
def beside_the_lessons(monkeypatch):
    monkeypatch.chdir(NOTEBOOKS)  # as a kernel has it


def lesson(name: str, callback: str) -> dict:
    "The names of a lesson after the cells up to that of `callback`."
    cells = [s for s in code_cells(NOTEBOOKS / f"{name}.ipynb") if not SKIPPED_CELLS.search(s)]
    last = next(i for i, source in enumerate(cells) if f"def {callback}(" in source)
    cells = cells[: last + 1]
    kept = needed(cells, re.compile(rf"def {callback}\(|use_style\(\)"))
    space = {"__name__": "__main__"}
    matplotlib.use("agg")
    for source, keep in zip(cells, kept, strict=True):
        if keep:
            exec(compile(source, name, "exec"), space)
    return space


def rows() -> list[tuple[str, str, float, float]]:
    text = (ROOT / "docs/sliders.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^\| (\d\d) \| `(\w+)` \| .+ \| ([\d.]+) \| ([\d.]+) \| \d+ \|$", text, re.M
    )
    return [(n, name, float(middle), float(late)) for n, name, middle, late in found]


def test_every_slider_follows_the_hand_as_measured_or_shows_what_is_drawn_before():
    lessons = [path for path in WITH_WIDGETS if path.stem[:2].isdigit()]
    before = {p.stem[:2] for p in lessons if "drawn_before(" in "".join(code_cells(p))}
    assert {p.stem[:2] for p in lessons} - before == {number for number, *_ in rows()} - before
    assert before == {"10", "11", "12", "13", "14"}
    slow = [row for row in rows() if row[2] >= LIMIT]
    assert not slow


def test_a_dial_has_a_slider_of_its_own_range():
    space = lesson("01_phantom", "turn_dials")
    for dial in fields(Dials):
        if dial.name != "equalise" and not isinstance(dial.default, bool):
            slider = space["sliders"][dial.name]
            assert (slider.min, slider.max) == (dial.metadata["low"], dial.metadata["high"])
    shown = {}
    space["plt"].show = lambda: shown.update(ax=space["plt"].gca())
    for values in ({"rotation": 10.0}, {"elevated_left": 25.0}, {}):
        space["turn_dials"](seed=7, **values)
        case = phantom(7, 128, replace(Dials(equalise=0.5), **values))
        ax = shown["ax"]
        assert (ax.images[0].get_array() == case.image).all()
        assert np.allclose(ax.lines[0].get_xydata(), case.landmarks)
        assert ax.get_title() == (", ".join(values) or "all dials off")


def test_a_heatmap_is_drawn_with_the_nearest_training():
    space = lesson("03_heatmaps", "draw_heatmap")
    backdrop, learnt = space["backdrop"], space["LEARNT"]
    for beta, nearest in ((125, 125), (5, 10), (240, 200)):
        space["draw_heatmap"](beta, noise=0)
        assert space["c"].get_title() == f"β {beta} px, tanh: mean error 0.000 px"
        curve = backdrop.moved[-1]  # in the last panel
        nearest = min(learnt, key=lambda known: abs(np.log(known / nearest)))
        assert (curve.get_xydata() == np.column_stack(learnt[nearest])).all()
    space["draw_heatmap"](250, noise=0.1, decoder="argmin")
    assert float(re.search(r"([\d.]+) px$", space["c"].get_title())[1]) > 2


@pytest.mark.parametrize("angle", [0, 20, -30])
def test_landmarks_rotate_with_the_radiograph(angle):
    space = lesson("05_augment", "draw_rotation")
    space["draw_rotation"](float(angle))
    drawn = [
        line.get_xydata()[0] for line in space["backdrop"].moved if hasattr(line, "get_xydata")
    ]
    turn, middle = np.deg2rad(angle), space["SIDE"] / 2 - 0.5
    offset = (space["points"][0].numpy() + 0.5) * space["SIDE"] / 512 - 0.5 - middle
    there = [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] @ offset.T
    assert np.allclose(drawn[:2], there.T + middle, atol=0.02)
    apart = [int(px) for px in re.findall(r"(\d+)(?: and| px)", space["stage"].get_title())]
    assert (max(apart) <= 3) == (angle == 0)


def test_the_threshold_cuts_the_probability():
    space = lesson("15_predict", "draw_threshold")
    for threshold in (0.1, 0.5, 0.9):
        space["draw_threshold"](threshold)
        lungs = space["probabilities"] > threshold
        dice = f1_score(space["small_lungs"].ravel(), lungs.ravel())
        assert space["curve"].get_title() == f"at {threshold:.2f}: Dice {dice:.3f}"
        outline = space["backdrop"].moved[0]
        assert outline.levels == [threshold]
