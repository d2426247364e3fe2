// The network: the exported file in ONNX Runtime's WebAssembly, one thread, in this worker.

import * as ort from "onnxruntime-web/wasm";

import { plane } from "./arrays.js";
import FACTS from "./facts.json";
import { networkInput } from "./frame.js";

const SIDE = FACTS.card.recipe.side;

// Makes the network ready. `model` and `wasm`: the bytes of the two files.
export async function loadNetwork(model, wasm) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(new Uint8Array(model), {
    executionProviders: ["wasm"],
    graphOptimizationLevel: OPTIMISED ? "disabled" : "all", // `build.mjs` says
  });
  return async function predict(frame) {
    const image = new ort.Tensor("float32", networkInput(frame, SIDE), [1, 1, SIDE, SIDE]);
    const outputs = await session.run({ image });
    const planes = (tensor) => {
      const [, count, height, width] = tensor.dims;
      const size = height * width;
      return Array.from({ length: count }, (_, k) =>
        plane(Float32Array.from(tensor.data.subarray(k * size, (k + 1) * size)), height, width),
      );
    };
    return { heatmaps: planes(outputs.heatmap), logits: planes(outputs.mask) };
  };
}
