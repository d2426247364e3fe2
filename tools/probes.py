"""Learn the probes of the weights that ship: spoil every radiograph of a folder, have it predicted,
and weigh what was measured. `python -m tools.probes FOLDER` (minutes) writes reference/probes.json,
and results/covid_cxr/variants/probes.csv with how good they are on patients left out."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from hemidiaphragm_nb import case_files, cases, csv_files, files, folders, probes, variants
from hemidiaphragm_nb.features import extract_features
from hemidiaphragm_nb.predict import lung_labels
from hemidiaphragm_nb.radiograph import FRAME, Frame, Radiograph, enlarge, framed, standardise
from hemidiaphragm_nb.runtime import shipped_predictor
from tools.project import ROOT

OUT = ROOT / "results/covid_cxr/variants"
FOLDS = 5
AS_IT_IS = "as it is"


def values_of(pixels: np.ndarray) -> np.ndarray:
    "What the probes weigh, of one radiograph."
    radiograph = Radiograph(pixels)
    image = framed(radiograph)
    lungs = shipped_predictor().predict(image[None, None]).lungs[0]
    labels = lung_labels(enlarge(lungs, FRAME))
    m = extract_features(image, Frame.of(radiograph).inside, lungs, labels)
    return probes.probe_features(m, image, labels)


def measured(data: Path, only: slice = slice(None)) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    "The features of every variant that a probe learns from, and the folds by person."
    table = folders.read_folder(data)
    people = cases.persons(table)
    names = sorted(set(people))
    fold = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % FOLDS))
    wanted = [AS_IT_IS, *(name for learnt, _ in probes.PROBES.values() for name in learnt)]
    found = {name: [] for name in wanted}
    for i in range(len(table))[only]:
        case = table.iloc[i]
        radiograph = case_files.read_image(case)
        labels = case_files.read_labels(case, radiograph.pixels.shape, radiograph.orientation)
        grey = standardise(radiograph.pixels).astype(np.float32)
        for name in wanted:
            found[name].append(values_of(variants.VARIANTS[name].make(grey, labels)))
        print(case["id"], flush=True)
    folds = np.array([fold[person] for person in np.asarray(people)[only]])
    return {name: (np.stack(values), folds) for name, values in found.items()}


def learn(data: Path, out: Path = OUT, only: slice = slice(None)) -> pd.DataFrame:
    "Write both files, and give the rates."
    found, learnt, rows = measured(data, only), {}, []
    usual, own = found[AS_IT_IS]
    for name, (spoilt, false) in probes.PROBES.items():
        wrong, folds = (np.concatenate([found[v][k] for v in spoilt]) for k in (0, 1))
        learnt[name], rates = probes.fit_probe(
            usual, wrong, (own, folds), name == "mirrored", false
        )
        rows.append({"probe": name} | rates)
    about = f"Probes of the checks, learnt from {len(own)} radiographs and their variants"
    path = ROOT / "hemidiaphragm_nb/reference/probes.json"
    probes.save_probes(learnt, path, f"{about}; see probes.ipynb")
    csv_files.save_table(pd.DataFrame(rows), out / "probes.csv", index=False, float_format="%.2f")
    kept = [path.name for path in sorted(out.glob("*.csv"))]
    files.write_digests(out, kept)
    probes.load_probes.cache_clear()
    return pd.DataFrame(rows)


if __name__ == "__main__":
    print(learn(Path(sys.argv[1])).to_string(index=False))
