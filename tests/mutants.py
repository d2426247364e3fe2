"Broken files: each follows from a seed and its number alone."

import math
import random
import struct
import zlib

from tests.sound_files import SIDE, corpus
from tests.structures import broken


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3, 20, 200))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def edit_header(data: bytearray, rng: random.Random) -> None:
    "Overwrite some of the first or last 600 bytes, where headers and directories stand."
    reach = min(len(data), 600)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(reach)
        at = at if rng.random() < 0.7 else len(data) - 1 - at
        data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def declare_huge(data: bytearray, rng: random.Random) -> None:
    "Where the file seems to state a size, length or offset, state another, mostly an enormous one."
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q"))
    top = (1 << 8 * struct.calcsize(form)) - 1
    likely, reach = max(len(data), 512), min(len(data) - 8, 2000)
    words = [i for i in range(reach) if 0 < struct.unpack_from(form, data, i)[0] <= likely]
    sizes = (0, 1, 7999, 8001, 50_000, 65_535, 2**31 - 1, 2**32 - 1, top)
    for at in rng.sample(words, min(len(words), rng.choice((1, 1, 2, 4)))):
        struct.pack_into(form, data, at, min(top, rng.choice(sizes)))


def splice(data: bytearray, rng: random.Random) -> None:
    "The head of one file, the tail of another."
    other = rng.choice(sorted(corpus().values(), key=len)[:-1])
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def repeat(data: bytearray, rng: random.Random) -> None:
    "Copy a piece over another place or into it, up to thousands of times."
    a = rng.randrange(len(data))
    piece, at = data[a : a + rng.choice((4, 12, 64, 500))], rng.randrange(len(data))
    data[at : at + len(piece) * rng.randrange(2)] = piece * rng.choice((1, 1, 2, 50, 5000))


def put_not_finite(data: bytearray, rng: random.Random) -> None:
    "In a TIFF of floats, whose pixels stand at its end: values that are no numbers, or infinite."
    value = struct.pack("<f", rng.choice((math.nan, math.inf, -math.inf)))
    for _ in range(rng.choice((1, 1, 64))):
        at = len(data) - len(value) * rng.randrange(1, SIDE**2)
        data[at : at + len(value)] = value


MUTATIONS = (cut, flip_bits, edit_header, edit_header, declare_huge, declare_huge, splice, repeat)


def mend_png(data: bytearray) -> bytes:
    "The same PNG with checksums that agree, so that what lies behind them is tried too."
    at, mended = 8, bytearray(data[:8])
    while at + 12 <= len(data):
        end = min(at + 8 + int.from_bytes(data[at : at + 4], "big"), len(data) - 4)
        mended += data[at:end] + struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def inside_deflated(data: bytes, changes: list, rng: random.Random) -> bytes:
    "Mutate what a deflated DICOM file holds, and deflate it again."
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    body = bytearray(zlib.decompress(data[start:], -zlib.MAX_WBITS))
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for change in changes:
        change(body, rng)
    return data[:start] + packer.compress(bytes(body)) + packer.flush()


def mutant(seed: int, number: int) -> tuple[str, bytes]:
    "The broken file of that number, under the name of what it was and what was done to it."
    rng = random.Random(f"{seed}:{number}")
    names = list(corpus())
    rare = rng.random() < 0.01  # the radiograph of 3.6 million pixels takes its time
    name = names[-1] if rare else rng.choice(names[:-1])
    if rng.random() < 0.5 and (data := broken(name, corpus()[name], rng)) is not None:
        return f"{name}: structure", data
    changes = [rng.choice(MUTATIONS) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    if name == "tiff-float" and rng.random() < 0.3:
        changes = [put_not_finite]
    title = f"{name}: {', '.join(change.__name__ for change in changes)}"
    if "flate" in name and rng.random() < 0.6:
        return f"{title} (inside)", inside_deflated(corpus()[name], changes, rng)
    data = bytearray(corpus()[name])
    for change in changes:
        if len(data) > 1:
            change(data, rng)
    mends = name.startswith("png") and rng.random() < 0.7
    return title, mend_png(data) if mends else bytes(data)
