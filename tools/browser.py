"""Drive a notebook with widgets as a reader does: JupyterLab in headless Chromium, run all cells, move the sliders.

`python tools/browser.py nbs/03_heatmaps.ipynb` works on a copy of the project, so that nothing in it changes. The
copy leaves out the cells that the test command leaves out. Every wait has an end.
"""
import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import checks
from common import NOTEBOOKS, Failed, Skipped, python, tail

SECONDS = 420  # limit for one notebook, everything included
SERVER_SECONDS = 60  # until JupyterLab answers
PAGE_SECONDS = 60  # until the page shows the notebook and its kernel is idle
STEADY = 8  # looks in a row, 0.2 s apart, at which the kernel must be idle before it is used: it seems so while it starts
START_SECONDS = 10  # until a request to run all cells shows; it can be dropped, and is repeated
CELLS_SECONDS = 300  # until all cells have run, on a machine that does other things too
MOVE_SECONDS = 20  # until a slider's picture has changed
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
SKIPPED_CELLS = re.compile(r"^#\|\s*(eval:\s*false|slow)\s*$", re.M)
WIDGET_CELLS = re.compile(r"\binteract(ive|ive_output|_manual)?\(")
SETTINGS = {  # all cells stand in the page, and nothing asks a question
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def found() -> list[Path]:
    "The notebooks that make widgets with `interact(`."
    paths = sorted(path for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
    return [path for path in paths if any(WIDGET_CELLS.search("".join(c["source"])) for c in checks.code_cells(path))]


def chromium() -> str:
    "Where the browser is. Raises: Skipped where it or Playwright is missing."
    paths = [path for name in CHROMIUM if (path := shutil.which(name))]
    if not paths:
        raise Skipped("no Chromium here: 'apt-get install chromium' installs it")
    if not find_spec("playwright"):
        raise Skipped("no Playwright here: 'pip install playwright' installs it")
    return paths[0]


def run(path: Path) -> str:
    "Drive the notebook at `path` in a process of its own, which ends in any case."
    chromium()
    return python(Path(__file__), path, limit=SECONDS).strip().splitlines()[-1]


def items() -> dict:
    "A check for each notebook with widgets, by name."
    return {f"browser {path.stem}": partial(run, path) for path in found()}


def copy_project(notebook: str, target: Path) -> int:
    "The project's files in `target`; of `notebook`, only cells that the test command runs, without outputs: how many hold code."
    checks.copy_tree(target)
    path = target / "nbs" / notebook
    book = checks.read_notebook(path)
    book["cells"] = [cell for cell in book["cells"] if not SKIPPED_CELLS.search("".join(cell["source"]))]
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    path.write_text(json.dumps(book), encoding="utf-8")
    return sum(cell["cell_type"] == "code" for cell in book["cells"])


def write_settings(folder: Path) -> None:
    "JupyterLab's user settings."
    for name, values in SETTINGS.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


def server_address(process: subprocess.Popen, runtime: Path, log: Path) -> str:
    "The address at which the server of `process` listens, as it writes it down itself."
    note, end = runtime / f"jpserver-{process.pid}.json", time.monotonic() + SERVER_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return json.loads(note.read_text())["url"]
        time.sleep(0.2)
    raise Failed("JupyterLab did not start", tail(log.read_text()))


@contextlib.contextmanager
def jupyterlab(root: Path, scratch: Path):
    "A JupyterLab on a free port of this machine, serving `root`: its address and token; ended with its kernels."
    token, folders = secrets.token_hex(16), {name: scratch / name for name in ("config", "data", "runtime", "settings", "ipython")}
    for folder in folders.values():
        folder.mkdir()
    write_settings(folders["settings"])
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folders["config"]), "JUPYTER_DATA_DIR": str(folders["data"]),
        "JUPYTER_RUNTIME_DIR": str(folders["runtime"]), "JUPYTERLAB_SETTINGS_DIR": str(folders["settings"]),
        "IPYTHONDIR": str(folders["ipython"]), "JUPYTER_TOKEN": token, "HEMIDIAPHRAGM_DATA": "",
    }  # fmt: skip
    options = [
        "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.root_dir={root}",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly", "--ServerApp.terminals_enabled=False",
    ]  # fmt: skip
    log = scratch / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=environment, cwd=root, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield server_address(process, folders["runtime"], log), token
        finally:
            process.terminate()  # ends its kernels too
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()  # kernels without a parent end by themselves
                process.wait()


ERRORS = '[data-mime-type="application/vnd.jupyter.error"], .jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"]:has-text("Traceback")'
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'


