"A notebook in JupyterLab, as its reader has it: on a copy of the project, so that nothing changes."

import ast
import contextlib
import json
import os
import re
import secrets
import subprocess
import symtable
import sys
import time
from pathlib import Path
from urllib.parse import quote

from IPython.core.inputtransformer2 import TransformerManager

from tests.any_processor import HOOK
from tests.browser import PAGE_SECONDS, no_error, opened, wait_for
from tools.project import ROOT, code_cells, copy_tree, read_notebook, tail

SERVER_SECONDS = 60  # until JupyterLab answers
STEADY = 16  # looks in a row at which the kernel must be idle: it seems so while it starts
START_SECONDS = 10  # until a request to run all cells shows; it can be dropped, and is repeated
CELLS_SECONDS = 700  # until all cells have run, on a machine that does other things too
SKIPPED_CELLS = re.compile(r"^#\|\s*(eval:\s*false|slow)\s*$", re.M)
EVERY = re.compile("")  # is found in every cell
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
SHORT = {  # no recipe has over two epochs
    "PYTHONPATH": os.pathsep.join(filter(None, [str(HOOK), os.environ.get("PYTHONPATH")])),
    "HEMIDIAPHRAGM_TEST_EPOCHS": "2",
}
SETTINGS = {  # all cells stand in the page, and nothing asks a question
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    "--ServerApp.terminals_enabled=False",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def names(source: str) -> tuple[set[str], set[str]]:
    "The names of the notebook that a cell sets or changes in place, and those that it uses."
    code = TransformerManager().transform_cell(source)
    cell = symtable.symtable(code, "cell", "exec")
    symbols, within = cell.get_symbols(), list(cell.get_children())
    given = {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}
    used = {one.get_name() for one in symbols if one.is_referenced()}
    while within:
        inner = within.pop()
        used |= {one.get_name() for one in inner.get_symbols() if one.is_global()}
        within += inner.get_children()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            given |= {name.id for name in ast.walk(node.value) if isinstance(name, ast.Name)}
    return given, used


def needed(cells: list[str], wanted: re.Pattern) -> list[bool]:
    "Of each cell: whether `wanted` is found in it, or such a cell builds on what it defines."
    needs, kept = set(), []
    for source in reversed(cells):
        given, used = names(source)
        kept.append(bool(wanted.search(source) or given & needs))
        needs |= used if kept[-1] else set()
    return kept[::-1]


def copy_project(notebook: Path, target: Path, wanted: re.Pattern) -> int:
    """Copy the project; of `notebook` only the code cells that are tested and in which `wanted` is
    found, or on which such a cell builds, without outputs: how many.

    Folded cells are unfolded there: JupyterLab shows no prompt beside a folded one.
    """
    copy_tree(target)
    path = target / notebook.relative_to(ROOT)
    book = read_notebook(path)
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    code = [cell for cell in code if not SKIPPED_CELLS.search("".join(cell["source"]))]
    kept = needed(["".join(cell["source"]) for cell in code], wanted)
    code = [cell for cell, keep in zip(code, kept, strict=True) if keep]
    book["cells"] = code
    for cell in code:
        cell.update(outputs=[], execution_count=None)
        cell["metadata"].pop("jupyter", None)
    path.write_text(json.dumps(book), encoding="utf-8")
    return len(code)


@contextlib.contextmanager
def running(command: list[str], log: Path, cwd: Path, environment: dict[str, str]):
    "A server's process, ended with its kernels; its output goes to `log`."
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | {"HEMIDIAPHRAGM_DATA": "", "OMP_NUM_THREADS": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()  # kernels without a parent end by themselves
                process.wait()


def lab_address(process: subprocess.Popen, runtime: Path, log: Path) -> str:
    "The address at which JupyterLab listens, as it writes it down itself."
    note, end = runtime / f"jpserver-{process.pid}.json", time.monotonic() + SERVER_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, json.JSONDecodeError):
            return json.loads(note.read_text())["url"]
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start\n{tail(log.read_text())}")


@contextlib.contextmanager
def jupyterlab(root: Path, scratch: Path, variables: dict[str, str]):
    """A JupyterLab on a free port of this machine, serving `root`, with environment `variables` of
    its own: its address and token.
    """
    token, names = secrets.token_hex(16), ("config", "data", "runtime", "settings", "ipython")
    folders = {name: scratch / name for name in names}
    for folder in folders.values():
        folder.mkdir()
    for name, values in SETTINGS.items():
        path = folders["settings"] / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    environment = {
        "JUPYTER_CONFIG_DIR": str(folders["config"]),
        "JUPYTER_DATA_DIR": str(folders["data"]),
        "JUPYTER_RUNTIME_DIR": str(folders["runtime"]),
        "JUPYTERLAB_SETTINGS_DIR": str(folders["settings"]),
        "IPYTHONDIR": str(folders["ipython"]),
        "JUPYTER_TOKEN": token,
        **variables,
    }
    command = [sys.executable, "-m", "jupyterlab", *OPTIONS, f"--ServerApp.root_dir={root}"]
    log = scratch / "server.log"
    with running(command, log, root, environment) as process:
        yield lab_address(process, folders["runtime"], log), token


class NotebookPage:
    "A notebook of `cells` code cells in the browser."

    def __init__(self, page, cells: int):
        self.page, self.cells, self.quiet = page, cells, 0

    def prompts(self) -> list[str]:
        "The prompts of the code cells: `[ ]:` not run, `[*]:` running, `[7]:` done."
        return self.page.locator(".jp-CodeCell .jp-InputArea-prompt").all_inner_texts()

    def idle(self) -> bool:
        return self.page.locator(IDLE).count() > 0

    def steady(self) -> bool:
        "Whether all cells are in the page and the kernel has been idle for a while."
        self.quiet = self.quiet + 1 if self.idle() and len(self.prompts()) == self.cells else 0
        return self.quiet >= STEADY

    def request_run(self) -> None:
        "Choose `Run All Cells` in the menu."
        wait_for(self.page, "the kernel idle", self.steady, PAGE_SECONDS)
        for _ in range(self.page.locator(".jp-Dialog").count()):
            self.page.keyboard.press("Escape")
        self.page.get_by_role("menubar").get_by_text("Run", exact=True).click()
        self.page.get_by_role("menu").get_by_text("Run All Cells", exact=True).click()

    def started(self) -> bool:
        "Whether a cell runs, soon."
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if any(re.search(r"\d|\*", text) for text in self.prompts()):
                return True
            self.page.wait_for_timeout(100)
        return False

    def finished(self) -> bool:
        return self.idle() and all(re.search(r"\d", text) for text in self.prompts())

    def run_all(self) -> None:
        "Run all cells and wait for the last."
        for _ in range(3):
            self.quiet = 0
            self.request_run()
            if self.started():
                break
        wait_for(self.page, "all cells", self.finished, CELLS_SECONDS)
        no_error(self.page)


@contextlib.contextmanager
def notebook_page(notebook: Path, scratch: Path, wanted: re.Pattern = EVERY):
    "The notebook at that path, or what leads to its cells with `wanted`, run in JupyterLab."
    root = scratch / "project"
    cells = copy_project(notebook, root, wanted)
    # two epochs a run are enough to move a slider over a plan's results; the notebook's own test
    # trains as it says
    short = any("run_plan(" in source for source in code_cells(notebook))
    with jupyterlab(root, scratch, SHORT if short else {}) as (address, token):
        place = quote(notebook.relative_to(ROOT).as_posix())
        with opened(f"{address}lab/tree/{place}?token={token}") as page:
            run = NotebookPage(page, cells)
            run.run_all()
            yield run
