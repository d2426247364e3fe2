"""Fuzz the reader: thousands of broken image and DICOM files, and no outcome but a radiograph or a `RadiographError`.

`python tools/fuzz.py [--n 2000] [--seed 0]` tests; `--only 1234` writes the mutant of that number instead, to look at it.
Each mutant follows from the seed and its number alone. A crash, another exception, a malformed radiograph, too much memory or
time is a finding: it is named by seed and number, and its file is kept in the folder of `--keep`.
"""
import argparse
import io
import os
import random
import resource
import select
import signal
import struct
import sys
import tempfile
import time
import types
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from common import LIBRARY, Failed

NUMBER, SEED = 2000, 0
SECONDS = 10.0  # of processor time that one file may take
MEGABYTES = 2048  # of address space that reading may add; the largest radiograph allowed needs 256 for each copy of its pixels
KEPT = Path(tempfile.gettempdir()) / "hemidiaphragm-fuzz"
SIDE = 64  # px, of the phantoms that the sound files show


# The sound files
def pictures(grey8: np.ndarray, grey16: np.ndarray) -> dict[str, bytes]:
    "PNG, JPEG and TIFF files of a phantom, by name."
    import tifffile
    from PIL import Image

    def save(array, kind: str, mode: str = "", **options) -> bytes:
        image, file = Image.fromarray(array), io.BytesIO()
        (image.convert(mode) if mode else image).save(file, kind, **options)
        return file.getvalue()

    def tiff(array, **options) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, array, **{"metadata": None} | options)
        return file.getvalue()

    return {
        "png8": save(grey8, "png"), "png16": save(grey16, "png"), "png-palette": save(grey8, "png", "P"),
        "png-rgba": save(grey8, "png", "RGBA"), "jpeg": save(grey8, "jpeg"), "jpeg-rgb": save(grey8, "jpeg", "RGB"),
        "jpeg-progressive": save(grey8, "jpeg", progressive=True), "tiff8": tiff(grey8), "tiff16": tiff(grey16),
        "tiff16-big-endian": tiff(grey16, byteorder=">"), "bigtiff16": tiff(grey16, bigtiff=True),
        "bigtiff16-zlib": tiff(grey16, bigtiff=True, compression="zlib", predictor=True),
        "tiff16-lzw": tiff(grey16, compression="lzw", rowsperstrip=8), "tiff16-zlib": tiff(grey16, compression="zlib"),
        "tiff8-tiles": tiff(grey8, tile=(32, 32), compression="zlib"), "tiff8-jpeg": tiff(grey8, compression="jpeg"),
        "tiff-float": tiff(grey16.astype(np.float32)), "tiff8-white": tiff(grey8, photometric="miniswhite"),
        "tiff8-packbits": tiff(grey8, compression="packbits"), "tiff-rgb": tiff(np.dstack([grey8] * 3)),
    }  # fmt: skip


def dicom(array: np.ndarray, keyword: str, **elements) -> bytes:
    "A DICOM file of `array` in the transfer syntax named by its keyword."
    import imagecodecs
    from pydicom import Dataset, uid
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate

    syntax, bits, ds, file = getattr(uid, keyword), array.itemsize * 8, Dataset(), io.BytesIO()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *array.shape, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits, bits - 1, 0
    ds.PixelSpacing, ds.ViewPosition, ds.WindowCenter, ds.WindowWidth = [0.2, 0.2], "AP", 2 ** (bits - 1), 2**bits
    for name, value in elements.items():
        setattr(ds, name, value)
    encoders = {
        "JPEGBaseline8Bit": lambda a: imagecodecs.jpeg8_encode(a, level=95),
        "JPEGLosslessSV1": lambda a: imagecodecs.jpeg8_encode(a, lossless=True, bitspersample=bits, predictor=1),
        "JPEGExtended12Bit": lambda a: imagecodecs.jpeg8_encode(a >> 4, level=98, bitspersample=12),
        "HTJ2KLossless": lambda a: imagecodecs.htj2k_encode(a),
    }
    ds.file_meta.TransferSyntaxUID = syntax if keyword in encoders or not syntax.is_compressed else uid.ExplicitVRLittleEndian
    if keyword in encoders:
        ds.PixelData = encapsulate([encoders[keyword](array)])
        ds["PixelData"].VR = "OB"
    else:
        ds.PixelData = array.astype(array.dtype.newbyteorder("<" if syntax.is_little_endian else ">")).tobytes()
        ds["PixelData"].VR = "OW"
    if syntax.is_encapsulated and keyword not in encoders:
        ds.compress(syntax, generate_instance_uid=False)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


