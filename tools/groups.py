"""Accuracies of the cross-validation by view, side, sex and age, with intervals by patient, and
failures with their counts: `python -m tools.groups FOLDER`. Of the patients only the groups are
written."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hemidiaphragm_nb import csv_files, files, folders, validate
from hemidiaphragm_nb.effects import interval_text
from hemidiaphragm_nb.metrics import bootstrap_interval
from hemidiaphragm_nb.views import is_view
from tools.project import ROOT

OUT = ROOT / "results/covid_cxr/groups"
LEAST = 20  # patients of a group that is shown


def memberships(table: pd.DataFrame) -> dict[str, np.ndarray]:
    "Group -> which radiographs are in it."
    age, views = pd.to_numeric(table["age"], errors="coerce").to_numpy(), table["view"]
    found = {f"view {view}": (views == view).to_numpy() for view in ("AP", "AP Supine", "PA")}
    found |= {f"sex {sex}": (table["sex"] == sex).to_numpy() for sex in ("F", "M")}
    bands = ((0, 40), (40, 55), (55, 70), (70, 120))
    found |= {f"age {a} to {b - 1}": (age >= a) & (age < b) for a, b in bands}
    return found | {
        "sex or age not known": np.isnan(age) | ~table["sex"].isin(["F", "M"]).to_numpy()
    }


def group_table(radiographs: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    "A row a group of at least `LEAST` patients; cells 'mean [low, high]'."
    errors, rows = validate.landmark_errors(radiographs), {}
    people = radiographs["patient_id"].to_numpy()
    for name, which in memberships(table.set_index("id").loc[radiographs["id"]]).items():
        if len(np.unique(people[which])) < LEAST:
            continue
        figures = {
            f"R/10, {side}": 100.0 * (errors[which, k] < 10)
            for k, side in enumerate(["right", "left"])
        }
        figures["Dice"] = radiographs["dice"].to_numpy()[which]
        row = {}
        for title, values in figures.items():
            interval = bootstrap_interval(values, people[which])
            row[title] = interval_text(interval, 3 if title == "Dice" else 1)
        rows[name] = row | {"radiographs": which.sum(), "patients": len(np.unique(people[which]))}
    return pd.DataFrame(rows).T.rename_axis("group")


def failure_table(radiographs: pd.DataFrame) -> pd.DataFrame:
    "How many radiographs fail in what way."
    errors = validate.landmark_errors(radiographs)
    apart = validate.reading_distances(radiographs)
    portable, fixed = (is_view(radiographs["view"], kind) for kind in ("portable", "fixed"))
    kinds = {
        "right landmark more than 20 px off": errors[:, 0] > 20,
        "left landmark more than 20 px off": errors[:, 1] > 20,
        "both more than 20 px off": (errors > 20).all(1),
        "gap more than 20 px off": np.abs(validate.gap_errors(radiographs)) > 20,
        "heatmap and mask more than 20 px apart": (apart > 20).any(1),
        "Dice under 0.9": radiographs["dice"].to_numpy() < 0.9,
    }
    rows = {
        k: {"all": v.sum(), "portable": v[portable].sum(), "fixed": v[fixed].sum()}
        for k, v in kinds.items()
    }
    rows["radiographs"] = {
        "all": len(portable),
        "portable": portable.sum(),
        "fixed": fixed.sum(),
    }
    return pd.DataFrame(rows).T.rename_axis("failure")


def measure(data: Path, out: Path = OUT):
    "Write OUT/groups.csv and OUT/failures.csv."
    radiographs = validate.held_out_cases()
    radiographs = radiographs.assign(id=radiographs["id"].astype(str))
    out.mkdir(parents=True, exist_ok=True)
    csv_files.save_table(group_table(radiographs, folders.read_folder(data)), out / "groups.csv")
    csv_files.save_table(failure_table(radiographs), out / "failures.csv")
    files.write_digests(out, ["groups.csv", "failures.csv"])


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
