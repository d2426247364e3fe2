"The package's names, wherever they stand, and copies of the package with a bug planted in it."

import re
import shutil
from importlib import import_module
from pathlib import Path

from tools.project import LIBRARY, module_files


def defined_in(pattern: str) -> Path:
    "The one module in whose source `pattern` is found."
    found = [path for path in module_files() if re.search(pattern, path.read_text("utf-8"), re.M)]
    assert len(found) == 1, (
        f"{pattern!r} is found in {[path.name for path in found] or 'no module'}"
    )
    return found[0]


def find(*names: str):
    "The functions and classes of these names, from the modules that define them."
    modules = [defined_in(rf"^(def|class) {name}\b").stem for name in names]
    found = [getattr(import_module(f"{LIBRARY.name}.{m}"), n) for m, n in zip(modules, names)]
    return found if len(found) > 1 else found[0]


def planted(old: str, new: str, folder: Path) -> Path:
    """Copy the package into `folder` with `old` replaced by `new`, which stand once in it.

    Returns: the folder. A Python started in it imports the copy.
    """
    module = defined_in(re.escape(old))
    shutil.copytree(LIBRARY, folder / LIBRARY.name, ignore=shutil.ignore_patterns("weights"))
    source = module.read_text("utf-8")
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {module.name}"
    (folder / LIBRARY.name / module.name).write_text(source.replace(old, new), "utf-8")
    return folder
