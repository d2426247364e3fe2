"""Dice of each fold's networks against the masks as reviewed, in which a lung whose landmark gave
way is the chosen candidate's (readers chose a point; that its lung follows is the rule of
`reviewed.write_reviewed`): `python -m tools.reviewed_dice FOLDER STORE`. STORE has the networks
of `hemidiaphragm crossval --data FOLDER --scale full --members 3 --out OUT` (OUT/store). Writes
results/covid_cxr/review/dice.csv."""

import sys

import numpy as np
import pandas as pd

from hemidiaphragm_nb import crossval, csv_files, evaluate, execute, folders, plan, reviewed
from hemidiaphragm_nb import store as stores
from hemidiaphragm_nb.features import SIDES
from hemidiaphragm_nb.placement import TestTime
from hemidiaphragm_nb.radiograph import FRAME
from tools.project import ROOT

REVIEW = ROOT / "results/covid_cxr/review"
NETWORKS = 3


def changed(path=REVIEW / "landmarks_reviewed.csv") -> pd.DataFrame:
    "right_from and left_from by id, of the radiographs with a landmark that gave way."
    table = csv_files.load_table(path, dtype={"id": str}).fillna("").set_index("id")
    table = table[[f"{side}_from" for side in SIDES]]
    return table[table.isin(["prediction", "second"]).any(axis=1)]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    "Of both lungs together, from label images."
    return 2 * ((a > 0) & (b > 0)).sum() / ((a > 0).sum() + (b > 0).sum())


def as_reviewed(mask: np.ndarray, whose: pd.Series, candidates: dict) -> np.ndarray:
    "A label image with each changed side's lung from its candidate's label image."
    mask = mask.copy()
    for label, side in enumerate(SIDES, start=1):
        if (other := candidates.get(whose[f"{side}_from"])) is not None:
            reviewed.take_lung(mask, other, label)
    return mask


def answers(networks: plan.Plan, place: stores.Store, frames, ids) -> dict[str, np.ndarray]:
    "id -> label image, by the network of each fold that has not learnt from the patient."
    found = {}

    def keep(case: evaluate.Case) -> dict:
        found[case.row["id"]] = case.prediction.mask.copy()
        return {}

    tests = {(r.repeat, r.subset): execute.run_split(r, frames.table)["test"] for r in networks}
    for key, model in crossval.trained(networks, place).items():
        idx = [i for i in tests[key] if frames.table["id"].iloc[i] in ids]
        placed = crossval.read_so(model, TestTime())
        evaluate.evaluate(frames.subset(idx), placed, columns=[keep])
    return found


def measure(data: str, place: str):
    "Write the table: network, id, and Dice of its answer as published and as reviewed."
    runs, place = crossval.crossval_plan(data, members=NETWORKS, scale="full"), stores.Store(place)
    frames = crossval.whole_frames(data, "full")
    other = folders.load_frames(folders.read_folder(data, "b"), side=FRAME, option="")
    second, whose = dict(zip(other.table["id"], other.masks)), changed()
    masks, read = dict(zip(frames.table["id"], frames.masks)), {}
    for k in range(1, NETWORKS + 1):
        own = plan.Plan("own", tuple(r for r in runs if r.name.endswith(f"network {k}")))
        read[f"network {k}"] = answers(own, place, frames, set(whose.index))
    rows = []
    for name, found in read.items():
        for i, mask in found.items():
            candidates = {"prediction": read["network 1"][i], "second": second.get(i)}
            again = as_reviewed(masks[i], whose.loc[i], candidates)
            both = {"published": dice(masks[i], mask), "reviewed": dice(again, mask)}
            rows.append({"network": name, "id": i} | both)
    table = pd.DataFrame(rows).sort_values(["network", "id"])
    csv_files.save_table(table, REVIEW / "dice.csv", index=False, float_format="%.4f")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("python -m tools.reviewed_dice FOLDER STORE")
    measure(*sys.argv[1:])
