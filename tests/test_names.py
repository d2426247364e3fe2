"docs/names.md: every name that it sends an importer to is there, with the arguments it states."

import ast
import json
import re
from functools import cache
from importlib import import_module
from inspect import Parameter, signature

import pytest

from hemidiaphragm_nb._modidx import d as INDEX
from tools.project import LIBRARY, ROOT, tracked_files

KINDS = {
    "renamed",
    "members",
    "members gone",
    "arguments",
    "arguments gone",
    "private or gone",
    "note",
}
NAME = r"[A-Za-z]\w*"
ARROW = re.compile(r"`([^`]+)` → (?:`([^`]+)`|[^,`]+)")


def table() -> list[tuple[str, str, str]]:
    "Its rows: the old module, what kind of row, and the row's text."
    rows = []
    text = (ROOT / "docs" / "names.md").read_text(encoding="utf8")
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        head, body = section.split("\n", 1)
        module = re.fullmatch(rf"`({NAME})`", head)[1]
        items = re.split(r"^- ", body, flags=re.M)
        assert not items[0].strip(), f"{module}: {items[0]}"
        for item in items[1:]:
            kind, names = " ".join(item.split()).split(": ", 1)
            rows.append((module, kind, names))
    return rows


ROWS = table()
RENAMED = {
    (module, old): new
    for module, kind, names in ROWS
    if kind == "renamed"
    for old, new in ARROW.findall(names)
}
MOVED = {
    (module, old): f"{kind.split('`')[1]}.{old}"
    for module, kind, names in ROWS
    if kind.startswith("now in")
    for old in re.findall(r"`([^`]+)`", names)
}


@cache
def defined(module: str) -> set[str]:
    "What a module defines, without running it: names, and members as Class.member."
    found = {name.split(".", 2)[-1] for name in INDEX["syms"].get(f"{LIBRARY.name}.{module}", ())}
    for node in ast.parse((LIBRARY / f"{module}.py").read_text(encoding="utf8")).body:
        for inner in ast.walk(node):
            if not isinstance(getattr(inner, "ctx", None), ast.Store):
                continue
            if isinstance(inner, ast.Attribute):
                found.add(f".{inner.attr}")
            elif isinstance(inner, ast.Name) and isinstance(node, ast.ClassDef):
                found.add(f"{node.name}.{inner.id}")
            elif isinstance(inner, ast.Name) and not isinstance(node, ast.FunctionDef):
                found.add(inner.id)
    return found


def is_there(target: str) -> bool:
    "Whether `module`, `module.name` or `module.Class.member` is there."
    module, _, name = target.partition(".")
    if not (LIBRARY / f"{module}.py").exists():
        return False
    names, last = defined(module), name.rpartition(".")[-1]
    # A method may be patched in by a module under its own name, an attribute set on `self`.
    patched = any(one.endswith(f".{last}") for one in names)
    return not name or name in names or patched


def place(module: str, old: str) -> str:
    "Where what was `module.old` stands, as module.name."
    first, _, member = old.partition(".")
    new = RENAMED.get((module, first)) or MOVED.get((module, first)) or f"{module}.{first}"
    return f"{new}.{member}" if member else new


def parameters(target: str) -> set[str]:
    module, _, name = target.partition(".")
    called = import_module(f"{LIBRARY.name}.{module}")
    for part in name.split("."):
        called = getattr(called, part)
    every = signature(called).parameters.values()
    return {p.name for p in every if p.kind not in (Parameter.VAR_POSITIONAL, p.VAR_KEYWORD)}


def test_rows_are_well_formed():
    for module, kind, names in ROWS:
        assert kind in KINDS or re.fullmatch(rf"now in `{NAME}`", kind), f"{module}: {kind}"
        if kind.startswith(("now in", "private")):
            assert re.fullmatch(rf"`{NAME}`(, `{NAME}`)*", names), f"{module}, {kind}: {names}"
        elif kind in ("renamed", "members", "arguments"):
            rest = ARROW.sub("", names).replace(",", "").strip()
            assert not rest, f"{module}, {kind}: {rest}"


def test_no_name_stands_twice():
    seen = set()
    for module, kind, names in ROWS:
        old = [old for old, _ in ARROW.findall(names)] if kind == "renamed" else []
        if kind.startswith(("now in", "private")):
            old = re.findall(r"`([^`]+)`", names)
        for name in old:
            assert (module, name) not in seen, f"{module}.{name}"
            seen.add((module, name))


def test_moved_and_renamed_names_are_there():
    targets = [t for new in RENAMED.values() if new for t in new.split(", ")]
    for target in targets + list(MOVED.values()):
        assert is_there(target.partition("(")[0]), target


def test_private_names_are_not_public_in_their_module():
    for module, kind, names in ROWS:
        if kind == "private or gone" and (LIBRARY / f"{module}.py").exists():
            here = set(re.findall(r"`([^`]+)`", names)) & defined(module)
            assert not here, f"{module}: {here}"


def test_members_are_there():
    for module, kind, names in ROWS:
        for old, new in ARROW.findall(names) if kind == "members" else []:
            holder = place(module, old.split(".")[0])
            assert is_there(f"{holder}.{new}"), f"{module}.{old} → {holder}.{new}"


@pytest.mark.parametrize("kind", ["arguments", "arguments gone"])
def test_arguments_are_as_stated(kind):
    checked = 0
    for module, of, names in ROWS:
        calls = ARROW.findall(names) if of == kind == "arguments" else []
        if of == kind == "arguments gone":
            calls = [(call, "") for call in re.findall(r"`([^`]+)`", names)]
        for call, new in calls:
            function, old = re.fullmatch(rf"({NAME}(?:\.{NAME})?)\(([^)]+)\)", call).groups()
            now = parameters(place(module, function).partition("(")[0])
            assert not new or new in now, f"{module}.{call} → {new}: {sorted(now)}"
            there = set(old.split(", ")) & now
            assert not there, f"{module}.{call}: still there"
            checked += 1
    assert checked > 10


def test_the_walks_name_what_is_there():
    text = (ROOT / "docs" / "walks.md").read_text(encoding="utf8")
    names = re.findall(rf"`({NAME}\.{NAME})`", text.replace("`module.name`", ""))
    assert len(names) > 20
    assert [name for name in names if not is_there(name)] == []


WORDS_OF_OUR_OWN = (
    r"\b(film|judges?\b|judged|askew|dearest|leash|refus(e|al)|passed over|network said)"
)
OLD_FILES = r"films\.csv"  # names in results that were saved earlier


def test_the_notebooks_use_the_words_of_the_field():
    "Radiograph, check, rejected, skipped, predicted: docs/names.md has old and new names."
    found = {}
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
            source = re.sub(OLD_FILES, "", "".join(cell["source"]))
            if word := re.search(WORDS_OF_OUR_OWN, source, re.IGNORECASE):
                found[f"{path.stem}: {cell['id']}"] = word[0]
    assert found == {}


TEXTS = ("js", "py", "md", "html", "css", "json")
QUOTING = {"docs/names.md", "docs/tests.md"}  # old names, and what became of them


def test_page_scripts_and_documents_use_them_too():
    places = ("web/src", "web/index.html", "hemidiaphragm_nb/static", "tools", "docs", "README.md")
    found = {}
    for name in tracked_files():
        wanted = name.startswith(places) and name.endswith(TEXTS) and name not in QUOTING
        text = (ROOT / name).read_text(encoding="utf8") if wanted else ""
        if word := re.search(WORDS_OF_OUR_OWN, re.sub(OLD_FILES, "", text), re.IGNORECASE):
            found[name] = word[0]
    assert found == {}