@dataclass
class Page:
    "The notebook in the browser."

    page: object  # Playwright's
    quiet: int = 0  # looks in a row at which the kernel was idle

    def prompts(self) -> list[str]:
        "The prompts of the code cells: `[ ]:` not run, `[*]:` running, `[7]:` done."
        return self.page.locator(".jp-CodeCell .jp-InputArea-prompt").all_inner_texts()

    def wait(self, seconds: float, what: str, done) -> None:
        "Until `done()`. Raises: Failed with `what` after `seconds`, or at once where an error is shown."
        end = time.monotonic() + seconds
        while not done():
            self.no_error()
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {seconds} s", "prompts: " + " ".join(self.prompts()))
            self.page.wait_for_timeout(200)

    def no_error(self) -> None:
        "Raises: Failed where the page shows an error, in a cell's output or in a widget's."
        if texts := self.page.locator(ERRORS).all_inner_texts():
            raise Failed("an error is shown", tail("\n".join(texts)))

    def idle(self) -> bool:
        return self.page.locator(IDLE).count() > 0

    def steady(self, cells: int) -> bool:
        "Whether all `cells` are in the page and the kernel has been idle for a while."
        self.quiet = self.quiet + 1 if self.idle() and len(self.prompts()) == cells else 0
        return self.quiet >= STEADY

    def run_all(self, cells: int) -> None:
        "Run all `cells` and wait for the last."
        for _ in range(3):
            self.quiet = 0
            self.wait(PAGE_SECONDS, "the kernel idle", lambda: self.steady(cells))
            for _ in range(self.page.locator(".jp-Dialog").count()):
                self.page.keyboard.press("Escape")
            self.page.get_by_role("menubar").get_by_text("Run", exact=True).click()
            self.page.get_by_role("menu").get_by_text("Run All Cells", exact=True).click()
            with contextlib.suppress(Failed):
                self.wait(START_SECONDS, "the first cell", lambda: any(re.search(r"\d|\*", text) for text in self.prompts()))
                break
            self.no_error()
        self.wait(CELLS_SECONDS, "all cells", lambda: self.idle() and all(re.search(r"\d", text) for text in self.prompts()))
        self.no_error()

    def widgets(self) -> list:
        "The boxes that `interact` makes and that have a slider."
        boxes = self.page.locator(".widget-interact:has([role=slider])")
        return [boxes.nth(i) for i in range(boxes.count())]


@dataclass(frozen=True)
class Shown:
    "What a widget shows: its pictures' data, its slider's number, and the text below."

    pictures: tuple
    number: str
    text: str


def shown(box) -> Shown:
    "What the widget `box` shows now."
    images = box.locator(".widget-output img").evaluate_all("all => all.map(i => i.src)")
    texts = box.locator(".widget-output .jp-OutputArea-output:not(:has(img))").all_inner_texts()
    return Shown(tuple(images), box.locator(".widget-readout").first.inner_text(), "\n".join(texts))


def move(page: Page, box, key: str) -> None:
    "Press an arrow key on the slider; the picture, the number and, where there is one, the text must change."
    before = shown(box)
    if not before.pictures or not all(src.startswith("data:image/png;base64,") for src in before.pictures):
        raise Failed("a widget shows no PNG picture", str(before)[:500])
    box.locator("[role=slider]").first.press(key)

    def changed() -> bool:
        after = shown(box)
        wanted = [after.pictures and after.pictures != before.pictures, after.number != before.number]
        return all([*wanted, after.text != before.text] if before.text else wanted) and page.idle()

    page.wait(MOVE_SECONDS, f"picture and numbers changed by {key}", changed)


def drive(path: Path, executable: str) -> str:
    "Open the notebook at `path`, run it, move each slider there and back."
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-browser-") as folder:
        scratch, root = Path(folder).resolve(), Path(folder).resolve() / "project"
        cells = copy_project(path.name, root)
        with jupyterlab(root, scratch) as (address, token), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS, timeout=PAGE_SECONDS * 1000)
            with contextlib.closing(browser):
                view = browser.new_page(viewport={"width": 1400, "height": 1000})
                view.set_default_timeout(MOVE_SECONDS * 1000)
                view.goto(f"{address}lab/tree/nbs/{quote(path.name)}?token={token}", timeout=PAGE_SECONDS * 1000)
                page = Page(view)
                page.run_all(cells)
                boxes = page.widgets()
                if not boxes:
                    raise Failed("no slider in the page")
                for box in boxes:
                    page.wait(MOVE_SECONDS, "a widget's first picture", lambda: shown(box).pictures)
                    before = shown(box)
                    move(page, box, "ArrowRight")
                    move(page, box, "ArrowLeft")
                    if shown(box) != before:
                        raise Failed("a slider moved there and back shows something else")
                page.no_error()
                version = browser.version
    return f"{cells} cells run, {len(boxes)} sliders moved there and back in Chromium {version}"


def main(path: str) -> None:
    try:
        print(drive(Path(path), chromium()))
    except (Failed, Skipped) as reason:
        sys.exit(f"{reason}\n{getattr(reason, 'detail', '')}")


if __name__ == "__main__":
    main(sys.argv[1])
