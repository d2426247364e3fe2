"Files that other people's programs wrote, or broke: what notebook `formats` does not show."

import struct
import subprocess
import sys

import numpy as np
import pytest

from hemidiaphragm_nb.formats import Refusal, encode_picture, read_picture, read_tiff
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
    assert outcome(lambda: read_tiff(data), Refusal) == "refused"


def test_tiff_of_a_sound_page_that_points_back_to_itself():
    data = bytearray(encode_picture(GREY, "tiff", metadata=None))
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    with pytest.raises(Refusal, match="loop"):
        read_tiff(bytes(data))


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
@pytest.mark.parametrize("colours", ["separated", "cielab"])
def test_tiff_of_other_colours_is_refused(colours, compression):
    samples = np.dstack([GREY] * (4 if colours == "separated" else 3))
    data = encode_picture(samples, "tiff", photometric=colours, compression=compression)
    with pytest.raises(Refusal, match=f"its colours are {colours.upper()}"):
        read_tiff(data)


@pytest.mark.parametrize("colours", ["rgb", "ycbcr"])
def test_tiff_of_jpeg_colours_is_read(colours):
    flat = GREY if colours == "rgb" else np.full_like(GREY, 128)
    samples = np.dstack([GREY, flat, flat])
    data = encode_picture(samples, "tiff", photometric=colours, compression="jpeg")
    assert np.abs(read_tiff(data).astype(int) - GREY).max() < 12


def test_interlaced_png_of_16_bits_is_read_without_a_word():
    "In a process of its own, for the decoder writes to the terminal behind Python's back."
    code = (
        "import zlib, struct, numpy as np\n"
        "from hemidiaphragm_nb.formats import read_picture\n"
        "rgb = np.arange(32 * 32 * 3, dtype=np.uint16).reshape(32, 32, 3) * 21\n"
        "steps = [(0,0,8,8), (0,4,8,8), (4,0,8,4), (0,2,4,4), (2,0,4,2), (0,1,2,2), (1,0,2,1)]\n"
        "rows = b''.join(b'\\0' + row.tobytes() for top, left, down, across in steps\n"
        "                for row in rgb[top::down, left::across].astype('>u2'))\n"
        "head = struct.pack('>IIBBBBB', 32, 32, 16, 2, 0, 0, 1)\n"
        "data = b'\\x89PNG\\r\\n\\x1a\\n'\n"
        "for name, body in ((b'IHDR', head), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')):\n"
        "    crc = struct.pack('>I', zlib.crc32(name + body))\n"
        "    data += struct.pack('>I', len(body)) + name + body + crc\n"
        "grey = rgb @ [0.299, 0.587, 0.114]\n"
        "assert np.abs(read_picture(data, 'png') - grey).max() <= 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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
