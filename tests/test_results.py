"The page of the results says what their files say."

import nbformat
import numpy as np
import pandas as pd

from hemidiaphragm_nb.features import SIDES
from hemidiaphragm_nb.interval_coverage import finding_rates, has_finding, radius_coverage
from hemidiaphragm_nb.reviewed import agreement, as_reviewed, reviewed_landmarks, unblind
from hemidiaphragm_nb.validate import gap_errors, held_out_cases, landmark_errors
from tools import hours
from tools.project import ROOT


def test_the_page_of_commands_and_hours_is_that_of_the_files():
    assert hours.PAGE.read_text("utf-8") == hours.page(), "run python -m tools.hours"


def test_every_folder_has_its_command_and_hours_are_sums():
    folders = {p.name for p in (hours.RESULTS / "covid_cxr").iterdir() if p.is_dir()}
    assert folders == set(hours.COMMANDS)
    both = [{"seconds": 1800, "device": "cuda"}, {"seconds": "5400"}]
    assert hours.hours(both) == "GPU 0.500 + processor 1.500"
    assert hours.hours([{"side": 1}]) == "not stored" and hours.hours([]) == "none"


def prose(notebook: str) -> str:
    "The text of a lesson's markdown."
    book = nbformat.read(ROOT / f"nbs/{notebook}.ipynb", as_version=4)
    return "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")


def test_the_numbers_of_lesson_16_are_those_of_the_cross_validation():
    cases = held_out_cases()
    table = radius_coverage(cases)
    radii, shipped = table["before (%)"], table["after (%)"].round().astype(int)
    both, text = radii["both sides at once"], prose("16_validate")
    quarters = [f"{name} quarter" for name in ("smallest", "second", "third", "largest")]
    by = ["right", "left", "portable (AP)", "fixed (PA)", *quarters]
    largest = {k: [shipped[f"{side}, largest {k}"] for side in SIDES] for k in ("quarter", "tenth")}
    hits = 100 * (landmark_errors(cases) < 10).mean()
    warned = 100 * has_finding(pd.read_csv(hours.RESULTS / "covid_cxr/crossval/warnings.csv"))
    far = abs(gap_errors(cases)) > 20
    for sentence in (
        f"{both:.0f} of a hundred radiographs ({both:.1f} %)",
        f"on the left ({radii['left']:.1f} % against {radii['right']:.1f} % on the right)",
        f"({radii['left, portable']:.1f} % on their left, {radii['right, portable']:.1f} %",
        f"largest quarter of the radii ({radii['largest quarter']:.1f} %)",
        f"between {shipped[by].min()} and {shipped[by].max()} % by side, by view and in each",
        "in {} % (right) and {} % (left)".format(*largest["quarter"]),
        "in {} % on the right and {} % on the left".format(*largest["tenth"]),
        f"on both sides at once in {shipped['both sides at once']} %",
        f"within 20 px {warned[~far].mean():.1f} % have a finding ({(~far).sum()} radiographs",
        f"farther off {warned[far].mean():.1f} % ({far.sum()};",
        f"Within R/10 are {hits:.1f} % of the landmarks as published",
    ):
        assert sentence in text


def test_the_numbers_of_the_review_are_those_of_its_readings():
    folder, ids = hours.RESULTS / "covid_cxr/review", dict(dtype={"id": str, "patient_id": str})
    items = pd.read_csv(folder / "items.csv", **ids)
    kept = pd.read_csv(folder / "landmarks_reviewed.csv", **ids).fillna("")
    decided = unblind(items.assign(image=""), folder)
    votes = decided.groupby(["id", "side"])["choice"].agg(lambda c: c.value_counts().iloc[0])
    whose = kept.set_index("id")[["right_from", "left_from"]].stack()
    whose = whose[whose != ""].rename(lambda c: c.removesuffix("_from"), level=1)
    assert sorted(whose.index) == sorted(votes.index) and len(whose) == len(items) == 188
    given = [f"{side}_{axis}" for side in SIDES for axis in "xy"]
    labels = pd.DataFrame({"id": items["id"].unique()}).reindex(columns=["id", *given])
    labels = labels.set_index("id")
    for item in items.itertuples():
        labels.loc[item.id, [f"{item.side}_x", f"{item.side}_y"]] = item.label_x, item.label_y
    made = reviewed_landmarks(labels.astype(float).reset_index(), decided, majority=True)
    made, stored = made.set_index("id").loc[kept["id"]], kept.set_index("id")
    for side in SIDES:  # of each landmark that was read, whose it is and where
        read = stored[f"{side}_from"] != ""
        assert (made[f"{side}_from"] == stored[f"{side}_from"]).all()
        places = [f"{side}_x", f"{side}_y"]
        np.testing.assert_allclose(made.loc[read, places], stored.loc[read, places], atol=0.006)
    gave_way = whose[whose != "label"]
    assert (votes[gave_way.index] >= 2).all()  # by hand: at least two of three chose it
    chosen = decided.groupby(["id", "side"])["choice"].agg(lambda c: c.mode().iloc[0])
    assert (chosen[gave_way.index] == gave_way).all()
    counts, kappa = whose.value_counts(), agreement(decided, draws=2)["kappa"]
    cases = held_out_cases()
    again, warned = as_reviewed(cases, items, kept), hours.RESULTS / "covid_cxr/crossval"
    near, rates = (
        landmark_errors(again),
        finding_rates(again, pd.read_csv(warned / "warnings.csv", **ids)),
    )
    all_alike = (decided.groupby(["id", "side"])["choice"].nunique() == 1)[gave_way.index]
    readme = " ".join((folder / "README.md").read_text(encoding="utf8").split())
    for sentence in (
        f"{counts['prediction']} times the prediction, {counts['second']} times the second",
        f"{counts['label']} labels stayed",
        f"(Where all three had to agree, {all_alike.sum()} would give way.)",
    ):
        assert sentence in readme, sentence
    changes = " ".join((ROOT / "CHANGELOG.md").read_text(encoding="utf8").split())
    for sentence in (
        f"κ {kappa.min():.2f} to {kappa.max():.2f})",
        f"{100 * (near < 10).mean():.1f} % of the landmarks are within R/10",
        f"{100 * (near[:, 1] < 10).mean():.1f} % on the left) and {100 * (near < 20).mean():.1f} %",
        f"Of {(abs(gap_errors(again)) > 20).sum()} gaps that are then off",
        f"{rates.at['all', 'wrong gaps with one (%)']:.1f} % have a finding, of the others"
        f" {rates.at['all', 'right gaps with one (%)']:.1f} %",
    ):
        assert sentence in changes, sentence


def test_the_numbers_of_lesson_17_are_those_of_the_readers():
    real = pd.read_csv(hours.RESULTS / "covid_cxr/measure/radiographs.csv", dtype={"id": str})
    gap = real.pivot(index="id", columns="reader", values="gap_px")
    b, model = ((gap[who] - gap["a"]).abs().dropna() for who in ("b", "model"))
    cases = held_out_cases()
    networks = pd.Series(gap_errors(cases), index=cases["id"].astype(str)).abs()[b.index].median()
    text = prose("17_measure")
    for sentence in (
        f"same {len(b)} radiographs half of the networks' gaps lie within {networks:.1f} px",
        f"half of annotator b's within {b.median():.1f} px",
        f"within {b.median():.1f} px, nine tenths only within {b.quantile(0.9):.1f} px",
        f"half of the model's within {model.median():.1f} px",
    ):
        assert sentence in text
