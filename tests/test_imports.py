"What the modules import: earlier modules only, nothing that unpickles, little at the start."

import ast
import re
import resource
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tools.project import LIBRARY, exported_modules, module_files, python

ORDER = Path(__file__).with_name("module_order.txt")
IMPORT_SECONDS = 3.0
PICKLES = re.compile(
    r"pickle\.loads?\(|joblib\.load\(|load_learner\(|allow_pickle=True|weights_only=False"
)
WITHOUT_TORCH = (
    "predict measure dicom dicom_copy presentation_state secondary_capture nifti".split()
)
WITHOUT_TORCH += ["app", "cli"]
WITHOUT_TORCH += ["clinic_commands", "course", "excursion", "reader_agreement"]


def ordered() -> list[str]:
    "The modules in the order that module_order.txt gives."
    lines = ORDER.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def imports_of(path: Path) -> set[str]:
    "The modules of this package that the module at `path` imports, inside functions too."
    package, names = LIBRARY.name, set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (
            node.level or f"{node.module}.".startswith(f"{package}.")
        ):
            module = (node.module or "").removeprefix(package).strip(".")
            names |= {module} if module else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith(package + ".")}
    return names


def graph() -> dict[str, set[str]]:
    "Of each module, the modules that it imports."
    files = {path.stem: path for path in module_files()}
    return {name: imports_of(path) & files.keys() - {name} for name, path in files.items()}


def fitting_order(imports: dict[str, set[str]], order: list[str]) -> str:
    "An order of the modules that would hold, near `order`; or the circle that allows none."
    sorter, found = TopologicalSorter(imports), []
    try:
        sorter.prepare()
    except CycleError as circle:
        return f"none, for these import each other: {' -> '.join(circle.args[1])}"
    ready: list[str] = []
    while sorter.is_active():
        ready += sorter.get_ready()
        ready.sort(key=lambda name: order.index(name) if name in order else len(order))
        found.append(ready.pop(0))
        sorter.done(found[-1])
    return " ".join(found)


def test_modules_import_in_order():
    order, imports = ordered(), graph()
    assert sorted(set(order)) == sorted(order), "a module stands twice in module_order.txt"
    suggestion = f"\nan order that would hold: {fitting_order(imports, order)}"
    assert not imports.keys() - set(order), f"not in {ORDER.name}{suggestion}"
    rank = {name: position for position, name in enumerate(order)}
    against = [
        f"{name} imports {other}, which stands below it"
        for name, others in imports.items()
        for other in sorted(others)
        if rank[other] > rank[name]
    ]
    assert not against, suggestion


def test_the_order_lists_nothing_else():
    assert not set(ordered()) - graph().keys()


def test_each_module_comes_from_its_notebook():
    notebooks = exported_modules()
    assert {path.stem for path in module_files()} == notebooks.keys()
    names = {module: re.sub(r"^\d+[a-z]?_", "", path.stem) for module, path in notebooks.items()}
    assert names == {module: module for module in names}


def test_nothing_unpickles():
    "Neither directly nor through a loader that does."
    assert not [
        f"{path.name}:{number}: {line.strip()}"
        for path in module_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if PICKLES.search(line)
    ]


def test_the_package_imports_quickly():
    "Processor time, the interpreter's own included, so that a busy machine does not count."
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python("-c", "import hemidiaphragm_nb")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < IMPORT_SECONDS


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_imports_no_torch(module):
    loaded = f"import sys, hemidiaphragm_nb.{module}; print('torch' in sys.modules)"
    assert python("-c", loaded).split()[-1] == "False"


def test_predict_runs_without_torch(tmp_path):
    main = "import sys\nfrom hemidiaphragm_nb.cli import main\n"
    python("-c", f"{main}main()", "phantom", "--n", 1, "--side", 128, "--out", tmp_path / "in")
    ending = "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    output = python(
        "-c", main + ending, "predict", tmp_path / "in/images", "--out", tmp_path / "out"
    )
    assert output.split()[-1] == "False"
