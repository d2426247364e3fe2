// The network: the exported file in ONNX Runtime's WebAssembly, one thread, in this worker.

import * as ort from "onnxruntime-web/wasm";

import { f32, mapped, plane } from "./arrays.js";
import FACTS from "./facts.json";
import { toFloat } from "./frame.js";
import { readPlaced } from "./placement.js";
import { resizeArea, resizeLinear } from "./resize.js";

const { recipe, test_time: TEST_TIME } = FACTS.card;
const SIDE = recipe.side;

// The planes of one output, at the network's side.
function planes({ dims, data }) {
  const [, count, height, width] = dims;
  const size = height * width;
  return Array.from({ length: count }, (_, k) =>
    resizeLinear(plane(data.subarray(k * size, (k + 1) * size), height, width), SIDE, SIDE),
  );
}

function probabilities({ data, height, width }) {
  return plane(
    mapped(Float32Array, data, (v) => 1 / (1 + f32(Math.exp(-v)))),
    height,
    width,
  );
}

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
  async function ask(image) {
    const input = new ort.Tensor("float32", toFloat(image.data), [1, 1, SIDE, SIDE]);
    const { heatmap, mask } = await session.run({ image: input });
    return { heatmaps: planes(heatmap), lungs: planes(mask).map(probabilities) };
  }
  // Of a frame: two heatmaps, both lungs' probabilities, and how far (px of the frame) the readings
  // of each landmark lie apart, as `hemidiaphragm_nb.runtime.OnnxPredictor.predict`.
  return async function predict(frame) {
    if (TEST_TIME) return readPlaced(ask, frame, recipe, TEST_TIME);
    return { ...(await ask(resizeArea(frame, SIDE, SIDE, true))), spread: [0, 0] };
  };
}
