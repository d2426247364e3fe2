"""The licences of everything that the package and its extras bring along, from the metadata of what is installed.

`python tools/licences.py` writes `LICENCES.md`. The check refuses a core requirement that can only be had under the GPL or AGPL.
"""
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import requirements
from checks import fail_if
from common import ROOT, Failed
from packaging.requirements import Requirement

TABLE = ROOT / "LICENCES.md"
EXTRAS = [key.removesuffix("_requirements") for key in requirements.settings() if key.endswith("_requirements")]
NAMES = {  # what a licence's text begins with, or its classifier says, in the words of SPDX
    "Apache": "Apache-2.0", "BSD 3-Clause": "BSD-3-Clause", "BSD 2-Clause": "BSD-2-Clause", "BSD": "BSD", "MIT": "MIT", "Mozilla": "MPL-2.0",
    "ISC": "ISC", "Python Software Foundation": "PSF-2.0", "PSF": "PSF-2.0", "Unlicense": "Unlicense", "HPND": "HPND", "Zope": "ZPL-2.1",
    "GNU Affero": "AGPL", "GNU Lesser": "LGPL", "GNU General": "GPL", "NVIDIA": "NVIDIA proprietary", "Redistribution and use in source": "BSD-3-Clause",
    "Permission is hereby granted, free of charge": "MIT", "Historical Permission": "HPND",
}  # fmt: skip
BY_HAND = {"cuda-toolkit": "no code of its own: a list of the nvidia packages"}  # where the metadata does not say, after a look at the package


def licence(dist: Distribution) -> str:
    "A distribution's licence: its SPDX expression, else its classifiers, else the licence field or file."
    meta = dist.metadata
    if said := meta.get("License-Expression"):
        return said
    said = [c.split("::")[-1].strip() for c in meta.get_all("Classifier", []) if c.startswith("License ::") and c.count("::") > 1]
    texts = said or [text for text in (meta.get("License", ""),) if text not in ("", "UNKNOWN", "None")]
    files = [f for f in dist.files or [] if re.match(r"(LICEN[CS]E|COPYING)", Path(f).name, re.I)]
    texts = texts or [f.locate().read_text(errors="replace") for f in files[:1]]
    known = [next((name for start, name in NAMES.items() if start.lower() in text[:600].lower()), text.strip().splitlines()[0][:60]) for text in texts if text.strip()]
    return " OR ".join(dict.fromkeys(known)) or BY_HAND.get(requirements.canonicalize_name(meta["Name"]), "not stated")


def copyleft_only(said: str) -> bool:
    "Whether every choice that the expression leaves is the GPL or AGPL (the LGPL and exceptions for linking are not)."
    choices = re.split(r"\bOR\b", said)
    return all(re.search(r"(?<!L)GPL", choice) and "WITH" not in choice and "exception" not in choice for choice in choices)


def installed(roots: list[Requirement]) -> dict[str, str]:
    "The closure of those requirements that are installed."
    found = {}
    for root in roots:
        try:
            found |= requirements.closure([root])
        except PackageNotFoundError:
            continue
    return found


def groups() -> dict[str, dict[str, str]]:
    "Names and versions: those of the core, and for each extra those that it adds; '' lists the extras' requirements not installed."
    core = requirements.closure(requirements.direct())
    extras = {name: requirements.direct(f"{name}_requirements") for name in EXTRAS}
    made = {"core": core} | {name: {k: v for k, v in installed(roots).items() if k not in core} for name, roots in extras.items()}
    absent = {str(root): "" for roots in extras.values() for root in roots if not installed([root])}
    return made | {"": absent}


def text() -> str:
    "The contents of LICENCES.md."
    made, lines = groups(), []
    absent = made.pop("")
    for group, packages in made.items():
        what = "What the package itself needs" if group == "core" else f"What the extra `{group}` adds"
        rows = [f"| {name} | {version} | {licence(distribution(name))} |" for name, version in sorted(packages.items())]
        lines += [f"## {what}\n", "| package | version | licence |", "| --- | --- | --- |", *rows, ""]
    if absent:
        lines += [f"Not installed where this list was made: {', '.join(sorted(absent))}.\n"]
    return (
        "# Licences\n\nThis project is under Apache-2.0 (see LICENSE). It installs the packages below, each under its own licence. The list is made\n"
        "from their metadata by `python tools/licences.py`, on Linux (x86_64). Compiled libraries inside a package have licences of their\n"
        "own, which the package lists: those of opencv-python, for example, include FFmpeg and Qt under the LGPL.\n\n" + "\n".join(lines)
    )


def no_copyleft_core() -> str:
    "Every core requirement states a licence, and none can only be had under the GPL or AGPL."
    said = {name: licence(distribution(name)) for name in requirements.closure(requirements.direct())}
    fail_if([f"{n}: {s}" for n, s in said.items() if s == "not stated"], "core requirements do not state a licence: look, and write it into BY_HAND")
    fail_if([f"{n}: {s}" for n, s in said.items() if copyleft_only(s)], "core requirements are under the GPL or AGPL alone")
    listed = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    fail_if([name for name in said if f"| {name} |" not in listed], "core requirements are not in LICENCES.md: run `python tools/licences.py`")
    if not copyleft_only("GPL-3.0-or-later") or not copyleft_only("AGPL-3.0") or copyleft_only("GPL-2.0 OR MIT") or copyleft_only("LGPL-3.0"):
        raise Failed("the check of licences does not tell them apart")
    return f"{len(said)} packages, none of them under the GPL or AGPL alone"


CHECKS = {"licences": no_copyleft_core}


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")
    try:
        print(no_copyleft_core())
    except Failed as failure:
        sys.exit(f"{failure}\n{failure.detail}")
