"The explorations that need no kernel: their numbers are the results', and moving them shows it."

import json
import math
import re
from functools import cache

import nbformat
import numpy as np
import pytest

from hemidiaphragm_nb.anatomy import Dials
from hemidiaphragm_nb.explorations import (
    LESSON_DIALS,
    beta_data,
    dial_data,
    error_data,
    exploration,
    lambda_data,
)
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.results import saved_results
from hemidiaphragm_nb.saturation import white_loss
from tests.browser import chromium, opened
from tools.project import NOTEBOOKS

LIMIT = 100_000  # bytes of a block
STORED = {
    "01_phantom": "dials",
    "03_heatmaps": "beta",
    "10_saturation": "errors",
    "11_balance": "lambda",
}
DARK = "<style>html { color-scheme: dark; background: #111; color: #eee }</style>"

pytestmark = pytest.mark.timeout(300)


@cache
def data(kind: str) -> dict:
    if kind == "errors":
        return error_data(saved_results("saturation"))
    if kind == "lambda":
        return lambda_data(saved_results("balance"))
    raised = {"elevated_left": ("left dome raised", "mm", (0, 20, 40))}
    return beta_data() if kind == "beta" else dial_data(raised)


def stored_block(lesson: str) -> str:
    "The block in a lesson's stored outputs."
    book = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4)
    shown = [
        output["data"]["text/html"]
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "hd-explore" in output.get("data", {}).get("text/html", "")
    ]
    assert len(shown) == 1, f"{lesson} has {len(shown)} stored explorations"
    return shown[0]


def numbers(block: str) -> dict:
    found = json.loads(re.search(r'type="application/json">(.*?)</script>', block, re.S)[1])
    del found["colours"]
    return found


@pytest.mark.parametrize("lesson, kind", STORED.items())
def test_a_lesson_stores_the_numbers_of_the_results(lesson, kind):
    block = stored_block(lesson)
    assert len(block.encode()) < LIMIT
    stored = numbers(block)
    if kind != "dials":
        assert stored == json.loads(json.dumps(data(kind)))
        return
    for name, (_, _, values) in LESSON_DIALS.items():
        for value, still in zip(values, stored["dials"][name]["stills"], strict=True):
            truth = phantom(3, 64, dials=Dials(**{name: value})).landmarks
            np.testing.assert_allclose(still["truth"], truth, atol=0.006)


def test_the_stored_script_is_the_one_in_static():
    fresh = exploration("beta", "", {}).rpartition("<script>")[2]
    for lesson in STORED:
        assert stored_block(lesson).rpartition("<script>")[2] == fresh, f"run {lesson} again"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    "All four on one page, in dark mode."
    chromium()
    from tests.predict_page import serving, static_server

    folder = tmp_path_factory.mktemp("explorations")
    blocks = "".join(exploration(kind, kind, data(kind)) for kind in STORED.values())
    (folder / "index.html").write_text(
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Explorations</title>"
        f"<meta name='viewport' content='width=device-width'>{DARK}<body>{blocks}</body></html>"
    )
    with serving(static_server(folder)) as address, opened(address) as shown:
        yield shown


def block_of(page, kind: str):
    return page.locator(f".hd-explore[data-kind={kind}]")


def set_to(block, label: str, value: str) -> str:
    "Move a slider by its keys until it says `value`; the block's numbers then."
    slider = block.get_by_label(label, exact=True)
    slider.press("Home")
    for _ in range(60):
        if slider.get_attribute("aria-valuetext") == value:
            return block.locator(".hd-numbers").inner_text()
        slider.press("ArrowRight")
    raise AssertionError(f"{label} does not reach {value}")


def picture(block) -> bytes:
    return block.locator(".hd-pictures").screenshot()


def test_beta_follows_the_closed_form(page):
    block, pictures = block_of(page, "beta"), set()
    set_to(block, "distance d", "125 px")
    for beta in (25, 125, 250):
        said = set_to(block, "β", f"{beta} px")
        assert f"h at 125 px: {math.tanh(math.pi * 125 / beta):.4f}." in said
        assert f"beyond {math.atanh(0.99) * beta / math.pi:.1f} px" in said
        loss = float(re.search(r"loss of ([\d.e-]+\d)", said)[1])
        assert loss == pytest.approx(white_loss(beta), rel=0.01)
        pictures.add(picture(block))
    assert len(pictures) == 3


def test_errors_are_the_table_s(page):
    block, runs = block_of(page, "errors"), saved_results("saturation").runs
    for beta in (1, 25, 200):
        said = set_to(block, "β", f"{beta} px")
        for name, px in {"R/10": 10, "R/5": 20, "R": 100}.items():
            said, rows = set_to(block, "nearer than", f"{px} px"), runs[runs["beta"] == beta]
            for side in ("both", "right", "left"):
                assert f"{side} {rows[f'{side}_{name}'].mean():.1f} %" in said
    assert "n = 520 errors, 4 trainings" in said


def test_lambda_moves_to_the_mean_of_its_trainings(page):
    block, runs, places = block_of(page, "lambda"), saved_results("balance").runs, set()
    for lam in (0.1, 0.5, 0.95):
        said, rows = set_to(block, "λ_hem", f"{lam}"), runs[runs["lam_hem"] == lam]
        assert f"within R/10 {rows['both_R/10'].mean():.1f} %" in said
        assert f"Dice {rows['dice'].mean():.4f}" in said
        places.add(block.locator(".hd-ours").get_attribute("cx"))
    assert len(places) == 3


def test_a_raised_dome_widens_the_gap(page):
    block, pictures = block_of(page, "dials"), set()
    for value in (0, 20, 40):
        said = set_to(block, "left dome raised", f"{value} mm")
        truth = phantom(3, 64, dials=Dials(elevated_left=value)).landmarks
        gap = float(re.search(r"True gap ([\d.]+) px", said)[1])
        assert gap == pytest.approx(abs(truth[0, 1] - truth[1, 1]), abs=0.08)
        pictures.add(picture(block))
    assert len(pictures) == 3


def test_a_telephone_shows_them_within_its_width(page):
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for kind in STORED.values():
        box = block_of(page, kind).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 375
    page.set_viewport_size({"width": 1400, "height": 1000})


def test_every_control_has_a_label(page):
    for control in page.locator(".hd-explore input, .hd-explore select").all():
        assert page.locator(f"label[for='{control.get_attribute('id')}']").inner_text()
