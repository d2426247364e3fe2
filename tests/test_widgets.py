"Every slider of a notebook moves its picture: JupyterLab in headless Chromium, by keyboard."

import re
from dataclasses import dataclass

import pytest

from tests.browser import chromium, no_error, wait_for
from tests.jupyterlab import NotebookPage, notebook_page
from tools.project import code_cells, notebooks

WIDGETS = re.compile(r"\binteract(ive|ive_output|_manual)?\(")
WITH_WIDGETS = [path for path in notebooks() if any(map(WIDGETS.search, code_cells(path)))]


@dataclass(frozen=True)
class Shown:
    "What a widget shows: its pictures' data, its slider's number, and the text below."

    pictures: tuple
    number: str
    text: str


def shown(box) -> Shown:
    "What the widget `box` shows now."
    images = box.locator(".widget-output img").evaluate_all("all => all.map(i => i.src)")
    outputs = ".widget-output .jp-OutputArea-output:not(:has(img))"
    number = box.locator(".widget-readout").first.inner_text()
    return Shown(tuple(images), number, "\n".join(box.locator(outputs).all_inner_texts()))


def move(run: NotebookPage, box, key: str) -> None:
    "Press an arrow key on the slider: picture, number and, where there is one, text change."
    before = shown(box)
    assert before.pictures
    assert all(source.startswith("data:image/") for source in before.pictures)
    box.locator("[role=slider]").first.press(key)

    def changed() -> bool:
        after = shown(box)
        redrawn = after.pictures and after.pictures != before.pictures
        told = after.number != before.number and (after.text != before.text or not before.text)
        return redrawn and told and run.idle()

    wait_for(run.page, f"picture and numbers changed by {key}", changed)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", WITH_WIDGETS, ids=lambda path: path.stem)
def test_sliders_move_pictures(path, tmp_path):
    chromium()
    with notebook_page(path, tmp_path, WIDGETS) as run:
        boxes = run.page.locator(".widget-interact:has([role=slider])").all()
        assert boxes
        for box in boxes:
            wait_for(run.page, "a widget's first picture", lambda: shown(box).pictures)
            before = shown(box)
            move(run, box, "ArrowRight")
            move(run, box, "ArrowLeft")
            assert shown(box) == before, "a slider moved there and back shows something else"
        no_error(run.page)
