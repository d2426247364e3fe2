"Notebooks, tests and scripts are formatted and linted by ruff, as pyproject.toml sets it."

import sys

import pytest

from tools.project import ROOT, run

PLACES = {
    "notebooks": ["nbs", "answers", "index.ipynb"],
    "scripts": ["tests", "tools", "docs", "setup.py", "conftest.py"],
}


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]], ids=["format", "lint"])
@pytest.mark.parametrize("places", PLACES)
def test_ruff_changes_nothing(command, places):
    paths = [ROOT / place for place in PLACES[places]]
    run(sys.executable, "-m", "ruff", *command, *paths)
