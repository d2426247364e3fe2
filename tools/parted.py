"""Test images whose person the same run had elsewhere: `python -m tools.parted FOLDER` writes them.

FOLDER holds the 328 radiographs; the table goes to results/covid_cxr/parted.csv.
"""

import sys

import pandas as pd

from hemidiaphragm_nb.cases import persons
from hemidiaphragm_nb.folders import read_folder
from hemidiaphragm_nb.landmarks import split_by_device, split_by_fold, split_by_patient
from tools.project import ROOT

RESULTS = ROOT / "results/covid_cxr"
PARTED = RESULTS / "parted.csv"


def parted(table: pd.DataFrame, split: dict, tested: str = "test") -> list[dict]:
    "A row a test image of whose person another patient's image lies in training or validation."
    table = table.reset_index(drop=True)
    whose, rows = persons(table), []
    for part in ("train", "valid"):
        known = {(whose[i], table["patient_id"][i]) for i in split[part]}
        for i in split[tested]:
            if any(p == whose[i] and own != table["patient_id"][i] for p, own in known):
                rows.append({"id": table["id"][i], "part": part})
    return rows


def splits(table: pd.DataFrame):
    "(analysis, repeat, split, whether validation chose the weights) of every stored result."
    for path in sorted(RESULTS.glob("*/cases.csv")):
        for repeat in sorted(pd.read_csv(path, usecols=["repeat"])["repeat"].unique()):
            if path.parent.name != "transfer":
                yield path.parent.name, repeat, split_by_patient(table, seed=repeat), False
                continue
            for stage in ("common", "portable"):
                split = split_by_device(table, stage, seed=repeat)
                yield "transfer", repeat, split, True
                yield "transfer", repeat, split | {"test": split["held_out"]}, True
    for fold in range(5):
        yield "crossval", 0, split_by_fold(table, fold, 5, 0), True
    for one in ("ablation", "shipped"):
        yield one, 0, split_by_patient(table, seed=0), True


def parted_table(folder) -> pd.DataFrame:
    "What parted.csv holds."
    table = read_folder(folder).drop(columns="person")
    rows = [
        {"analysis": name, "repeat": repeat}
        | row
        | {"learned": "yes" if row["part"] == "train" or chose else "no"}
        for name, repeat, split, chose in splits(table)
        for row in parted(table, split)
    ]
    return pd.DataFrame(rows).drop_duplicates(ignore_index=True)


if __name__ == "__main__":
    parted_table(sys.argv[1]).to_csv(PARTED, index=False, lineterminator="\n")
