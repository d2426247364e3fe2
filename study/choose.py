"""Which recipe does the study of updates speak for? A stated rule, its inputs the exported curves.

The rule, on the validation part of split 0 and R/10 of both sides (the test part is not used):

1. Factors. At beta 10, the heatmap alone, each value of batch, schedule, learning rate,
   normalisation and augmentation is compared with the base's value, all else equal (a one-cycle
   schedule goes with its own learning rate), at 128 px where both are there, else at 64 px. What
   counts is the best R/10 within the processor seconds that both curves took (a one-cycle curve
   counts at its end alone). A value replaces the base's when it is better by more than the noise;
   of several, the best.
2. Updates. A curve has levelled off at the first mark from which twice the updates (or the nearest
   mark above) bring less than the noise. The study trains as long as the slowest of its settings
   (beta 10 to 125, lambda_hem 0.1 to 0.95) needs; no setting may still be rising.
3. The noise is one standard error of a proportion over the validation images, not over their
   landmarks: two landmarks of one image are not independent. One seed a curve: the rule chooses a
   recipe, it does not test a claim.
"""

import json

import numpy as np
import pandas as pd
from updates import BASE, RESULTS, collect, write_atomic

FACTORS = ("batch", "schedule", "lr", "norm", "augmentation")
SETTINGS = [("heatmap", beta, 0.95) for beta in (10.0, 50.0, 125.0)]
SETTINGS += [("heatmap+mask", 125.0, lam) for lam in (0.1, 0.3, 0.95)]
FIGURE = "both_R/10"


def noise(percent: float, images: int = 66) -> float:
    "One standard error of a percentage over images, at least that of one image in a hundred."
    p = np.clip(percent / 100, 0.01, 0.99)
    return 100 * np.sqrt(p * (1 - p) / images)


def costs() -> dict:
    "Processor seconds an update, by key."
    notes = [json.loads(p.read_text()) for p in (RESULTS / "runs").glob("*.json")]
    return {n["key"]: n["cpu_seconds"] / n["updates"] for n in notes}


def valid_rows(curves: pd.DataFrame) -> pd.DataFrame:
    "The rows that count: validation part; of a one-cycle curve the end alone."
    at_end = (curves["schedule"] == "flat") | (curves["update"] == curves["updates_planned"])
    return curves[(curves["part"] == "valid") & at_end]


def compare_factors(curves: pd.DataFrame, cost: dict) -> pd.DataFrame:
    "One row a factor's value and side: its best R/10 within the base's time, and the base's."
    base = {f: getattr(BASE, f) for f in FACTORS}
    rows = valid_rows(curves).query("tasks == 'heatmap' and beta == 10")
    rows = rows.assign(seconds=rows["update"] * rows["key"].map(cost))
    out = []
    for side, at_side in rows.groupby("side"):
        own = at_side[np.all([at_side[f] == base[f] for f in FACTORS], axis=0)]
        for key, curve in at_side.groupby("key"):
            changed = {f: curve[f].iloc[0] for f in FACTORS if curve[f].iloc[0] != base[f]}
            if not changed or own.empty:
                continue
            time = min(own["seconds"].max(), curve["seconds"].max())
            best, reference = (c[c["seconds"] <= 1.02 * time][FIGURE].max() for c in (curve, own))
            names = ", ".join(f"{k} {v}" for k, v in changed.items())
            row = {"side": side, "change": names, "seconds": round(time), "R/10": best}
            row |= {"base": reference, "noise": noise(reference), "changes": changed, "key": key}
            out.append(row | {"better": best - reference > noise(reference)})
    return pd.DataFrame(out)


def level(curve: pd.DataFrame) -> tuple[int | None, float]:
    "First mark from which doubling the updates brings less than the noise (None: none), last R/10."
    curve = curve.sort_values("update")
    for update, value in zip(curve["update"], curve[FIGURE]):
        later = curve[curve["update"] >= 1.9 * update][FIGURE]
        if len(later) and value > 10 and later.max() - value < noise(value):
            return int(update), curve[FIGURE].iloc[-1]
    return None, curve[FIGURE].iloc[-1]


