"""How large an installation is, with each extra, and how long it takes.

`python -m tools.install_sizes` prints a table of the distributions that stand in this environment:
their files, without compiled bytecode, which adds a tenth, and without pip.

`python -m tools.install_sizes --install FOLDER [EXTRA ...]` builds a wheel and installs it with
each extra in a new environment in FOLDER: the time to fetch its files, and then to install from
them. `--constraint torch==VERSION+cpu` does so with torch for the processor, where pip finds that.
It writes `docs/installs.csv`, and the table of it in `docs/howto/install.md`; what stood there of
other extras stays. Elsewhere than on Linux installations are smaller.
"""

import argparse
import csv
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tools.project import LIBRARY, ROOT
from tools.requirements import closure, direct, settings

TABLE = ROOT / "docs" / "installs.csv"
PAGE = ROOT / "docs" / "howto" / "install.md"
PLACE = re.compile(r"(?<=<!-- installs -->\n).*?(?=<!-- end -->)", re.S)
COLUMNS = "extra distributions fetched_mb files_mb bytecode_mb fetch_s install_s".split()
PLAIN = "none"  # without any extra
LIMIT = 400  # MB of files that it may have, without the page in the browser
LONGEST = 2400  # s, for one installation


def extras() -> list[str]:
    "The extras of `settings.ini`, in its order."
    keys = [key for key in settings() if key.endswith("_requirements")]
    return [key.removesuffix("_requirements") for key in keys]


def megabytes(name: str) -> float:
    "Size of a distribution's files."
    paths = [f.locate() for f in distribution(name).files or () if f.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def size_table() -> str:
    "The sizes of what stands in this environment, as Markdown."
    files = (p for p in LIBRARY.rglob("*") if p.is_file() and p.suffix != ".pyc")
    own = sum(p.stat().st_size for p in files) / 1e6
    base = closure(direct())
    lines = ["| extra | distributions | MB | largest of what it brings, MB |", "|---|---|---|---|"]
    for extra in (PLAIN, *extras()):
        keys = ["requirements"] + [f"{extra}_requirements"] * (extra != PLAIN)
        try:
            found = closure(direct(*keys))
        except PackageNotFoundError as absent:
            lines.append(f"| {extra} | | | not installed here: {absent.name} |")
            continue
        sizes = {each: megabytes(each) for each in found}
        brought = [each for each in sizes if extra == PLAIN or each not in base]
        largest = sorted(brought, key=sizes.get, reverse=True)[:6]
        words = ", ".join(f"{each} {sizes[each]:.0f}" for each in largest)
        lines.append(f"| {extra} | {len(sizes)} | {own + sum(sizes.values()):,.0f} | {words} |")
    return "\n".join(lines)


def build_wheel(folder: Path) -> Path:
    "A wheel of this checkout, with the page in it if `make page` has built that."
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, cwd=folder)
    (wheel,) = folder.glob("hemidiaphragm_nb-*.whl")
    return wheel


def tree_size(folder: Path) -> tuple[int, float, float]:
    "Distributions of an environment, MB of their files, and MB of compiled bytecode; without pip."
    (site,) = folder.glob("lib/python*/site-packages")
    own = [
        path for path in site.iterdir() if not re.match(r"pip\b|setuptools\b|_distutils", path.name)
    ]
    count = sum(path.name.endswith(".dist-info") for path in own)
    files, bytecode = 0, 0
    for path in own:
        for each in path.rglob("*") if path.is_dir() else [path]:
            if each.is_file() and not each.is_symlink():
                size = each.stat().st_size
                bytecode += size * (each.suffix == ".pyc")
                files += size * (each.suffix != ".pyc")
    return count, files / 1e6, bytecode / 1e6


def install(wheel: Path, extra: str, folder: Path, constraint: str = "") -> dict:
    "The row of one extra: its files fetched, and installed from there in a new environment."
    what = str(wheel) if extra == PLAIN else f"{wheel}[{extra}]"
    venv, files, limits = folder / "venv", folder / "files", folder / "constraint.txt"
    limits.write_text(constraint, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    python = [str(venv / "bin" / "python"), "-m", "pip"]
    fetch = ["wheel", "--wheel-dir", str(files), "--prefer-binary", "--no-cache-dir"]
    fresh = ["install", "--no-index", "--find-links", str(files), "--no-cache-dir"]
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    seconds = []
    for step in (fetch, fresh):
        start = time.perf_counter()
        command = [*python, *step, "--quiet", "--constraint", str(limits), what]
        subprocess.run(command, check=True, env=environment, cwd=folder, timeout=LONGEST)
        seconds.append(round(time.perf_counter() - start))
    count, size, bytecode = tree_size(venv)
    fetched = sum(path.stat().st_size for path in files.iterdir()) / 1e6
    shutil.rmtree(venv)
    shutil.rmtree(files)
    name = f"{extra}, torch for the processor" if constraint else extra
    sizes = [round(each) for each in (fetched, size, bytecode)]
    return dict(zip(COLUMNS, [name, count, *sizes, *seconds]))


def save(rows: dict[str, dict]) -> None:
    "Write the table, in the order of `settings.ini`, and put it on the page."
    order = [PLAIN, *extras()]
    ordered = sorted(rows.values(), key=lambda row: order.index(row["extra"].split(",")[0]))
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda _: as_markdown(ordered), text), encoding="utf-8")


def saved() -> dict[str, dict]:
    "The table's rows by extra."
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["extra"]: row for row in csv.DictReader(file)}


def as_markdown(rows: list[dict]) -> str:
    "The rows as the page shows them."
    head = "extra|distributions|fetched, MB|files, MB|with bytecode, MB|fetch, s|install, s"
    lines = [f"| {' | '.join(head.split('|'))} |", "|---" * 7 + "|"]
    for row in rows:
        name, _, more = row["extra"].partition(",")
        name = "none" if name == PLAIN else f"`{name}`" + (f",{more}" if more else "")
        fetched, files, bytecode = (int(row[each]) for each in COLUMNS[2:5])
        sizes = [f"{size:,}" for size in (fetched, files, files + bytecode)]
        cells = [name, row["distributions"], *sizes, row["fetch_s"], row["install_s"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--install", type=Path, metavar="FOLDER", help="install, and measure that")
    parser.add_argument("extra", nargs="*", help="of settings.ini, or `none`; all by default")
    parser.add_argument("--constraint", default="", help="a version of a package to keep to")
    chosen = parser.parse_args()
    if not chosen.install:
        print(size_table())
        return
    folder = chosen.install.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(folder)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, Python {platform.python_version()}")
    for extra in chosen.extra or [PLAIN, *extras()]:
        row = install(wheel, extra, folder, chosen.constraint)
        save((saved() if TABLE.exists() else {}) | {row["extra"]: row})
        print(",".join(map(str, row.values())), flush=True)
        if extra == PLAIN and row["files_mb"] >= LIMIT:
            raise SystemExit(f"the small installation has to stay under {LIMIT} MB")


if __name__ == "__main__":
    main()
