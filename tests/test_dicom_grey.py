"""Grey values of generated headers against those of another implementation, dcmtk's `dcm2pnm`,
where it is installed.
"""

import itertools
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest

from hemidiaphragm_nb.dicom_reader import encode_dicom, read_dicom

SIDE = 16  # px, of pictures that hold 256 values of the whole range, or nearly
BITS = (8, 10, 12, 14, 16)
MEANINGS = ("as stored", "slope 2.5", "slope -1", "table")
VIEWS = ("whole", "LINEAR", "LINEAR_EXACT", "SIGMOID", "", "table 8", "table 12", "table 16")
# of the range: dcmtk 3.6 takes LINEAR_EXACT for LINEAR (half a level of 8 bits), and may take the
# next entry of a table for a value that is no whole number (one entry of 8 bits)
NEAR = 0.005
GRID = list(itertools.product(BITS, (False, True), MEANINGS, VIEWS, (1, 2)))


def table(entries, first: int, bits: int) -> pydicom.Dataset:
    "The item of a look-up table whose first entry is for the value `first`."
    ds = pydicom.Dataset()
    ds.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    ds["LUTDescriptor"].value = [len(entries) % 65536, first, bits]
    ds.add_new("LUTData", "OW", np.asarray(entries).astype("<u2").tobytes())
    return ds


def meaning(name: str, low: int, high: int) -> tuple[dict, float, float]:
    "The elements of the first stage, and the smallest and the largest value after it."
    match name:
        case "slope 2.5":
            return dict(RescaleSlope="2.5", RescaleIntercept="-1000"), *(
                2.5 * end - 1000 for end in (low, high)
            )
        case "slope -1":
            return dict(RescaleSlope="-1", RescaleIntercept="99"), 99 - high, 99 - low
        case "table":
            entries = np.linspace(0, 1, min(high - low + 1, 65535)) ** 1.5 * 4095
            return dict(ModalityLUTSequence=[table(np.round(entries), low, 12)]), 0, 4095
    return {}, low, high


def view(name: str, low: float, high: float) -> dict:
    "The elements of the second stage, for values from `low` to `high`."
    if name == "whole":
        return {}
    if name.startswith("table"):
        bits, first = int(name.split()[1]), int(max(low, -32768))
        entries = np.linspace(0, 1, int(min(high - first + 1, 65535))) ** 2 * (2**bits - 1)
        return dict(VOILUTSequence=[table(np.round(entries), first, bits)])
    window = dict(WindowCenter=(low + high) / 2 + 1, WindowWidth=(high - low) / 2)
    return window | dict(VOILUTFunction=name)


def case(bits: int, signed: bool, first: str, second: str, photometric: int) -> bytes:
    "A DICOM file of the grid."
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    stored = np.linspace(low, high, SIDE * SIDE).round().astype(kind).reshape(SIDE, SIDE)
    elements, *ends = meaning(first, low, high)
    elements |= view(second, *ends) | dict(PhotometricInterpretation=f"MONOCHROME{photometric}")
    return encode_dicom(stored, bits=bits, **elements)


def by_dcmtk(path, second: str) -> np.ndarray:
    "The 16-bit grey values that `dcm2pnm` shows."
    option = {"whole": ["-W"], "table": ["+Wl", "1"]}.get(second.split(" ")[0], ["+Wi", "1"])
    command = ["dcm2pnm", "-q", *option, "--write-16-bit-pnm", path]
    text = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    lines = [line for line in text.split(b"\n") if not line.startswith(b"#")]
    return np.array(b" ".join(lines).split()[4:], float)


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    "How far from a rising straight line, as a part of the range."
    slope, intercept = np.polyfit(ours, theirs, 1)
    return np.inf if slope <= 0 else np.abs(slope * ours + intercept - theirs).max() / 65535


def compared(number: int, folder) -> tuple[float, tuple]:
    "The distance between both readings of a case of the grid, and warnings of ours."
    data, path = case(*GRID[number]), folder / f"{number}.dcm"
    path.write_bytes(data)
    pixels, facts = read_dicom(data)
    return apart(pixels.ravel().astype(float), by_dcmtk(path, GRID[number][3])), facts["warnings"]


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="dcmtk is not installed")
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")
def test_grey_values_are_those_of_dcmtk(tmp_path):
    assert len(GRID) >= 500
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda number: compared(number, tmp_path), range(len(GRID))))
    wrong = [(*GRID[i], *answer) for i, answer in enumerate(found) if answer[0] > NEAR or answer[1]]
    assert wrong == []
