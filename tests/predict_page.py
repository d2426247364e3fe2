"The page that predicts in the browser, built into a folder and opened in headless Chromium."

import base64
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from hemidiaphragm_nb.predict import Prediction, predict
from hemidiaphragm_nb.runtime import Outputs, shipped_predictor
from tests.browser import wait_for
from tools.project import ROOT, tail

WEB = ROOT / "web"
INSTALL_SECONDS = 240
LOAD_SECONDS = 120  # until the network is ready, on a machine that does other things too
FILE_SECONDS = 60  # for one file
DROP = """files => {
    const data = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
        data.items.add(new File([bytes], name));
    }
    document.dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
}"""
ANSWER = """name => {
    const entry = hemidiaphragm.entries.findLast(e => e.file === name);
    if (!entry || !(entry.radiograph || entry.message)) return null;
    if (!entry.radiograph) return {message: entry.message};
    const {width, height, points, findings, radius90, spacing, spacingSource, disagreement,
        measured, runs, heatmaps, lungs, spread, milliseconds, noAnswer,
        gapMarginPx, tilt} = entry.radiograph.answer;
    const text = array => {
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        let out = "";
        for (let i = 0; i < bytes.length; i += 32768) {
            out += String.fromCharCode(...bytes.subarray(i, i + 32768));
        }
        return btoa(out);
    };
    const maps = planes => planes.map(p => text(p.data));
    return {width, height, points, findings, radius90, spacing, spacingSource, disagreement,
        measured, milliseconds, noAnswer, gapMarginPx, tilt, row: entry.radiograph.row(),
        words: entry.radiograph.gapInWords(), runs: text(runs), heatmaps: maps(heatmaps),
        lungs: maps(lungs), spread};
}"""


def build(folder: Path) -> Path:
    "Build the page into a folder; the test is skipped where that cannot be."
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} here: `apt-get install nodejs npm` installs it")
    if not (WEB / "node_modules").exists():
        command = ["npm", "ci", "--ignore-scripts"]
        got = subprocess.run(command, cwd=WEB, capture_output=True, timeout=INSTALL_SECONDS)
        if got.returncode:
            pytest.skip("the page's packages cannot be installed: `npm ci` in web/")
    command = ["node", "build.mjs", str(folder)]
    environment = os.environ | {"PYTHON": sys.executable}
    made = subprocess.run(command, cwd=WEB, capture_output=True, text=True, env=environment)
    assert not made.returncode, tail(made.stderr)
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def static_server(folder: Path) -> ThreadingHTTPServer:
    "Any static server of a folder."
    handler = functools.partial(_Quiet, directory=str(folder))
    return ThreadingHTTPServer(("127.0.0.1", 0), handler)


@contextlib.contextmanager
def counted(server: ThreadingHTTPServer):
    "How often each address of a static server is asked for."
    asked, handler = Counter(), server.RequestHandlerClass

    class Counting(_Quiet):
        def do_GET(self):
            asked[self.path] += 1
            super().do_GET()

    server.RequestHandlerClass = functools.partial(Counting, **handler.keywords)
    yield asked


@contextlib.contextmanager
def serving(server: ThreadingHTTPServer):
    "The address of a server, which may be shut down earlier."
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def _floats(texts: list[str]) -> np.ndarray:
    "(1, planes, side, side) of what the page gives."
    planes = [np.frombuffer(base64.b64decode(text), np.float32) for text in texts]
    side = int(planes[0].size ** 0.5)
    return np.stack(planes).reshape(1, -1, side, side)


@dataclass
class _Said:
    "A predictor that answers what the page's network answered."

    card: dict
    found: dict  # the page's answer

    def predict(self, frames: np.ndarray) -> Outputs:
        spread = np.array([[np.nan if v is None else v for v in self.found["spread"]]], float)
        return Outputs(_floats(self.found["heatmaps"]), _floats(self.found["lungs"]), spread)


@dataclass
class Answer:
    "What the page says of a file, and what the library says."

    page: dict
    mask: np.ndarray
    library: Prediction  # of the library's own network
    same_network: Prediction  # by the library, from what the page's network gave

    @property
    def points(self) -> np.ndarray:
        return _numbers(self.page["points"])

    def dice(self, prediction: Prediction) -> float:
        "The smaller of both lungs' Dice between the page's mask and a prediction's."
        pairs = [(self.mask == label, prediction.mask == label) for label in (1, 2)]
        # two masks that hold no such lung are the same
        return min((2 * (a & b).sum() or 1) / max(1, a.sum() + b.sum()) for a, b in pairs)

    @property
    def findings(self) -> list[tuple]:
        return [(f["code"], f["message"], f["side"]) for f in self.page["findings"]]


def _numbers(values) -> np.ndarray:
    return np.array([[np.nan if v is None else v for v in pair] for pair in values], float)


class PredictPage:
    "The page in a browser."

    def __init__(self, page):
        self.page = page

    def wait(self, what: str, done, seconds: float = FILE_SECONDS):
        return wait_for(self.page, what, done, seconds)

    def ready(self) -> str:
        "'offline' or 'online', when the network is loaded."
        state = "document.documentElement.dataset.ready"
        return self.wait("the network", lambda: self.page.evaluate(state), LOAD_SECONDS)

    def handle(self, side: str):
        return self.page.locator(f"#viewer .handle.{side}")

    def point(self, side: int) -> np.ndarray:
        "Where a landmark of the radiograph that is shown stands, px."
        state = "k => hemidiaphragm.entries.find(e => e.file === name.textContent).radiograph"
        state = state.replace("name.", "document.getElementById('name').")
        return np.array(self.page.evaluate(f"{state}.points[k]", side))

    def drag(self, x: float, y: float, right: float, down: float) -> None:
        "Drag with the mouse from a place on the screen, in small steps."
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + right, y + down, steps=8)
        self.page.mouse.up()

    def centre(self, selector: str) -> tuple[float, float]:
        "The middle of an element that is scrolled into view, on the screen."
        found = self.page.locator(selector).first
        found.evaluate("el => el.scrollIntoView({block: 'center'})")
        box = found.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def drop(self, *paths: Path) -> None:
        "Drop files onto the page, as from a file manager."
        files = [[p.name, base64.b64encode(p.read_bytes()).decode()] for p in paths]
        self.page.evaluate(DROP, files)

    def choose(self, *paths: Path) -> None:
        "Choose files, as with the button."
        self.page.locator("#files").set_input_files([str(path) for path in paths])

    def result(self, name: str) -> dict:
        "The page's answer for a file that was opened, or its `message`."
        seconds = FILE_SECONDS
        return self.wait(f"an answer for {name}", lambda: self.page.evaluate(ANSWER, name), seconds)

    def rejection(self, path: Path) -> str:
        "The sentence with which a file is rejected."
        self.drop(path)
        return self.result(path.name).get("message", "")

    def compare(self, path: Path, own: bool = True) -> Answer:
        "Open a file here and in the library (`own`: by the library's own network, too)."
        self.drop(path)
        found = self.result(path.name)
        assert "message" not in found, f"{path.name}: {found['message']}"
        return self.answer(path, found, own)

    def answer(self, path: Path, found: dict, own: bool = True) -> Answer:
        runs = np.frombuffer(base64.b64decode(found["runs"]), np.uint32)
        mask = np.repeat(runs[::2].astype(np.uint8), runs[1::2])
        shipped = shipped_predictor()
        same = predict(path, _Said(shipped.card, found))
        library = predict(path, shipped) if own else same
        return Answer(found, mask.reshape(found["height"], found["width"]), library, same)
