"Notebooks, tests, scripts: formatted and linted by ruff; what is private stays in its module."

import ast
import re
import sys
from urllib.parse import quote

import nbformat
import pytest

from tests.browser import opened
from tools.project import LIBRARY, ROOT, run

PLACES = {
    "notebooks": ["nbs", "answers", "index.ipynb"],
    "scripts": ["tests", "tools", "docs", "setup.py", "conftest.py"],
}


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]], ids=["format", "lint"])
@pytest.mark.parametrize("places", PLACES)
def test_ruff_changes_nothing(command, places):
    paths = [ROOT / place for place in PLACES[places]]
    run(sys.executable, "-m", "ruff", *command, *paths)


WIDTH = 100
BY_HAND = [path for place in (LIBRARY / "static", ROOT / "web") for path in place.rglob("*")]
BY_HAND = [p for p in BY_HAND if p.suffix in (".js", ".mjs", ".css", ".html")]
BY_HAND = [p for p in BY_HAND if not {"node_modules", "page"} & set(p.relative_to(ROOT).parts)]


@pytest.mark.parametrize("path", BY_HAND, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_line_by_hand_is_wide(path):
    "JavaScript, style sheets and pages, which ruff does not read."
    lines = path.read_text(encoding="utf8").splitlines()
    assert [n for n, line in enumerate(lines, 1) if len(line) > WIDTH] == []


def test_the_notice_stands_once():
    "What a page, a report, a card and a help text say of the use comes from `notice`."
    sources = [*BY_HAND, *(p for p in LIBRARY.rglob("*.py") if p.name != "_modidx.py")]
    stated = {p.name for p in sources if "not a medical device" in p.read_text("utf8").lower()}
    assert stated == {"notice.py"}


def private_imports(source: str) -> list[str]:
    "What a module takes of another one of the library although its name begins with `_`."
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.level or LIBRARY.name in node.module):
            names = [alias.name for alias in node.names]
            found += [name for name in names if name[0] == "_" and name[:2] != "__"]
    return found


def test_no_module_imports_what_is_private_to_another():
    assert private_imports("from .files import _digest, shown\n") == ["_digest"]
    modules = [path for path in LIBRARY.glob("*.py") if path.name != "_modidx.py"]
    found = {path.stem: private_imports(path.read_text(encoding="utf8")) for path in modules}
    assert {module: names for module, names in found.items() if names} == {}


def test_what_the_page_folds_jupyterlab_folds_too():
    open_cells = []
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            folded = cell.source.startswith("#| code-fold: true")
            if folded or (path.stem == "index" and cell.cell_type == "code"):  # a page to read
                hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
                open_cells += [] if hidden else [f"{path.stem}: {cell.id}"]
    assert open_cells == []


def test_a_lesson_folds_imports_and_what_only_draws_in_jupyterlab_and_on_the_page():
    "So is what the page leaves out: the room's name, hidden imports."
    from tools.build_docs import convert, lessons, mark_exported

    jupyterlab, page = set(), set()
    for path in lessons():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "code" or cell.source.startswith("#| code-fold: true"):
                continue
            if re.match(r"#\| (export\b|hide$|default_exp )", cell.source, re.M):
                name = f"{path.stem}: {cell.id}"
                jupyterlab |= {name} if cell.metadata.get("jupyter") else set()
                cell.directives_ = dict.fromkeys(re.findall(r"^#\| (\w+)", cell.source, re.M), [])
                mark_exported(cell)
                shown = convert(cell, set(), path) if "source" in cell else None
                page |= {name} if not shown or "hide-input" in shown.metadata["tags"] else set()
    assert jupyterlab == page
    assert len(page) > 3 * 18


def test_a_lesson_folds_all_that_only_draws():
    "Where it is not exported, too."
    from tools.build_docs import lessons, only_draws

    folded, still_open = 0, []
    for path in lessons():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and not re.match(r"[%!]|\w+\?", cell.source):
                if only_draws(cell.source):
                    folded += 1
                    hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
                    still_open += [] if hidden else [f"{path.stem}: {cell.id}"]
    assert still_open == [] and folded > 18


@pytest.mark.parametrize(
    "code, folded",
    [
        ("import math\nfrom pathlib import Path", True),
        ("_DASHES = (1, 2)\n\n\ndef _plot_it(ax):\n    pass", True),
        ("def _mean(x):\n    pass\n\n\ndef _draw_it(ax):\n    pass", True),
        ("def mean(x):\n    pass\n\n\ndef _draw_it(ax):\n    pass", False),
        ("def _mean(x):\n    pass", False),
        ("import math\n\nmath.pi", False),
    ],
)
def test_what_a_lesson_folds(code, folded):
    from tools.build_docs import is_folded

    assert is_folded(code) is folded


@pytest.mark.parametrize(
    "width, scrolls", [(390, True), (800, True), (1100, False), (1280, False), (1400, False)]
)
def test_a_figure_on_the_page_has_the_size_it_was_drawn_at(width, scrolls):
    "1000 px, as live and stored; where a window has no room its own box scrolls, not the page."
    style = (ROOT / "docs/_static/site.css").read_text(encoding="utf8")
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='1000' height='300'/>"
    box = f'<div class="cell_output"><img src="data:image/svg+xml,{quote(svg)}"></div>'
    theme = "body { margin: 0 } .page, .main { display: flex } .content { padding: 0 3em }"
    theme += ".main { flex: 1 } @media (max-width: 67em) { .content { padding: 0 1em } }"
    theme += ".content { width: 46em } @media (max-width: 48em) { .content { width: 100% } }"
    theme += "* { box-sizing: border-box } .content { overflow: auto }"
    drawers = '<aside class="sidebar-drawer"></aside>', '<aside class="toc-drawer"></aside>'
    main = f'<div class="main"><div class="content">{box}</div>{drawers[1]}</div>'
    page = f'<style>{theme} {style}</style><div class="page">{drawers[0]}{main}</div>'
    with opened("data:text/html," + quote(page), width=width) as shown:
        assert shown.evaluate("document.querySelector('img').offsetWidth") == 1000
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        across = (
            "(box => box.scrollWidth > box.clientWidth)(document.querySelector('.cell_output'))"
        )
        assert shown.evaluate(across) is scrolls


def test_a_figure_on_the_page_leads_to_itself_alone():
    from tools.build_docs import link_figures

    figure = '<img alt="Dice" src="_images/a.png" />'
    linked = f'<a class="hd-figure" href="_images/a.png">{figure}</a>'
    assert link_figures(f"<p>{figure}</p>") == f"<p>{linked}</p>"
    for as_it_is in (linked, f'<a href="b.html">{figure}</a>', '<img src="logo.svg">'):
        assert link_figures(as_it_is) == as_it_is


@pytest.mark.parametrize("link", ["howto/install.md#x", "docs/howto/install.md#x"])
def test_a_how_to_is_linked_on_the_site_wherever_the_link_stands(link):
    from tools.build_docs import site_link

    assert site_link(link, set()) == "install.html#x"
