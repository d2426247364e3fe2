"""Dice of each fold's networks against the masks as reviewed: `python -m tools.reviewed_dice FOLDER
STORE`. STORE has the networks of `hemidiaphragm crossval --data FOLDER --scale full --members 3
--out OUT` (OUT/store). Of results/covid_cxr/review and outlines it writes dice.csv: the radiographs
where a lung gave way to the chosen candidate's. In the first readers chose a landmark, and its lung
follows by the rule of `reviewed.write_reviewed`; in the second they chose the lung's outline. Of
outlines it writes lungs.csv too: every lung, read or not."""

import sys

import numpy as np
import pandas as pd

from hemidiaphragm_nb import crossval, csv_files, evaluate, execute, folders, plan, review, reviewed
from hemidiaphragm_nb import store as stores
from hemidiaphragm_nb.features import SIDES
from hemidiaphragm_nb.placement import TestTime
from hemidiaphragm_nb.radiograph import FRAME
from tools.project import ROOT

RESULTS = ROOT / "results/covid_cxr"
NETWORKS = 3


def settled(folder) -> pd.DataFrame:
    "right_from and left_from by id, of the radiographs that were read; '' for a side that was not."
    path = folder / "landmarks_reviewed.csv"
    table = csv_files.load_table(path, dtype={"id": str}).fillna("").set_index("id")
    return table[[f"{side}_from" for side in SIDES]]


def changed(whose: pd.DataFrame) -> pd.DataFrame:
    "Of `settled`, those in which a lung gave way."
    return whose[whose.isin(["prediction", "second"]).any(axis=1)]


def dice(a: np.ndarray, b: np.ndarray, lung: int = 0) -> float:
    "Of both lungs together, or of one lung, from label images."
    return review.mask_dice(*(m == lung if lung else m > 0 for m in (a, b)))


def as_reviewed(mask: np.ndarray, whose: pd.Series, candidates: dict) -> np.ndarray:
    "A label image with each changed side's lung from its candidate's label image."
    others = {
        label: other
        for label, side in enumerate(SIDES, start=1)
        if (other := candidates.get(whose[f"{side}_from"])) is not None
    }
    return reviewed.take_lungs(mask, others)


def answers(networks: plan.Plan, place: stores.Store, frames) -> dict[str, np.ndarray]:
    "id -> label image, by the network of each fold that has not learnt from the patient."
    found = {}

    def keep(case: evaluate.Case) -> dict:
        found[case.row["id"]] = case.prediction.mask.copy()
        return {}

    tests = {(r.repeat, r.subset): execute.run_split(r, frames.table)["test"] for r in networks}
    for key, model in crossval.trained(networks, place).items():
        placed = crossval.read_so(model, TestTime())
        evaluate.evaluate(frames.subset(tests[key]), placed, columns=[keep])
    return found


def dice_rows(whose: pd.DataFrame, masks: dict, second: dict, read: dict) -> pd.DataFrame:
    "network, id, and Dice as published and as reviewed, where a lung gave way."
    rows = []
    for name, found in read.items():
        for i in changed(whose).index:
            candidates = {"prediction": read["network 1"][i], "second": second.get(i)}
            again = as_reviewed(masks[i], whose.loc[i], candidates)
            both = {"published": dice(masks[i], found[i]), "reviewed": dice(again, found[i])}
            rows.append({"network": name, "id": i} | both)
    return pd.DataFrame(rows).sort_values(["network", "id"])


def lung_rows(whose: pd.DataFrame, masks: dict, second: dict, read: dict) -> pd.DataFrame:
    """network, id, side, and Dice of each lung: as published; as reviewed, NaN where it was not
    read; and to network 1, which was shown: what it would be, had that always been chosen.
    """
    rows = []
    for name, found in read.items():
        for i, mask in masks.items():
            shown = read["network 1"][i]
            candidates = {"label": mask, "prediction": shown, "second": second.get(i)}
            for lung, side in enumerate(SIDES, start=1):
                source = whose.at[i, f"{side}_from"] if i in whose.index else ""
                row = {"network": name, "id": i, "side": side}
                row["published"] = dice(mask, found[i], lung)
                row["reviewed"] = dice(candidates[source], found[i], lung) if source else np.nan
                rows.append(row | {"to_shown": dice(shown, found[i], lung)})
    return pd.DataFrame(rows).sort_values(["network", "id"])


def measure(data: str, place: str):
    "Write the tables of both reviews."
    runs, place = crossval.crossval_plan(data, members=NETWORKS, scale="full"), stores.Store(place)
    frames = crossval.whole_frames(data, "full")
    other = folders.load_frames(folders.read_folder(data, "b"), side=FRAME, option="")
    masks, second = (dict(zip(f.table["id"], f.masks)) for f in (frames, other))
    read = {}
    for k in range(1, NETWORKS + 1):
        own = plan.Plan("own", tuple(r for r in runs if r.name.endswith(f"network {k}")))
        read[f"network {k}"] = answers(own, place, frames)
    tables = {}
    for name in ("review", "outlines"):
        tables[f"{name}/dice"] = dice_rows(settled(RESULTS / name), masks, second, read)
    tables["outlines/lungs"] = lung_rows(settled(RESULTS / "outlines"), masks, second, read)
    for name, table in tables.items():
        csv_files.save_table(table, RESULTS / f"{name}.csv", index=False, float_format="%.4f")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("python -m tools.reviewed_dice FOLDER STORE")
    measure(*sys.argv[1:])
