"""How far do the 8-bit integers of the network that ships move an answer? Beside its own floats.

`python -m tools.eight_bit FOLDER` reads the radiographs of `results/covid_cxr/shipped` that stand
in FOLDER, predicts each with both and writes `int8.csv` there: per radiograph how far each landmark
moves (px of the 512-px frame), Dice of the two masks, and whether the findings are the same.
"""

import sys

import cv2
import numpy as np
import pandas as pd

from hemidiaphragm_nb.csv_files import save_table
from hemidiaphragm_nb.folders import read_folder
from hemidiaphragm_nb.networks import TorchPredictor
from hemidiaphragm_nb.predict import Prediction, predict
from hemidiaphragm_nb.readers import read_radiograph
from hemidiaphragm_nb.runtime import Predictor, shipped_folder, shipped_predictor
from tools.project import ROOT

RESULTS = ROOT / "results/covid_cxr/shipped"
MOVES = ["right_move_px512", "left_move_px512"]


def compared(a: Prediction, b: Prediction) -> dict:
    "What parts two answers for one radiograph."
    scale = 512 / max(a.height, a.width)
    moves = np.linalg.norm(a.points - b.points, axis=-1) * scale
    one, other = a.mask > 0, b.mask > 0
    dice = 2 * (one & other).sum() / (one.sum() + other.sum())
    same = sorted(f.code for f in a.findings) == sorted(f.code for f in b.findings)
    return dict(zip(MOVES, moves.round(3))) | {"dice": round(dice, 4), "same_findings": same}


def moves(cases: pd.DataFrame, floats: Predictor, integers: Predictor) -> pd.DataFrame:
    "A row a radiograph."
    rows = []
    for case in cases.to_dict("records"):
        radiograph = read_radiograph(case["image"])
        answers = (predict(radiograph, predictor) for predictor in (floats, integers))
        rows.append({"id": case["id"], **compared(*answers)})
    return pd.DataFrame(rows)


def in_words(table: pd.DataFrame) -> str:
    "The moves as the command line's help states them."
    px = table[MOVES].to_numpy().ravel()
    px = px[np.isfinite(px)]  # without landmarks that one of the two does not state
    return (
        f"{np.median(px):.1f} px of 512 in the median, by more than 1 px in"
        f" {100 * (px > 1).mean():.0f} %, by {px.max():.0f} px at most, of {len(px)} compared"
    )


def main() -> None:
    cv2.setNumThreads(1)
    ids = pd.read_csv(RESULTS / "test_cases.csv", dtype={"id": str})["id"]
    cases = read_folder(sys.argv[1]).set_index("id").loc[ids].reset_index()
    table = moves(cases, TorchPredictor.load(shipped_folder()), shipped_predictor())
    save_table(table, RESULTS / "int8.csv", index=False)
    print(in_words(table))


if __name__ == "__main__":
    main()
