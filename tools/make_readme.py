"""Write `README.md`, and the pictures it shows under `images/`, from `index.ipynb`.

Cells with the tag `site` stay out of it: a README is read on the way to something else.
"""

import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import TagRemovePreprocessor
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = re.compile(r"^#\|\s*(hide|default_exp)\b", re.M)
ALT = re.compile(r"^#\|\s*fig-alt:\s*(.+)$", re.M)
IMAGE = re.compile(r"!\[png\]\((images/index_(\d+)_\d+\.png)\)")
DIRECTIVE = re.compile(r"^#\|.*\n?", re.M)


def shown_cells(notebook):
    "`notebook` as its reader sees it: without hidden cells and directives but `#| fig-alt: ...`."
    notebook.cells = [
        cell
        for cell in notebook.cells
        if not (cell.cell_type == "code" and HIDDEN.search(cell.source))
        and "site" not in cell.metadata.get("tags", ())
    ]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            hides_input = re.search(r"^#\|\s*(hide_input|echo:\s*false)", cell.source, re.M)
            cell.metadata["tags"] = ["hide-input"] if hides_input else []
            cell.metadata["alt"] = (ALT.findall(cell.source) or [""])[0]
            cell.source = DIRECTIVE.sub("", cell.source)
    return notebook


def rendered() -> dict[str, bytes]:
    "File names, relative to the project, and their contents."
    notebook = shown_cells(nbformat.read(ROOT / "index.ipynb", as_version=4))
    notebook.metadata["language_info"] = {"name": "python"}
    config = Config()
    config.ExtractOutputPreprocessor.output_filename_template = (
        "images/index_{cell_index}_{index}{extension}"
    )
    config.TagRemovePreprocessor.remove_input_tags = {"hide-input"}
    exporter = MarkdownExporter(config=config)
    exporter.register_preprocessor(TagRemovePreprocessor(parent=exporter), enabled=True)
    body, resources = exporter.from_notebook_node(notebook)
    body = IMAGE.sub(
        lambda found: f"![{notebook.cells[int(found[2])].metadata['alt']}]({found[1]})", body
    )
    text = re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"
    return {"README.md": text.encode(), **resources["outputs"]}


def main() -> None:
    files = rendered()
    for stale in (ROOT / "images").glob("index_*"):
        if f"images/{stale.name}" not in files:
            stale.unlink()
    for name, data in files.items():
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_bytes(data)
    print("wrote " + ", ".join(files))


if __name__ == "__main__":
    main()
