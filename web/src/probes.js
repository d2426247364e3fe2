// Weighted sums that say whether a radiograph is mirrored, a lung white, or the lungs too short, as
// `hemidiaphragm_nb.probes` has them: the same cells, the same weights.

import { clamp, mean, plane, rint, spread } from "./arrays.js";
import FACTS from "./facts.json";
import { boundingBox } from "./masks.js";

const { cells: CELLS, above: ABOVE, below: BELOW, beside: BESIDE, probes: PROBES } = FACTS.probes;

// Where the cells begin and end, whole px of the frame.
function cellEdges(start, stop, before, after, most) {
  const length = stop - start;
  const first = start - before * length;
  const step = (stop + after * length - first) / CELLS;
  return Array.from({ length: CELLS + 1 }, (_, i) => rint(clamp(first + i * step, 0, most)));
}

// Mean grey levels of cells around the lungs, of mean 0 and spread 1; null without lungs.
function lungPicture(frame, labels) {
  const box = boundingBox(
    plane(
      labels.data.map((v) => Number(v > 0)),
      labels.height,
      labels.width,
    ),
  );
  if (!box) return null;
  const [top, bottom, left, right] = box;
  const y = cellEdges(top, bottom, ABOVE, BELOW, frame.height);
  const x = cellEdges(left, right, BESIDE, BESIDE, frame.width);
  const means = [];
  for (let i = 0; i < CELLS; i++) {
    for (let j = 0; j < CELLS; j++) {
      let total = 0;
      for (let row = y[i]; row < y[i + 1]; row++) {
        for (let column = x[j]; column < x[j + 1]; column++) {
          total += frame.data[row * frame.width + column];
        }
      }
      const area = (y[i + 1] - y[i]) * (x[j + 1] - x[j]);
      means.push(area ? total / area : NaN);
    }
  }
  const known = means.filter((v) => !Number.isNaN(v));
  const [middle, scale] = [mean(known), spread(known) + 1e-3];
  return means.map((v) => (Number.isNaN(v) ? 0 : (v - middle) / scale));
}

// What each probe says: positive where it answers; NaN where a feature is unknown.
export function probeScores(values, frame, labels) {
  const picture = lungPicture(frame, labels);
  const all = picture && [...values, ...picture];
  const scores = {};
  for (const [name, { bias, weights }] of Object.entries(PROBES)) {
    scores[name] = all ? all.reduce((total, v, i) => total + v * weights[i], bias) : NaN;
  }
  return scores;
}
