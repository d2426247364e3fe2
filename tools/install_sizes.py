"""How large an installation is, with each extra: `python -m tools.install_sizes` prints a table.

It adds up the files of the distributions that stand in this environment, without compiled
bytecode, which adds a tenth, and without pip. Elsewhere than on Linux they are smaller.
"""

from importlib.metadata import PackageNotFoundError, distribution

from tools.project import LIBRARY
from tools.requirements import closure, direct, settings


def megabytes(name: str) -> float:
    "Size of a distribution's files."
    paths = [f.locate() for f in distribution(name).files or () if f.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def main() -> None:
    files = (p for p in LIBRARY.rglob("*") if p.is_file() and p.suffix != ".pyc")
    own = sum(p.stat().st_size for p in files) / 1e6
    base = closure(direct())
    keys = [key for key in settings() if key.endswith("_requirements")]
    print("| extra | distributions | MB | largest of what it brings, MB |\n|---|---|---|---|")
    for key in ("requirements", *keys):
        name = key.removesuffix("requirements").rstrip("_") or "none"
        try:
            found = closure(direct("requirements", key))
        except PackageNotFoundError as absent:
            print(f"| {name} | | | not installed here: {absent.name} |")
            continue
        sizes = {each: megabytes(each) for each in found}
        brought = [each for each in sizes if key == "requirements" or each not in base]
        largest = sorted(brought, key=sizes.get, reverse=True)[:6]
        words = ", ".join(f"{each} {sizes[each]:.0f}" for each in largest)
        print(f"| {name} | {len(sizes)} | {own + sum(sizes.values()):,.0f} | {words} |", flush=True)


if __name__ == "__main__":
    main()
