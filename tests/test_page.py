"The page that predicts in the browser agrees with the library, and does what a person asks of it."

import csv
import hashlib
import io
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate

from hemidiaphragm_nb.dicom_reader import encode_dicom
from hemidiaphragm_nb.files import save_picture
from hemidiaphragm_nb.frames import phantom_frames
from hemidiaphragm_nb.measure import measure
from hemidiaphragm_nb.page import _POLICY, page_server
from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.radiograph import RadiographError
from hemidiaphragm_nb.readers import read_radiograph
from hemidiaphragm_nb.tilt import level_gap_mm, lung_tilt
from tests.browser import chromium, opened
from tests.predict_page import WEB, Answer, PredictPage, build, counted, serving, static_server
from tests.sound_files import corpus, rare_tiffs, tiff
from tools import page_facts
from tools.page_files import RADIOGRAPH
from tools.project import ROOT

PHANTOMS = 60
RADIOGRAPHS = int(os.environ.get("HEMIDIAPHRAGM_PAGE_RADIOGRAPHS", 10))
POINT = 0.1  # px of the radiograph, between the page and the library
DICE = 0.999
EXAMPLE = "phantom-000003.png"
RG1 = [f"RG1_{kind}.dcm" for kind in ("UNCR", "UNCI", "J2KR", "J2KI")]
SYNTAXES = {
    "implicit": uid.ImplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG": uid.JPEGBaseline8Bit,
    "JPEG 12 bits": uid.JPEGExtended12Bit,
    "JPEG lossless": uid.JPEGLosslessSV1,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
}
ELSEWHERE = "http://127.0.0.1:9/"  # another server than the page's own

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "The built page."
    chromium()
    return build(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def app(folder):
    "The page with its network loaded, for all tests that only open files."
    server = page_server(folder=folder)  # that of `hemidiaphragm page`
    with serving(server) as address, opened(address, 1280, 900) as page:
        shown = PredictPage(page)
        assert shown.ready() == "offline"
        yield shown


@pytest.fixture
def example(app):
    "The page with nothing but an example open."
    if app.page.locator("#clear").is_visible():
        app.page.click("#clear")
    app.page.get_by_role("button", name="Phantom 1").click()
    app.result(EXAMPLE)
    app.wait("the handles", lambda: app.page.locator("#viewer .handle:visible").count() == 2)
    return app


def agrees(answer: Answer) -> None:
    """Whether the page makes of its network's outputs what the library makes of them, and of the
    file what the library makes of it with its own network.
    """
    page, library, own = answer.page, answer.same_network, answer.library
    assert not (np.abs(answer.points - own.points) > POINT).any()
    assert answer.dice(own) >= DICE
    assert np.array_equal(np.isnan(answer.points), np.isnan(library.points))
    assert not (np.abs(answer.points - library.points) > POINT).any()
    assert answer.dice(library) >= DICE
    assert answer.findings == [(f.code, f.message, f.side) for f in library.findings]
    radius = np.array([np.nan if r is None else r for r in page["radius90"]], float)
    np.testing.assert_allclose(radius, library.radius90, atol=POINT)
    assert (page["spacing"] and tuple(page["spacing"])) == library.spacing
    assert page["spacingSource"] == library.spacing_source
    assert page["noAnswer"] == library.no_answer and page["row"]["status"] == library.status
    tilt = np.nan if page["tilt"] is None else page["tilt"]
    np.testing.assert_allclose(tilt, library.tilt, atol=0.1)
    level_px = np.nan if (shown := page["row"]["gap_corrected_px"]) == "" else shown
    np.testing.assert_allclose(level_px, library.gap_corrected_px, atol=5 * POINT)
    level = level_gap_mm(library.points, tilt, library.spacing)
    shown = page["row"]["gap_corrected_mm"]
    assert shown == "" if level is None or np.isnan(level) else abs(shown - level) < 3 * POINT
    if library.gap90_px is None:
        assert page["row"]["gap90_low_px"] == ""
    else:
        assert abs(page["gapMarginPx"] - library.gap_margin_px) < POINT
        ends = [page["row"][f"gap90_{end}_px"] for end in ("low", "high")]
        np.testing.assert_allclose(ends, library.gap90_px, atol=2 * POINT)


def all_agree(app, *paths: Path) -> list[Answer]:
    "Open files together, and compare each with the library."
    app.drop(*paths)
    answers = []
    for path in paths:
        found = app.result(path.name)
        assert "message" not in found, f"{path.name}: {found['message']}"
        answers.append(app.answer(path, found))
        agrees(answers[-1])
    return answers


# ---------------------------------------------------------------- one truth


def test_the_facts_are_the_library_s():
    stale = page_facts.FACTS.read_text(encoding="utf-8") != page_facts.text()
    assert not stale, "run `python -m tools.page_facts`"


OTHER_FACTS = """\
#!{python}
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tools import page_facts, page_files
page_facts.text = lambda: "{{}}"
page_files.main(Path(sys.argv[-1]))
"""


def test_a_page_with_other_facts_is_not_built(folder, tmp_path):
    "Whoever builds it reads one sentence, and no part of a page is left."
    python, out = tmp_path / "python", tmp_path / "page"
    python.write_text(OTHER_FACTS.format(python=sys.executable, root=str(ROOT)))
    python.chmod(0o755)
    environment = os.environ | {"PYTHON": str(python)}
    command = ["node", "build.mjs", str(out)]
    made = subprocess.run(command, cwd=WEB, capture_output=True, text=True, env=environment)
    advice = "run `python -m tools.page_facts`"
    assert made.stderr == f"web/src/facts.json: not what the library says now; {advice}\n"
    assert made.returncode == 1 and not out.exists()


def test_the_examples_are_phantoms():
    for path in (WEB / "examples").iterdir():
        with Image.open(path) as image:
            drawn = phantom(int(path.stem[-6:])).image
            # processors differ in the last digit, and so by a grey level where one is rounded
            assert np.abs(np.asarray(image, np.int16) - drawn).max() <= 1


def test_phantoms(app, tmp_path):
    frames = phantom_frames(PHANTOMS, seed=7)
    paths = [tmp_path / f"phantom {i}.png" for i in range(PHANTOMS)]
    for path, image in zip(paths, frames.images):
        save_picture(image[0], path)
    all_agree(app, *paths)


def test_a_lung_that_a_black_border_cuts_off(app, tmp_path):
    "Its height and the tilt are unknown, in the page as in the library."
    case = phantom(3)
    image = case.image.copy()
    image[: np.flatnonzero(case.mask.any(1))[0] + 40] = 0
    save_picture(image, path := tmp_path / "collimated.png")
    [answer] = all_agree(app, path)
    assert np.isnan(answer.same_network.tilt)
    m = measure(answer.same_network)
    for lung, shown in zip((m.right, m.left), answer.page["measured"]["lungs"]):
        assert lung.cut == tuple(shown["cut"]) == ("top",)
        for name in ("area_px2", "width_px", "height_px", "dome_px"):
            value = np.nan if shown[name] is None else shown[name]
            np.testing.assert_allclose(value, getattr(lung, name), rtol=1e-3, err_msg=name)


def test_a_landmark_at_the_lower_edge_is_left_out_in_the_same_words(app, tmp_path):
    case = phantom(6)
    save_picture(case.image[: int(case.landmarks[:, 1].min()) + 5], path := tmp_path / "cut.png")
    [answer] = all_agree(app, path)
    said = {message for code, message, _ in answer.findings if code == "landmark_at_edge"}
    assert said and all(text.endswith(", and it is left out") for text in said)


def test_radiographs(app):
    data = os.environ.get("HEMIDIAPHRAGM_DATA")
    if not data:
        pytest.skip("no radiographs here: HEMIDIAPHRAGM_DATA names their folder")
    paths = sorted((Path(data) / "images").iterdir())
    all_agree(app, *paths[:: max(1, len(paths) // RADIOGRAPHS)][:RADIOGRAPHS])


@pytest.mark.parametrize("name", RG1)
def test_a_radiograph_in_its_encodings(app, name):
    path = get_testdata_file(name, download=False)
    if not path:
        pytest.skip("no RG1 here: `pip install pydicom-data` brings it")
    all_agree(app, Path(path))


def test_a_radiograph_at_a_click(app):
    path = get_testdata_file(RADIOGRAPH, download=False)
    if not path:
        pytest.skip("no RG1 here: `pip install pydicom-data` brings it")
    app.page.get_by_role("button", name="Radiograph", exact=True).click()
    agrees(app.answer(Path(path), app.result(RADIOGRAPH)))
    app.wait("its picture", lambda: app.text("#name") == RADIOGRAPH)


def test_what_is_no_chest_has_no_answer(app, tmp_path):
    "No landmark, no number and no headline, as in the library; the reason stands there instead."
    noise = np.random.default_rng(0).integers(0, 256, (300, 400)).astype(np.uint8)
    save_picture(noise, tmp_path / "noise.png")
    [answer] = all_agree(app, tmp_path / "noise.png")
    assert answer.page["noAnswer"] and answer.findings[0][0] == "not_frontal"
    assert np.isnan(answer.points).all() and not answer.mask.any()
    assert answer.page["words"] == f"no answer: {answer.page['noAnswer']}"
    row = answer.page["row"]
    empty = "gap_px gap_mm gap90_low_px right_x left_y right_radius90_px tilt_deg".split()
    assert row["status"] == "no answer" and [row[name] for name in empty] == [""] * len(empty)
    app.page.locator("#table").get_by_role("button", name="noise.png").click()
    app.wait("the headline", lambda: app.text("#gap").startswith("No answer: this does not look"))
    assert app.page.locator("#viewer .handle:visible").count() == 0
    assert "No answer: this does not look" in app.text("#warnings")


@pytest.fixture
def silent(app, tmp_path):
    "The page with a picture shown for which there is no answer."
    noise = np.random.default_rng(0).integers(0, 256, (300, 400)).astype(np.uint8)
    save_picture(noise, tmp_path / "silent.png")
    if app.page.locator("#clear").is_visible():
        app.page.click("#clear")
    app.drop(tmp_path / "silent.png")
    app.result("silent.png")
    app.wait("its picture", lambda: app.page.locator("#viewer .stage").is_visible())
    return app


MAPS = """names => names.map(name => {
    const canvas = document.getElementById(`${name}-map`);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set(new Uint32Array(data.buffer));
    const words = document.getElementById(`${name}-words`).textContent;
    return { colours: colours.size, words: words, label: canvas.ariaLabel };
})"""


def test_no_answer_has_no_heatmap(silent):
    "A grey field that says so; a target as soon as a landmark is placed by hand."
    network, target = silent.page.evaluate(MAPS, ["network", "target"])
    assert network["colours"] == target["colours"] == 1
    assert network["words"] == "not shown: no answer" and "no answer" in network["label"]
    assert target["words"] == "not shown: no landmark" and "no landmark" in target["label"]
    x, y = silent.centre("#viewer .stage")
    silent.page.mouse.dblclick(x, y)
    network, target = silent.page.evaluate(MAPS, ["network", "target"])
    assert network["colours"] == 1 and target["colours"] > 50
    assert target["words"].startswith("what it is trained to predict")


def test_missing_landmarks_by_keyboard(silent):
    "Enter puts each in the middle of what is seen, and arrow keys move it from there."
    page, sides = silent.page, []
    for _ in range(2):
        page.locator("#viewer .stage").press("Enter")
        focused = page.evaluate("document.activeElement.className")
        sides.append(["handle right moved", "handle left moved"].index(focused))
        assert np.abs(silent.point(sides[-1]) - [199.5, 149.5]).max() < 1
        before = silent.point(sides[-1])
        page.keyboard.press("Shift+ArrowDown")
        assert np.abs(silent.point(sides[-1]) - before - [0, 10]).max() < 1e-6
    assert sorted(sides) == [0, 1] and silent.text("#gap") == "Both sides level"
    both = [silent.point(side) for side in (0, 1)]
    page.locator("#viewer .stage").press("Enter")  # none is missing: none is moved
    assert np.array_equal(both, [silent.point(side) for side in (0, 1)])
    assert "double-tap" in page.locator("#desk .hint").first.inner_text()


def test_transfer_syntaxes(app, tmp_path):
    image, paths = phantom(3).image, []
    for name, syntax in SYNTAXES.items():
        deep = dict(bits=12, WindowCenter=2000, WindowWidth=3400)
        eight = syntax == uid.JPEGBaseline8Bit
        pixels = image if eight else image.astype(np.uint16) * 16 + 3
        paths.append(tmp_path / f"{name}.dcm")
        paths[-1].write_bytes(encode_dicom(pixels, syntax, **({} if eight else deep)))
    all_agree(app, *paths)


def test_colours_in_dicom(app, tmp_path):
    image, paths = phantom(3).image, []
    colour = np.stack([image, image // 2, 255 - image], -1)
    for name in ("implicit", "RLE", "JPEG 2000", "JPEG"):
        stated = dict(PhotometricInterpretation="YBR_FULL_422") if name == "JPEG" else {}
        paths.append(tmp_path / f"colour {name}.dcm")
        paths[-1].write_bytes(encode_dicom(colour, SYNTAXES[name], **stated))
    all_agree(app, *paths)


def test_jpeg_whose_header_says_rgb(app, tmp_path):
    """Of a sample file: its elements have no value representations, although its syntax asks for
    them, and its Adobe marker is too short to say anything of colours. And with a marker that does,
    with that of JFIF, which contradicts the header and is believed, and with none.
    """
    image = phantom(3).image
    colour = Image.fromarray(np.stack([image, image // 2, 255 - image], -1))
    plain, bare = io.BytesIO(), io.BytesIO()
    colour.save(plain, "jpeg", quality=95)
    colour.save(bare, "jpeg", quality=95, keep_rgb=True)  # with Adobe's marker
    jfif = plain.getvalue()
    assert jfif[2:4] == b"\xff\xe0"
    without = jfif[:2] + jfif[4 + int.from_bytes(jfif[4:6], "big") :]
    paths = [Path(get_testdata_file("SC_rgb_jpeg.dcm", download=False))]
    for name, stream in dict(jfif=jfif, adobe=bare.getvalue(), none=without).items():
        data = encode_dicom(np.asarray(colour), uid.JPEGBaseline8Bit)
        ds = pydicom.dcmread(io.BytesIO(data))
        ds.PixelData = encapsulate([stream])
        ds["PixelData"].VR = "OB"
        paths.append(tmp_path / f"{name}.dcm")
        ds.save_as(paths[-1])
    all_agree(app, *paths)


def test_uncompressed_without_its_value_representations(app, tmp_path):
    "The head says Explicit VR, and the data set is written without."
    ds = pydicom.dcmread(io.BytesIO(encode_dicom(phantom(3).image)))
    del ds.file_meta, ds.preamble
    body, head = io.BytesIO(), encode_dicom(phantom(3).image)
    pydicom.dcmwrite(body, ds, implicit_vr=True, little_endian=True)
    start = 144 + int.from_bytes(head[140:144], "little")
    (tmp_path / "a.dcm").write_bytes(head[:start] + body.getvalue())
    all_agree(app, tmp_path / "a.dcm")


HEADERS = {
    "inverted": dict(invert=True),
    "mirrored": dict(PatientOrientation=["R", "F"]),
    "on its side": dict(PatientOrientation=["F", "R"]),
    "sigmoid": dict(WindowCenter=120, WindowWidth=100, VOILUTFunction="SIGMOID"),
    "no preamble": dict(preamble=False),
    "a child": dict(PatientAge="012Y", BodyPartExamined="ABDOMEN", ImagerPixelSpacing=[0.8, 0.8]),
    "implausible": dict(PixelSpacing=[0.05, 0.05]),
    "rescaled": dict(RescaleSlope=-2, RescaleIntercept=900, WindowCenter=500, WindowWidth=600),
    "padded": dict(PixelPaddingValue=0),
    "calibrated": dict(PixelSpacing=[0.7, 0.7], ImagerPixelSpacing=[0.8, 0.8]),
    "larger": dict(PixelSpacing=[0.9, 0.9], ImagerPixelSpacing=[0.8, 0.8]),
    "half": dict(PixelSpacing=[0.39, 0.39], ImagerPixelSpacing=[0.8, 0.8]),
    "larger by a fiducial": dict(
        PixelSpacing=[0.9, 0.9],
        ImagerPixelSpacing=[0.8, 0.8],
        PixelSpacingCalibrationType="FIDUCIAL",
    ),
    "uncorrected": dict(
        PixelSpacing=[0.797, 0.8],
        ImagerPixelSpacing=[0.8, 0.8],
        PixelSpacingCalibrationType="GEOMETRY",
    ),
    "unknown words": dict(VOILUTFunction="CURVE", PresentationLUTShape="INVERSE"),
}


def test_headers(app, tmp_path):
    "What a header says of grey values, orientation, lengths and doubts."
    paths = []
    for name, elements in HEADERS.items():
        paths.append(tmp_path / f"{name}.dcm")
        paths[-1].write_bytes(encode_dicom(phantom(5).image, **elements))
    answers = all_agree(app, *paths)
    assert any("on its side" in f[1] for f in answers[2].findings)
    assert answers[5].page["spacing"] == [0.8, 0.8]
    sources = [answers[k].page["spacingSource"] for k in (9, 10)]
    assert sources == ["PixelSpacing / calibrated", "ImagerPixelSpacing"]


def test_tilt_of_oblong_pixels(app, tmp_path):
    "It is the patient's, though the picture is half as high, or lies on its side."
    grey, paths = phantom(1).image[::2], []
    headers = dict(PixelSpacing=[1.4, 0.7]), dict(PixelAspectRatio=["2", "1"])
    side = dict(PixelAspectRatio=["1", "2"], PatientOrientation=["F", "R"])
    for i, (image, header) in enumerate([*((grey, h) for h in headers), (np.rot90(grey), side)]):
        paths.append(tmp_path / f"oblong {i}.dcm")
        paths[-1].write_bytes(encode_dicom(np.ascontiguousarray(image), **header))
    for answer in all_agree(app, *paths):
        assert abs(answer.page["tilt"] - lung_tilt(phantom(1).mask)) < 0.5


def test_tables_of_grey_values(app, tmp_path):
    "A VOI look-up table, as the standard has it."
    image = phantom(5).image
    ds = pydicom.dcmread(io.BytesIO(encode_dicom(image)))
    item = pydicom.Dataset()
    item.add_new(0x00283002, "US", [256, 0, 16])
    table = (255 * np.linspace(0, 1, 256) ** 2 * 257).astype("<u2")
    item.add_new(0x00283006, "OW", table.tobytes())
    ds.VOILUTSequence = [item]
    ds.save_as(tmp_path / "table.dcm", enforce_file_format=True)
    all_agree(app, tmp_path / "table.dcm")


def test_pictures(app, tmp_path):
    "PNG, JPEG and TIFF: colour, transparency, depth, compression, orientation, odd sizes."
    image = phantom(11).image
    deep, colour = image.astype(np.uint16) * 257, np.stack([image, image // 2, 255 - image], -1)
    turned = Image.Exif()
    turned[0x0112] = 6
    grey, red = Image.fromarray(image), Image.fromarray(colour)
    saved = {
        "grey.jpg": lambda p: grey.save(p, quality=90),
        "turned.jpg": lambda p: grey.rotate(90).save(p, exif=turned),
        "colour.jpg": lambda p: red.save(p, quality=90, progressive=True),
        "deep.png": lambda p: Image.fromarray(deep).save(p),
        "colour.png": lambda p: red.save(p),
        "palette.png": lambda p: red.quantize(64).save(p),
        "clear.png": lambda p: grey.convert("LA").save(p),
        "odd.png": lambda p: grey.resize((391, 333)).save(p),
        "tall.png": lambda p: grey.resize((700, 1100)).save(p),
        "plain.tif": lambda p: tifffile.imwrite(p, deep),
        "lzw.tif": lambda p: tifffile.imwrite(p, image, compression="lzw", predictor=True),
        "tiles.tif": lambda p: tifffile.imwrite(p, deep, compression="deflate", tile=(64, 64)),
        "white.tif": lambda p: tifffile.imwrite(p, 255 - image, photometric="miniswhite"),
        "float.tif": lambda p: tifffile.imwrite(p, image.astype(np.float32) / 7),
        "palette.tif": lambda p: red.quantize(64).save(p),
        "colour.tif": lambda p: tifffile.imwrite(p, colour, photometric="rgb"),
    }
    for name, save in saved.items():
        save(tmp_path / name)
    all_agree(app, *[tmp_path / name for name in saved])


# ---------------------------------------------------------------- files that are rejected


def bad_files(folder: Path) -> dict[Path, str]:
    "Files, and what of each one's sentence is expected."
    image = phantom(3).image
    png = (WEB / "examples" / EXAMPLE).read_bytes()
    dicom = encode_dicom(image)
    content = {
        "empty.png": (b"", "empty"),
        "letter <b>.txt": (b"Dear Sir or Madam", "not a PNG, JPEG, TIFF or DICOM"),
        "cut.png": (png[:5000], "cut short"),
        "cut.dcm": (dicom[:5000], "cut short"),
        "cut.jpg": (b"\xff\xd8\xff\xe0" + b"\0" * 40, ""),
        "cut.tif": (b"II*\0\x08\0\0\0", ""),
        "loop.tif": (b"II*\0" + struct.pack("<IHI", 8, 0, 8), "pages"),
        "lateral.dcm": (encode_dicom(image, ViewPosition="LL"), "its view is LL, not frontal"),
        "hand.dcm": (encode_dicom(image, BodyPartExamined="HAND"), "it shows HAND"),
        "ct.dcm": (encode_dicom(image, Modality="CT"), "it is CT, not a radiograph"),
        "frames.dcm": (encode_dicom(image, NumberOfFrames=2), "it has 2 frames"),
        "report.dcm": (
            dicom.replace(b"\xe0\x7f\x10\x00", b"\xe0\x7f\x12\x00"),
            "without a picture",
        ),
    }
    for name, (data, _) in content.items():
        (folder / name).write_bytes(data)
    save_picture(np.full((100, 100), 7, np.uint8), folder / "constant.png")
    save_picture(image[:, :200], folder / "strip.png")
    save_picture(image[:10, :10], folder / "tiny.png")
    tifffile.imwrite(folder / "pages.tif", np.stack([image, image]))
    Image.fromarray(image).convert("CMYK").save(folder / "cmyk.jpg")
    expected = {name: words for name, (_, words) in content.items()}
    expected |= {"constant.png": "constant", "strip.png": "beyond 2:1", "tiny.png": "too small"}
    expected |= {"pages.tif": "2 pages", "cmyk.jpg": "CMYK"}
    return {folder / name: words for name, words in expected.items()}


def test_bad_files_are_rejected_one_by_one(app, tmp_path):
    "Each with one sentence, and none of the others suffers."
    expected, good = bad_files(tmp_path), WEB / "examples" / EXAMPLE
    app.page.evaluate("document.getElementById('clear').click()")
    app.drop(*expected, good)
    for path, words in expected.items():
        message = app.result(path.name).get("message", "")
        assert words in message and message.endswith(".") and len(message) < 300, path.name
    assert "message" not in app.result(good.name)
    shown = app.page.locator("#rejected p").all_text_contents()
    assert len(shown) == len(expected) and any("letter <b>.txt" in text for text in shown)


UNREAD = {  # read by the library, not by the page, which must not guess
    "deflated": dict(syntax=uid.DeflatedExplicitVRLittleEndian),
    "high throughput": dict(syntax=uid.HTJ2KLossless),
    "palette": dict(PhotometricInterpretation="PALETTE COLOR"),
    "contradiction": dict(SamplesPerPixel=3),
    "bits": dict(BitsStored=7, HighBit=4),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_the_page_does_not_handle_it_rejects(app, tmp_path, name):
    options = dict(UNREAD[name])
    syntax = options.pop("syntax", None)
    data = encode_dicom(phantom(3).image, **options)
    if syntax:
        ds = pydicom.dcmread(io.BytesIO(data))
        ds.file_meta.TransferSyntaxUID = syntax
        if syntax.is_encapsulated:
            ds.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(100)])
            ds["PixelData"].VR = "OB"
        ds.save_as(tmp_path / f"{name}.dcm")
    else:
        (tmp_path / f"{name}.dcm").write_bytes(data)
    message = app.rejection(tmp_path / f"{name}.dcm")
    assert message.endswith("."), message


def test_many_rejections_are_folded(example, tmp_path):
    "Three stand in the open; with more, one line says how many, and the answer stays in sight."
    page, paths = example.page, [tmp_path / f"letter {i}.txt" for i in range(26)]
    for path in paths:
        path.write_bytes(b"Dear Sir or Madam")
    lines = page.locator("#rejected p")
    example.drop(*paths[:3])
    example.result(paths[2].name)
    assert lines.count() == 3 and lines.last.is_visible()
    example.drop(*paths)
    example.wait("all", lambda: lines.count() == 26)
    summary = page.locator("#rejected summary")
    assert summary.inner_text() == "26 files are not read"
    assert not any(line.is_visible() for line in lines.all())
    assert page.locator("#rejected").bounding_box()["height"] < 60
    summary.press("Enter")
    assert lines.last.is_visible() and "letter 25.txt" in lines.last.inner_text()
    example.drop(paths[0])  # the next files begin anew
    example.wait("the one", lambda: lines.count() == 1)
    assert lines.first.is_visible() and not summary.count()


INSTALL_ROWS = {  # how a row of the table in docs/howto/install.md begins: files of its kinds
    "PNG and JPEG": "png16 jpeg",
    "JPEG in CMYK": "jpeg-cmyk",
    "TIFF: uncompressed": "tiff16 tiff16-lzw tiff16-zlib tiff8-packbits",
    "TIFF: JPEG": "tiff8-jpeg",
    "TIFF: ZSTD": "tiff-zstd tiff-lzma tiff-png tiff-jpeg2000 tiff-group4 tiff-12",
    "TIFF: a floating-point": "tiff-float-predictor",
    "TIFF: samples of more than 8": "tiff16-big-endian-lzw tiff16-big-endian-zlib",
    "TIFF: samples of 1 bit": "tiff-bool tiff-float16 tiff-float64 tiff-int32 tiff-uint32",
    "DICOM: uncompressed": "dicom-RLELossless",
    "DICOM: deflated": "dicom-DeflatedExplicitVRLittleEndian dicom-HTJ2KLossless dicom-palette",
    "DICOM: JPEG of 8": "dicom-lossless-8",
    "DICOM: lossless": "dicom-JPEGLosslessSV1",
}


def test_the_install_page_says_what_the_page_reads(app, tmp_path):
    """Row by row; the library, with imagecodecs, reads all of them. `test_transfer_syntaxes` has
    what else of DICOM the page reads.
    """
    text = (ROOT / "docs/howto/install.md").read_text(encoding="utf-8")
    rows = re.search(r"^\| files \|.*\n\|---.*\n((?:\|.*\n)+)", text, re.M)[1].splitlines()
    grey, cmyk = np.ascontiguousarray(phantom(3, side=64).image), io.BytesIO()
    Image.fromarray(grey).convert("CMYK").save(cmyk, "JPEG")
    files = corpus() | rare_tiffs(grey.astype(np.uint16) << 8) | {"jpeg-cmyk": cmyk.getvalue()}
    files["dicom-lossless-8"] = encode_dicom(grey, uid.JPEGLosslessSV1)
    for compression in ("lzw", "zlib"):
        options = dict(byteorder=">", predictor=2, compression=compression)
        name = f"tiff16-big-endian-{compression}"
        files[name] = tiff(grey.astype(np.uint16) << 8, **options)
    for kind in ("bool", "float16", "float64", "int32", "uint32"):
        files[f"tiff-{kind}"] = tiff((grey >> 7 if kind == "bool" else grey).astype(kind))
    assert len(rows) == len(INSTALL_ROWS)
    for row, (head, names) in zip(rows, INSTALL_ROWS.items()):
        assert row.startswith(f"| {head}"), row
        reads = row.split("|")[-2].strip()
        for name in names.split():
            (tmp_path / name).write_bytes(files[name])
            assert read_radiograph(tmp_path / name, force=True).pixels.size
            message = app.rejection(tmp_path / name)
            assert reads == ("no" if message else "yes"), f"{name}: {message}"


def test_rejections_are_the_library_s(app, tmp_path):
    "What the page rejects for its content, the library rejects, too, in the same words."
    for path, words in bad_files(tmp_path).items():
        if not words or path.name in ("cmyk.jpg", "letter <b>.txt", "cut.dcm"):
            continue
        with pytest.raises(RadiographError) as rejected:
            read_radiograph(path)
        assert words in str(rejected.value), path.name


# ---------------------------------------------------------------- what a person does


def test_drag_keys_and_double_click(example):
    """The landmark follows the hand, the gap follows the landmark, and back. A double click, also
    that of two taps to zoom, moves none that was found, and places one that is missing.
    """
    app, page = example, example.page
    gap, first = app.text("#gap"), app.point(1)
    x, y = app.centre("#viewer .handle.left")
    scale = 512 / page.locator("#viewer .scene").bounding_box()["height"]
    app.drag(x, y, 10, 30)
    dragged = app.point(1)
    assert np.abs(dragged - first - np.array([10, 30]) * scale).max() < 2 * scale
    assert app.text("#gap") != gap and "placed by hand" in app.text("#findings")
    app.handle("left").press("ArrowLeft")
    app.handle("left").press("Shift+ArrowDown")
    assert np.abs(app.point(1) - dragged - [-1, 10]).max() < 1e-6
    both = [app.point(side) for side in (0, 1)]
    box = page.locator("#viewer .scene").bounding_box()
    page.mouse.dblclick(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    assert np.array_equal(both, [app.point(side) for side in (0, 1)])
    page.evaluate("hemidiaphragm.entries.at(-1).radiograph.points[0] = [NaN, NaN]")
    page.mouse.dblclick(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    assert np.abs(app.point(0) - [127.5, 255.5]).max() < 2 * scale
    page.get_by_role("button", name="Back to the model's points").click()
    assert app.text("#gap") == gap and np.abs(app.point(1) - first).max() < 1e-6


def test_a_landmark_that_is_held_is_not_put_on_another_radiograph(example, tmp_path):
    "Neither by a drag during which another answer comes, nor by a key right after a choice."
    app, page = example, example.page
    save_picture(phantom(3).image, path := tmp_path / "other.png")
    x, y = app.centre("#viewer .handle.left")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3, y + 3)
    app.drop(path)
    app.result(path.name)
    app.wait("the other's picture", lambda: app.text("#name") == path.name)
    page.mouse.move(x + 40, y + 40)
    page.mouse.up()
    moved = "hemidiaphragm.entries.map(e => e.radiograph.row().placed_by_hand)"
    assert page.evaluate(moved)[-1] == ""
    before = page.evaluate(moved)
    page.evaluate("""() => {
        document.querySelector("#table button").click();
        const key = new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true });
        document.querySelector("#viewer .handle.right").dispatchEvent(key);
    }""")
    app.wait("the first's picture", lambda: app.text("#name") != path.name)
    after = page.evaluate(moved)
    assert after[0] == before[0] and after[-1] == "right"  # what was on the screen was moved


def view(page) -> tuple:
    "Zoom, place and grey window as they show."
    style = "el => [el.style.width, el.style.left, el.style.top]"
    scene = page.locator("#viewer .scene").evaluate(style)
    return *scene, page.locator("#viewer .radiograph").evaluate("el => el.style.filter")


def test_zoom_pan_and_grey_window(example):
    "By keys, wheel, mouse and buttons; 0 shows all again."
    page, start = example.page, view(example.page)
    x, y = example.centre("#viewer .stage")
    page.locator("#viewer .stage").focus()
    page.keyboard.press("+")
    zoomed = view(page)
    assert zoomed[0] == "125%" and zoomed != start
    page.keyboard.press("ArrowRight")
    assert view(page)[1:3] != zoomed[1:3]
    page.keyboard.press("[")
    assert "contrast" in view(page)[3]
    page.keyboard.press("0")
    assert view(page) == start
    page.mouse.move(x, y - 60)
    page.mouse.wheel(0, -300)
    example.wait("the zoom", lambda: view(page)[0] != "100%")
    moved = view(page)
    example.drag(x - 40, y - 120, 25, 15)
    assert view(page)[1:3] != moved[1:3] and view(page)[3] == ""
    page.keyboard.down("Shift")
    example.drag(x - 40, y - 120, 25, 15)
    page.keyboard.up("Shift")
    assert "contrast" in view(page)[3]
    page.get_by_role("button", name="show all").click()
    assert view(page) == start


def test_two_fingers_zoom(example):
    "A pinch, as a telephone reports it."
    page = example.page
    pinch = """stage => {
        const box = stage.getBoundingClientRect();
        const finger = (type, id, x) => stage.dispatchEvent(new PointerEvent(type, {
            pointerId: id, pointerType: "touch", bubbles: true,
            clientX: box.left + x, clientY: box.top + 100}));
        stage.setPointerCapture = () => {};
        finger("pointerdown", 11, 100), finger("pointerdown", 12, 150);
        finger("pointermove", 12, 250);
        finger("pointerup", 11, 100), finger("pointerup", 12, 250);
    }"""
    page.locator("#viewer .stage").evaluate(pinch)
    assert view(page)[0] == "300%"
    page.locator("#viewer .stage").press("0")


def pixels(page, name: str) -> str:
    return page.locator(f"#{name}").evaluate("canvas => canvas.toDataURL()")


def test_beta_changes_the_target_alone(example):
    page = example.page
    before = [pixels(page, name) for name in ("network-map", "target-map")]
    page.locator("#beta").press("ArrowRight")
    assert page.locator("#beta-value").inner_text() == "130 px of 512"
    network, target = (pixels(page, name) for name in ("network-map", "target-map"))
    assert network == before[0] and target != before[1]
    page.locator("#beta").press("ArrowLeft")
    assert pixels(page, "target-map") == before[1]


def test_table_and_downloads(example, tmp_path):
    "The CSV has the library's columns; the picture is a PNG; the clipboard has the table."
    page = example.page
    with page.expect_download() as download:
        page.click("#csv")
    text = Path(download.value.path()).read_text(encoding="utf-8")
    (row,) = csv.DictReader(io.StringIO(text))
    answer = example.answer(WEB / "examples" / EXAMPLE, example.result(EXAMPLE), own=False)
    assert row["file"] == EXAMPLE and row["status"] == "ok" and row["gap_mm"] == ""
    assert abs(float(row["gap_px"]) - answer.same_network.gap_px) < POINT
    assert list(row)[:8] == "file right_x right_y left_x left_y gap_px gap_mm warnings".split()
    with page.expect_download() as download:
        page.click("#picture")
    assert download.value.suggested_filename == "phantom-000003_overlay.png"
    with Image.open(download.value.path()) as image:
        assert image.size == (512, 512) and len(image.convert("RGB").getcolors(2**20)) > 300
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy")
    example.wait("the message", lambda: "clipboard" in example.text("#status-text"))
    assert page.evaluate("navigator.clipboard.readText()").startswith("file\tright_x")


WRITTEN = """() => {
    const write = CanvasRenderingContext2D.prototype.fillText;
    window.written = [];
    CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        written.push([text, place[0] + this.measureText(text).width]);
        write.call(this, text, ...place);
    };
}"""


def saved_picture(page) -> np.ndarray:
    with page.expect_download() as download:
        page.click("#picture")
    with Image.open(download.value.path()) as image:
        return np.asarray(image.convert("RGB"), int)


def test_the_picture_tells_what_was_placed_by_hand(example):
    "A square and words, the model's point as a dashed ring; what has no room is counted."
    page = example.page
    page.evaluate(WRITTEN)
    before, model = saved_picture(page), np.round(example.point(0)).astype(int)
    assert not any("by hand" in text for text, _ in page.evaluate("written"))
    for _ in range(6):
        example.handle("right").press("Shift+ArrowUp")
    x, y = np.round(example.point(0)).astype(int)
    page.evaluate("""() => {
        const { findings } = hemidiaphragm.entries.at(-1).radiograph.answer;
        const long = "a sentence that is longer than the picture is wide ".repeat(4);
        for (let i = 0; i < 20; i++) {
            findings.push({code: "file", message: i ? `${i}` : long, side: ""});
        }
        written.length = 0;
    }""")
    after, unit = saved_picture(page), 512 / 100
    red = np.array([0xD5, 0x40, 0x2B])
    corners = [after[y + dy, x + dx] for dy in (-3, 3) for dx in (-3, 3)]  # none is in the circle
    assert np.abs(corners - red).max() < 40 and 3 * 2**0.5 < 0.9 * unit
    changed = np.abs(after - before).sum(2) > 60
    rows, columns = np.nonzero(changed)
    around = np.hypot(columns - model[0], rows - model[1])
    assert (np.abs(around - 1.6 * unit) < 1.5).sum() > 10, "no ring where the model had it"
    texts, ends = zip(*page.evaluate("written"))
    assert "right landmark placed by hand" in texts and max(ends[2:-1]) < 512
    lines = texts[2:-1]  # after two letters, before the notice
    count = int(re.fullmatch(r"and (\d+) more", lines[-1])[1])
    single = [text for text in lines if re.fullmatch(r"Warning: \d+", text)]
    assert len(lines) == 12 and len(single) + count == 19


def test_the_keyboard_s_focus_stays_in_the_table(example):
    "When a radiograph is opened from it, and when another's answer comes."
    page, path = example.page, WEB / "examples" / "phantom-000005.png"
    name = "document.activeElement.textContent"
    page.locator("#table").get_by_role("button", name=EXAMPLE).press("Enter")
    assert page.evaluate(name) == EXAMPLE
    example.drop(path)
    example.wait("its picture", lambda: example.text("#name") == path.name)
    assert page.evaluate(name) == EXAMPLE
    rows = page.locator("#table tbody tr").all_inner_texts()
    assert [row.split("\t")[0].strip() for row in rows] == [EXAMPLE, path.name]
    current = page.locator("#table tr[aria-current]").all_inner_texts()
    assert len(current) == 1 and path.name in current[0]


def test_the_first_that_can_be_read_is_shown(example, tmp_path):
    "After files that are too large, or no radiographs."
    page, good = example.page, WEB / "examples" / "phantom-000005.png"
    (tmp_path / "bad.png").write_bytes(b"no picture")
    page.evaluate("""() => {
        const { get } = Object.getOwnPropertyDescriptor(Blob.prototype, "size");
        Object.defineProperty(Blob.prototype, "size", { configurable: true, get() {
            return this.name === "large.png" ? 2 ** 40 : get.call(this);
        }});
    }""")
    (tmp_path / "large.png").write_bytes(b"as if it were large")
    example.drop(tmp_path / "large.png", tmp_path / "bad.png", good)
    example.wait("its picture", lambda: example.text("#name") == good.name)
    assert "gigantic" in example.result("large.png")["message"]
    assert "message" in example.result("bad.png")


# ---------------------------------------------------------------- promises


def test_nothing_connects_elsewhere(app):
    "Neither the page nor its worker: the policy forbids it, and is inherited."
    blocked = f"fetch('{ELSEWHERE}').then(() => 'sent', error => 'blocked')"
    refused = "new Promise(done => document.addEventListener('securitypolicyviolation', done))"
    code = f"Promise.all([{refused}.then(e => e.effectiveDirective), {blocked}])"
    assert app.page.evaluate(code) == ["connect-src", "blocked"]
    worker = f"""new Promise(done => {{
        const text = "self.addEventListener('securitypolicyviolation',"
            + " e => postMessage(e.effectiveDirective)); fetch('{ELSEWHERE}').catch(() => 0)";
        const worker = new Worker(URL.createObjectURL(new Blob([text])));
        worker.onmessage = e => done(e.data);
    }})"""
    assert app.page.evaluate(worker) == "connect-src"
    script = "Object.assign(document.createElement('script'), {text: 'window.evil = 1'})"
    app.page.evaluate(f"document.head.append({script})")
    assert app.page.evaluate("typeof evil") == "undefined", "an inline script ran"


ANSWERED = """name => new Promise(done => {
    const look = () => {
        const entry = hemidiaphragm.entries.findLast(e => e.file === name);
        if (entry?.radiograph || entry?.message) done(performance.now() / 1000);
        else setTimeout(look, 5);
    };
    look();
})"""


def test_a_second_visit_answers_at_once(app, folder):
    """The first answer within 3 s of opening the page, its files saved, and each later one within
    1 s, on two quiet cores (measured 1.6 to 2.2 s, and 0.6 to 0.9 s): longer by what else runs.
    """
    with serving(static_server(folder)) as address:
        with app.page.context.browser.new_context() as context:
            page = context.new_page()
            page.goto(address)
            assert PredictPage(page).ready() == "offline"
            page.close()
            page, seconds = context.new_page(), []
            page.goto(address)
            for button, name in (("1", EXAMPLE), ("2", "phantom-000005.png"), ("1", EXAMPLE)):
                start = page.evaluate("performance.now() / 1000") if seconds else 0
                if button == "1" and seconds:
                    page.click("#clear")
                page.get_by_role("button", name=f"Phantom {button}").click()
                seconds.append(page.evaluate(ANSWERED, name) - start)
    busy = 1 + os.getloadavg()[0]
    assert seconds[0] < 3 * busy and min(seconds[1:]) < busy, (seconds, busy)


def test_the_page_works_offline(app, folder, tmp_path):
    "After one visit, without its server."
    path = WEB / "examples" / "phantom-000011.png"
    lossless = tmp_path / "lossless.dcm"
    lossless.write_bytes(encode_dicom(phantom(3).image, uid.JPEG2000Lossless))
    browser, requests = app.page.context.browser, []
    server = static_server(folder)
    with serving(server) as address, browser.new_page() as page:
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        app = PredictPage(page)
        assert app.ready() == "offline" and "offline" in app.text("#status-text")
        server.shutdown()
        server.server_close()
        page.reload()
        assert app.ready() == "offline"
        page.get_by_role("button", name="Phantom 1").click()
        assert "message" not in app.result(EXAMPLE)
        app.choose(path, lossless)
        assert "message" not in app.result(path.name) and "message" not in app.result(lossless.name)
        assert all(url.startswith((address, "blob:", "data:")) for url in requests)


def changed(folder: Path, *names: str) -> None:
    "Make another build of a built page, in which these files are different."
    script = (folder / "sw.js").read_text(encoding="utf-8")
    script = script.replace(re.search(r"[`\"]([0-9a-f]{16})[`\"]", script)[1], "0" * 16)
    for name in names:
        before = (folder / name).read_bytes()
        comment = b"\n<!-- -->" if name.endswith("html") else b"\n/**/"
        (folder / name).write_bytes(before + comment)
        digests = [hashlib.sha256(data).hexdigest() for data in (before, before + comment)]
        assert digests[0] in script
        script = script.replace(*digests)
    (folder / "sw.js").write_text(script, encoding="utf-8")


def test_the_page_works_offline_after_a_new_build(app, folder, tmp_path):
    "What changed is fetched once more, and only that; the page says offline when all is there."
    shutil.copytree(folder, tmp_path / "page")
    server, browser = static_server(tmp_path / "page"), app.page.context.browser
    with counted(server) as fetched, serving(server) as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        assert PredictPage(page).ready() == "offline"
        changed(tmp_path / "page", "index.html", "worker.js")
        page.reload()
        assert PredictPage(page).ready() == "offline"
        new = "async () => (await caches.keys()).join() === 'hemidiaphragm-page-' + '0'.repeat(16)"
        app.wait("the new build", lambda: page.evaluate(new))
        server.shutdown()
        server.server_close()
        page.reload()
        shown = PredictPage(page)
        assert shown.ready() == "offline"
        page.get_by_role("button", name="Phantom 1").click()
        assert "message" not in shown.result(EXAMPLE)
    assert fetched["/worker.js"] == 2 and fetched["/network.onnx"] == fetched["/runtime.wasm"] == 1


def test_the_page_says_offline_only_where_it_is(app, folder):
    "A file that cannot be saved is missed."
    with serving(static_server(folder)) as address, app.page.context.browser.new_page() as page:
        page.add_init_script("caches.match = async file => file === 'licences.txt' ? undefined : 1")
        page.goto(address)
        assert PredictPage(page).ready() == "online"
        assert PredictPage(page).text("#status-text") == "Ready."


CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const rgb = colour => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = c => {
        const linear = v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = c.map(v => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = el => {
        for (; el; el = el.parentElement) {
            const c = rgb(getComputedStyle(el).backgroundColor);
            if (c[3] === 255) return c;
        }
        return rgb(getComputedStyle(document.body).backgroundColor);
    };
    const poor = [];
    for (const el of document.querySelectorAll("body *")) {
        const own = [...el.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
        if (!own || !el.checkVisibility() || el.disabled || el.closest("#viewer .stage")) continue;
        const [a, b] = [light(rgb(getComputedStyle(el).color)), light(behind(el))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${el.tagName} ${el.textContent.trim().slice(0, 30)} ${ratio}`);
    }
    return poor;
}"""
RINGS = r"""() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const light = colour => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const linear = v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const poor = [];
    for (const el of document.querySelectorAll("button, input, summary, a, .stage")) {
        if (!el.checkVisibility() || el.disabled) continue;
        el.focus({focusVisible: true});
        const shown = el.closest(".button") ?? el;
        const {outlineColor, outlineStyle, outlineWidth, boxShadow} = getComputedStyle(shown);
        const behind = shown.matches(".handle") ? ["black", "grey", "white"]
            : [getComputedStyle(document.body).backgroundColor];
        const colours = [outlineColor, ...(boxShadow.match(/rgba?\([^)]*\)/g) ?? [])].map(light);
        const wide = outlineStyle === "solid" && parseFloat(outlineWidth) >= 2;
        for (const place of behind.map(light)) {
            const best = Math.max(...colours.map(colour => ratio(colour, place)));
            if (!wide || best < 3) poor.push(`${shown.outerHTML.slice(0, 60)} ${best}`);
        }
        const {borderTopColor, borderTopWidth} = getComputedStyle(el);
        if (el.closest(".tools") && borderTopWidth !== "0px") {
            const edge = ratio(light(borderTopColor), light(behind[0]));
            if (edge < 3) poor.push(`border of ${el.outerHTML.slice(0, 60)} ${edge}`);
        }
    }
    return poor;
}"""
NAMELESS = """() =>
    [...document.querySelectorAll("button, input, canvas, progress, table, section")]
    .filter(el => el.checkVisibility())
    .filter(el => !(el.ariaLabel || el.labels?.length || el.textContent.trim() || el.caption))
    .map(el => el.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_names(example, scheme):
    "WCAG AA contrast of texts and focus rings, a name for whatever a screen reader meets."
    example.page.emulate_media(color_scheme=scheme)
    example.drop(WEB / "examples" / "phantom-000005.png", WEB / "index.html")
    example.result("index.html")
    assert example.page.evaluate(CONTRAST) == []
    assert example.page.evaluate(RINGS) == []  # 3:1, of what shows the focus
    assert example.page.evaluate(NAMELESS) == []
    example.page.emulate_media(color_scheme="light")


def test_a_telephone_s_width(example):
    page = example.page
    page.set_viewport_size({"width": 390, "height": 844})
    try:
        wide = "document.documentElement.scrollWidth"
        assert page.evaluate(wide) <= 390
        assert page.locator("#viewer .stage").bounding_box()["width"] > 300
    finally:
        page.set_viewport_size({"width": 1280, "height": 900})


def test_a_warning_comes_first(app, tmp_path):
    "On a telephone above the radiograph and the gap; else beside the one and above the other."
    file, page = tmp_path / "belly.dcm", app.page
    file.write_bytes(encode_dicom(phantom(5).image, BodyPartExamined="ABDOMEN"))
    app.drop(file)
    app.result(file.name)
    page.locator("#table").get_by_role("button", name=file.name).click()
    app.wait("the warning", lambda: "Warning: " in app.text("#warnings"))
    box = {name: page.locator(name).bounding_box for name in ("#warnings", "#gap", "#viewer")}
    try:
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            warning, gap, picture = (each() for each in box.values())
            foot = warning["y"] + warning["height"]
            assert foot <= gap["y"]
            assert foot <= picture["y"] if width == 390 else warning["x"] > picture["x"] + 300
            assert warning["x"] + warning["width"] <= width
    finally:
        page.set_viewport_size({"width": 1280, "height": 900})


def test_a_radiograph_that_is_chosen_is_on_the_screen(example, tmp_path):
    "On a telephone the table stands screens below; the focus stays on the name that was chosen."
    page, other = example.page, tmp_path / "other.png"
    save_picture(phantom(5).image, other)
    example.drop(other)
    example.result(other.name)
    names = page.locator("#table").get_by_role("button")
    try:
        page.set_viewport_size({"width": 390, "height": 844})
        for name in (EXAMPLE, other.name):
            button = names.filter(has_text=name)
            button.focus()
            assert page.locator("#name").bounding_box()["y"] < 0
            page.keyboard.press("Enter")
            example.wait("the radiograph", lambda: example.text("#name") == name)
            example.wait("the scroll", lambda: page.locator("#name").bounding_box()["y"] >= 0)
            assert page.locator("#name").bounding_box()["y"] < 500
            assert button.evaluate("el => el === document.activeElement")
        page.set_viewport_size({"width": 1280, "height": 2400})
        page.evaluate("scrollTo(0, 0)")
        names.first.click()  # where all is seen, nothing moves
        example.wait("the radiograph", lambda: example.text("#name") == EXAMPLE)
        assert page.evaluate("scrollY") == 0
    finally:
        page.set_viewport_size({"width": 1280, "height": 900})


def test_sizes(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30e6
    hosts = [p.name for p in files if p.suffix in (".html", ".css") and b"//" in p.read_bytes()]
    assert not hosts, "they name another server"


def test_the_page_allows_what_its_server_allows():
    "Its own policy holds where another server sends none; who may frame it, only a header can say."
    page = (WEB / "index.html").read_text()
    content = re.search(r'Security-Policy"\s+content="([^"]+)"', page)[1]
    assert f"{' '.join(content.split())}; frame-ancestors 'none'" == _POLICY
