"The page that predicts in the browser agrees with the library, and does what a person asks of it."

import numpy as np
import pytest

from hemidiaphragm_nb.files import save_picture
from hemidiaphragm_nb.frames import phantom_frames
from tests.browser import chromium, opened
from tests.predict_page import Answer, PredictPage, build, served
from tools import page_facts

PHANTOMS = 60
POINT = 0.1  # px of the radiograph, between the page and the library from the same outputs
DICE = 0.999

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "The built page."
    chromium()
    return build(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def app(folder):
    "The page with its network loaded, for all tests that only open files."
    with served(folder) as (address, _), opened(address, 1280, 900) as page:
        shown = PredictPage(page)
        shown.ready()
        yield shown


def agrees(answer: Answer) -> None:
    "Whether the page makes of its network's outputs what the library makes of them."
    page, library = answer.page, answer.same_network
    assert np.array_equal(np.isnan(answer.points), np.isnan(library.points))
    assert not (np.abs(answer.points - library.points) > POINT).any()
    assert answer.dice(library) >= DICE
    assert answer.findings == [(f.code, f.message, f.side) for f in library.findings]
    radius = np.array([np.nan if r is None else r for r in page["radius90"]], float)
    np.testing.assert_allclose(radius, library.radius90, atol=POINT)
    assert (page["spacing"] and tuple(page["spacing"])) == library.spacing
    assert page["spacingSource"] == library.spacing_source


def test_the_facts_are_the_library_s():
    assert page_facts.FACTS.read_text(encoding="utf-8") == page_facts.text(), (
        "run `python -m tools.page_facts`"
    )


def test_phantoms(app, tmp_path):
    "Sixty phantoms: from the same outputs the same answer; by its own network nearly so."
    frames, distances, overlaps = phantom_frames(PHANTOMS, seed=7), [], []
    paths = [tmp_path / f"phantom {i}.png" for i in range(PHANTOMS)]
    for path, image in zip(paths, frames.images):
        save_picture(image[0], path)
    app.drop(*paths)
    for path in paths:
        answer = app.answer(path, app.result(path.name))
        agrees(answer)
        distances.append(np.abs(answer.points - answer.library.points).max())
        overlaps.append(answer.dice(answer.library))
    # 8-bit networks round differently on different processors
    assert np.nanmedian(distances) < 0.2 and np.nanmedian(overlaps) > DICE
    print(f"own network: median {np.nanmedian(distances):.3f}, most {np.nanmax(distances):.3f} px")
