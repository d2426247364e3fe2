"The page of the results says what their files say."

import nbformat
import pandas as pd

from hemidiaphragm_nb.features import SIDES
from hemidiaphragm_nb.interval_coverage import has_finding, radius_coverage
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
        f"{hits:.1f} % of the present one's are within R/10",
    ):
        assert sentence in text


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
