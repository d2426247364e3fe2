// Reads and predicts, away from the page's own thread. One file at a time, in order.
//
// From the page: { kind: "load", model, wasm }, then { kind: "open", id, bytes } for each file.
// To the page:   { kind: "ready" } or { kind: "failed", message }; of each file { kind: "answer",
//                id, answer } or { kind: "rejected", id, message }.

import { plane } from "./arrays.js";
import FACTS from "./facts.json";
import { FRAME, Frame, standardise } from "./frame.js";
import { readRadiograph } from "./images.js";
import { interpret } from "./interpret.js";
import { measure } from "./measure.js";
import { lungPaths } from "./outlines.js";
import { loadNetwork } from "./predictor.js";
import { Rejection } from "./rejection.js";
import { resizeArea } from "./resize.js";

const LONGEST = 2048; // px, of the picture that is shown
const IDLE = 200; // ms without a file after which the network is run once
let predict = null;
let asked = false; // for an answer

// The standardised radiograph as bytes, at the size that is shown.
function shownPicture(standard) {
  const scale = Math.min(1, LONGEST / Math.max(standard.height, standard.width));
  const bytes = plane(new Uint8Array(standard.data.length), standard.height, standard.width);
  for (let i = 0; i < bytes.data.length; i++) bytes.data[i] = standard.data[i] * 255;
  const [height, width] = [bytes.height, bytes.width].map((n) =>
    Math.max(1, Math.round(n * scale)),
  );
  const small = resizeArea(bytes, height, width, true);
  return plane(Uint8ClampedArray.from(small.data), height, width);
}

// The mask as runs: label, length, label, length …
function runs({ data }) {
  const out = [];
  for (let i = 0; i < data.length;) {
    let end = i + 1;
    while (end < data.length && data[end] === data[i]) end++;
    out.push(data[i], end - i);
    i = end;
  }
  return Uint32Array.from(out);
}

async function open(bytes) {
  const start = performance.now();
  const radiograph = await readRadiograph(bytes);
  const { height, width } = radiograph.pixels;
  const where = new Frame(height, width);
  const standard = standardise(radiograph.pixels);
  const frame = where.framed(standard);
  const outputs = await predict(frame);
  const found = interpret(outputs, frame, where, FACTS.card, radiograph);
  const { mask, ...answer } = found;
  return {
    ...answer,
    ...outputs,
    measured: measure(mask, answer.points, answer.spacing, answer.fieldPx),
    paths: lungPaths(mask),
    runs: runs(mask),
    picture: shownPicture(standard),
    milliseconds: performance.now() - start,
  };
}

// The first run of a network takes twice as long as the next ones: do it while nothing is asked.
async function warmUp() {
  if (!asked) await predict(plane(new Uint8Array(FRAME * FRAME), FRAME, FRAME));
}

async function take(message) {
  if (message.kind === "load") {
    try {
      predict = await loadNetwork(message.model, message.wasm);
      postMessage({ kind: "ready" });
      setTimeout(() => (queue = queue.then(warmUp)), IDLE);
    } catch (error) {
      postMessage({ kind: "failed", message: String(error?.message ?? error) });
    }
    return;
  }
  const { id, bytes } = message;
  try {
    const answer = await open(new Uint8Array(bytes));
    const buffers = [answer.picture.data.buffer, answer.runs.buffer];
    postMessage({ kind: "answer", id, answer }, buffers);
  } catch (error) {
    const why = String(error?.message ?? error).slice(0, 120);
    const known = error instanceof Rejection;
    const text = known ? error.message : `it cannot be computed here (${why}).`;
    postMessage({ kind: "rejected", id, message: text });
  }
}

let queue = Promise.resolve();
self.onmessage = ({ data }) => {
  asked ||= data.kind === "open";
  queue = queue.then(() => take(data));
};
