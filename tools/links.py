"""Links that lead nowhere: of the sources (`python -m tools.links`) and of the built site.

Files, pictures and anchors within the project are looked up; of an address elsewhere only its form
is checked, for no test may need a network.
"""

import functools
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import nbformat

from tools.project import ROOT, tracked_files

FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
TAG = re.compile(r"<(?:img|a|source|video)\b[^>]*?\b(?:src|href)=[\"']([^\"']+)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.M)
ID = re.compile(r"\b(?:id|name)=[\"']([^\"']+)")


class Page(HTMLParser):
    "The links, pictures among them, and the anchors of an HTML page."

    KEYS = ("href", "src", "poster")

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors |= {values.get("id"), values.get("name")}
        self.links += [values[key] for key in self.KEYS if values.get(key)]
        self.links += [part.split()[0] for part in (values.get("srcset") or "").split(",") if part]


def malformed(link: str) -> bool:
    "Whether an address elsewhere cannot be one."
    parts = urlparse(link)
    if parts.scheme in ("data", "mailto", "javascript"):
        return parts.scheme == "javascript"
    return parts.scheme not in ("http", "https") or "." not in (parts.hostname or "")


def broken_site_links(site: Path) -> list[str]:
    "What the pages of a built site link or show and is not there, as 'page: link'."
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, fragment = urldefrag(link)
            if urlparse(link).scheme:
                bad = malformed(link)
            else:
                file = (path.parent / unquote(urlparse(target).path)).resolve() if target else path
                file = file / "index.html" if file.is_dir() else file
                anchored = file not in pages or unquote(fragment) in {"", *pages[file].anchors}
                bad = link.startswith("//") or not file.exists() or not anchored
            if bad:
                broken.append(f"{path.relative_to(site.resolve())}: {link}")
    return broken


def anchor_of(heading: str) -> str:
    "The anchor that GitHub gives a heading."
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@functools.cache
def texts(path: Path) -> list[str]:
    "The Markdown of a file: all of it, or the Markdown cells of a notebook; code left out."
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        found = [cell.source for cell in cells if cell.cell_type == "markdown"]
    else:
        found = [path.read_text(encoding="utf-8")]
    return [FENCE.sub("", text) for text in found]


@functools.cache
def anchors(path: Path) -> set[str]:
    "The anchors of a Markdown file or a notebook."
    found = set()
    for text in texts(path):
        found |= {anchor_of(heading) for heading in HEADING.findall(text)} | set(ID.findall(text))
    return found


def source_links(path: Path) -> list[str]:
    "Every link and picture in a Markdown file or a notebook."
    plain = [CODE.sub("", text) for text in texts(path)]
    return [link for text in plain for form in (LINK, TAG) for link in form.findall(text)]


def leads_nowhere(path: Path, link: str, site_pages: bool = False) -> bool:
    "Whether a link in a source leads nowhere; `site_pages`: where pages of the site are linked."
    if urlparse(link).scheme:
        return malformed(link)
    target, fragment = urldefrag(link)
    if site_pages and target.endswith((".html", ".md")):
        return False  # the built site is checked
    file = (path.parent / unquote(target)).resolve() if target else path
    if not file.exists() or not (file == ROOT or ROOT in file.parents):
        return True
    has_anchors = file.suffix in (".md", ".ipynb")
    return bool(fragment) and has_anchors and unquote(fragment).lower() not in anchors(file)


def broken_source_links() -> list[str]:
    "Links and pictures of README, docs and notebooks that are not there, as 'file: link'."
    files = [f for f in tracked_files() if f.endswith((".md", ".ipynb"))]
    paths = [(ROOT / f) for f in files if not (ROOT / f).is_symlink()]
    return [
        f"{path.relative_to(ROOT)}: {link}"
        for path in paths
        for link in source_links(path)
        if leads_nowhere(path, link, path.is_relative_to(ROOT / "docs"))
    ]


if __name__ == "__main__":
    found = broken_source_links()
    print(*(f"broken link in {line}" for line in found), sep="\n")
    sys.exit(bool(found))
