"The app in a browser, and everything that a person does with it."

import re
from pathlib import Path

import cv2

from hemidiaphragm_nb.phantom import phantom
from tests.browser import PAGE_SECONDS, STEP_SECONDS, no_error, wait_for

APP, VIEWER = ".hemi-app", ".hemi-radiograph"
MESSAGE, ALERT = f"{APP} .message", "[role=alert]"
SEED = 3  # of the phantom
SIDE = 1536  # px: larger than the screen, and than one part of a message
CHECKSUMS = """all => Promise.all(all.map(async i => {
    const data = await (await fetch(i.src)).arrayBuffer();
    return [...new Uint8Array(await crypto.subtle.digest("SHA-1", data))].join();
}))"""
TRANSFER = """([name, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name));
    return data;
}"""


def phantom_file(folder: Path) -> Path:
    "A phantom as a PNG file."
    path = folder / f"phantom {SEED}.png"
    image = cv2.resize(phantom(SEED).image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    return path


def px(gap: str) -> float:
    "The number in 'right side higher by 88.9 px', negative for the left side."
    return float(re.search(r"([\d.]+) px", gap)[1]) * (-1 if gap.startswith("left") else 1)


def no_alert(page) -> None:
    no_error(page, ALERT)


class AppPage:
    "The app in the page of a browser."

    def __init__(self, page):
        self.page = page

    def wait(self, what: str, done, seconds: float = STEP_SECONDS, check=no_alert):
        return wait_for(self.page, what, done, seconds, check)

    def changed(self, what: str, look, act):
        "What `look` sees after `act`, which must differ from before."
        before = look()
        act()
        self.wait(what, lambda: look() != before)
        return look()

    def text(self, selector: str) -> str:
        found = self.page.locator(selector)
        return found.first.inner_text() if found.count() else ""

    def gap(self) -> str:
        return self.text(f"{APP} .big")

    def heatmaps(self) -> list[str]:
        "The two heatmaps, the network's and the target, as checksums."
        return self.page.locator(f"{APP} img.widget-image").evaluate_all(CHECKSUMS)

    def handle(self, side: str):
        return self.page.locator(f"{VIEWER} .handle.{side}")

    def number(self, row: int, column: int):
        "The box of a coordinate: row 0 right, 1 left; column 0 x, 1 y."
        boxes = self.page.locator(f"{APP} .widget-text input[type=number]")
        return boxes.nth(1 + 2 * row + column)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def drag(self, side: str, down: float, right: float = 0) -> None:
        "Drag a landmark with the mouse by px of the screen, in small steps."
        self.handle(side).evaluate("el => el.scrollIntoView({block: 'center'})")
        box = self.handle(side).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + right, y + down, steps=8)
        self.page.mouse.up()

    def upload(self, path: Path) -> None:
        "Choose a file, as with the button: lungs and landmarks are shown."
        self.page.locator(f"{VIEWER} input[type=file]").set_input_files(str(path))
        handles = self.page.locator(f"{VIEWER} .handle:visible")
        self.wait("the landmarks", lambda: handles.count() == 2 and self.gap())
        picture = self.page.locator(f"{VIEWER} img.radiograph")
        loaded = "image => image.complete && image.naturalWidth > 100"
        self.wait("the radiograph", lambda: picture.evaluate(loaded))
        lungs = self.page.locator(f"{VIEWER} path.lung").all()
        assert all(lung.get_attribute("d") for lung in lungs), "a lung has no outline"

    def drop(self, path: Path) -> None:
        "Drop a file onto the viewer, as from a file manager."
        data = self.page.evaluate_handle(TRANSFER, [path.name, list(path.read_bytes())])
        self.page.dispatch_event(VIEWER, "drop", {"dataTransfer": data})

    def walk(self, scratch: Path) -> None:
        "Do everything that a person does, and see that it shows."
        viewer = self.page.locator(VIEWER)
        self.wait("the app", viewer.is_visible, PAGE_SECONDS)
        assert "not a medical device" in self.text(f"{APP} .head")
        self.upload(phantom_file(scratch))
        gap = self.gap()
        self.move_beta()
        self.move_landmark()
        self.save_report()
        self.changed("the model's gap", self.gap, lambda: self.press("Back to the model's points"))
        assert self.gap() == gap
        self.drop_a_letter(scratch)
        assert self.gap() == gap, "a file that is no radiograph took away the radiograph"
        self.press("Open a phantom")
        opened = lambda: "By its geometry" in self.text(MESSAGE)  # noqa: E731
        self.wait("a phantom", opened, check=no_error)
        no_alert(self.page)

    def move_beta(self) -> None:
        "The slider of β changes the target heatmap, and not the network's."
        before = self.heatmaps()
        slider = self.page.locator(f"{APP} .widget-slider:has-text('β') [role=slider]")
        right, left = (lambda key=key: slider.press(key) for key in ("ArrowRight", "ArrowLeft"))
        network, target = self.changed("the target heatmap", self.heatmaps, right)
        assert network == before[0]
        self.changed("the target heatmap as before", self.heatmaps, left)
        assert self.heatmaps() == before

    def move_landmark(self) -> None:
        "With the mouse, a key, and a number typed: gap, target heatmap and table follow."
        first, target = px(self.gap()), self.heatmaps()[1]
        scale = SIDE / self.page.locator(f"{VIEWER} .stage").bounding_box()["height"]
        self.changed("the gap after a drag", self.gap, lambda: self.drag("left", down=30))
        there = first + 30 * scale
        self.wait("the gap as dragged", lambda: abs(px(self.gap()) - there) < 2 * scale)
        assert self.heatmaps()[1] != target
        self.wait("a table that says so", lambda: "hand" in self.text(f"{APP} table + table"))

        dragged = px(self.gap())
        press = lambda: self.handle("left").press("Shift+ArrowDown")  # noqa: E731
        moved = px(self.changed("the gap after a key", self.gap, press))
        assert abs(moved - dragged - 10) < 0.11, "Shift and an arrow move by 10 px"

        box = self.number(0, 1)
        level = float(box.input_value())
        box.fill(str(round(level - 100, 1)))
        self.changed("the gap after typing", self.gap, lambda: box.press("Enter"))
        assert abs(px(self.gap()) - moved - 100) < 0.11, "a typed number is taken as it is"

    def save_report(self) -> None:
        self.press("Save report")
        saved = lambda: re.search(r"Saved (\S+\.png)", self.text(MESSAGE))  # noqa: E731
        picture = Path(self.wait("the report saved", saved)[1])
        assert picture.stat().st_size > 20_000
        assert picture.with_name("reports.csv").read_text().count("\n") == 2

    def drop_a_letter(self, scratch: Path) -> None:
        letter = scratch / "letter <b>.txt"
        letter.write_text("Dear Sir or Madam")
        self.drop(letter)
        refused = lambda: f"{letter.name}: it is not a PNG" in self.text(ALERT)  # noqa: E731
        self.wait("a message about the file", refused, check=no_error)
