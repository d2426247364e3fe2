"""Ask readers which radiographs have a technical fault: `python -m tools.quality FOLDER OUT` writes
contact sheets, without names, in another order for each reader; who has looked through them fills
OUT/readings_READER.csv, and `python -m tools.quality FOLDER OUT --collect` joins all readings in
results/covid_cxr/quality/readings.csv. OUT holds pictures of patients: keep it to yourself."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from hemidiaphragm_nb import (
    case_files,
    csv_files,
    files,
    folders,
    problems,
    radiograph,
    technical_quality,
)
from tools.project import ROOT

RESULTS = ROOT / "results/covid_cxr/quality"
READERS = {"p": 100, "q": 101, "r": 102}  # and the seed of each one's order
TILE, LINE, ROW = 400, 2, 26  # px: a radiograph's longest side, its outline, the number's height
ACROSS = 3  # radiographs a row and a column of a sheet


def order_of(table: pd.DataFrame, reader: str) -> pd.DataFrame:
    "number, from 1, and id: the order in which a reader sees the radiographs."
    order = np.random.default_rng(READERS[reader]).permutation(len(table))
    ids = table["id"].to_numpy()[order]
    return pd.DataFrame({"number": np.arange(1, len(order) + 1), "id": ids})


def tile(case: pd.Series) -> np.ndarray:
    "(TILE + ROW, TILE, 3): a whole radiograph, with a red line along its edge."
    grey = radiograph.standardise(case_files.read_image(case).pixels)
    grey = (np.clip(grey, 0, 1) * 255).astype(np.uint8)
    scale = (TILE - 4 * LINE) / max(grey.shape)
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    (h, w), out = grey.shape, np.full((TILE + ROW, TILE, 3), 40, np.uint8)
    y, x = (TILE - h) // 2, (TILE - w) // 2
    out[y - LINE : y + h + LINE, x - LINE : x + w + LINE] = (255, 60, 60)
    out[y : y + h, x : x + w] = grey[..., None]
    return out


def write_sheets(table: pd.DataFrame, out: Path):
    "OUT/READER/sheet01.png and so on."
    tiles = dict(zip(table["id"], (tile(case) for _, case in table.iterrows())))
    for reader in READERS:
        own = order_of(table, reader)
        (out / reader).mkdir(parents=True, exist_ok=True)
        for k in range(0, len(own), ACROSS**2):
            sheet = Image.new("RGB", (ACROSS * TILE, ACROSS * (TILE + ROW)))
            draw = ImageDraw.Draw(sheet)
            for j, row in enumerate(own.iloc[k : k + ACROSS**2].itertuples()):
                at = j % ACROSS * TILE, j // ACROSS * (TILE + ROW)
                sheet.paste(Image.fromarray(tiles[row.id]), at)
                place, font = (at[0] + 6, at[1] + TILE + 2), ImageFont.load_default(18)
                draw.text(place, str(row.number), (255, 255, 0), font)
            sheet.save(out / reader / f"sheet{k // ACROSS**2 + 1:02d}.png")


def collect(table: pd.DataFrame, out: Path, results: Path = RESULTS):
    "Write RESULTS/readings.csv: reader, number, id, patient_id, faults."
    read = []
    for reader in READERS:
        path, own = out / f"readings_{reader}.csv", order_of(table, reader)
        if not path.is_file():
            sys.exit(f"{path.name} is not there; give it in {out}, with columns number and faults")
        found = csv_files.load_table(path, dtype={"faults": object})
        if lacking := [c for c in ("number", "faults") if c not in found]:
            sys.exit(f"{path.name} has no column {lacking[0]}")
        if sorted(found["number"]) != list(own["number"]):
            sys.exit(f"{path.name} does not have each number from 1 to {len(own)} once")
        own = own.merge(found[["number", "faults"]], on="number")
        read.append(own.assign(reader=reader, faults=own["faults"].astype(object).fillna("")))
    rows = pd.concat(read).merge(table[["id", "patient_id"]], on="id")
    rows = rows.sort_values(["reader", "number"])
    try:
        technical_quality.seen_faults(rows)
    except ValueError as error:
        sys.exit(f"the readings in {out}: {error}")
    results.mkdir(parents=True, exist_ok=True)
    columns = ["reader", "number", "id", "patient_id", "faults"]
    csv_files.save_table(rows[columns], results / "readings.csv", index=False)
    files.write_digests(results, ["readings.csv"])


if __name__ == "__main__":
    paths = [Path(a) for a in sys.argv[1:] if a != "--collect"]
    if len(paths) != 2:
        sys.exit("python -m tools.quality FOLDER OUT [--collect]")
    try:
        cases = folders.read_folder(paths[0])
    except problems.DatasetError as error:
        sys.exit(str(error))
    (collect if "--collect" in sys.argv else write_sheets)(cases, paths[1])
