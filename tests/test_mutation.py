"The tool that tests the tests (`tools/mutate.py`), at its smallest; and what it found last."

import ast

import pandas as pd
import pytest

from tools.mutate import KEYS, RESULTS, TARGETS, alternatives, explained, summary, working
from tools.project import python

NAMED = {  # changes that no test had noticed, in the words of the code then
    "fit(columns, border, 3)": "fit(columns, border, 2)",
    "len(columns) < 4": "len(columns) < 3",
    "rank <= len(ratio)": "rank < len(ratio)",
    "ds.get(key) or ds.StudyInstanceUID": "ds.get(key)",
    "h.PatientIdentityRemoved = 'YES'": "pass",
    "apart < 0.15": "apart < -0.15",
}


@pytest.mark.parametrize("before, after", NAMED.items())
def test_changes_that_went_unnoticed_are_tried(before, after):
    tree, found = ast.parse(before), set()
    for node in [n for top in tree.body for n in working(top)]:
        kept = node.__class__, node.__dict__
        for new in alternatives(node):
            node.__class__, node.__dict__ = new.__class__, vars(new)
            found.add(ast.unparse(tree))
            node.__class__, node.__dict__ = kept
    assert after in found


def test_the_published_run_is_whole():
    "Every verdict is about a survivor of this run, every survivor of a target's 90 % has one."
    report = pd.read_csv(RESULTS / "report.csv", keep_default_na=False)
    why = pd.read_csv(RESULTS / "why.csv", dtype=str)
    assert set(report.notebook) <= set(TARGETS)
    assert not report.duplicated(KEYS).any() and not why.duplicated(why.columns[:-2].tolist()).any()
    left = explained(report, RESULTS)
    assert (left.verdict != "not explained").sum() == len(why), "a verdict on no survivor"
    assert set(why.verdict) <= {"equivalent", "tuning"}
    assert (RESULTS / "README.md").read_text("utf-8") == summary(report, RESULTS)
    left = left[left.verdict != "equivalent"].groupby("notebook").size()
    tried = report.groupby("notebook").size()
    assert (left.reindex(tried.index, fill_value=0) <= 0.1 * tried).all()


@pytest.mark.extra
def test_mutants_are_noticed(tmp_path):
    options = ["engine/cases", "--sample", 4, "--out", tmp_path]
    python("-m", "tools.mutate", *options, limit=600)
    report = pd.read_csv(tmp_path / "report.csv")
    assert len(report) == 4 and (report.outcome == "notebook").sum() >= 2
    assert "| engine/cases" in (tmp_path / "README.md").read_text("utf-8")
