"""Move and spoil the radiographs that the shipped networks have not learnt from, and write how far
the answers move and what is found: `python -m tools.variants FOLDER` (minutes)."""

import sys
from pathlib import Path

import pandas as pd

from hemidiaphragm_nb import case_files, csv_files, files, folders, landmarks, variants
from tools.project import ROOT

OUT = ROOT / "results/covid_cxr/variants"


def measure(data: Path, out: Path = OUT, only: slice = slice(None)):
    "Write OUT/movements.csv and OUT/findings.csv."
    table = folders.read_folder(data)
    moved, found = [], []
    for i in landmarks.split_by_patient(table)["test"][only]:
        case = table.iloc[i]
        about = {name: case[name] for name in ("id", "patient_id", "view")}
        radiograph = case_files.read_image(case)
        labels = case_files.read_labels(case, radiograph.pixels.shape, radiograph.orientation)
        moved.append(variants.movements(radiograph).assign(**about))
        found.append(variants.variant_findings(radiograph, labels).assign(**about))
        print(case["id"], flush=True)
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("movements", moved), ("findings", found)):
        path = out / f"{name}.csv"
        csv_files.save_table(pd.concat(rows), path, index=False, float_format="%.3f")
    files.write_digests(out, [path.name for path in sorted(out.glob("*.csv"))])


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
