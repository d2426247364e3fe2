"The numbers on the front page are those of the results, now."

import nbformat
from nbclient import NotebookClient

from tools.project import ROOT


def printed(book) -> list[str]:
    "What each code cell prints."
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    return [
        "".join(out.text for out in cell.outputs if out.get("name") == "stdout") for cell in code
    ]


def test_the_index_prints_what_is_stored():
    stored = nbformat.read(ROOT / "index.ipynb", as_version=4)
    fresh = nbformat.read(ROOT / "index.ipynb", as_version=4)
    place = {"metadata": {"path": str(ROOT)}}
    NotebookClient(fresh, timeout=300, kernel_name="python3", resources=place).execute()
    assert sum(map(bool, printed(stored))) >= 3
    assert printed(fresh) == printed(stored)
