"""Fuzz the reader: no outcome of a broken file but a valid radiograph or a `RadiographError`.

`python -m tests.fuzzing --n 20000 --seed 7` reads that many mutants; `--only 1234` writes the
mutant of that number, to look at it. A crash, another exception, a malformed radiograph, too much
memory or time is a finding: it is named by seed and number, and its file goes to the folder of
`--keep`.
"""

import argparse
import os
import resource
import select
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

import numpy as np

from tests.library import find
from tests.mutants import mutant
from tests.sound_files import corpus

NUMBER, SEED = 2000, 0
SECONDS = 10.0  # of processor time that one file may take
MEGABYTES = 2048  # of address space that reading may add; 64 million pixels need 256 a copy
KEPT = Path(tempfile.gettempdir()) / "hemidiaphragm-fuzz"


def fault(radiograph) -> str:
    "What makes `radiograph` no valid `Radiograph`; '' where it is one."
    pixels, spacing = radiograph.pixels, radiograph.spacing
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.float32 or pixels.ndim != 2:
        return "pixels are no float32 array of two dimensions"
    if radiograph.orientation not in range(1, 9):
        return "orientation is no number from 1 to 8"
    short, long = sorted(pixels.shape)
    if short < 16 or pixels.size > 64e6 or long > 2 * short:
        return "its shape is beyond the limits"
    if not np.isfinite(pixels).all() or not pixels.min() < pixels.max():
        return "pixels are constant or not finite"
    if spacing is not None and not (len(spacing) == 2 and all(0 < s < np.inf for s in spacing)):
        return "spacing is neither None nor two lengths"
    if (spacing is None) != (radiograph.spacing_source == ""):
        return "spacing and its source disagree"
    if not (isinstance(radiograph.aspect, float) and 0 < radiograph.aspect < np.inf):
        return "aspect is no positive number"
    for f in fields(radiograph):
        value = getattr(radiograph, f.name)
        values = value if isinstance(value, tuple) else (value,)
        plain = isinstance(values, tuple) and all(isinstance(v, str | bool | None) for v in values)
        if f.name not in ("pixels", "spacing", "aspect", "orientation") and not plain:
            return f"{f.name} is no text"
    return ""


def evaluated(read, error: type[Exception], path: Path) -> str:
    "'radiograph', 'rejected', or what is wrong with the outcome of `read(path)`."
    start = time.process_time()
    try:
        radiograph = read(path)
        outcome = fault(radiograph) or "radiograph"
    except error as rejection:
        named = (
            str(rejection).startswith(f"{path}: ")
            and rejection.reason
            and "\n" not in str(rejection)
        )
        outcome = "rejected" if named else f"an error without file or reason: {rejection}"
        if isinstance(rejection.__cause__, MemoryError):
            outcome = f"it asked for over {MEGABYTES} MB of memory"
    except BaseException as other:
        outcome = f"{type(other).__name__}: {other}"
    spent = time.process_time() - start
    return f"it took {spent:.1f} s" if spent > SECONDS else " ".join(outcome.split())[:200]


def megabytes(key: str) -> float:
    "An entry of this process's status, such as VmSize or VmHWM (the peak); 0 where not on Linux."
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


def read_all(numbers: range, seed: int, path: Path, pipe: int) -> None:
    "In a process of its own, with little memory: a line for each mutant of what came of it."
    read, error = find("read_radiograph", "RadiographError")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    roof = int((megabytes("VmSize") + MEGABYTES) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (roof, roof))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        path.write_bytes(mutant(seed, number)[1])
        outcome = evaluated(partial(read, force=True), error, path)  # whatever its header says
        os.write(pipe, f"{number}\t{outcome}\t{megabytes('VmHWM'):.0f}\n".encode())


@dataclass
class Tally:
    "What came of the mutants."

    radiographs: int = 0
    rejected: int = 0
    findings: dict[int, str] = field(default_factory=dict)  # by the mutant's number
    peak: float = 0.0  # MB
    slowest: float = 0.0  # s

    def add(self, number: int, outcome: str, peak: float, seconds: float) -> None:
        self.peak, self.slowest = max(self.peak, peak), max(self.slowest, seconds)
        self.radiographs += outcome == "radiograph"
        self.rejected += outcome == "rejected"
        if outcome not in ("radiograph", "rejected"):
            self.findings[number] = outcome


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


def read_some(
    numbers: range, seed: int, folder: Path, enough: int, patience: float, tally: Tally
) -> int:
    "Read mutants in a child until it ends, hangs or has found `enough`: the first not read."
    first, before, ending = numbers.start, time.monotonic(), ""
    out, into = os.pipe()
    if not (child := os.fork()):
        try:
            read_all(numbers, seed, folder / "mutant", into)
        finally:
            os._exit(0)
    os.close(into)
    try:
        for number, outcome, peak in lines_of(out, patience):
            now = time.monotonic()
            tally.add(int(number), outcome, float(peak), now - before)
            first, before = int(number) + 1, now
            if len(tally.findings) >= enough:
                os.kill(child, signal.SIGKILL)
                break
    except TimeoutError:
        ending = f"it was still being read after {patience:.0f} s"
        os.kill(child, signal.SIGKILL)
    os.close(out)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if first < numbers.stop and len(tally.findings) < enough:
        how = signal.Signals(-status).name if status < 0 else status
        tally.findings[first] = ending or f"it took the process down ({how})"
        first += 1
    return first


def fuzz(number: int, seed: int, enough: int = 10, patience: float = 6 * SECONDS) -> Tally:
    "Read `number` mutants, beginning again after each that takes the process down or hangs."
    tally, first = Tally(), 0
    find("read_radiograph")
    corpus()
    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-fuzz-") as folder:
        while first < number and len(tally.findings) < enough:
            first = read_some(range(first, number), seed, Path(folder), enough, patience, tally)
    return tally


def keep_mutant(seed: int, number: int, folder: Path) -> str:
    "Write a mutant to `folder`: its path, and what it is."
    title, data = mutant(seed, number)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed{seed}-{number}"
    path.write_bytes(data)
    return f"{path}: {title}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=NUMBER, help="how many mutants")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--enough", type=int, default=10, help="findings after which to stop")
    parser.add_argument("--patience", type=float, default=6 * SECONDS, help="seconds for one file")
    parser.add_argument("--keep", type=Path, default=KEPT, help="where the findings' files go")
    parser.add_argument("--only", type=int, help="write this mutant to the folder of --keep")
    asked = parser.parse_args()
    if asked.only is not None:
        sys.exit(print(keep_mutant(asked.seed, asked.only, asked.keep)))
    tally = fuzz(asked.n, asked.seed, asked.enough, asked.patience)
    for number, outcome in tally.findings.items():
        print(f"{keep_mutant(asked.seed, number, asked.keep)}: {outcome}")
    print(
        f"{asked.n} mutants of {len(corpus())} files: {tally.radiographs} radiographs, "
        f"{tally.rejected} rejected, {len(tally.findings)} findings; "
        f"peak {tally.peak:.0f} MB, slowest {tally.slowest:.1f} s"
    )
    sys.exit(1 if tally.findings else 0)


if __name__ == "__main__":
    main()
