"""Makes each notebook of `nbs/` and `answers/` a test; the tests in `tests/` stand beside them."""

import os
import shutil
import tempfile

import pytest

from tests.notebooks import NotebookFile, NotebookSummary
from tools.project import ANSWERS, NOTEBOOKS

FOLDER = "HEMIDIAPHRAGM_COVERAGE_FOLDER"  # of coverage's data files, for the workers of `-n`
if "PYTEST_XDIST_WORKER" in os.environ:  # tests side by side: a thread each, before torch starts
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption("--screenshot", help="test_app.py keeps a picture of the app there")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # the run itself, no worker of `-n`
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="hemidiaphragm-coverage-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True))
        config.pluginmanager.register(NotebookSummary(os.environ[FOLDER]))
    config.coverage_folder = os.environ[FOLDER]


def pytest_collect_file(file_path, parent):
    shown = not file_path.name.startswith((".", "_"))
    within = any(file_path.is_relative_to(folder) for folder in (NOTEBOOKS, ANSWERS))
    if file_path.suffix == ".ipynb" and shown and within:
        return NotebookFile.from_parent(parent, path=file_path)
