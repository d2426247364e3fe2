"Headless Chromium, driven by Playwright."

import contextlib
import shutil
import time
from importlib.util import find_spec

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
PAGE_SECONDS = 120  # until a page is there: a server and a kernel start
STEP_SECONDS = 30  # until a step shows its effect, on a machine that does other things too
ERRORS = (
    '[data-mime-type="application/vnd.jupyter.error"], '
    '.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]:has-text("Traceback")'
)


def chromium() -> str:
    "Where the browser is; the test is skipped where it or Playwright is missing."
    paths = [path for name in CHROMIUM if (path := shutil.which(name))]
    if not paths:
        pytest.skip("no Chromium here: `apt-get install chromium` installs it")
    if not find_spec("playwright"):
        pytest.skip("no Playwright here: `pip install playwright` installs it")
    return paths[0]


@contextlib.contextmanager
def opened(address: str, width: int = 1400, height: int = 1000):
    "A page at `address`; at the end, nothing came from elsewhere and no script has failed."
    from playwright.sync_api import sync_playwright

    here, strange, faults = ("http://127.0.0.1:", "blob:", "data:"), [], []
    with sync_playwright() as playwright:
        options = dict(executable_path=chromium(), args=FLAGS, timeout=PAGE_SECONDS * 1000)
        with contextlib.closing(playwright.chromium.launch(**options)) as browser:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(STEP_SECONDS * 1000)
            page.on("response", lambda r: r.url.startswith(here) or strange.append(r.url))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.goto(address, timeout=PAGE_SECONDS * 1000)
            yield page
    assert not strange and not faults


def no_error(page, more: str = "") -> None:
    "The page shows no error: in a cell's output, in a widget's, or in what `more` selects."
    shown = page.locator(", ".join(filter(None, [ERRORS, more]))).all_inner_texts()
    assert not shown, "\n".join(shown)


def wait_for(page, what: str, done, seconds: float = STEP_SECONDS, check=no_error):
    "What `done()` returns, as soon as it is true; `check(page)` is called while waiting."
    end = time.monotonic() + seconds
    while not (result := done()):
        check(page)
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        page.wait_for_timeout(100)
    return result