@cache
def corpus() -> dict[str, bytes]:
    "Sound files by name: phantoms in every format that is read, and files of other makers that pydicom brings along."
    from hemidiaphragm_nb.phantom import phantom
    from pydicom.data import get_testdata_file

    grey8 = np.ascontiguousarray(phantom(3, side=SIDE).image)
    grey16 = grey8.astype(np.uint16) * 257 + np.arange(SIDE, dtype=np.uint16)
    deep = ("ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian", "RLELossless",
            "JPEGLSLossless", "JPEGLosslessSV1", "JPEG2000Lossless", "HTJ2KLossless")  # fmt: skip
    curve = (np.arange(256) ** 2 // 255).astype(np.uint16).tobytes()
    made = pictures(grey8, grey16) | {f"dicom-{k}": dicom(grey16, k) for k in deep}
    made |= {"dicom-JPEGBaseline8Bit": dicom(grey8, "JPEGBaseline8Bit"), "dicom-RLE-8": dicom(grey8, "RLELossless")}
    made["dicom-JPEGExtended12Bit"] = dicom(grey16, "JPEGExtended12Bit", BitsStored=12, HighBit=11)
    made["dicom-MONOCHROME1"] = dicom(grey16, "ExplicitVRLittleEndian", PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    palette = {f"{c}PaletteColorLookupTable{k}": v for c in ("Red", "Green", "Blue") for k, v in (("Descriptor", [256, 0, 16]), ("Data", curve))}
    made["dicom-palette"] = dicom(grey8, "ExplicitVRLittleEndian", PhotometricInterpretation="PALETTE COLOR", **palette)
    for name in ("693_J2KI.dcm", "image_dfl.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm", "RG1_J2KI.dcm"):
        if path := get_testdata_file(name, download=False):
            made[name] = Path(path).read_bytes()
    return made


# The mutations
def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3, 20, 200))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def edit_header(data: bytearray, rng: random.Random) -> None:
    "Overwrite some bytes of the first or last 600, where headers and directories stand."
    reach = min(len(data), 600)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(reach)
        data[at if rng.random() < 0.7 else len(data) - 1 - at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def declare_huge(data: bytearray, rng: random.Random) -> None:
    "Where the file seems to state its size, a length or an offset, state another, mostly an enormous one."
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q"))
    top = 1 << 8 * struct.calcsize(form)
    words = [i for i in range(min(len(data) - 8, 2000)) if 0 < struct.unpack_from(form, data, i)[0] <= max(len(data), 512)]
    for at in rng.sample(words, min(len(words), rng.choice((1, 1, 2, 4)))):
        struct.pack_into(form, data, at, min(top - 1, rng.choice((0, 1, 7999, 8001, 50_000, 65_535, 2**31 - 1, 2**32 - 1, top - 1))))


def splice(data: bytearray, rng: random.Random) -> None:
    "The head of one file, the tail of another."
    other = rng.choice(sorted(corpus().values(), key=len)[:-1])
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def repeat(data: bytearray, rng: random.Random) -> None:
    "Copy a piece over or into another place, up to thousands of times."
    a = rng.randrange(len(data))
    piece, at = data[a : a + rng.choice((4, 12, 64, 500))], rng.randrange(len(data))
    data[at : at + len(piece) * rng.randrange(2)] = piece * rng.choice((1, 1, 2, 50, 5000))


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
    body, packer = bytearray(zlib.decompress(data[start:], -zlib.MAX_WBITS)), zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for change in changes:
        change(body, rng)
    return data[:start] + packer.compress(bytes(body)) + packer.flush()


def mutant(seed: int, number: int) -> tuple[str, bytes]:
    "The broken file of that number, and the name of what it was with what was done to it."
    rng = random.Random(f"{seed}:{number}")
    names = list(corpus())
    rare = rng.random() < 0.01  # the radiograph of 3.6 million pixels takes its time
    name = names[-1] if rare else rng.choice(names[:-1])
    changes = [rng.choice(MUTATIONS) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    title = f"{name}: {', '.join(change.__name__ for change in changes)}"
    if "flate" in name and rng.random() < 0.6:
        return f"{title} (inside)", inside_deflated(corpus()[name], changes, rng)
    data = bytearray(corpus()[name])
    for change in changes:
        if len(data) > 1:
            change(data, rng)
    return title, mend_png(data) if name.startswith("png") and rng.random() < 0.7 else bytes(data)


# The judgement
def fault(radiograph) -> str:
    "What makes `radiograph` no valid `Radiograph`; '' where it is one."
    pixels, spacing = radiograph.pixels, radiograph.spacing
    checks = {
        "pixels are no float32 array of two dimensions": isinstance(pixels, np.ndarray) and pixels.dtype == np.float32 and pixels.ndim == 2,
        "its shape is beyond the limits": pixels.ndim == 2 and 16 <= min(pixels.shape) and pixels.size <= 64e6 and max(pixels.shape) <= 2 * min(pixels.shape),
        "pixels are not finite": bool(np.isfinite(pixels).all()),
        "pixels are constant": bool(pixels.min() < pixels.max()),
        "spacing is neither None nor two lengths": spacing is None or (len(spacing) == 2 and all(0 < s < np.inf for s in spacing)),
        "spacing and its source disagree": (spacing is None) == (radiograph.spacing_source == ""),
        "view or notes are no text": isinstance(radiograph.view, str) and all(isinstance(note, str) for note in radiograph.notes),
    }  # fmt: skip
    return next((what for what, holds in checks.items() if not holds), "")


def verdict(module: types.ModuleType, path: Path) -> str:
    "'radiograph', 'refused', or what is wrong with the outcome of reading `path`."
    start = time.process_time()
    try:
        radiograph = module.read_radiograph(path)
        said = fault(radiograph) or "radiograph"
    except module.RadiographError as error:
        named = str(error).startswith(f"{path}: ") and error.reason and "\n" not in str(error)
        said = "refused" if named else f"an error without file, reason or in several lines: {error}"
        if isinstance(error.__cause__, MemoryError):
            said = f"it asked for over {MEGABYTES} MB of memory"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    spent = time.process_time() - start
    return f"it took {spent:.1f} s" if spent > SECONDS else " ".join(said.split())[:200]


def megabytes(key: str) -> float:
    "An entry in kB of this process's status, such as VmSize or VmHWM (the peak), in MB; 0 on other systems than Linux."
    try:
        return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(f"{key}:"))
    except FileNotFoundError:
        return 0.0


def read_all(module: types.ModuleType, numbers: range, seed: int, path: Path, pipe: int) -> None:
    "In a process of its own, with little memory: a line `number verdict` for each mutant."
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1), os.dup2(silence, 2)
    roof = int((megabytes("VmSize") + MEGABYTES) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (roof, roof))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        path.write_bytes(mutant(seed, number)[1])
        os.write(pipe, f"{number}\t{verdict(module, path)}\t{megabytes('VmHWM'):.0f}\n".encode())


