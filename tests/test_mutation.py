"The tool that tests the tests (`tools/mutate.py`), at its smallest."

import pandas as pd
import pytest

from tools.project import python


@pytest.mark.extra
def test_mutants_are_killed(tmp_path):
    options = ["04_losses", "--sample", 4, "--out", tmp_path]
    python("-m", "tools.mutate", *options, limit=600)
    report = pd.read_csv(tmp_path / "report.csv")
    assert len(report) == 4 and (report.outcome == "killed").sum() >= 2
    assert "| 04_losses" in (tmp_path / "README.md").read_text("utf-8")
