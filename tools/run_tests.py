"""What `make test` runs: the library's checks, broken and hostile files, every notebook, the exercises' answers, widgets in a browser, the wheel in a clean environment, and coverage.

`python tools/run_tests.py [PART ...]` runs only the items whose names contain one of the parts.
A line for each item as it ends; the last line counts them: `N passed, N failed, N skipped`.
"""
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable

import app_browser
import browser
import checks
import clean_install
import fuzz
import hostile
import interrupt
import licences
import notebooks
from common import ROOT, Failed, Skipped

WORKERS = 2


@dataclass
class Item:
    "One thing to prove: `work` returns a note for the report, or raises."

    name: str
    work: Callable[[], str]
    state: str = ""


def carry_out(item: Item) -> Item:
    "Run `item`, print its line and, where it failed, the reason."
    start, detail = time.monotonic(), ""
    try:
        item.state, note = "passed", item.work()
    except Skipped as reason:
        item.state, note = "skipped", str(reason)
    except Failed as reason:
        item.state, note, detail = "failed", str(reason), reason.detail
    except Exception as error:  # a check that breaks has not passed
        item.state, note = "failed", f"{type(error).__name__}: {error}"
    line = f"{item.state:<8}{item.name:<34}{time.monotonic() - start:7.1f} s   {note}"
    print("\n    ".join([line, *detail.splitlines()]), flush=True)
    return item


def plan(scratch: Path) -> list[list[Item]]:
    "The items in order; those of one list may run side by side."
    books = [Item(path.name, partial(notebooks.run, path, scratch)) for path in notebooks.found()]
    wheel = clean_install.CleanInstall(scratch / "clean")
    return [
        *([Item(name, work)] for name, work in (checks.CHECKS | licences.CHECKS).items()),
        *([Item(name, work)] for name, work in (fuzz.CHECKS | hostile.CHECKS | interrupt.CHECKS).items()),
        books,
        [Item(name, work) for name, work in notebooks.answer_checks().items()],
        [Item(name, work) for name, work in (browser.items() | app_browser.items()).items()],
        *([Item(name, work)] for name, work in wheel.checks().items()),
        [Item("coverage", partial(notebooks.coverage, scratch))],
    ]


def main(parts: list[str]) -> int:
    os.chdir(ROOT)
    start, done = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="hemidiaphragm-test-") as scratch, ThreadPoolExecutor(WORKERS) as pool:
        for group in plan(Path(scratch)):
            chosen = [item for item in group if not parts or any(part in item.name for part in parts)]
            done += pool.map(carry_out, chosen)
    count = {state: sum(item.state == state for item in done) for state in ("passed", "failed", "skipped")}
    print(f"\n{len(done)} items in {(time.monotonic() - start) / 60:.1f} minutes")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped", flush=True)
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
