"The numbers on the front page are those of the results, now."

import nbformat
from nbclient import NotebookClient

from tools.project import ROOT
from tools.rooms import engine_table


def printed(book) -> list[str]:
    "What each code cell prints or shows as a table."
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    return [
        "".join(
            out.text
            if out.get("name") == "stdout"
            else out.get("data", {}).get("text/markdown", "")
            for out in cell.outputs
        )
        for cell in code
    ]


def test_the_index_prints_what_is_stored():
    stored = nbformat.read(ROOT / "index.ipynb", as_version=4)
    fresh = nbformat.read(ROOT / "index.ipynb", as_version=4)
    place = {"metadata": {"path": str(ROOT)}}
    NotebookClient(fresh, timeout=300, kernel_name="python3", resources=place).execute()
    assert sum(map(bool, printed(stored))) >= 3
    assert printed(fresh) == printed(stored)


def test_the_index_names_every_room_of_the_engine():
    book = nbformat.read(ROOT / "index.ipynb", as_version=4)
    table, text = engine_table(), "\n".join(cell.source for cell in book.cells)
    assert table in text, f"put this into the index, from `python -m tools.rooms`:\n{table}"
    for notebook in (ROOT / "nbs/engine").glob("*.ipynb"):
        assert f"(nbs/engine/{notebook.name})" in table, f"{notebook.stem}: not in module_order.txt"
