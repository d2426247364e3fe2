"""Use the app as a person does: serve it with Voilà, open it in headless Chromium, upload, drag, type, save.

`python tools/app_browser.py` checks it; `python tools/app_browser.py --picture images/app.png` also keeps a picture of
it with a phantom on the table. Every wait has an end, and nothing is left running.
"""
import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import browser
from common import Failed, Skipped, python, tail

SECONDS = 420  # limit for the whole check
SERVER_SECONDS = 150  # until the page's address is said
PAGE_SECONDS = 120  # until the app stands in the page: a kernel starts and imports the library
STEP_SECONDS = 30  # until a step shows its effect, on a machine that does other things too
SEED = 3  # of the phantom
SCREEN = {"width": 1280, "height": 800}
PICTURE_KB = 300


def run(*arguments) -> str:
    "The check in a process of its own, which ends in any case."
    browser.chromium()
    if not find_spec("voila"):
        raise Skipped("no Voilà here: 'pip install voila' installs it")
    return python(Path(__file__), *arguments, limit=SECONDS).strip().splitlines()[-1]


def items() -> dict:
    "The checks by name."
    return {"browser app": run, "browser app in JupyterLab": partial(run, "--lab")}


@contextlib.contextmanager
def served(scratch: Path):
    "The app on a free port: its process and address; ended with its kernels."
    log, environment = scratch / "server.log", os.environ | {"HEMIDIAPHRAGM_DATA": "", "IPYTHONDIR": str(scratch / "ipython"), "OMP_NUM_THREADS": "1"}
    call = "import sys; from hemidiaphragm_nb.app import serve; serve(0, sys.argv[1], browser=False)"
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-c", call, str(scratch / "reports")], cwd=scratch, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + SERVER_SECONDS
        while not (found := re.search(r"http://\S+", log.read_text())):
            if process.poll() is not None or time.monotonic() > end:
                raise Failed("the app's server did not start", tail(log.read_text()))
            time.sleep(0.2)
        yield process, found[0]
    finally:
        process.terminate()  # ends its kernels too
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listeners(pid: int) -> list[str]:
    "The addresses at which the process and its children listen. Raises: Failed where another computer could reach one."
    import psutil

    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    found = sorted({f"{c.laddr.ip}:{c.laddr.port}" for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN})
    if not found:
        raise Failed("nobody listens")
    if open_doors := [address for address in found if not address.startswith(("127.", "::1:"))]:
        raise Failed("the app listens beyond this computer", "\n".join(open_doors))
    return found


def phantom_file(folder: Path) -> Path:
    "A phantom as a PNG file of 1,536 px, larger than the screen and than a piece of a message."
    import cv2

    from hemidiaphragm_nb.phantom import phantom

    path = folder / f"phantom {SEED}.png"
    cv2.imwrite(str(path), cv2.resize(phantom(SEED).image, (1536, 1536), interpolation=cv2.INTER_CUBIC), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    return path


@dataclass
class App:
    "The app in the browser."

    page: object  # Playwright's

    def wait(self, what: str, done, seconds: float = STEP_SECONDS, errors: bool = False):
        "What `done` returns, as soon as that is true. Raises: Failed with `what` after `seconds`, or where an unexpected error is shown."
        end = time.monotonic() + seconds
        while not (result := done()):
            if not errors:
                self.no_error()
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {seconds} s", tail(self.page.locator("body").inner_text()))
            self.page.wait_for_timeout(100)
        return result

    def no_error(self) -> None:
        if texts := self.page.locator(f"[role=alert], {browser.ERRORS}").all_inner_texts():
            raise Failed("an error is shown", "\n".join(texts))

    def text(self, selector: str) -> str:
        found = self.page.locator(selector)
        return found.first.inner_text() if found.count() else ""

    def gap(self) -> str:
        return self.text(".hemi-app .big")

    def pictures(self) -> list[str]:
        "The two heatmaps, as what makes them differ: their pixels' checksum."
        script = """all => Promise.all(all.map(async i => { const b = await (await fetch(i.src)).arrayBuffer();
            return [...new Uint8Array(await crypto.subtle.digest("SHA-1", b))].join(); }))"""
        return self.page.locator(".hemi-app img.widget-image").evaluate_all(script)

    def upload(self, path: Path) -> None:
        "Choose a file, as with the button."
        self.page.locator(".hemi-radiograph input[type=file]").set_input_files(str(path))
        self.wait("the radiograph's lungs and landmarks", lambda: self.page.locator(".hemi-radiograph .handle:visible").count() == 2 and self.gap())
        self.wait("the radiograph's picture", lambda: self.page.locator(".hemi-radiograph img.radiograph").evaluate("i => i.complete && i.naturalWidth > 100"))
        if not all(path.get_attribute("d") for path in self.page.locator(".hemi-radiograph path.lung").all()):
            raise Failed("a lung has no outline")

    def changed(self, what: str, look, act):
        "What `look` sees after `act`, which must differ from before."
        before = look()
        act()
        self.wait(what, lambda: look() != before)
        return look()

    def drag(self, side: str, down: float, right: float = 0) -> None:
        "Drag a landmark with the mouse by px of the screen, in small steps."
        handle = self.page.locator(f".hemi-radiograph .handle.{side}")
        handle.evaluate("el => el.scrollIntoView({block: 'center'})")
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + right, y + down, steps=8)
        self.page.mouse.up()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def number(self, row: int, column: int):
        "The box of a coordinate: row 0 right, 1 left; column 0 x, 1 y."
        return self.page.locator(".hemi-app .widget-text input[type=number]").nth(1 + 2 * row + column)


