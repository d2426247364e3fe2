"""Learn the intervals of the weights that ship from their recipe's cross-validation, and write them
into the card, the exported network and the model card's text. `python -m tools.calibrate`."""

import json

from hemidiaphragm_nb import cards, export, files, runtime
from hemidiaphragm_nb.interval_coverage import fitted_factor, fitted_intervals
from hemidiaphragm_nb.validate import held_out_cases


def calibrate() -> dict:
    "The intervals, after they were written."
    folder, radiographs = runtime.shipped_folder(), held_out_cases()
    found = {"intervals": fitted_intervals(radiographs)}
    found["radius_factor"] = fitted_factor(radiographs)
    path = folder / "card.json"
    card = json.loads(path.read_text(encoding="utf-8")) | found
    text = json.dumps(card, indent=1) + "\n"
    files.write_atomic(path, lambda file: file.write_text(text, encoding="utf-8"))
    data, exported = runtime.read_exported(folder / runtime.EXPORTED)
    body = data[: exported["network"]["bytes"]]
    export.write_exported(folder / runtime.EXPORTED, body, exported | found)
    cards.write_card_text(folder, card, radiographs)
    return found["intervals"]


if __name__ == "__main__":
    print(json.dumps(calibrate(), indent=1))
