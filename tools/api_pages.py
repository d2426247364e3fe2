"""The reference of the site: a page a module, from signatures, docstrings and docments."""

import dataclasses
import importlib
import inspect
import re
from pathlib import Path

from fastcore.docments import docments
from nbdev.config import get_config

from tools.rooms import groups

MISSING = inspect.Parameter.empty


def cell(text) -> str:
    "A text in a cell of a Markdown table."
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").replace("<", "&lt;").strip()


def type_name(annotation) -> str:
    if annotation in (MISSING, None, "None"):
        return ""
    return inspect.formatannotation(annotation).replace("hemidiaphragm_nb.", "")


def parameters(thing) -> list[inspect.Parameter]:
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p for p in found if p.name not in ("self", "cls")]


def call(thing) -> str:
    "Names and defaults of the arguments, as Sphinx reads them."
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    words, named = [], False
    for p in parameters(thing):
        if p.kind == p.KEYWORD_ONLY and not named and "*" not in "".join(words)[:1]:
            words.append("*")
        named = named or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        default = "" if p.default is MISSING else f"={short(p.default)}"
        words.append(f"{stars.get(p.kind, '')}{p.name}{default}")
    return ", ".join(words)


def short(value) -> str:
    "A value in a signature: as Python writes it where that is short."
    plain = isinstance(value, (str, int, float, bool, type(None), tuple)) and len(repr(value)) < 40
    return repr(value) if plain else "..."


def documented(thing) -> dict:
    try:
        return docments(thing, full=True, returns=True)
    except Exception:  # a thing whose source is not there has no docments
        return {}


def argument_table(thing) -> str:
    "Arguments, types, defaults and docments; then what is returned."
    notes, rows = documented(thing), []
    for p in parameters(thing):
        note = (notes.get(p.name) or {}).get("docment") or ""
        default = "" if p.default is MISSING else f"`{short(p.default)}`"
        rows.append((f"`{p.name}`", type_name(p.annotation), default, note))
    given = notes.get("return") or {}
    if given.get("docment") or given.get("anno") not in (None, MISSING):
        rows.append(("*returns*", type_name(given.get("anno")), "", given.get("docment") or ""))
    if not rows:
        return ""
    head = "| argument | type | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join("| " + " | ".join(map(cell, row)) + " |" for row in rows)


def text_of(thing) -> str:
    doc = inspect.getdoc(thing) or ""
    automatic = dataclasses.is_dataclass(thing) and doc.startswith(f"{thing.__name__}(")
    return "" if automatic else doc


def entry(name: str, thing, module: str) -> str:
    "The documentation of one public name."
    if inspect.isclass(thing):
        members = [
            (key, member)
            for key, member in vars(thing).items()
            if not key.startswith("_") and (inspect.isfunction(member) or type(member) is property)
        ]
        inside = "\n\n".join(
            directive("property", key, "", text_of(member))
            if isinstance(member, property)
            else directive("method", key, f"({call(member)})", text_of(member))
            for key, member in members
        )
        parts = (text_of(thing), argument_table(thing), inside)
        return directive("class", name, f"({call(thing)})", *parts, fence="::::")
    if callable(thing):
        return directive(
            "function", name, f"({call(thing)})", text_of(thing), argument_table(thing)
        )
    value = f"`{short(thing)}`" if short(thing) != "..." else f"A {type(thing).__name__}."
    return directive("data", name, "", value)


def directive(kind: str, name: str, signature: str, *parts: str, fence: str = ":::") -> str:
    body = "\n\n".join(part for part in parts if part)
    return f"{fence}{{py:{kind}}} {name}{signature}\n\n{body}\n{fence}"


def module_page(name: str, page: str) -> str:
    "The reference of a module; `page` is its notebook's."
    module = importlib.import_module(f"hemidiaphragm_nb.{name}")
    public = [n for n in getattr(module, "__all__", []) if hasattr(module, n)]
    source = f"{get_config().git_url}/blob/main/hemidiaphragm_nb/{name}.py"
    head = f"---\norphan: true\n---\n\n# {name}\n\n> {module.__doc__ or ''}\n\n"
    head += f"[Its notebook]({page}.html), with examples · [source]({source})\n\n"
    head += f":::{{py:currentmodule}} hemidiaphragm_nb.{name}\n:::\n"
    text = "\n\n".join([head, *(entry(n, getattr(module, n), name) for n in public)]) + "\n"
    return paged(text)


def paged(text: str) -> str:
    "`text` with links to notebooks as links to their pages."
    return re.sub(r"\]\((?:[\w.]+/)*(?:\d+_)?(\w+)\.ipynb", r"](\1.html", text)


def write_api(pages: Path, notebooks: dict[str, Path]) -> None:
    """Write `api.md` and a page `api_MODULE.md` for each module into `pages`; these stand in no
    table of contents, for it would be on each page.
    """
    text = ["# API reference", "", "Every public name by its module, each module after those that"]
    text += ["it imports. The [index](genindex.html) has all names.", ""]
    for title, modules in groups("hemidiaphragm_nb/{}.py").items():
        text += [f"## {title}", "", "| module | what it is for |", "|---|---|"]
        for name in modules:
            doc = importlib.import_module(f"hemidiaphragm_nb.{name}").__doc__ or ""
            text.append(f"| [{name}](api_{name}.html) | {cell(doc)} |")
            page = name if name in notebooks else "overview"
            (pages / f"api_{name}.md").write_text(module_page(name, page), encoding="utf-8")
        text.append("")
    (pages / "api.md").write_text(paged("\n".join(text)), encoding="utf-8")
