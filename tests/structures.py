"""Break files along their structure: elements, directories, chunks and segments, not only bytes.

A byte changed at random mostly breaks a checksum or a length, and the reader ends there. These
changes leave a file that can still be walked through, but says something else.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable

import pydicom
from pydicom import Dataset, Sequence, uid
from pydicom.encaps import encapsulate, generate_fragments

NUMBERS = (0, 1, 2, 7, 255, 256, 4095, 65_535, 2**31 - 1, 2**32 - 1)
SYNTAXES = [s for s in uid.AllTransferSyntaxes if not s.is_private]
HEADER = (  # what decides how pixels are read
    "Rows Columns SamplesPerPixel BitsAllocated BitsStored HighBit PixelRepresentation"
    " NumberOfFrames PlanarConfiguration WindowCenter WindowWidth RescaleSlope RescaleIntercept"
    " PixelPaddingValue PixelSpacing ImagerPixelSpacing"
).split()


# --- DICOM: elements, nesting, fragments ----------------------------------------------------------


def remove_element(ds: Dataset, rng: random.Random) -> None:
    del ds[rng.choice(list(ds.keys()))]


def change_number(ds: Dataset, rng: random.Random) -> None:
    "Another number where the header says how pixels are read; sometimes several, or none."
    value = rng.choice([*NUMBERS, -1, "", [3, 3], [0.15, -1.0]])
    name = rng.choice(HEADER)
    ds.add_new(name, pydicom.datadict.dictionary_VR(name).split()[0], None)
    ds[name]._value = value


def change_representation(ds: Dataset, rng: random.Random) -> None:
    element = ds[rng.choice(list(ds.keys()))]
    element.VR = rng.choice(("US", "SS", "UL", "DS", "IS", "LO", "OB", "OW", "SQ", "UN", "AT"))


def exchange_values(ds: Dataset, rng: random.Random) -> None:
    one, other = (ds[rng.choice(list(ds.keys()))] for _ in range(2))
    one._value, other._value = other._value, one._value


def nest(ds: Dataset, rng: random.Random) -> None:
    "Sequences within sequences."
    item = Dataset()
    for _ in range(rng.choice((1, 3, 8))):
        outer = Dataset()
        outer.VOILUTSequence = Sequence([item])
        item = outer
    name = rng.choice(("VOILUTSequence", "ModalityLUTSequence", "ViewCodeSequence"))
    setattr(ds, name, Sequence([item] * rng.choice((1, 2))))


def change_fragments(ds: Dataset, rng: random.Random) -> None:
    "Encapsulated pixels in more, fewer, empty or exchanged fragments."
    data = ds.PixelData if "PixelData" in ds else b""
    pieces = [data]
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        pieces = [bytes(piece) for piece in generate_fragments(data)] or [b""]
    at = rng.randrange(len(pieces))
    half = len(pieces[at]) // 4 * 2
    change = rng.choice(("split", "empty", "double", "shuffle", "end"))
    if change == "split":
        pieces[at : at + 1] = [pieces[at][:half], pieces[at][half:]]
    elif change == "empty":
        pieces.insert(at, b"")
    elif change == "double":
        pieces *= rng.choice((2, 5))
    elif change == "shuffle":
        pieces = [piece[::-1] for piece in pieces]
    else:
        pieces[-1] = pieces[-1][:half]
    ds.PixelData = encapsulate(pieces, has_bot=rng.random() < 0.5)
    ds["PixelData"].VR = "OB"


def change_syntax(ds: Dataset, rng: random.Random) -> None:
    "The file says that its pixels are written in another transfer syntax."
    ds.file_meta.TransferSyntaxUID = rng.choice(SYNTAXES)


def deep_nest(explicit: bool, depth: int) -> bytes:
    "A private sequence after the pixels, nested so deep that recursion would end."
    head = b"\xe1\x7f\x10\x10" + (b"SQ\0\0" if explicit else b"") + b"\xff" * 4
    return (head + b"\xfe\xff\x00\xe0" + b"\xff" * 4) * depth


ELEMENT_CHANGES = (
    remove_element,
    change_number,
    change_number,
    change_representation,
    exchange_values,
    nest,
    change_fragments,
    change_syntax,
)


def break_dicom(data: bytes, rng: random.Random) -> bytes:
    ds, file = pydicom.dcmread(io.BytesIO(data), force=True), io.BytesIO()
    ds.file_meta.TransferSyntaxUID  # noqa: B018 - without one it cannot be written
    little, implicit = ds.original_encoding[::-1]
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(ELEMENT_CHANGES)(ds, rng)
    pydicom.dcmwrite(file, ds, little_endian=little, implicit_vr=implicit, force_encoding=True)
    nested = rng.random() < 0.05 and little
    deep = deep_nest(not implicit, rng.choice((50, 1000, 20_000))) if nested else b""
    return file.getvalue() + deep


# --- TIFF: directories ----------------------------------------------------------------------------


def break_tiff(data: bytes, rng: random.Random) -> bytes:
    "Another tag, type, count or value in a directory; entries exchanged; a directory that loops."
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(f"{order}H", data, 2)[0] != 42:
        raise ValueError("a BigTIFF's directories are laid out otherwise")
    out = bytearray(data)
    at = struct.unpack_from(f"{order}I", out, 4)[0]
    count = struct.unpack_from(f"{order}H", out, at)[0]
    for _ in range(rng.choice((1, 1, 2, 4))):
        entry = at + 2 + 12 * rng.randrange(count)
        change = rng.choice(("tag", "type", "count", "value", "exchange", "next", "entries"))
        if change == "tag":
            tag = rng.choice((256, 257, 258, 259, 262, 273, 277, 278, 279, 317, 322, 324, 330))
            struct.pack_into(f"{order}H", out, entry, tag)
        elif change == "type":
            struct.pack_into(f"{order}H", out, entry + 2, rng.choice((0, 1, 2, 3, 4, 5, 12, 13)))
        elif change == "count":
            struct.pack_into(f"{order}I", out, entry + 4, rng.choice(NUMBERS))
        elif change == "value":
            struct.pack_into(f"{order}I", out, entry + 8, rng.choice((*NUMBERS, at, len(out))))
        elif change == "exchange":
            other = at + 2 + 12 * rng.randrange(count)
            one, two = out[entry : entry + 12], out[other : other + 12]
            out[entry : entry + 12], out[other : other + 12] = two, one
        elif change == "next":  # a loop, or a directory where there is none
            struct.pack_into(f"{order}I", out, at + 2 + 12 * count, rng.choice((at, 8, len(out))))
        else:
            struct.pack_into(f"{order}H", out, at, rng.choice((0, count - 1, count + 1, 65_535)))
    return bytes(out)


# --- PNG: chunks; JPEG: segments ------------------------------------------------------------------


def _rearranged(pieces: list, rng: random.Random) -> list:
    "A piece left out, doubled many times, or moved."
    at, to = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    change = rng.choice(("drop", "double", "move"))
    if change == "drop":
        return pieces[:at] + pieces[at + 1 :]
    if change == "double":
        return pieces[:at] + [pieces[at]] * rng.choice((2, 3, 2000)) + pieces[at + 1 :]
    pieces = list(pieces)
    pieces.insert(to, pieces.pop(at))
    return pieces


def break_png(data: bytes, rng: random.Random) -> bytes:
    "Chunks left out, doubled, moved, of another kind or with another head; checksums agree."
    at, chunks = 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(chunks))
        kind, body = chunks[at]
        change = rng.choice(("arrange", "kind", "head", "body"))
        if change == "kind":
            chunks[at] = (rng.choice((b"IDAT", b"PLTE", b"tRNS", b"zTXt", b"iCCP", b"acTL")), body)
        elif change == "head":
            sizes = [rng.choice((*NUMBERS, 64)) for _ in range(2)]
            rest = bytes(rng.choice((0, 1, 2, 3, 4, 6, 8, 16)) for _ in range(5))
            chunks[0] = (b"IHDR", struct.pack(">II", *sizes) + rest)
        elif change == "body":
            chunks[at] = (kind, rng.choice((b"", body[: len(body) // 2], body * 2)))
        else:
            chunks = _rearranged(chunks, rng)
    out = data[:8]
    for kind, body in chunks:
        out += (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    return out


def break_jpeg(data: bytes, rng: random.Random) -> bytes:
    "Segments before the scan left out, doubled, moved, or under another marker or length."
    at, segments = 2, []
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append(data[at:end])
        at = end
    for _ in range(rng.choice((1, 1, 2))):
        k = rng.randrange(len(segments))
        change = rng.choice(("arrange", "marker", "length", "frame"))
        if change == "marker":
            marker = rng.choice((0xC0, 0xC2, 0xC3, 0xC4, 0xDB, 0xDD, 0xE1, 0xEE, 0xFE))
            segments[k] = segments[k][:1] + bytes([marker]) + segments[k][2:]
        elif change == "length":
            segments[k] = segments[k][:2] + struct.pack(">H", rng.choice((0, 1, 2, 3, 65_535)))
        elif change == "frame":  # rows, columns and samples of the frame's header
            frame = bytearray(segments[k])
            where = rng.randrange(4, min(len(frame), 12)) if len(frame) > 5 else 0
            frame[where] = rng.choice((0, 1, 3, 4, 127, 255))
            segments[k] = bytes(frame)
        else:
            segments = _rearranged(segments, rng) or segments
    return data[:2] + b"".join(segments) + data[at:]


BREAKERS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "dicom": break_dicom,
    "png": break_png,
    "jpeg": break_jpeg,
    "tiff": break_tiff,
}


def broken(name: str, data: bytes, rng: random.Random) -> bytes | None:
    "The file broken along its structure; None where that could not be written."
    kind = "dicom" if name.endswith(".dcm") else name
    breaker = next((f for key, f in BREAKERS.items() if kind.startswith(key)), None)
    if breaker is None:
        return None
    try:
        return breaker(data, rng)
    except Exception:  # the writer rejects what no file can hold
        return None
