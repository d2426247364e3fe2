"""Sphinx's settings for the documentation site; `tools/build_docs.py` prepares its pages."""

import json
from configparser import ConfigParser
from html import escape
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

config = ConfigParser(delimiters=["="])
config.read(Path(__file__).parent.parent / "settings.ini", encoding="utf-8")
project = config["DEFAULT"]["lib_name"]
release = config["DEFAULT"]["version"]
copyright = config["DEFAULT"]["author"]  # Sphinx's own name for it

extensions = ["myst_nb", "sphinx_copybutton"]
nb_execution_mode = "off"  # the notebooks' stored results are shown
nb_ipywidgets_js = {}  # nothing is fetched by a page
nb_render_markdown_format = "myst"  # tables among what a cell shows
myst_heading_anchors = 3
myst_enable_extensions = ["amsmath", "dollarmath", "colon_fence"]
myst_all_links_external = (
    True  # tools/build_docs.py has made each link right for the site, and checks them
)
highlight_language = "none"  # of blocks that name no language
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_context = {"versions": json.loads((Path(__file__).parent / "versions.json").read_text())}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_theme_options = {
    "source_repository": "https://github.com/hemidiaphragm-nb/hemidiaphragm_nb",
    "footer_icons": [],
    "navigation_with_keys": True,
    "top_of_page_buttons": [],  # each page links its notebook itself
}
add_module_names = False
copybutton_exclude = ".linenos, .gp, .go"
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
suppress_warnings = ["myst.header", "misc.highlighting_failure"]


def mathml(self, node, display: str) -> None:
    "Write a formula as MathML, which browsers draw without a script."
    try:
        self.body.append(convert(node.astext(), display=display))
    except Exception:  # a formula beyond the converter stays readable as TeX
        self.body.append(f"<code>{escape(node.astext())}</code>")


def inline(self, node):
    mathml(self, node, "inline")
    raise nodes.SkipNode


def block(self, node):
    self.body.append(self.starttag(node, "div", CLASS="math"))
    mathml(self, node, "block")
    self.body.append("</div>")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