@dataclass
class Tally:
    "What came of the mutants: radiographs, refusals, findings by number, the highest memory in MB, the longest time in s."

    radiographs: int = 0
    refused: int = 0
    findings: dict = None
    peak: float = 0.0
    slowest: float = 0.0


def lines_of(pipe: int, patience: float):
    "Lines as they come through `pipe`; `TimeoutError` where none does for `patience` seconds."
    rest = b""
    while True:
        if not select.select([pipe], [], [], patience)[0]:
            raise TimeoutError
        if not (more := os.read(pipe, 65536)):
            return
        *whole, rest = (rest + more).split(b"\n")
        yield from (line.decode().split("\t") for line in whole)


def tried(module: types.ModuleType, numbers: range, seed: int, enough: int = 10, patience: float = 6 * SECONDS) -> Tally:
    "Read the mutants with `module`, anew after each that takes the process down, until `enough` findings are made."
    tally, first = Tally(findings={}), numbers.start
    corpus()
    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-fuzz-") as folder:
        while first < numbers.stop and len(tally.findings) < enough:
            out, into = os.pipe()
            if not (child := os.fork()):
                try:
                    read_all(module, range(first, numbers.stop), seed, Path(folder) / "mutant", into)
                finally:
                    os._exit(0)
            os.close(into)
            end, before = "", time.monotonic()
            try:
                for number, said, peak in lines_of(out, patience):
                    now = time.monotonic()
                    tally.peak, tally.slowest, before = max(tally.peak, float(peak)), max(tally.slowest, now - before), now
                    tally.radiographs += said == "radiograph"
                    tally.refused += said == "refused"
                    first = int(number) + 1
                    if said not in ("radiograph", "refused"):
                        tally.findings[first - 1] = said
            except TimeoutError:
                end = f"it was still being read after {patience:.0f} s"
                os.kill(child, signal.SIGKILL)
            os.close(out)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if first < numbers.stop:
                tally.findings[first] = end or f"it took the process down ({signal.Signals(-status).name if status < 0 else status})"
                first += 1
    return tally