def levels(curves: pd.DataFrame) -> pd.DataFrame:
    "One row a curve: how far it was trained, its last R/10, and where it levels off."
    out = []
    for key, curve in curves[curves["part"] == "valid"].groupby("key"):
        first = curve.iloc[0]
        row = {k: first[k] for k in ("tasks", "beta", "lam_hem", "side", *FACTORS)}
        update, last = level(curve)
        out.append(row | {"trained": curve["update"].max(), "R/10": last, "levels": update})
    return pd.DataFrame(out).sort_values(["side", "tasks", "beta", "lam_hem"])


def choose(curves: pd.DataFrame, cost: dict) -> dict:
    "The recipe that the rule gives, and what it still lacks; nothing lacking: it may be used."
    factors = compare_factors(curves, cost)
    changes, lacking = {}, []
    for factor in FACTORS:
        known = (
            factors[[list(c) == [factor] for c in factors["changes"]]] if len(factors) else factors
        )
        if known.empty:
            lacking.append(f"no curve varies {factor} alone")
            continue
        known = known[known["side"] == known["side"].max()]
        if known["better"].any():
            changes |= known.loc[known["R/10"].where(known["better"]).idxmax(), "changes"]
    there = levels(curves).query("side == 128")
    there = there[np.all([there[f] == changes.get(f, getattr(BASE, f)) for f in FACTORS], axis=0)]
    needed = []
    for tasks, beta, lam in SETTINGS:
        row = there[(there["tasks"] == tasks) & (there["beta"] == beta) & (there["lam_hem"] == lam)]
        if row.empty or pd.isna(row["levels"].iloc[0]):
            what = "was not trained" if row.empty else "is still rising"
            lacking.append(f"{tasks}, beta {beta:g}, lambda_hem {lam:g}: {what} with this recipe")
        else:
            needed.append(int(row["levels"].iloc[0]))
    return {"changes": changes, "updates": max(needed, default=None), "lacking": lacking}


def main():
    "Write summary.md: the curves, the comparison and the choice as they stand."
    curves, cost = collect(), costs()
    columns = ["tasks", "beta", "lam_hem", "side", *FACTORS, "update"]
    columns += ["both_R", "both_R/5", "both_R/10", "right_R/10", "left_R/10", "median_px", "dice"]
    last = curves.sort_values("update").groupby(["key", "part"]).tail(1)
    last = last.sort_values(["side", "tasks", "beta", "lam_hem", "key"])
    wide = curves[curves["part"] == "valid"].pivot_table(FIGURE, "key", "update").round(1)
    factors = compare_factors(curves, cost)
    parts = {
        "R/10 (both, %) against updates, validation part": wide.reset_index(),
        "Where each curve stands, validation part": last[last["part"] == "valid"][columns],
        "The same on images it was trained on": last[last["part"] == "train"][columns],
        "Factors at equal processor time": factors.drop(
            columns=["changes", "key"], errors="ignore"
        ),
        "Where the curves level off": levels(curves),
    }
    text = "Written by `python study/choose.py`; one seed a curve.\n"
    for title, table in parts.items():
        text += f"\n## {title}\n\n{as_markdown(table)}\n"
    text += (
        f"\n## The rule\n\n```\n{json.dumps(choose(curves, cost), indent=1, default=str)}\n```\n"
    )
    write_atomic(RESULTS / "summary.md", lambda p: p.write_text(text, encoding="utf-8"))


def as_markdown(table: pd.DataFrame) -> str:
    "A plain table; empty cells where nothing is known."
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|---" * table.shape[1] + "|"]
    for row in table.itertuples(index=False):
        cells = ["" if pd.isna(v) else f"{v:.5g}" if isinstance(v, float) else str(v) for v in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
