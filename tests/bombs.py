"""Files made to do harm: they unfold in memory, state absurd numbers, or name other files."""

import io
import json
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.encaps import encapsulate

from tests.sound_files import corpus

BIG = 1 << 31  # bytes that a bomb unfolds to
NAN, INF = float("nan"), float("inf")
SQUARE = [(10, 10), (30, 10), (30, 50), (10, 50)]
ZIGZAG = [(float(i % 50), 5e4 * (i % 2)) for i in range(60_000)]


def zeros(megabytes: int) -> bytes:
    "That many MB of zeros, deflated in a moment: one compressed MB, again and again."
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)) * megabytes


END_OF_DEFLATED = zlib.compress(b"", wbits=-zlib.MAX_WBITS)


def png(width: int, height: int, depth: int = 8) -> bytes:
    "A PNG of that size, black below its first row: a thousandth of its pixels in bytes."
    packer, row = zlib.compressobj(9), bytes(1 + width * depth // 8)
    body = packer.compress(b"\0" + b"\1" * (len(row) - 1))
    body += b"".join(packer.compress(row) for _ in range(height - 1)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": body, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in parts.items()
    )


def jpeg() -> bytes:
    "A JPEG whose header states 65500 x 65500 pixels."
    sizes = [struct.pack(">HH", side, side) for side in (64, 65_500)]
    return corpus()["jpeg"].replace(*sizes)


def tiff(**tags: int) -> bytes:
    "A tiled and deflated TIFF whose header states other numbers."
    data = bytearray(corpus()["tiff8-tiles"])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for name, value in tags.items():
            tag = file.pages[0].tags[name]
            struct.pack_into("<HI", data, tag.offset + 2, 4, 1)
            struct.pack_into("<I", data, tag.offset + 8, value)
    return bytes(data)


def tiff_strip() -> bytes:
    "A TIFF of 64 x 64 pixels whose one strip inflates to a gigabyte."
    data = bytearray(corpus()["tiff16-zlib"])
    checksum = struct.pack(">I", (1 << 30) % 65521 << 16 | 1)
    bomb = b"\x78\xda" + zeros(1 << 10) + END_OF_DEFLATED + checksum
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        places = {name: tags[name].offset for name in ("StripOffsets", "StripByteCounts")}
    for name, value in {"StripOffsets": len(data), "StripByteCounts": len(bomb)}.items():
        struct.pack_into("<HII", data, places[name] + 2, 4, 1, value)
    return bytes(data + bomb)


def deflated(padding: int = 0) -> bytes:
    "A deflated DICOM file of 2 GiB; `padding` bytes in its header precede the transfer syntax."
    data = bytearray(corpus()["dicom-DeflatedExplicitVRLittleEndian"])
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    element = struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, BIG)
    body = packer.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS) + element)
    body += packer.flush(zlib.Z_FULL_FLUSH) + zeros(BIG >> 20) + END_OF_DEFLATED
    head = data[:start]
    if padding:
        at = head.index(b"\x02\0\x10\0UI")
        head[at:at] = b"\x02\0\x08\0OB\0\0" + struct.pack("<I", padding) + bytes(padding)
        struct.pack_into("<I", head, 140, len(head) - 144)
    return bytes(head) + body


def run_lengths() -> bytes:
    "A DICOM file of 64 x 64 pixels whose run lengths unfold to 2 GiB."
    ds, file = pydicom.dcmread(io.BytesIO(corpus()["dicom-RLE-8"])), io.BytesIO()
    runs = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (BIG >> 7)
    ds.PixelData = encapsulate([runs])
    ds["PixelData"].VR = "OB"
    ds.save_as(file)
    return file.getvalue()


def tiff_stream() -> bytes:
    "A TIFF of 64 x 64 pixels whose JPEG stream states 60000 x 60000."
    sizes = [struct.pack(">HH", side, side) for side in (64, 60_000)]
    return corpus()["tiff8-jpeg"].replace(*sizes)