# The test, and the proof that it can fail
PLANTS = {
    "another exception": ("except Exception as error:", "except OSError as error:"),
    "values that are not finite": ("if not whole and not np.isfinite(pixels).all():", "if False:"),
    "too much memory": ("kind = _kind(data)", "kind = _kind(data) if len(data) % 9 else bytearray(3 << 30)"),
    "a crash": ("kind = _kind(data)", "kind = _kind(data) if len(data) % 9 else os.abort()"),
    "no end": ("kind = _kind(data)", "kind = _kind(data)\n            while len(data) % 9 == 0: pass"),
}  # fmt: skip


def planted(old: str, new: str) -> types.ModuleType:
    "A copy of the reader's module with `old` replaced by `new`."
    source = (LIBRARY / "radiograph.py").read_text(encoding="utf-8")
    if source.count(old) != 1:
        raise Failed(f"the bug cannot be planted: {old!r} stands {source.count(old)} times in radiograph.py")
    module = types.ModuleType("hemidiaphragm_nb.planted")
    sys.modules[module.__name__] = module
    exec(compile(source.replace(old, new), "planted.py", "exec"), module.__dict__)
    return module


def fuzz_finds_planted_bugs() -> str:
    "Each bug planted in a copy of the reader is found; how many mutants were read until then."
    needed = []
    for name, (old, new) in PLANTS.items():
        tally = tried(planted(old, new), range(NUMBER), SEED, enough=1, patience=3.0)
        if not tally.findings:
            raise Failed(f"the planted bug was not found: {name}")
        needed.append(f"{name} by mutant {min(tally.findings)}")
    return "found: " + ", ".join(needed)


def fuzz(number: int = NUMBER, seed: int = SEED, keep: Path = KEPT) -> str:
    "Mutants read without a finding, with what came of them."
    from hemidiaphragm_nb import radiograph

    tally = tried(radiograph, range(number), seed)
    for i, said in tally.findings.items():
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"seed{seed}-{i}").write_bytes(mutant(seed, i)[1])
    if tally.findings:
        named = [f"seed {seed}, mutant {i} ({mutant(seed, i)[0]}): {said}" for i, said in tally.findings.items()]
        raise Failed(f"{len(tally.findings)} findings; files kept in {keep}", "\n".join(named))
    return f"{number} mutants of {len(corpus())} files: {tally.radiographs} radiographs, {tally.refused} refused, peak {tally.peak:.0f} MB, slowest {tally.slowest:.1f} s"


CHECKS = {"fuzz: broken files": fuzz, "fuzz: planted bugs are found": fuzz_finds_planted_bugs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=NUMBER, help="how many mutants")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--keep", type=Path, default=KEPT, help="where the files of findings go")
    parser.add_argument("--only", type=int, help="write the mutant of this number to the folder of --keep")
    asked = parser.parse_args()
    if asked.only is None:
        print(fuzz(asked.n, asked.seed, asked.keep))
    else:
        title, data = mutant(asked.seed, asked.only)
        asked.keep.mkdir(parents=True, exist_ok=True)
        path = asked.keep / f"seed{asked.seed}-{asked.only}"
        path.write_bytes(data)
        print(f"{path}: {title}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"{failure}\n{failure.detail}")
