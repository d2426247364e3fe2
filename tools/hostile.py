"""Files made to do harm: bombs that unfold in memory, and names that lead out of the data's folder.

The library unpacks no archive: users unpack what the data sets publish. What a stranger can send is a folder: its
pictures, its CSV and JSON files. Each of these is refused by the one error of its reader, in little memory and time.
"""
import io
import json
import os
import resource
import struct
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import fuzz
import numpy as np
from checks import fail_if
from common import LIBRARY, Failed

MEGABYTES = 1024  # of memory that refusing a file may take, over what is in use before
SECONDS = 10  # of processor time
BIG = 1 << 31  # bytes that a bomb unfolds to
SQUARE = [(10, 10), (30, 10), (30, 50), (10, 50)]


# Bombs for the reader of radiographs
def png(width: int, height: int, depth: int = 8) -> bytes:
    "A PNG of that size, black below its first row: a thousandth of its pixels in bytes."
    part = lambda name, body: struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))  # noqa: E731
    packer, row = zlib.compressobj(9), bytes(1 + width * depth // 8)
    body = packer.compress(b"\0" + b"\1" * (len(row) - 1)) + b"".join(packer.compress(row) for _ in range(height - 1)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)) + part(b"IDAT", body) + part(b"IEND", b"")


def tiff(**tags: int) -> bytes:
    "A tiled and deflated TIFF whose header states other numbers."
    import tifffile

    data = bytearray(fuzz.corpus()["tiff8-tiles"])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for name, value in tags.items():
            tag = file.pages[0].tags[name]
            struct.pack_into("<HI", data, tag.offset + 2, 4, 1)
            struct.pack_into("<I", data, tag.offset + 8, value)
    return bytes(data)


def tiff_bomb() -> bytes:
    "A TIFF of 64 x 64 pixels whose one strip inflates to a gigabyte."
    import tifffile

    data = bytearray(fuzz.corpus()["tiff16-zlib"])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        bomb, places = zlib.compress(bytes(1 << 30), 9), {name: tags[name].offset for name in ("StripOffsets", "StripByteCounts")}
    for name, value in (("StripOffsets", len(data)), ("StripByteCounts", len(bomb))):
        struct.pack_into("<HII", data, places[name] + 2, 4, 1, value)
    return bytes(data + bomb)


def deflated(padding: int = 0) -> bytes:
    "A deflated DICOM file that inflates to 2 GiB; `padding` bytes in its header come before the transfer syntax."
    data = bytearray(fuzz.corpus()["dicom-DeflatedExplicitVRLittleEndian"])
    start, packer = 144 + struct.unpack_from("<I", data, 140)[0], zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = packer.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS) + struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, BIG))
    body += b"".join(packer.compress(bytes(1 << 20)) for _ in range(BIG >> 20)) + packer.flush()
    head = data[:start]
    if padding:
        at = head.index(b"\x02\0\x10\0UI")
        head[at:at] = b"\x02\0\x08\0OB\0\0" + struct.pack("<I", padding) + bytes(padding)
        struct.pack_into("<I", head, 140, len(head) - 144)
    return bytes(head) + body


def run_lengths() -> bytes:
    "A DICOM file of 64 x 64 pixels whose run lengths unfold to 2 GiB."
    import pydicom
    from pydicom.encaps import encapsulate

    ds, file = pydicom.dcmread(io.BytesIO(fuzz.corpus()["dicom-RLE-8"])), io.BytesIO()
    ds.PixelData = encapsulate([struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (BIG >> 7)])
    ds["PixelData"].VR = "OB"
    ds.save_as(file)
    return file.getvalue()


RADIOGRAPHS = {
    "PNG of 50000 x 50000": lambda: png(50_000, 50_000, 1), "PNG of 8001 x 8000": lambda: png(8001, 8000),
    "JPEG that states 65500 x 65500": lambda: fuzz.corpus()["jpeg"].replace(struct.pack(">HH", 64, 64), struct.pack(">HH", 65_500, 65_500)),
    "TIFF that states 60000 x 60000": lambda: tiff(ImageWidth=60_000, ImageLength=60_000),
    "TIFF with a tile of 8 GiB": lambda: tiff(TileLength=1 << 28), "TIFF whose strip inflates to 1 GiB": tiff_bomb,
    "deflated DICOM of 2 GiB": deflated, "deflated DICOM of 2 GiB, long header": lambda: deflated(4000), "DICOM of run lengths": run_lengths,
}  # fmt: skip


