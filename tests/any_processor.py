"""Would the notebooks that train pass on another processor? Run them under seeds that differ.

`python -m tests.any_processor [PART ...]` runs every notebook that trains, or those whose paths
contain a part, under five seeds, with one and two threads, in fp32 and in bf16, and prints for each
how many seeds pass and what fails first. It takes hours: results are kept in `--out` as they come,
and a run that was made with the same notebook and package is not made again.
"""

import argparse
import hashlib
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from threading import Lock

import pandas as pd

from tests.notebooks import execute
from tools.project import ANSWERS, ROOT, CommandFailed, code_cells, module_files, notebooks

TRAINS = re.compile(
    r"(?<!def )(?<![.\w])(train|run_plan|make_learner)\(|\btrain\.train\(|\blearn\w*\.fit\w*\("
)
SECONDS = 1800  # limit for one run, beside others and at the lowest priority
SEEDS, THREADS, PRECISIONS = 5, (1, 2), ("fp32", "bf16")
RUN = ["notebook", "seed", "threads", "precision", "digest"]
COLUMNS = [*RUN, "outcome", "seconds", "failure"]
HOOK = ROOT / "tests/other_processor"


def training_notebooks(parts: list[str]) -> list[Path]:
    "The notebooks with a cell that trains, answers included."
    paths = [*notebooks(), *sorted(ANSWERS.rglob("*.ipynb"))]
    chosen = [path for path in paths if not parts or any(part in str(path) for part in parts)]
    return [path for path in chosen if any(map(TRAINS.search, code_cells(path)))]


def digest(notebook: Path) -> str:
    "What a result depends on: the notebook's code and the package."
    content = [*code_cells(notebook), *(path.read_text("utf-8") for path in module_files())]
    return hashlib.sha256("\0".join(content).encode()).hexdigest()[:12]


def first_failure(message: str) -> str:
    "The error, and the line of the cell that raised it."
    errors = re.findall(r"^(?:[\w.]*(?:Error|Exception|Failed)\b|took over).*", message, re.M)
    lines = re.findall(r"^\s*-+> *\d+ (.*)", message, re.M)
    found = [lines[0].strip() if lines else "", errors[-1] if errors else message[-200:]]
    return " | ".join(text for text in found if text)[:300]


def run(row: dict) -> dict:
    "Run a notebook as `row` says; the row with what came of it."
    start = time.monotonic()
    variables = {
        "HEMIDIAPHRAGM_TEST_SEED_SHIFT": str(1000 * row["seed"]),
        "HEMIDIAPHRAGM_TEST_PRECISION": row["precision"],
        "OMP_NUM_THREADS": str(row["threads"]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HOOK)]),
    }
    try:
        execute(ROOT / row["notebook"], limit=SECONDS, **variables)
        ending = {"outcome": "passed", "failure": ""}
    except CommandFailed as failure:
        ending = {"outcome": "failed", "failure": first_failure(str(failure))}
    return row | ending | {"seconds": round(time.monotonic() - start)}


def planned(paths: list[Path], seeds: int) -> list[dict]:
    """All runs. The first half holds every seed, number of threads and precision of a notebook
    equally often, so that a run that is stopped has tried all of them."""
    digests = {path: digest(path) for path in paths}
    runs = product(range(seeds), paths, THREADS, PRECISIONS)
    runs = sorted(
        runs, key=lambda run: (run[0] + THREADS.index(run[2]) + PRECISIONS.index(run[3])) % 2
    )
    return [
        {
            "notebook": path.relative_to(ROOT).as_posix(),
            "seed": seed,
            "threads": threads,
            "precision": precision,
            "digest": digests[path],
        }
        for seed, path, threads, precision in runs
    ]


def known(path: Path) -> pd.DataFrame:
    "The results so far."
    options = {"keep_default_na": False, "dtype": {"digest": str}}
    return pd.read_csv(path, **options) if path.exists() else pd.DataFrame(columns=COLUMNS)


def carry_out(runs: list[dict], path: Path, processes: int) -> None:
    "Make the runs that `path` does not hold, and add each to it as it ends."
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {tuple(row) for row in known(path)[RUN].itertuples(index=False)}
    missing, lock = [row for row in runs if tuple(row[key] for key in RUN) not in done], Lock()

    def add(row: dict) -> None:
        result = pd.DataFrame([run(row)])[COLUMNS]
        with lock:
            result.to_csv(path, mode="a", header=not path.exists(), index=False)
            print(*result.iloc[0].drop("digest"), sep="  ", flush=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(add, missing))


def table(runs: list[dict], path: Path) -> str:
    "Of each notebook: how many seeds pass in each configuration, and the first failure."
    results = pd.DataFrame(runs).merge(known(path), "left", RUN)
    results["passed"] = results.outcome == "passed"
    counts = results.pivot_table("passed", "notebook", ["threads", "precision"], aggfunc="sum")
    counts.columns = [f"{threads} thr. {precision}" for threads, precision in counts.columns]
    failed = results[results.outcome == "failed"]
    counts["first failure"] = failed.groupby("notebook").failure.first()
    seeds = results.seed.nunique()
    return f"seeds that pass, of {seeds}\n" + counts.fillna("").to_markdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="only notebooks whose path contains one of these")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "out/any_processor.csv")
    asked = parser.parse_args()
    os.nice(10)
    runs = planned(training_notebooks(asked.parts), asked.seeds)
    carry_out(runs, asked.out, asked.processes)
    print(table(runs, asked.out))


if __name__ == "__main__":
    main()
