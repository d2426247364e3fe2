"Files that other people's programs wrote, or broke: what notebook `formats` does not show."

import struct
import subprocess
import sys
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
import tifffile

from hemidiaphragm_nb import pictures
from hemidiaphragm_nb.formats import Rejection, encode_picture
from hemidiaphragm_nb.pictures import _unpack_lzw, read_picture, read_tiff
from hemidiaphragm_nb.readers import read_radiograph
from tests.bounded import outcome

GREY = np.add.outer(np.arange(48), 2 * np.arange(40)).astype(np.uint8)


def chain(places: list[int], following: list[int], big: bool, order: str) -> bytes:
    "A TIFF file of empty directories at `places`, each with the place that it says comes next."
    signature = {"<": b"II", ">": b"MM"}[order]
    if big:
        data = signature + struct.pack(order + "HHHQ", 43, 8, 0, places[0])
    else:
        data = signature + struct.pack(order + "HI", 42, places[0])
    for after in following:
        data += struct.pack(order + ("QQ" if big else "HI"), 0, after)
    return data


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("pages, back_to", [(1, 0), (2, 1), (100, 0), (3000, 0), (3000, 2999)])
def test_tiff_of_a_loop_of_directories(pages, back_to, order, big):
    first, step = (16, 16) if big else (8, 6)
    places = [first + step * page for page in range(pages)]
    data = chain(places, [*places[1:], places[back_to]], big, order)
    assert outcome(lambda: read_tiff(data), Rejection) == "rejected"


def test_tiff_of_a_sound_page_that_points_back_to_itself():
    data = bytearray(encode_picture(GREY, "tiff", metadata=None))
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    with pytest.raises(Rejection, match="loop"):
        read_tiff(bytes(data))


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
@pytest.mark.parametrize("colours", ["separated", "cielab"])
def test_tiff_of_other_colours_is_rejected(colours, compression):
    samples = np.dstack([GREY] * (4 if colours == "separated" else 3))
    data = encode_picture(samples, "tiff", photometric=colours, compression=compression)
    with pytest.raises(Rejection, match=f"its colours are {colours.upper()}"):
        read_tiff(data)


@pytest.mark.parametrize("colours", ["rgb", "ycbcr"])
def test_tiff_of_jpeg_colours_is_read(colours):
    flat = GREY if colours == "rgb" else np.full_like(GREY, 128)
    samples = np.dstack([GREY, flat, flat])
    data = encode_picture(samples, "tiff", photometric=colours, compression="jpeg")
    assert np.abs(read_tiff(data).astype(int) - GREY).max() < 12


@pytest.fixture
def no_codecs(monkeypatch):
    "As where the extra `codecs` is not installed."
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits"])
def test_packed_tiff_that_is_cut_short_is_rejected(compression, no_codecs):
    "The strip's bytes are there, by the file's count, and its own end is not."
    grey = np.random.default_rng(0).integers(0, 255, (48, 40), dtype=np.uint8)
    sound = encode_picture(grey, "tiff", compression=compression)
    assert np.array_equal(read_tiff(sound), grey)
    with tifffile.TiffFile(BytesIO(sound)) as tiff:
        page = tiff.pages[0]
        at, size = page.dataoffsets[0], page.databytecounts[0]
    for lost in (size // 2, size - 1):
        damaged = sound[: at + size - lost] + bytes(lost) + sound[at + size :]
        with pytest.raises((Rejection, zlib.error)):
            read_tiff(damaged)


def lzw_bomb(blocks: int, numbers: int = 3000) -> bytes:
    "LZW of zeros in which each number stands for one byte more than the one before it."
    block = f"{256:09b}{0:09b}"
    for table in range(258, 258 + numbers):
        block += f"{table:0{9 + (table > 510) + (table > 1022) + (table > 2046)}b}"
    bits = block + (f"{256:012b}" + block[9:]) * (blocks - 1)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def test_lzw_unfolds_to_little_more_than_the_picture():
    "Nothing is unpacked after the numbers since the last 256 have given what the picture needs."
    bomb, block = lzw_bomb(20), 3001 * 3002 // 2
    assert len(_unpack_lzw(bomb, 10**9)) == 20 * block == len(imagecodecs.lzw_decode(bomb))
    assert len(_unpack_lzw(bomb, 2000)) == block


ODD = {  # parts of a PNG file of which libpng complains
    "none": [],
    "profile of nothing": [(b"iCCP", b"ICC\0\0" + zlib.compress(b"short"))],
    "palette": [(b"PLTE", bytes(5))],
    "depth": [(b"sBIT", b"1")],
    "transparency twice": [(b"tRNS", b"\xff" * 6)] * 2,
}
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
PASSES += [(1, 0, 2, 1)]


def deep_png(grey: np.ndarray, colours: int, interlaced: bool, parts: list) -> bytes:
    "A PNG file of 16-bit colour (RGB 2, grey with alpha 4, RGB with alpha 6), opaque."
    samples = np.dstack([grey] * {2: 3, 4: 2, 6: 4}[colours])
    if colours != 2:
        samples[..., -1] = 65535
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes()
        for top, left, down, across in (PASSES if interlaced else [(0, 0, 1, 1)])
        for row in samples[top::down, left::across]
    )
    head = struct.pack(">IIBBBBB", *grey.shape[::-1], 16, colours, 0, 0, interlaced)
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", head), *parts, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(name + body))
        data += struct.pack(">I", len(body)) + name + body + crc
    return data


@pytest.mark.parametrize("interlaced", [False, True])
def test_png_of_16_bits_is_read_without_a_word(interlaced, tmp_path):
    "In a process of its own, for decoders write to the terminal behind Python's back."
    grey = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 61
    np.save(tmp_path / "grey.npy", grey)
    for colours in (2, 4, 6):
        for name, parts in ODD.items():
            data = deep_png(grey, colours, interlaced, parts)
            (tmp_path / f"{name}, {colours}.png").write_bytes(data)
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from hemidiaphragm_nb.readers import read_radiograph\n"
        "folder = Path(sys.argv[1])\n"
        "grey, files = np.load(folder / 'grey.npy').astype(float), sorted(folder.glob('*.png'))\n"
        "for file in files:\n"
        "    assert np.abs(read_radiograph(file).pixels - grey).max() <= 1, file\n"
        "assert len(files) == 15\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stderr, done.stdout, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 6, 8, 9])
def test_a_turned_picture_says_how_it_was_turned(kind, orientation, tmp_path):
    from PIL import Image

    if kind == "tiff":
        tag = [(274, "H", 1, orientation, True)]
        data = encode_picture(GREY, "tiff", extratags=tag, metadata=None)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        data = encode_picture(GREY, kind, exif=exif)
    (tmp_path / "a").write_bytes(data)
    radiograph = read_radiograph(tmp_path / "a")
    assert radiograph.orientation == (orientation if orientation in range(1, 9) else 1)
    if kind == "png":
        assert np.array_equal(radiograph.pixels, read_picture(data, "png"))