# Bombs and nonsense in what goes with a radiograph: masks, Darwin's and COCO's JSON
def darwin(path=SQUARE, height=64, width=64, **more) -> dict:
    polygon = {"path": [{"x": x, "y": y} for x, y in path]}
    image = {"height": height, "width": width, "original_filename": "a.png"}
    return {"image": image, "annotations": [{"name": "Lung", "polygon": polygon}]} | more


def coco(segmentation=(1, 1, 5, 5, 9, 60), height=64, width=64, file_name="a.png", **more) -> dict:
    outline = [list(segmentation)] if isinstance(segmentation, tuple) else segmentation
    return {
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}], "categories": [{"id": 1, "name": "lung"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": outline}],
    } | more  # fmt: skip


NAN, INF = float("nan"), float("inf")
ZIGZAG = [(float(i % 50), 5e4 * (i % 2)) for i in range(60_000)]
DARWIN = {
    "60000 x 60000": darwin(height=60_000, width=60_000), "10^9 x 10^9": darwin(height=10**9, width=10**9), "negative": darwin(height=-5),
    "an infinite size": darwin(height=INF), "NaN": darwin([(NAN, 1), (5, 5), (3, 40)]), "infinity": darwin([(INF, 1), (5, 5), (3, 40)]),
    "zigzag": darwin(ZIGZAG, 8000, 8000), "image is text": darwin(image="x"), "annotations are numbers": darwin(annotations=[5]),
    "annotations are missing": darwin(annotations=None), "a list": [1],
}  # fmt: skip
COCO = {
    "run lengths of 60000 x 60000": coco({"size": [60_000, 60_000], "counts": [3_600_000_000]}),
    "stated too": coco({"size": [60_000, 60_000], "counts": [3_600_000_000]}, 60_000, 60_000),
    "polygon in 60000 x 60000": coco(height=60_000, width=60_000), "NaN": coco((NAN, 1, 5, 5, 9, 60)), "odd": coco((1, 1, 5, 5, 9)),
}  # fmt: skip
OUTSIDE = ("../../etc/passwd", "/etc/passwd", "..\\..\\secret.png", "C:\\secret.png", "", "images/../../secret.png", "a.png\0", "~/secret.png")
MANGLED = {
    "number for a name": coco(file_name=5), "nothing for a name": coco(file_name=None), "list for a name": coco(file_name=["a"]),
    "two numbers for a keypoint": coco(annotations=[{"image_id": 1, "category_id": 1, "keypoints": [1, 2]}]), "no images": coco(images=None),
}  # fmt: skip


def outcome(read: Callable[[], object], error: type[Exception]) -> str:
    "'' where `read` raises `error` within the bounds; else what it does. In a process of its own."
    out, into = os.pipe()
    if not (child := os.fork()):
        said = "the process died"
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            roof = int((fuzz.megabytes("VmSize") + 2 * MEGABYTES) * 2**20)
            resource.setrlimit(resource.RLIMIT_AS, (roof, roof))
            resource.setrlimit(resource.RLIMIT_CPU, (4 * SECONDS, 4 * SECONDS))
            Path("/proc/self/clear_refs").write_text("5") if Path("/proc/self/clear_refs").exists() else None  # forget the peak
            before, start = fuzz.megabytes("VmRSS"), time.process_time()
            try:
                read()
                said = "it was read"
            except error as refusal:
                said = f"over {2 * MEGABYTES} MB asked for" if isinstance(refusal.__cause__, MemoryError) else ""
            except BaseException as other:
                said = f"{type(other).__name__}: {other}"[:100]
            grown, spent = fuzz.megabytes("VmHWM") - before, time.process_time() - start
            said = said or (f"it took {grown:.0f} MB" if grown > MEGABYTES else f"it took {spent:.1f} s" if spent > SECONDS else "refused")
        finally:
            os.write(into, said.encode())
            os._exit(0)
    os.close(into)
    with open(out, errors="replace") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return "" if said == "refused" else said or "the process died"


def judged(cases: dict[str, tuple[Callable, type[Exception]]]) -> str:
    "Every case is refused."
    said = {name: outcome(*case) for name, case in cases.items()}
    fail_if([f"{name}: {what}" for name, what in said.items() if what], f"of {len(cases)} hostile files not refused as they should be")
    return f"{len(cases)} refused, each within {MEGABYTES} MB and {SECONDS} s"


def radiograph_bombs() -> str:
    from hemidiaphragm_nb.radiograph import RadiographError
    from hemidiaphragm_nb.readers import read_radiograph

    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-hostile-") as folder:
        cases = {}
        for i, (name, make) in enumerate(RADIOGRAPHS.items()):
            path = Path(folder) / str(i)
            path.write_bytes(make())
            cases[name] = (lambda path=path: read_radiograph(path)), RadiographError
        return judged(cases)


def collection(folder: Path, annotations: object, listed: str = "a.png") -> Path:
    "A folder with one radiograph, a mask's JSON file, and the CSV file of the COVID-19 Image Data Collection."
    (folder / "images").mkdir(parents=True)
    (folder / "images/a.png").write_bytes(fuzz.corpus()["png8"])
    (folder / "x.json").write_text(json.dumps(annotations))
    (folder / "metadata.csv").write_text(f"patientid,filename,view\n1,{listed},AP\n")
    return folder


def annotation_bombs() -> str:
    from hemidiaphragm_nb import landmarks, public
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-hostile-") as scratch:
        root, cases = Path(scratch), {}

        def case(name: str, read: Callable, content: bytes) -> None:
            path = root / f"{len(cases)}.png"
            path.write_bytes(content)
            cases[name] = (lambda: read(str(path))), datasets.DatasetError

        for name, content in DARWIN.items():
            case(f"Darwin, {name}", lambda path: public.read_darwin_mask(path, (64, 64)), json.dumps(content).encode())
        case("Darwin, deep", lambda path: public.read_darwin_mask(path, (64, 64)), b"[" * 200_000)
        for name, content in COCO.items():
            case(f"COCO, {name}", lambda path: public.read_coco_mask(f"{path}#1", (64, 64)), json.dumps(content).encode())
        script = io.BytesIO()
        Image.new("L", (64, 64)).convert("RGB").save(script, "EPS")
        liar = bytearray(fuzz.corpus()["png8"])
        liar[liar.index(b"IDAT") - 4 : liar.index(b"IDAT")] = b"\xff\xff\xff\xf0"  # Pillow would ask for 4 GB of the file
        masks = {"a mask of 13000 x 13000": png(13_000, 13_000), "a program": script.getvalue(), "a part of 4 GB": bytes(liar)}
        for name, content in masks.items():
            case(f"mask, {name}", landmarks.read_mask, content)
        return judged(cases)


def paths_lead_nowhere() -> str:
    "No CSV or JSON file of a data set makes the library touch a file outside the set's folder."
    from hemidiaphragm_nb import landmarks, public

    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-hostile-") as scratch:
        root, cases = Path(scratch), {}
        (root / "secret.png").write_bytes(fuzz.corpus()["png16"])

        def case(name: str, read: Callable, annotations: object, listed: str = "a.png", **files: str) -> None:
            folder = collection(root / str(len(cases)), annotations, listed)
            for file, text in files.items():
                (folder / file.replace("_", ".")).write_text(text)
            cases[name] = (lambda: read(folder)), datasets.DatasetError

        for name in OUTSIDE:
            said = darwin(image={"height": 64, "width": 64, "original_filename": name})
            case(f"COCO names {name!r}", lambda folder: public.read_coco(folder / "x.json"), coco(file_name=name))
            if name:
                case(f"Darwin names {name!r}", public.read_covid_darwin, said, name)
                case(f"metadata.csv names {name!r}", landmarks.read_folder, {}, metadata_csv=f"id,patient_id,view\na,1,AP\n{name},2,AP\n")
        for name, content in MANGLED.items():
            case(f"COCO, {name}", lambda folder: public.read_coco(folder / "x.json"), content)
        for name in ("image is text", "annotations are numbers", "annotations are missing"):
            case(f"Darwin, {name}", public.read_covid_darwin, DARWIN[name])
        note = judged(cases)
        folder = collection(root / "marks", {})
        (folder / "metadata.csv").unlink()
        (folder / "landmarks.csv").write_text("id,right_x,right_y,left_x,left_y\n../../secret,1,2,3,4\n/etc/passwd,1,2,3,4\n")
        problems = [p for p in landmarks.scan_folder(folder)[1] if p.file.startswith("landmarks.csv")]
        table = landmarks.read_folder(folder)
        if len(problems) != 2 or table["image"].tolist() != [str(folder / "images/a.png")]:
            raise Failed("landmarks.csv that names files outside the folder", "\n".join(map(str, problems)))
        return f"{note}; rows of landmarks.csv without an image are reported and never opened"


def links_are_files() -> str:
    "A link is read as what it leads to: a device, a pipe or a loop is no radiograph; results replace a link and do not follow it."
    warnings.filterwarnings("ignore", category=FutureWarning)  # between libraries
    from hemidiaphragm_nb.files import write_atomic
    from hemidiaphragm_nb.writers import find_inputs
    from hemidiaphragm_nb.radiograph import RadiographError
    from hemidiaphragm_nb.readers import read_radiograph

    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-hostile-") as scratch:
        folder = collection(Path(scratch) / "in", {})
        for name, target in (("zero.png", "/dev/zero"), ("loop.png", "loop.png"), ("round", folder), ("passwd.png", "/etc/passwd"), ("gone.png", "nowhere")):
            (folder / "images" / name).symlink_to(target)
        os.mkfifo(folder / "images/pipe.png")
        links = ("zero.png", "loop.png", "passwd.png", "gone.png", "pipe.png", "round")
        note = judged({name: ((lambda name=name: read_radiograph(folder / "images" / name)), RadiographError) for name in links})
        found = sorted(path.name for path, _ in find_inputs([str(folder)]))
        if found != ["a.png", "passwd.png"]:
            raise Failed(f"a folder with links to a device, a pipe and itself gives {found}")
        kept, link = folder / "kept.txt", folder / "a.json"
        kept.write_text("mine")
        link.symlink_to(kept)
        write_atomic(link, lambda path: path.write_text("result"))
        if kept.read_text() != "mine" or link.is_symlink():
            raise Failed("a result was written through a link")
        return f"{note}; a search through {len(links)} links ends"


def no_archives() -> str:
    "No exported code unpacks an archive, so that none can write outside its folder."
    words = ("zipfile", "tarfile", "unpack_archive", "extractall", "gzip", "bz2", "lzma", "py7zr", "rarfile")
    lines = [(p.name, n, line) for p in sorted(LIBRARY.glob("*.py")) for n, line in enumerate(p.read_text(encoding="utf-8").splitlines(), 1)]
    fail_if([f"{name}:{n}: {line.strip()}" for name, n, line in lines if any(word in line for word in words)], "places that unpack archives")
    return f"none in {len(lines)} lines"


def hostile_finds_planted_bugs() -> str:
    "With the limit of pixels taken out of a copy of the reader, the bombs go off and are noticed."
    bad = fuzz.planted("if height * width > MAX_PIXELS:", "if False:")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bomb"
        path.write_bytes(png(12_000, 12_000))
        said = outcome(lambda: bad.read_radiograph(path), bad.RadiographError)
    if not said:
        raise Failed("a reader without limits passes")
    return f"a reader without limits: {said}"


CHECKS = {
    "hostile: image bombs": radiograph_bombs,
    "hostile: masks and annotations": annotation_bombs,
    "hostile: names that lead out": paths_lead_nowhere,
    "hostile: links and devices": links_are_files,
    "hostile: no archives": no_archives,
    "hostile: planted bug is found": hostile_finds_planted_bugs,
}  # fmt: skip


if __name__ == "__main__":
    for name, check in CHECKS.items():
        try:
            print(f"{name}: {check()}")
        except Failed as failure:
            print(f"{name}: FAILED: {failure}\n{failure.detail}")
