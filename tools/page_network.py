"""The network as the page loads it: the file that ships, its graph optimised beforehand.

`python -m tools.page_network FILE` writes it. A browser would make the same integer operations of
the same graph at every start, and need a second more; the answers are the same.
"""

import sys

import onnxruntime

from tools.project import LIBRARY

SHIPPED = LIBRARY / "weights" / "default" / "fast.onnx"


def optimise(target: str) -> None:
    "Write it; nothing in it depends on the processor (that is the level after EXTENDED)."
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = target, 3
    onnxruntime.InferenceSession(str(SHIPPED), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    optimise(sys.argv[1])
