"""Write web/src/facts.json: the constants, words and references of the library that the page
uses, so that each of them stands once; and web/columns.txt, what the columns of its table mean.
`python -m tools.page_facts`."""

import json
import re

from pydicom._uid_dict import UID_dictionary

from hemidiaphragm_nb import (
    checks,
    columns,
    dicom_header,
    features,
    findings,
    formats,
    heatmaps,
    landmarks,
    lung_width,
    minima,
    notice,
    placement,
    predict,
    probes,
    radiograph,
    readers,
    records,
    runtime,
    spacings,
    tilt,
)
from tools.project import ROOT

FACTS = ROOT / "web" / "src" / "facts.json"
COLUMNS = ROOT / "web" / "columns.txt"
CARD = ("recipe", "radius_factor", "intervals", "test_time", "created", "git_commit", "use")


def reference() -> dict:
    "What is usual on real radiographs."
    known = checks.load_reference()
    path = ROOT / "hemidiaphragm_nb" / "reference" / "checks.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    limits = {name: value for name, value in known.limits.items()}
    return {k: content[k] for k in ("names", "mean", "spread", "correlation")} | {"limits": limits}


def probe_facts() -> dict:
    "The cells of the probes' picture, and their weights."
    path = ROOT / "hemidiaphragm_nb" / "reference" / "probes.json"
    numbers = json.loads(path.read_text(encoding="utf-8"))["probes"]
    margins = {"above": probes._ABOVE, "below": probes._BELOW, "beside": probes._BESIDE}
    return {"cells": probes.CELLS, **margins, "probes": numbers}


def other_classes() -> dict:
    "SOP classes that no radiograph has: UID and name."
    names = {number: facts[0] for number, facts in UID_dictionary.items()}
    search = dicom_header._OTHER_CLASSES.search
    return {
        number: name
        for number, name in names.items()
        if search(name.removesuffix(" - For Presentation"))
    }


def header_words() -> dict:
    "What a DICOM header's words and codes mean."
    h = dicom_header
    return {
        "not_frontal": sorted(h._NOT_FRONTAL),
        "views": h._VIEWS,
        "beams": h._BEAMS,
        "frontal": sorted(h._FRONTAL),
        "view_codes": sorted(h._CODES),
        "angled": h._ANGLED,
        "in_words": h._IN_WORDS,
        "turns": {",".join(k): v for k, v in h._TURNS.items()},
        "parts": sorted(h._PARTS),
        "limbs": sorted(h._LIMBS),
        "beside": sorted(h._BESIDE),
        "chest": h._CHEST,
        "unstated": sorted(h._UNSTATED),
        "limb_codes": sorted(h._LIMB_CODES),
        "radiographs": sorted(h._RADIOGRAPHS),
        "other_modalities": sorted(h._OTHER_MODALITIES),
        "other_classes": other_classes(),
        "calibrations": h.CALIBRATIONS,
    }


def kinds() -> dict:
    "What holds for all findings of a code, as far as the page asks."
    return {
        code: {"meaning": kind.meaning, "effect": kind.effect, "limits": kind.limits}
        for code, kind in findings.FINDINGS.items()
    }


def facts() -> dict:
    "All of them."
    card = runtime.read_exported(runtime.shipped_folder() / runtime.EXPORTED)[1]
    settings = ("name", "tasks", "side", "beta", "decoder", "shared", "mask_channels")
    return {
        "card": {k: card[k] for k in CARD if k in card}
        | {"recipe": {k: card["recipe"][k] for k in settings}},
        "notice": notice.NOTICE,
        "columns": records.COLUMNS,
        "gap_rule": columns.GAP_RULE,
        "lung_threshold": features.LUNG_THRESHOLD,
        "mask_weight": predict.MASK_WEIGHT,
        "max_disagreement": predict.MAX_DISAGREEMENT,
        "max_radius": predict.MAX_RADIUS,
        "highest_heat": predict._HIGHEST_HEAT,
        "frame": radiograph.FRAME,
        "standard": [radiograph._MEAN, radiograph._STD],
        "min_columns": landmarks.MIN_COLUMNS,
        "min_fitted": landmarks.MIN_FITTED,
        "edge": landmarks.EDGE,
        "lung_widths": lung_width.LUNG_WIDTHS,
        "saturated": heatmaps.SATURATED,
        "curvature_penalty": minima.CURVATURE_PENALTY,
        "limits": {
            "bytes": formats.MAX_BYTES,
            "pixels": formats.MAX_PIXELS,
            "side": formats.MIN_SIDE,
            "aspect": readers.MAX_ASPECT,
            "length": spacings._MAX_LENGTH,
        },
        "features": {
            "empty": features._EMPTY,
            "waves": features._WAVES,
            "coarse": features._COARSE,
            "grid": features._GRID,
            "edge": features.FIELD_EDGE,
            "dark": features._DARK,
            "shape": features._SHAPE,
            "sides": features.SIDES,
        },
        "checks": {
            "span": checks._SPAN,
            "steps": checks._STEPS,
            "pale": checks._PALE,
            "tiny": checks._TINY,
            "ends": checks._ENDS,
            "faults": checks._FAULTS,
            "off": checks._OFF,
            "quarter": checks._QUARTER,
        },
        "placement": {
            "narrowest": placement._NARROWEST,
            "certain": placement._CERTAIN,
            "fewest": placement._FEWEST,
            "digits": placement._DIGITS,
            "scales": placement._SCALES,
        },
        "findings": kinds(),
        "no_answer": findings.NO_ANSWER,
        "tilt": {"highest": tilt._HIGHEST, "least": tilt._LEAST},
        "reference": reference(),
        "probes": probe_facts(),
        "header": header_words(),
    }


def text() -> str:
    "The file's content."
    body = json.dumps(facts(), ensure_ascii=False, indent=1)
    # numbers and words of a list on one line
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", body) + "\n"


def column_text() -> str:
    "Name, unit and meaning of each column of the table that the page saves."
    described = map(columns.described, (*columns.PREDICTED, *columns.PAGE_COLUMNS))
    head = "The columns of the table that the page saves. An empty cell means unknown."
    return "\n\n".join([head, *described]) + "\n"


if __name__ == "__main__":
    for path, content in ((FACTS, text()), (COLUMNS, column_text())):
        path.write_text(content, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
