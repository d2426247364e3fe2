"A file that cannot be opened and a writer that fails cost their file, and nothing is left of it."

from pathlib import Path

import cv2
import pandas as pd
import pytest

from hemidiaphragm_nb.phantom import phantom
from hemidiaphragm_nb.writers import MaskWriter, OverlayWriter, predict_folder

MEMORY = Path("/proc/self/mem")  # it opens, and cannot be read from its beginning


@pytest.fixture
def radiographs(tmp_path):
    folder = tmp_path / "radiographs"
    folder.mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.png"), phantom(3, side=256).image)
    return folder


@pytest.mark.skipif(not MEMORY.exists(), reason="no /proc on this machine")
def test_a_file_that_cannot_be_read_costs_itself(radiographs, tmp_path):
    (radiographs / "scan").symlink_to(MEMORY)
    errors = predict_folder([str(radiographs)], tmp_path / "out")
    assert [Path(error.path).name for error in errors] == ["scan"]
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert [Path(file).name for file in table["file"]] == ["a.png", "b.png"]


class FailsOnce:
    "A writer that fails with the file `b`."

    name = "fails"

    def write(self, radiograph, prediction, stem):
        if stem.name == "b":
            raise OSError("no space left on device")
        return []


def test_a_writer_that_fails_leaves_nothing_of_its_file(radiographs, tmp_path):
    out = tmp_path / "out"
    predict_folder([str(radiographs)], out, writers=[OverlayWriter()])
    assert (out / "b.json").exists()
    writers = [OverlayWriter(), MaskWriter(), FailsOnce()]
    errors = predict_folder([str(radiographs)], out, writers=writers)
    assert [Path(error.path).name for error in errors] == ["b.png"]
    assert "no space left on device" in str(errors[0])
    left = sorted(path.name for path in out.iterdir())
    assert left == ["a.json", "a_mask.png", "a_overlay.png", "predictions.csv"]
