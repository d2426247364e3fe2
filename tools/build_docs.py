"""Build the documentation site in `_docs/` from the notebooks, without a network: nbdev prepares them, Sphinx renders.

nbdev drops hidden cells and adds the documentation of each exported name; what it writes for Quarto is put here into
the form that myst-nb reads. At the end every link within the site is checked.
"""
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import nbformat
import yaml
from common import ROOT, tracked_files
from nbdev.config import get_config
from nbdev.serve import proc_nbs

SITE = ROOT / "_docs"
PAGES = ROOT / "_proc" / "pages"
EXTRA = {"CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changelog"}
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
DIRECTIVE = re.compile(r"^#\|.*\n?", re.M)
WIDGET = "application/vnd.jupyter.widget-view+json"


def page_name(notebook: str) -> str:
    "Name of a notebook's page: `03_heatmaps.ipynb` gives `heatmaps`, as nbdev's links have it."
    return re.sub(r"^\d+[a-z]?_", "", Path(notebook).stem)


def site_link(link: str, names: set[str]) -> str:
    "A link of a notebook as it reads on the site: notebooks to pages, other files to the repository."
    path, mark, fragment = link.partition("#")
    if path.endswith(".html") and not urlparse(link).scheme:
        return link.lstrip("/")  # nbdev's links count from the site's root
    if urlparse(link).scheme or not path:
        return link
    name = path.removeprefix("./").removeprefix("../").rstrip("/")
    if name.endswith(".ipynb"):
        return f"{page_name(name)}.html{mark}{fragment}"
    if name in EXTRA:
        return f"{EXTRA[name]}.html{mark}{fragment}"
    known = names | {str(parent) for file in names for parent in Path(file).parents}
    places = [place for place in (name, f"nbs/{name}") if place in known]
    return f"{get_config().git_url}/blob/main/{places[0]}{mark}{fragment}" if places else link


def relinked(text: str, names: set[str]) -> str:
    return LINK.sub(lambda found: site_link(found[0], names), text)


def api_cell(text: str):
    "The documentation of an exported name as a markdown cell with the anchor that nbdev's links use."
    text = re.sub(r"^---\s*", "", text).replace('{target="_blank" style="float:right; font-size:smaller"}', "")
    heading = re.search(r"^#+ (\S+)", text, re.M)
    anchor = f'<a id="{heading[1].lower()}"></a>\n\n' if heading else ""
    return nbformat.v4.new_markdown_cell(anchor + text)


def title_cell(text: str):
    "nbdev's front matter as a heading and a summary."
    front = yaml.safe_load(text.strip().strip("-"))
    return nbformat.v4.new_markdown_cell(f"# {front['title']}\n\n> {front.get('description', '')}".rstrip("> \n"))


def convert(cell, names: set[str]):
    "`cell`, prepared by nbdev for Quarto, in the form for myst-nb."
    if cell.cell_type == "raw" and cell.source.lstrip().startswith("---"):
        return title_cell(cell.source)
    if cell.cell_type == "markdown":
        cell.source = relinked(cell.source, names)
    if cell.cell_type != "code":
        return cell
    if cell.source.rstrip().rpartition("\n")[2].startswith("show_doc("):
        texts = [output.data["text/markdown"] for output in cell.outputs if "text/markdown" in output.get("data", {})]
        return api_cell(relinked("\n".join(texts), names))
    hidden = re.search(r"^#\|\s*echo:\s*false", cell.source, re.M)
    cell.metadata = {"tags": ["remove-input"]} if hidden else {}
    cell.source = DIRECTIVE.sub("", cell.source)
    cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    return cell


def contents(pages: list[str]):
    "The site's table of contents, for the end of the first page."
    entries = "\n".join(pages)
    project = "\n".join(EXTRA.values())
    return nbformat.v4.new_markdown_cell(
        f"```{{toctree}}\n:hidden:\n:caption: Notebooks\n\n{entries}\n```\n\n"
        f"```{{toctree}}\n:hidden:\n:caption: The project\n\n{project}\n```"
    )


def write_pages() -> None:
    "Write every page that Sphinx is to read into `PAGES`."
    prepared, names = proc_nbs(n_workers=2, force=True), set(tracked_files())
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir()
    sources = sorted(prepared.glob("*.ipynb"))
    for source in sources:
        notebook = nbformat.read(source, as_version=4)
        notebook.cells = [convert(cell, names) for cell in notebook.cells]
        notebook.metadata["language_info"] = {"name": "python"}
        if source.stem == "index":
            notebook.cells.append(contents([page_name(path.name) for path in sources if path.stem != "index"]))
        nbformat.write(notebook, PAGES / f"{page_name(source.name)}.ipynb")
    for file, page in EXTRA.items():
        (PAGES / f"{page}.md").write_text(relinked((ROOT / file).read_text(encoding="utf-8"), names), encoding="utf-8")


class Anchors(HTMLParser):
    "Collects the links and the anchors of a page."

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values.get("id"), values.get("name")}
        self.links += [values[key] for key in ("href", "src") if values.get(key)]


def broken_links(site: Path) -> list[str]:
    "Links of the site's pages to files or anchors that are not in it; links elsewhere are not followed."
    pages = {path.resolve(): Anchors(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, fragment = urldefrag(link)
            if urlparse(link).scheme or link.startswith("//"):
                continue
            file = (path.parent / unquote(urlparse(target).path)).resolve() if target else path
            known = file in pages and (not fragment or unquote(fragment) in pages[file].anchors)
            if not (known or (file.exists() and file not in pages)):
                broken.append(f"{path.relative_to(site.resolve())}: {link}")
    return broken


def main() -> int:
    write_pages()
    built = PAGES.parent / "site" / "html"  # myst-nb leaves a folder of its own beside it
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", ROOT / "docs", PAGES, built]
    failed = subprocess.run(command).returncode
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.move(built, SITE)
    broken = broken_links(SITE)
    print(*(f"broken link in {line}" for line in broken), sep="\n", end="\n" if broken else "")
    print(f"_docs/index.html: {len(list(SITE.glob('*.html')))} pages, {len(broken)} broken links")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