def px(gap: str) -> float:
    "The number in 'right side higher by 88.9 px', negative for the left side."
    return float(re.search(r"([\d.]+) px", gap)[1]) * (-1 if gap.startswith("left") else 1)


def drop(page, path: Path) -> None:
    "Drop a file onto the radiograph, as from a file manager."
    data = page.evaluate_handle("([name, bytes]) => { const d = new DataTransfer(); d.items.add(new File([new Uint8Array(bytes)], name)); return d; }", [path.name, list(path.read_bytes())])
    page.dispatch_event(".hemi-radiograph", "drop", {"dataTransfer": data})


def expect(told: bool, what: str) -> None:
    if not told:
        raise Failed(what)


def walk(app: App, scratch: Path) -> int:
    "Do everything a person does, and see that it shows: how many steps."
    app.wait("the app", lambda: app.page.locator(".hemi-radiograph").is_visible(), PAGE_SECONDS)
    expect("not a medical device" in app.text(".hemi-app .head"), "the notice is missing")
    app.upload(phantom_file(scratch))
    first = app.gap()

    maps = app.pictures()
    slider = app.page.locator(".hemi-app .widget-slider:has-text('β') [role=slider]")
    network, target = app.changed("the target heatmap after a key on β", app.pictures, lambda: slider.press("ArrowRight"))
    expect(network == maps[0], "β changed the network's own heatmap")
    app.changed("the target heatmap as before", app.pictures, lambda: slider.press("ArrowLeft"))
    expect(app.pictures() == maps, "β moved there and back shows something else")

    scale = 1536 / app.page.locator(".hemi-radiograph .stage").bounding_box()["height"]
    dragged = app.changed("the gap after a drag", app.gap, lambda: app.drag("left", down=30))
    app.wait("the gap where the hand let go", lambda: abs(px(app.gap()) - px(first) - 30 * scale) < 2 * scale)
    expect(app.pictures()[1] != maps[1], "the target heatmap did not follow the landmark")
    app.wait("a table that says what was moved by hand", lambda: "hand" in app.text(".hemi-app table + table"))
    dragged = app.gap()
    moved = app.changed("the gap after a key on the handle", app.gap, lambda: app.page.locator(".hemi-radiograph .handle.left").press("Shift+ArrowDown"))
    expect(abs(px(moved) - px(dragged) - 10) < 0.11, f"Shift and an arrow moved by {px(moved) - px(dragged):.1f} px, not 10")
    box = app.number(0, 1)
    level = float(box.input_value())
    app.changed("the gap after typing", app.gap, lambda: (box.fill(str(round(level - 100, 1))), box.press("Enter")))
    expect(abs(px(app.gap()) - px(moved) - 100) < 0.11, "a typed number was not taken as it is")

    app.press("Save report")
    said = app.wait("the report saved", lambda: re.search(r"Saved (\S+\.png)", app.text(".hemi-app .message")))
    expect(Path(said[1]).stat().st_size > 20_000 and Path(said[1]).with_name("reports.csv").read_text().count("\n") == 2, "the report is not there")
    app.changed("the model's gap again", app.gap, lambda: app.press("Back to the model's points"))
    expect(app.gap() == first, f"back to the model's points gives {app.gap()!r}, not {first!r}")

    letter = scratch / "letter <b>.txt"
    letter.write_text("Dear Sir or Madam")
    drop(app.page, letter)
    app.wait("a message about a file that is no radiograph", lambda: "letter <b>.txt: it is not a PNG" in app.text("[role=alert]"), errors=True)
    expect(app.gap() == first, "a file that is no radiograph took the radiograph off the table")
    app.press("Open a phantom")
    app.wait("a phantom", lambda: "By its geometry" in app.text(".hemi-app .message"), errors=True)
    app.no_error()
    return 9


