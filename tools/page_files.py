"""What Python makes of the built page: its network, and a real radiograph among the examples.

`python -m tools.page_files FOLDER` writes `network.onnx` there, the file that ships with its graph
optimised beforehand. A browser would make the same integer operations of the same graph at every
start, and need a second more; the answers are the same. Where pydicom-data is installed, its
`RG1_J2KI.dcm`, a chest radiograph of the DICOM committee's samples, comes into `examples`.

A page whose constants and words are not those of the library is not built: exit status 3.
"""

import shutil
import sys
from pathlib import Path

import onnxruntime
from pydicom.data import get_testdata_file

from tools import page_facts
from tools.project import LIBRARY, ROOT

SHIPPED = LIBRARY / "weights" / "default" / "fast.onnx"
RADIOGRAPH = "RG1_J2KI.dcm"
STALE = 3  # the exit status, which `web/build.mjs` knows


def stale_files() -> list[Path]:
    "What `tools.page_facts` writes, where it is not what the library says now."
    made = {page_facts.FACTS: page_facts.text(), page_facts.COLUMNS: page_facts.column_text()}
    return [path for path, text in made.items() if path.read_text(encoding="utf-8") != text]


def optimise(target: Path) -> None:
    "Write the network; nothing in it depends on the processor (that is the level after EXTENDED)."
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = str(target), 3
    onnxruntime.InferenceSession(str(SHIPPED), options, providers=["CPUExecutionProvider"])


def main(folder: Path) -> None:
    if stale := stale_files():
        names = " and ".join(str(path.relative_to(ROOT)) for path in stale)
        advice = "run `python -m tools.page_facts`"
        print(f"{names}: not what the library says now; {advice}", file=sys.stderr)
        sys.exit(STALE)
    found = get_testdata_file(RADIOGRAPH, download=False)
    if found:
        shutil.copyfile(found, folder / "examples" / RADIOGRAPH)
    optimise(folder / "network.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
