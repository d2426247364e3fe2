"""Build the documentation site in `_docs/` from the notebooks, without a network.

`python -m tools.build_docs`: nbdev prepares the notebooks, Sphinx renders them. nbdev drops hidden
cells and adds the documentation of each exported name; what it writes for Quarto is put here into
the form that myst-nb reads. nbdev would drop the code of exported cells, too: here lessons show it,
for their text points to its lines, and leave the documentation to the reference; the engine room's
pages have it folded, below its documentation. The landing page and the how-tos are in `docs/`, the
reference comes from `tools/api_pages.py`. At the end every link within the site is checked,
pictures included.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import yaml
from nbdev.config import get_config
from nbdev.processors import FilterDefaults, exec_show_docs, rm_export
from nbdev.serve_drv import exec_nb

from tools.api_pages import write_api
from tools.links import broken_site_links
from tools.project import NOTEBOOKS, ROOT, tracked_files

SITE = ROOT / "_docs"
PAGE = ROOT / "hemidiaphragm_nb" / "static" / "page"
PREPARED = ROOT / "_proc" / "notebooks"
PAGES = ROOT / "_proc" / "pages"
EXTRA = {
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "docs/names.md": "names",
    "docs/conformance.md": "conformance",
    "docs/tests.md": "tests",
    "docs/sliders.md": "sliders",
    "docs/archive.md": "archive",
}
HOW_TO = (
    "quickstart install own_data fine_tune own_network gpu cluster dicom_node colab".split()
)  # docs/howto/, in order
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
NBDEV_LINK = re.compile(r"\[(`\w+`)\]\(/[^)]+\.html#[^)]+\)")
FIGURE = re.compile(r'(<a\b[^>]*>\s*)?<img\b[^>]*\bsrc="(_images/[^"]+)"[^>]*>')
DIRECTIVE = re.compile(r"^#\|.*\n?", re.M)
EXPORTED = "#| exported\n"  # before the code of an exported cell, until `convert` has read it
WIDGET = "application/vnd.jupyter.widget-view+json"


def mixes_imports(cell) -> bool:
    "Whether `cell` is not exported, imports, and does something else too."
    if cell.cell_type != "code" or {"export", "exports", "exporti"} & cell.directives_.keys():
        return False
    body = cell.parsed_() or []
    imports = (ast.Import, ast.ImportFrom)
    within = any(isinstance(node, imports) for node in ast.walk(ast.Module(body, [])))
    return within and not only_imports(cell.source)


class RunForDocs(exec_show_docs):
    "Runs what the documentation of exported names needs: exported cells and imports."

    def __call__(self, cell):
        if not mixes_imports(cell):
            super().__call__(cell)
        elif hasattr(self, "k"):  # its imports alone: signatures below may name them
            imports = (ast.Import, ast.ImportFrom)
            body = [node for node in cell.parsed_() if isinstance(node, imports)]
            self.k.run_cell(ast.unparse(ast.Module(body, [])))


def mark_exported(cell):
    "Remove a hidden cell, as nbdev does, and mark an exported one, which nbdev would remove."
    directives = cell.directives_.keys() if cell.cell_type == "code" else set()
    if {"hide", "default_exp"} & directives:
        del cell["source"]
    elif {"export", "exporti"} & directives:
        cell.source = EXPORTED + cell.source


class Prepare(FilterDefaults):
    "nbdev's preparation of a notebook, with `RunForDocs` for running cells and exported code kept."

    def base_procs(self):
        own = {exec_show_docs: RunForDocs, rm_export: mark_exported}
        return [own.get(step, step) for step in super().base_procs()]


def page_name(notebook: str) -> str:
    """Name of a notebook's page: `03_heatmaps.ipynb` gives `heatmaps`, as nbdev's links have it;
    the front page's is `overview`, for the site begins with a landing page.
    """
    name = re.sub(r"^\d+_", "", Path(notebook).stem)
    return "overview" if name == "index" else name


def numbered(title: str, source: Path) -> str:
    "A lesson's title behind its number."
    number = re.match(r"\d+", source.name)
    return f"{number[0]} {title}" if number and not title[:1].isdigit() else title


def links_line(source: Path) -> str:
    "Links of a page to its notebook: to edit, to download, to open on Colab and on Binder."
    place = "index.ipynb" if source.stem == "index" else f"nbs/{source.relative_to(NOTEBOOKS)}"
    repository = get_config().git_url.removeprefix("https://github.com/")
    links = {
        "Edit": f"{get_config().git_url}/edit/main/{place}",
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/main/{place}",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/{place}",
    }
    words = [f'<a href="notebooks/{source.name}" download>Download</a>']
    words += [f'<a href="{address}">{name}</a>' for name, address in links.items()]
    return f'<p class="hd-links">This notebook: {" · ".join(words)}</p>'


def site_link(link: str, names: set[str]) -> str:
    "A link as it reads on the site; `names` are the project's files and the documented names."
    path, mark, fragment = link.partition("#")
    if path.endswith(".html") and not urlparse(link).scheme:
        page = path.rpartition("/")[2]  # nbdev's links name the shelf, and private things too
        return f"{page}{mark}{fragment}" if f"{page}#{fragment}" in names else page
    if urlparse(link).scheme or not path:
        return link
    name = re.sub(r"^(\.{1,2}/)+", "", path).rstrip("/")
    if name.endswith(".ipynb"):
        return f"{page_name(name)}.html{mark}{fragment}"
    if name in EXTRA:
        return f"{EXTRA[name]}.html{mark}{fragment}"
    if guide := re.fullmatch(r"(?:docs/)?howto/(\w+)\.md", name):
        return f"{guide[1]}.html{mark}{fragment}"
    if name.endswith((".png", ".jpg", ".svg")) and (ROOT / name).exists():
        return name  # a picture: `write_pages` puts it beside the pages
    known = names | {str(parent) for file in names for parent in Path(file).parents}
    places = [place for place in (name, f"nbs/{name}") if place in known]
    return f"{get_config().git_url}/blob/main/{places[0]}{mark}{fragment}" if places else link


def relinked(text: str, names: set[str]) -> str:
    return LINK.sub(lambda found: site_link(found[0], names), text)


def api_text(cell) -> str:
    "What nbdev wrote where `cell` shows the documentation of an exported name; else nothing."
    if cell.cell_type != "code" or not cell.source.rstrip().rpartition("\n")[2].startswith(
        "show_doc("
    ):
        return ""
    shown = [output.get("data", {}) for output in cell.outputs]
    return "\n".join(data["text/markdown"] for data in shown if "text/markdown" in data)


def anchor(text: str) -> str:
    "The anchor by which nbdev's links know the name that `text` documents."
    heading = re.search(r"^#+ (\S+)", text, re.M)
    return heading[1].lower() if heading else ""


def api_cell(text: str):
    "The documentation of an exported name as a markdown cell with its anchor."
    text = re.sub(r"^---\s*", "", text).replace(
        '{target="_blank" style="float:right; font-size:smaller"}', ""
    )
    return nbformat.v4.new_markdown_cell(f'<a id="{anchor(text)}"></a>\n\n{text}')


def anchor_cell(name: str):
    "Where links to an exported name lead on a page that shows its code."
    return nbformat.v4.new_markdown_cell(f'<a id="{name}"></a>')


def only_imports(code: str) -> bool:
    "Whether `code` does nothing but import."
    imports = (ast.Import, ast.ImportFrom)
    return all(isinstance(node, imports) for node in ast.parse(code).body)


def only_draws(code: str) -> bool:
    "Whether `code` defines nothing but private functions, and constants, of which one draws."
    body = ast.parse(code).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    constants = [node.targets[0] for node in body if isinstance(node, ast.Assign)]
    names = [*functions, *(getattr(target, "id", "") for target in constants)]
    private = len(names) == len(body) and all(name.startswith("_") for name in names)
    return private and any(name.startswith(("_draw_", "_plot_")) for name in functions)


def is_folded(code: str) -> bool:
    "Whether a lesson folds this exported code: its reader comes for what is measured or learnt."
    return only_imports(code) or only_draws(code)


def opening(source: Path) -> str:
    "What a notebook's first cell says below title and summary: nbdev keeps no more than these."
    first = nbformat.read(source, as_version=4).cells[0].source
    blocks = [block for block in first.split("\n\n") if not block.lstrip().startswith(("#", ">"))]
    return "\n\n".join(blocks)


def title_cell(text: str, source: Path):
    "A page's heading, summary, links to its notebook, and what it teaches, needs and takes."
    front = yaml.safe_load(text.strip().strip("-"))
    title = numbered(front["title"], source)
    if source.stem == "index":
        title = "Results and course"
    summary = f"# {title}\n\n> {front.get('description', '')}".rstrip("> \n")
    parts = [summary, links_line(source), opening(source)]
    return nbformat.v4.new_markdown_cell("\n\n".join(parts).rstrip())


def convert(cell, names: set[str], source: Path):
    "`cell` of a notebook, prepared by nbdev for Quarto, in the form for myst-nb."
    if cell.cell_type == "raw" and cell.source.lstrip().startswith("---"):
        cell = title_cell(relinked(cell.source, names), source)
        cell.source = relinked(cell.source, names)
        return cell
    if cell.cell_type == "markdown":
        cell.source = relinked(cell.source, names)
    if cell.cell_type != "code":
        return cell
    if text := api_text(cell):
        lesson = source in lessons()
        return anchor_cell(anchor(text)) if lesson else api_cell(relinked(text, names))
    hidden = re.search(r"^#\|\s*echo:\s*false", cell.source, re.M)
    folded = re.search(r"^#\|\s*code-fold:\s*true", cell.source, re.M) or (
        cell.source.startswith(EXPORTED) and (source not in lessons() or is_folded(cell.source))
    )
    tags = ["remove-input"] if hidden else ["hide-input"] if folded else []
    cell.metadata = {"tags": tags} | {k: v for k, v in cell.metadata.items() if k == "mystnb"}
    cell.source = DIRECTIVE.sub("", cell.source)
    cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    for data in (output["data"] for output in cell.outputs if "data" in output):
        if "text/markdown" in data:  # what code prints is no name of the library: `not_frontal`
            data["text/markdown"] = NBDEV_LINK.sub(r"\1", data["text/markdown"])
    return cell


def words_of(code: str) -> dict[str, list[str]]:
    "What `code` writes on axes, as literals: their titles, and the names at x and y."
    found = {"title": [], "xlabel": [], "ylabel": []}
    calls = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    for call in sorted(calls, key=lambda node: node.lineno):
        name = getattr(call.func, "attr", "").removeprefix("set_").removeprefix("sup")
        given = [(name, value) for value in call.args[:1]]
        if name in ("set", "set_", "plot"):
            given = [(word.arg, word.value) for word in call.keywords]
        for word, value in given:
            text = getattr(value, "value", None)
            if word in found and isinstance(text, str) and text.strip():
                found[word].append(text.strip())
    return {word: list(dict.fromkeys(texts)) for word, texts in found.items()}


def alternative_text(code: str, heading: str) -> str:
    "What stands for the figures of a cell: `#| fig-alt:`, or its section and what the axes say."
    if stated := re.search(r"^#\|\s*fig-alt:\s*(.+)$", code, re.M):
        return stated[1].strip()
    place = heading if heading.startswith("Figure") else f"Figure of {heading}"
    try:
        words = words_of(code)
    except SyntaxError:  # a magic command
        return place
    axes = words["title"]
    if words["xlabel"] and words["ylabel"]:
        axes.append(f"{', '.join(words['ylabel'])} against {', '.join(words['xlabel'])}")
    return f"{place}: {'; '.join(axes)}" if axes else place


def describe(cells: list) -> None:
    "Give each cell that shows a picture its alternative text, where myst-nb reads it."
    heading = "the notebook"
    for cell in cells:
        titles = re.findall(r"^(?:#+|title:) +(.+)$", cell.source, re.M)
        if cell.cell_type != "code" and titles:
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", titles[-1])
            heading = re.sub(r"[`*$\\{}\"]", "", text).strip()
        shown = (kind for output in cell.get("outputs", []) for kind in output.get("data", {}))
        if any(kind.startswith("image/") for kind in shown):
            alt = alternative_text(cell.source.removeprefix(EXPORTED), heading)
            cell.metadata["mystnb"] = {"image": {"alt": alt}}


def contents(pages: list[str]) -> str:
    "The site's table of contents, for the end of the landing page."
    course = [page for page in pages if page in {page_name(path.name) for path in lessons()}]
    shelves = {"How to": HOW_TO, "The course": ["overview", *course], "Reference": ["api"]}
    shelves["The engine room"] = [p for p in pages if p not in shelves["The course"]]
    shelves["The project"] = list(EXTRA.values())
    trees = (
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(entries) + "\n```"
        for caption, entries in shelves.items()
    )
    return "\n\n".join(trees)


def front_picture() -> str:
    "The exploration that the front page has stored."
    book = nbformat.read(NOTEBOOKS / "index.ipynb", as_version=4)
    shown = (
        output["data"]["text/html"]
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "hd-explore" in output.get("data", {}).get("text/html", "")
    )
    return next(shown, "")


def write_guides(pages: list[str]) -> None:
    "The landing page with the table of contents, and the how-tos."
    landing = (ROOT / "docs/landing.md").read_text(encoding="utf-8")
    block = f"```{{raw}} html\n{front_picture()}\n```"
    text = f"{landing.replace('{front}', block)}\n\n{contents(pages)}\n"
    (PAGES / "index.md").write_text(text, encoding="utf-8")
    for name in HOW_TO:
        guide = (ROOT / f"docs/howto/{name}.md").read_text(encoding="utf-8")
        (PAGES / f"{name}.md").write_text(guide, encoding="utf-8")
    for page in PAGES.glob("*.md"):  # among themselves they link as files do
        text = re.sub(r"\]\((\w+)\.md\)", r"](\1.html)", page.read_text(encoding="utf-8"))
        if not (PAGE / "index.html").exists():  # not built: its notebook says how
            text = text.replace("](page/index.html)", "](page.html)")
        page.write_text(text, encoding="utf-8")


def lessons() -> list[Path]:
    "The lessons, in order."
    return sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


def notebooks() -> list[Path]:
    "The first page, the lessons and the engine room's notebooks."
    return [NOTEBOOKS / "index.ipynb", *lessons(), *sorted(NOTEBOOKS.glob("engine/*.ipynb"))]


def prepare() -> dict[str, nbformat.NotebookNode]:
    "The notebooks as nbdev prepares them, by their pages' names, in order."
    shutil.rmtree(PREPARED.parent, ignore_errors=True)
    PREPARED.mkdir(parents=True)
    os.environ["IN_TEST"] = "1"  # as nbdev sets it where it runs cells
    prepared = {}
    for source in notebooks():
        exec_nb(source, PREPARED / source.name, Prepare)
        prepared[page_name(source.name)] = nbformat.read(PREPARED / source.name, as_version=4)
    return prepared


def write_pages() -> None:
    "Write every page that Sphinx is to read into `PAGES`."
    books, names = prepare(), set(tracked_files())
    sources = {page_name(path.name): path for path in notebooks()}
    for page, notebook in books.items():
        names |= {f"{page}.html#{anchor(text)}" for text in map(api_text, notebook.cells) if text}
    PAGES.mkdir()
    shutil.copytree(ROOT / "images", PAGES / "images")
    for page, notebook in books.items():
        describe(notebook.cells)
        notebook.cells = [convert(cell, names, sources[page]) for cell in notebook.cells]
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, PAGES / f"{page}.ipynb")
    for file, page in EXTRA.items():
        (PAGES / f"{page}.md").write_text(
            relinked((ROOT / file).read_text(encoding="utf-8"), names), encoding="utf-8"
        )
    write_api(PAGES, sources)
    write_guides(list(books))


def link_figures(page: str) -> str:
    "A page of the site whose figures each lead to themselves alone, at their full size."

    def linked(found: re.Match) -> str:
        return found[0] if found[1] else f'<a class="hd-figure" href="{found[2]}">{found[0]}</a>'

    return FIGURE.sub(linked, page)


def main() -> int:
    write_pages()
    built = PAGES.parent / "site" / "html"  # myst-nb leaves a folder of its own beside it
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-c",
        ROOT / "docs",
        PAGES,
        built,
    ]
    failed = subprocess.run(command).returncode
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.move(built, SITE)
    for page in SITE.glob("*.html"):
        page.write_text(link_figures(page.read_text(encoding="utf-8")), encoding="utf-8")
    if (PAGE / "index.html").exists():  # where `make page` has built it
        shutil.copytree(PAGE, SITE / "page")
    shutil.copy(ROOT / "docs/record.schema.json", SITE)
    (SITE / "notebooks").mkdir()
    for source in notebooks():
        shutil.copy(source, SITE / "notebooks" / source.name)
    broken = broken_site_links(SITE)
    print(*(f"broken link in {line}" for line in broken), sep="\n", end="\n" if broken else "")
    print(f"_docs/index.html: {len(list(SITE.glob('*.html')))} pages, {len(broken)} broken links")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # at exit IPython would empty the shell of each notebook: minutes