@contextlib.contextmanager
def opened(address: str):
    "A page of Chromium at `address`. Raises: Failed at the end where anything came from elsewhere or a script failed."
    from playwright.sync_api import sync_playwright

    strange, faults = [], []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.chromium(), args=browser.FLAGS, timeout=PAGE_SECONDS * 1000)
        with contextlib.closing(chromium):
            page = chromium.new_page(viewport=SCREEN)
            page.set_default_timeout(STEP_SECONDS * 1000)
            page.on("response", lambda r: None if r.url.startswith(("http://127.0.0.1:", "blob:", "data:")) else strange.append(r.url))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.goto(address, timeout=PAGE_SECONDS * 1000)
            yield page
    if strange or faults:
        raise Failed("the page loaded something from elsewhere, or its scripts failed", "\n".join(strange + faults))


def closed_to_strangers(address: str) -> None:
    "Raises: Failed where the page is given without its token."
    with urlopen(address.split("?")[0], timeout=STEP_SECONDS) as answer:
        expect("/login" in answer.url, f"the page opens without its token: {answer.url}")


def page_check(scratch: Path, picture: Path | None = None) -> str:
    "The app as Voilà serves it."
    import psutil

    with served(scratch) as (process, address):
        closed_to_strangers(address)
        with opened(address) as page:
            app = App(page)
            steps = walk(app, scratch)
            doors = listeners(process.pid)
            if picture:
                take(app, picture)
        family = psutil.Process(process.pid).children(recursive=True)
    psutil.wait_procs(family, timeout=10)
    expect(not [p for p in family if p.is_running()], "the server left kernels behind")
    return f"{steps} steps in Voilà; {len(doors)} sockets, all on this computer"


def lab_check(scratch: Path) -> str:
    "The app in its notebook, in JupyterLab."
    root = scratch / "project"
    cells = browser.copy_project("engine/app.ipynb", root)
    with browser.jupyterlab(root, scratch) as (address, token), opened(f"{address}lab/tree/nbs/engine/app.ipynb?token={token}") as page:
        browser.Page(page).run_all(cells)
        page.locator(".hemi-radiograph").scroll_into_view_if_needed()
        steps = walk(App(page), scratch)
    return f"{cells} cells run, {steps} steps in JupyterLab"


def take(app: App, path: Path) -> None:
    "A picture of the app with a phantom whose left landmark was moved by hand."
    from PIL import Image

    app.changed("the gap after a drag", app.gap, lambda: app.drag("left", down=24, right=10))
    app.page.get_by_label("folder").fill("~/reports")
    app.page.mouse.click(5, 5)
    app.page.wait_for_timeout(1000)
    app.page.screenshot(path=str(path))
    with Image.open(path) as image:
        image.convert("RGB").quantize(200, dither=Image.Dither.NONE).save(path, optimize=True)
    expect(path.stat().st_size < PICTURE_KB * 1000, f"the picture is over {PICTURE_KB} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lab", action="store_true", help="in JupyterLab instead of Voilà")
    parser.add_argument("--picture", type=Path, help="also keep a picture there")
    asked = parser.parse_args()
    try:
        browser.chromium()
        with tempfile.TemporaryDirectory(prefix="hemidiaphragm-app-") as folder:
            scratch = Path(folder).resolve()
            print(lab_check(scratch) if asked.lab else page_check(scratch, asked.picture and asked.picture.absolute()))
    except (Failed, Skipped) as reason:
        sys.exit(f"{reason}\n{getattr(reason, 'detail', '')}")


if __name__ == "__main__":
    main()
