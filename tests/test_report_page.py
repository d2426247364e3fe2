"The report: true to the table, safe from what names say, quick with 5,000 images, and usable."

import base64
import json
import re
import shutil
import threading
import time
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hemidiaphragm_nb import report_page
from hemidiaphragm_nb.cli import app
from hemidiaphragm_nb.columns import ALL_COLUMNS
from hemidiaphragm_nb.dicom_source import write_example
from hemidiaphragm_nb.findings import FINDINGS
from hemidiaphragm_nb.html_page import is_report
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.prediction_table import read_table
from hemidiaphragm_nb.report_page import ReportWriter
from hemidiaphragm_nb.writers import OverlayWriter, predict_folder
from tests.browser import opened, wait_for
from tools.project import LIBRARY

HOSTILE = "<img src=x onerror=alert(1)>&'\"; [2J.png"
MANY = 5000


class Parsed(HTMLParser):
    "Texts of a page by the path of their elements; all attributes; elements in balance."

    def __init__(self, page: str):
        super().__init__()
        self.open, self.texts, self.attributes, self.cells = [], {}, [], []
        self.feed(page)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        key = self.open[-1] if self.open else ""
        self.texts.setdefault(key, []).append(data)
        if key in ("td", "th"):
            self.cells[-1][-1] += data

    @property
    def rows(self) -> list[dict]:
        return json.loads(next(text for text in self.texts["script"] if text.startswith("[")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Radiographs whose names and headers are not to be trusted, and their results."
    folder = tmp_path_factory.mktemp("report")
    grey = phantom(3, side=256).image
    for name, image in (("plain.png", grey), (HOSTILE, grey[::-1]), ("sub/b.png", grey)):
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    header = dict(PatientName="SECRET^NAME", PatientID="ID77", StudyDate="20200229")
    header |= dict(PixelSpacing=[1.4, 1.4], ViewPosition="AP")
    write_example(folder / "in/d.dcm", grey, **header)
    (folder / "in/broken.png").write_bytes(b"nothing")
    words = ["predict", str(folder / "in"), "--masks", "--out", str(folder / "out")]
    r = CliRunner().invoke(app, words)
    assert r.exit_code == 1 and f"findings first: {folder / 'out/report.html'}" in r.output
    return folder


def page_of(folder) -> str:
    return (folder / "out/report.html").read_text(encoding="utf-8")


def test_the_rows_are_those_of_the_table(folder):
    rows, table = Parsed(page_of(folder)).rows, read_table(folder / "out")
    assert len(rows) == len(table) == 4
    for i, (row, cells) in enumerate(zip(rows, table)):
        assert row["at"] == i
        assert row["gap_px"] == float(cells["gap_px"])
        assert row["gap_mm"] == (float(cells["gap_mm"]) if cells["gap_mm"] else None)
        assert row["gap_px512"] == pytest.approx(2 * float(cells["gap_px"]), abs=0.06)  # of 256
        assert row["side"] == ("right" if float(cells["gap_px"]) > 0 else "left")
        messages = sorted(f["message"] for f in row["findings"])
        assert messages == sorted(filter(None, cells["warnings"].split("; ")))
        assert row["thumbnail"] and row["size"] == [160, 160]
    assert {row["view"] for row in rows} == {"", "AP"}


def test_the_summary_counts_what_the_table_has(folder):
    parsed, table = Parsed(page_of(folder)), read_table(folder / "out")
    counts = {cells[0]: cells[1] for cells in parsed.cells if len(cells) == 2}
    some = sum(row["status"] == "warnings" for row in table)
    assert counts["images read"] == "4" and counts["images rejected by the last call"] == "1"
    assert counts["with a finding"] == str(some) and counts["with a gap in mm"] == "1"
    assert counts[str(folder / "in/broken.png")].startswith("it is not a PNG, JPEG, TIFF or DICOM")
    described = [cells[:3] for cells in parsed.cells if len(cells) == 3]
    assert [[c.name, c.unit, c.meaning] for c in ALL_COLUMNS] == described[1:]


def test_links_lead_to_the_files(folder):
    from urllib.parse import unquote

    for row in Parsed(page_of(folder)).rows:
        assert [label for label, _ in row["links"]] == ["overlay", "mask", "json", "radiograph"]
        for _, link in row["links"]:
            assert re.fullmatch(r"\./[\w./%~-]+", link)
            assert (folder / "out" / unquote(link)).is_file()


def test_nothing_of_a_patient_and_nothing_that_runs(folder):
    page = page_of(folder)
    for secret in ("SECRET", "ID77", "20200229", "2020-02-29"):
        assert secret not in page
    assert "<img" not in page.replace('"img"', "") and "\x1b" not in page
    parsed = Parsed(page)
    assert not [a for a in parsed.attributes if a[1].startswith("on") or a[1] in ("style", "src")]
    [policy] = [value for _, name, value in parsed.attributes if "default-src" in str(value)]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    assert not re.search(r"https?:", policy)
    hrefs = [value for _, name, value in parsed.attributes if name == "href"]
    assert hrefs == ["data:,", "#images"]


def test_the_same_page_after_an_interruption(folder, tmp_path):
    words = ["predict", str(folder / "in"), "--masks", "--out", str(tmp_path / "out")]
    shutil.copytree(folder / "out", tmp_path / "out")
    plain = ("plain.json", "plain_overlay.png", "plain_mask.png")
    for name in ("report.html", "predictions.csv", *plain):
        (tmp_path / "out" / name).unlink()
    CliRunner().invoke(app, words)
    again = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    place = re.compile(r"\./(\.\./)*[^\"]*?in/")  # the radiographs, as seen from each page
    assert place.sub("./in/", again) == place.sub("./in/", page_of(folder))
    before = (folder / "out/report.html").read_bytes()
    CliRunner().invoke(app, [*words[:-1], str(folder / "out")])
    assert (folder / "out/report.html").read_bytes() == before


def test_when_it_is_written(folder, tmp_path, monkeypatch):
    def call(*words):
        return CliRunner().invoke(app, ["predict", *words, "--out", str(tmp_path / "out")])

    given, one = str(folder / "in/sub"), str(folder / "in/plain.png")
    page = tmp_path / "out/report.html"
    assert call(one).exit_code == 0 and not page.exists()
    assert call(given, "--no-report").exit_code == 0 and not page.exists()
    elsewhere = tmp_path / "pages/mine.html"
    assert call(one, "--report", str(elsewhere)).exit_code == 0 and is_report(elsewhere)
    assert "../out/plain_overlay.png" in elsewhere.read_text(encoding="utf-8")
    r = call(given, "--report", str(elsewhere), "--no-report")
    assert "choose one of them" in str(r.exception)
    elsewhere.write_text("notes")
    r = call(given, "--report", str(elsewhere))
    assert "is no report of this program" in str(r.exception)
    assert elsewhere.read_text() == "notes"


def test_each_value_is_counted_once_in_its_bar():
    values = [n / 100 for n in range(12001)]  # 0 to 120, as gaps are rounded
    for sign in (1, -1):
        for value in values:
            edges, counts = report_page._bars(np.array([sign * value]))
            assert counts.sum() == 1, value
            at = int(counts.argmax())
            assert edges[at] <= sign * value < edges[at + 1], value
        for most in (5, 30, 300, 12000):
            edges, counts = report_page._bars(sign * np.array(values), most)
            assert counts.sum() == len(values) and 0.0 in edges
            inside = np.searchsorted(edges, sign * np.array(values), side="right") - 1
            assert (np.bincount(inside, minlength=len(counts)) == counts).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gap", [30.2, -30.2, 0.0, 0.6, 1.4, 57.4, 115.8])
def test_a_report_of_one_image(gap, folder, tmp_path):
    "30.2 was outside the bar that begins at 151 * 0.2."
    record = json.loads((folder / "out/plain.json").read_text(encoding="utf-8"))
    record |= dict(gap_px=gap, gap_mm=gap, width=512, height=512)
    writer = ReportWriter(tmp_path / "one.html")
    with writer.open(folder / "out") as take:
        take(record)
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert "nan" not in re.sub("<script.*?</script>", "", page, flags=re.S).lower()
    bars = re.findall(
        r"<title>(\S+) to (\S+) (?:mm of either scale|px of 512): (\d+)</title>", page
    )
    assert len([n for *_, n in bars if n == "1"]) == 2 and {n for *_, n in bars} <= {"0", "1"}
    assert all(float(low) <= gap < float(high) for low, high, n in bars if n == "1")


def test_one_that_cannot_be_written_costs_nothing_else(folder, tmp_path):
    out = tmp_path / "out"
    (out / "report.html").mkdir(parents=True)
    with pytest.warns(UserWarning, match="the report could not be written"):
        assert predict_folder([str(folder / "in/sub")], out, writers=[ReportWriter()]) == []
    assert len(read_table(out)) == 1


def test_an_empty_folder_has_no_page(tmp_path):
    (tmp_path / "in").mkdir()
    words = ["predict", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    r = CliRunner().invoke(app, words)
    assert r.exit_code == 1 and "on a page" not in r.output
    assert not (tmp_path / "out/report.html").exists()


def made_up(n: int, folder) -> list[dict]:
    "Records of `n` images, a tenth with findings."
    random, codes = np.random.default_rng(0), list(FINDINGS)
    records = []
    for i in range(n):
        gap = round(float(random.normal(12, 15)), 2)
        chosen = random.choice(codes, 2, replace=False) if i % 10 == 3 else ()
        found = [dict(code=str(c), message=f"{FINDINGS[c].meaning}, of {i}") for c in chosen]
        record = dict(file=f"ward/{i:05}.png", path=str(folder / f"{i:05}.png"), results=f"{i:05}")
        record |= dict(gap_px=gap, gap_mm=None if i % 3 else gap / 2, width=1024, height=1024)
        record |= dict(findings=found, warnings=[f["message"] for f in found], view="PA" * (i % 2))
        record |= dict(files={"overlay": [f"{i:05}_overlay.png"]}, version="0.1.0")
        records.append(record | {"model": {"recipe": "lite", "created": "2026-01-01"}})
    return records


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    "A folder with the report of 5,000 made-up images, and the seconds that it took."
    folder = tmp_path_factory.mktemp("large")
    noise = np.random.default_rng(0).integers(0, 256, (160, 160), np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 1.0)
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()
    assert 5000 < len(jpeg) < 9000, "as heavy as a real overlay's, or heavier"
    small = base64.b64encode(jpeg).decode(), (160, 160)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "_thumbnail", lambda path: small)
        start = time.perf_counter()
        with ReportWriter().open(folder) as take:
            for record in made_up(MANY, folder):
                take(record)
        seconds = time.perf_counter() - start
    return folder, seconds


def test_five_thousand_images(large):
    folder, seconds = large
    size = (folder / "report.html").stat().st_size
    print(f"{MANY} rows: {seconds:.1f} s, {size / 1e6:.1f} MB")
    assert size < 50e6 and seconds < 20


def served(folder, asked: list):
    "A server of a folder that notes what it is asked for."

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *given):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_it_filters_sorts_and_turns_pages(large, scheme):
    folder, _ = large
    asked, said = [], []
    server = served(folder, asked)
    try:
        with opened("about:blank") as page:
            page.on("console", lambda message: said.append(message.text))
            page.emulate_media(color_scheme=scheme)
            start = time.perf_counter()
            page.goto(f"http://127.0.0.1:{server.server_port}/report.html")
            page.wait_for_selector("#list tr")
            assert time.perf_counter() - start < 20
            use(page)
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["/report.html"] and not said


def use(page) -> None:
    "Filter, sort and turn pages, by mouse and keyboard."
    status, place = page.locator("#shown"), page.locator("#place")
    assert status.inner_text() == "5000 of 5000 images: 1 to 50 are shown"
    assert page.locator("#list tr").count() == 50 and place.inner_text() == "Page 1 of 100"
    assert page.locator("#list img").first.evaluate("image => image.naturalWidth") == 160
    first = page.locator("#list tr").first
    assert "severe" in first.inner_text()
    page.locator("#next").focus()
    page.keyboard.press("Enter")
    assert place.inner_text() == "Page 2 of 100"
    assert page.evaluate("document.activeElement.id") == "next"
    page.click("#last")
    assert "4951 to 5000" in status.inner_text()
    page.keyboard.press("Enter")  # there is no further one
    assert place.inner_text() == "Page 100 of 100"
    page.select_option("#finding", "any")
    assert status.inner_text().startswith("500 of 5000")
    page.select_option("#finding", "=rotated")
    rotated = page.locator("#finding option[value='=rotated']").inner_text()
    assert rotated == f"rotated ({status.inner_text().split()[0]})"
    page.select_option("#finding", "all")
    page.select_option("#view", "PA")
    assert status.inner_text().startswith("2500 of 5000")
    page.select_option("#side", "left")
    page.select_option("#order", "gap")
    gaps = page.locator("#list td.number").all_inner_texts()
    values = [float(text.splitlines()[1].split()[0]) for text in gaps]
    assert all(value < 0 for value in values) and values == sorted(values)
    page.select_option("#view", "*")
    page.select_option("#side", "*")
    page.fill("#text", "WARD/04321")
    assert status.inner_text() == "1 of 5000 images: 1 to 1 are shown"
    page.fill("#text", "nowhere")
    assert status.inner_text() == "0 of 5000 images"
    for control in page.locator("input, select").all():
        assert control.evaluate("c => c.labels.length") == 1
    page.set_viewport_size({"width": 390, "height": 844})  # a telephone's
    page.fill("#text", "")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_list_keeps_to_its_box(folder):
    "The sentence that places a gap did not wrap: the findings were off the screen."
    measure = """rows => {
      const box = rows[0].closest(".wide"), end = box.getBoundingClientRect().right;
      const cells = rows.flatMap((row) => [...row.children]);
      const texts = [...document.querySelectorAll("#list .sentence")].map((s) => s.innerText);
      return {
        over: box.scrollWidth - box.clientWidth,
        beyond: cells.filter((cell) => cell.getBoundingClientRect().right > end + 1).length,
        cut: cells.filter((cell) => cell.scrollWidth > cell.clientWidth + 1).length,
        name: Math.min(...rows.map((row) => row.querySelector("th").clientWidth)),
        words: Math.max(0, ...texts.map((text) => text.length)),
      };
    }"""
    server = served(folder / "out", [])
    try:
        with opened(f"http://127.0.0.1:{server.server_port}/report.html") as page:
            for width in (390, 800, 1200, 1920):
                page.set_viewport_size({"width": width, "height": 900})
                seen = page.locator("#list tr").evaluate_all(measure)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert seen.pop("words") > 60 and seen.pop("name") > 120, width
                assert seen == {"over": 0, "beyond": 0, "cut": 0}, width
    finally:
        server.shutdown()
        server.server_close()


def test_a_click_shows_the_overlay_large(tmp_path):
    "By mouse and keyboard, over the ends of a page, and without the file, too."
    (tmp_path / "in").mkdir()
    for seed in (1, 2):
        Image.fromarray(phantom(seed).image).save(tmp_path / f"in/{seed}.png")
    out, asked = tmp_path / "out", []
    predict_folder([str(tmp_path / "in")], out, writers=[OverlayWriter(), ReportWriter()])
    server = served(out, asked)
    try:
        with opened("about:blank") as page:
            page.goto(f"http://127.0.0.1:{server.server_port}/report.html")
            page.select_option("#order", "table")
            page.locator("#list img").first.click()
            picture = page.locator("#large-picture")
            wait_for(page, "the picture", lambda: picture.evaluate("p => p.naturalWidth") == 512)
            assert picture.bounding_box()["height"] > 450
            assert page.locator("#large-name").inner_text().endswith("1.png")
            assert "px of 512" in page.locator("#large-gap").inner_text()
            (out / "2_overlay.png").unlink()
            page.keyboard.press("ArrowRight")
            assert page.locator("#large-name").inner_text().endswith("2.png")
            wait_for(page, "the note", lambda: page.locator("#large-missing").is_visible())
            assert picture.evaluate("p => p.naturalWidth") == 160
            page.keyboard.press("ArrowRight")  # there is no further one
            page.locator("#earlier").click()
            assert page.locator("#large-missing").is_hidden()
            page.keyboard.press("Escape")
            assert not page.locator("#large").is_visible()
            page.locator("#list a:has(img)").last.press("Enter")
            assert page.locator("#large-name").inner_text().endswith("2.png")
            page.locator("#close").click()
    finally:
        server.shutdown()
        server.server_close()
    assert {path for path in asked if "overlay" in path} == {"/1_overlay.png", "/2_overlay.png"}


def luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_contrast():
    "WCAG AA: 4.5 to 1 for text, 3 to 1 for lines and bars; light and dark."
    css = (LIBRARY / "static/report.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{([^}]*)\}", css)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--(\w+): (#\w{6});", block))
        ground = luminance(colours.pop("ground"))
        assert len(colours) == 7
        for name, colour in colours.items():
            light, dark = sorted([luminance(colour), ground], reverse=True)
            least = 3 if name in ("line", "bar") else 4.5
            assert (light + 0.05) / (dark + 0.05) >= least, (name, colour)


def test_every_code_of_a_finding_has_a_severity():
    sources = "".join(path.read_text(encoding="utf-8") for path in LIBRARY.glob("*.py"))
    assert set(re.findall(r'Finding\(\s*"(\w+)"', sources)) == set(FINDINGS)