def codestream(components: int) -> bytes:
    "A JPEG 2000 codestream of 64 x 64 pixels that states many samples a pixel."
    stream = imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k")
    at = stream.index(b"\xff\x51")
    size = bytearray(stream[at : at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")])
    struct.pack_into(">H", size, 2, 38 + 3 * components)
    struct.pack_into(">H", size, 38, components)
    return stream[:at] + size[:40] + size[40:43] * components + stream[at + len(size) :]


def dicom_samples() -> bytes:
    "A DICOM file whose JPEG 2000 stream states 16000 samples a pixel."
    ds, file = pydicom.dcmread(io.BytesIO(corpus()["dicom-JPEG2000Lossless"])), io.BytesIO()
    ds.PixelData = encapsulate([codestream(16_000)])
    ds["PixelData"].VR = "OB"
    ds.save_as(file)
    return file.getvalue()


def tiff_samples() -> bytes:
    "A TIFF file whose JPEG 2000 stream states 16000 samples a pixel."
    file = io.BytesIO()
    shape = dict(shape=(64, 64), dtype=np.uint8, compression=33005)
    tifffile.imwrite(file, iter([codestream(16_000)]), **shape)
    return file.getvalue()


RADIOGRAPHS = {
    "PNG of 50000 x 50000": lambda: png(50_000, 50_000, 1),
    "PNG of 8001 x 8000": lambda: png(8001, 8000),
    "JPEG that states 65500 x 65500": jpeg,
    "TIFF that states 60000 x 60000": lambda: tiff(ImageWidth=60_000, ImageLength=60_000),
    "TIFF with a tile of 8 GiB": lambda: tiff(TileLength=1 << 28),
    "TIFF whose strip inflates to 1 GiB": tiff_strip,
    "deflated DICOM of 2 GiB": deflated,
    "deflated DICOM of 2 GiB with a long header": lambda: deflated(4000),
    "DICOM of run lengths": run_lengths,
    "TIFF whose JPEG states 60000 x 60000": tiff_stream,
    "TIFF of 16000 samples a pixel": tiff_samples,
    "DICOM of 16000 samples a pixel": dicom_samples,
}


def program() -> bytes:
    "An EPS picture, which is a program."
    file = io.BytesIO()
    Image.new("L", (64, 64)).convert("RGB").save(file, "EPS")
    return file.getvalue()


def png_of_4_gb() -> bytes:
    "A PNG one part of which states 4 GB, which Pillow would ask the file for."
    data = bytearray(corpus()["png8"])
    data[data.index(b"IDAT") - 4 : data.index(b"IDAT")] = b"\xff\xff\xff\xf0"
    return bytes(data)


MASKS = {
    "13000 x 13000": lambda: png(13_000, 13_000),
    "a program": program,
    "a part of 4 GB": png_of_4_gb,
}


def darwin(path=SQUARE, height=64, width=64, name="a.png", **more) -> dict:
    "Darwin's JSON of one lung."
    polygon = {"path": [{"x": x, "y": y} for x, y in path]}
    image = {"height": height, "width": width, "original_filename": name}
    return {"image": image, "annotations": [{"name": "Lung", "polygon": polygon}]} | more


def coco(segmentation=(1, 1, 5, 5, 9, 60), height=64, width=64, name="a.png", **more) -> dict:
    "COCO's JSON of one lung."
    outline = [list(segmentation)] if isinstance(segmentation, tuple) else segmentation
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": outline}
    return {
        "images": [{"id": 1, "file_name": name, "height": height, "width": width}],
        "categories": [{"id": 1, "name": "lung"}],
        "annotations": [annotation],
    } | more


DARWIN_NONSENSE = {
    "image is text": darwin(image="x"),
    "annotations are numbers": darwin(annotations=[5]),
    "annotations are missing": darwin(annotations=None),
}
DARWIN = DARWIN_NONSENSE | {
    "60000 x 60000": darwin(height=60_000, width=60_000),
    "10^9 x 10^9": darwin(height=10**9, width=10**9),
    "negative": darwin(height=-5),
    "an infinite size": darwin(height=INF),
    "NaN": darwin([(NAN, 1), (5, 5), (3, 40)]),
    "infinity": darwin([(INF, 1), (5, 5), (3, 40)]),
    "zigzag": darwin(ZIGZAG, 8000, 8000),
    "a list": [1],
}
LENGTHS = {"size": [60_000, 60_000], "counts": [3_600_000_000]}
COCO = {
    "run lengths of 60000 x 60000": coco(LENGTHS),
    "run lengths as stated": coco(LENGTHS, 60_000, 60_000),
    "polygon in 60000 x 60000": coco(height=60_000, width=60_000),
    "NaN": coco((NAN, 1, 5, 5, 9, 60)),
    "odd": coco((1, 1, 5, 5, 9)),
}
COCO_NONSENSE = {
    "number for a name": coco(name=5),
    "nothing for a name": coco(name=None),
    "list for a name": coco(name=["a"]),
    "two numbers for a keypoint": coco(
        annotations=[{"image_id": 1, "category_id": 1, "keypoints": [1, 2]}]
    ),
    "no images": coco(images=None),
}
OUTSIDE = (
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\secret.png",
    "C:\\secret.png",
    "",
    "images/../../secret.png",
    "a.png\0",
    "~/secret.png",
)


def collection(folder: Path, annotations: object = None, listed: str = "a.png") -> Path:
    "A folder with a radiograph, a JSON file, and the COVID-19 Image Data Collection's CSV file."
    (folder / "images").mkdir(parents=True)
    (folder / "images/a.png").write_bytes(corpus()["png8"])
    (folder / "x.json").write_text(json.dumps(annotations))
    (folder / "metadata.csv").write_text(f"patientid,filename,view\n1,{listed},AP\n")
    return folder
