// The one place where the network's outputs become an answer, as `hemidiaphragm_nb.predict`:
// labels, landmark rule, fusion, radius, findings.

import { clamp, general, plane, solve } from "./arrays.js";
import { decode, expectedError } from "./decode.js";
import FACTS from "./facts.json";
import { checkPrediction, gapFindings, landmarkFindings, radiationField } from "./findings.js";
import { FRAME } from "./frame.js";
import { boundingBox, dilate, labelled, largestPiece } from "./masks.js";
import { lungBox } from "./measure.js";
import { cut, linearRows, resizeLinear } from "./resize.js";

const SIDES = FACTS.features.sides;
const NONE = [NaN, NaN];

// Decides every pixel of two maps of probabilities, and keeps one piece a side: labels 0, 1, 2.
function lungLabels([right, left]) {
  const { height, width } = right;
  const labels = new Uint8Array(right.data.length);
  for (const [side, own] of [right, left].entries()) {
    const lung = new Uint8Array(own.data.length);
    for (let i = 0; i < lung.length; i++) {
      const nearer = right.data[i] >= left.data[i] ? 0 : 1;
      lung[i] = Number(own.data[i] > FACTS.lung_threshold && nearer === side);
    }
    const piece = largestPiece(plane(lung, height, width)).data;
    for (let i = 0; i < piece.length; i++) if (piece[i]) labels[i] = side + 1;
  }
  return plane(labels, height, width);
}

// The value at `x` of the cubic that fits (columns, rows) best, each counting by its weight.
function cubicAt(columns, rows, weights, x) {
  const [first, last] = [columns[0], columns.at(-1)];
  const scaled = (v) => (2 * v - first - last) / (last - first);
  const power = (v) => [1, v, v ** 2, v ** 3];
  const G = Array.from({ length: 4 }, () => new Array(4).fill(0));
  const right = new Array(4).fill(0);
  columns.forEach((column, k) => {
    const p = power(scaled(column));
    for (let i = 0; i < 4; i++) {
      right[i] += weights[k] * p[i] * rows[k];
      for (let j = 0; j < 4; j++) G[i][j] += weights[k] * p[i] * p[j];
    }
  });
  const coefficients = solve(G, right);
  return power(scaled(x)).reduce((total, v, i) => total + v * coefficients[i], 0);
}

// How far from a pixel's centre towards the next one's the probability passes one half, px.
function crossing(within, beyond) {
  return clamp((within - FACTS.lung_threshold) / Math.max(within - beyond, 1e-6), 0, 1);
}

// How much beyond a lung's outermost column `x` the border lies, less half a pixel.
function beside(p, lung, [top, bottom], x, step) {
  const { width, height } = lung;
  if (x + step < 0 || x + step >= width) return 0;
  let [within, beyond] = [0, 0];
  for (let y = top; y < bottom; y++) {
    if (!lung.data[y * width + x]) continue;
    within = Math.max(within, p.data[y * width + x]);
    for (let near = Math.max(0, y - 1); near <= Math.min(height - 1, y + 1); near++) {
      beyond = Math.max(beyond, p.data[near * width + x + step]);
    }
  }
  return crossing(within, beyond) - 0.5;
}

// The landmark of one lung: its middle column, at the height of a cubic through its lower border,
// which lies where the probability `p` passes one half.
function landmarkOfLung(lung, p) {
  const box = boundingBox(lung);
  if (!box) return NONE;
  const [top, bottom, left, right] = box;
  const { width, height } = lung;
  const lowest = [];
  for (let x = left; x < right; x++) {
    let y = bottom - 1;
    while (y >= top && !lung.data[y * width + x]) y--;
    if (y < top) continue;
    const at = y * width + x;
    const below = y + 1 < height ? crossing(p.data[at], p.data[at + width]) - 0.5 : 0;
    lowest.push([x, y + below]);
  }
  if (lowest.length < FACTS.min_columns) return NONE;
  const first = left - beside(p, lung, [top, bottom], left, -1);
  const last = right - 1 + beside(p, lung, [top, bottom], right - 1, 1);
  const margin = FACTS.edge * (last - first);
  const inner = lowest
    .map(([x, y]) => [x, y, clamp(Math.min(x - first, last - x) - margin + 0.5, 0, 1)])
    .filter(([, , weight]) => weight > 0);
  if (inner.length < FACTS.min_fitted) return NONE;
  const of = (k) => inner.map((values) => values[k]);
  const middle = (first + last) / 2;
  return [middle, cubicAt(of(0), of(1), of(2), middle)];
}

// One point a side from two readings (px of the frame), and the distance between the two.
function fuse(heat, mask) {
  const weight = FACTS.mask_weight;
  const points = heat.map((h, k) =>
    h.map((v, axis) => {
      const both = (1 - weight) * v + weight * mask[k][axis];
      return Number.isNaN(both) ? v : both;
    }),
  );
  return [points, heat.map((h, k) => Math.hypot(h[0] - mask[k][0], h[1] - mask[k][1]))];
}

// The lungs decided pixel by pixel at the radiograph's own size: labels 0, 1, 2.
function imageLabels(where, lungs, labels) {
  const { height, width, top, left, rows, columns } = where;
  const out = new Uint8Array(height * width);
  const [right, other] = lungs.map((map, k) => {
    const near = dilate(labelled(labels, k + 1), 5).data;
    const own = plane(
      map.data.map((v, i) => v * near[i]),
      map.height,
      map.width,
    );
    return cut(own, top, left, rows, columns);
  });
  const [rightRow, leftRow] = [right, other].map((map) => linearRows(map, height, width));
  for (let y = 0; y < height; y++) {
    const [a, b] = [rightRow(y), leftRow(y)];
    for (let x = 0; x < width; x++) {
      const lung = Math.max(a[x], b[x]) > FACTS.lung_threshold;
      out[y * width + x] = lung ? (b[x] > a[x] ? 2 : 1) : 0;
    }
  }
  return plane(out, height, width);
}

// ---------------------------------------------------------------- what is not believed

// A spacing (mm, rows and columns) and where it comes from, as messages name it.
export function spacingWords(spacing, source) {
  const numbers = spacing.map((v) => general(v)).join(" x ");
  if (!source) return `the spacing (${numbers} mm)`;
  return `the spacing in its header (${numbers} mm, ${source})`;
}

// [what, its width in mm, side] of what would be too narrow or too wide; null where nothing is.
function implausibleWidth(p) {
  const [narrow, wide] = FACTS.lung_widths;
  const mm = (px) => Number((px * p.spacing[1]).toFixed(6));
  if (mm(p.width) < 2 * narrow) return ["the image", mm(p.width), ""];
  for (const [k, side] of SIDES.entries()) {
    const box = lungBox(p.mask, k + 1);
    if (!box) continue;
    const width = mm(box.right - box.left);
    const cutOff = box.left === 0 || box.right === p.width;
    if (width > wide || (width < narrow && !cutOff)) return [`the ${side} lung`, width, side];
  }
  return null;
}

function withoutImplausibleMm(p) {
  const found = p.spacing && implausibleWidth(p);
  if (!found) return p;
  const [what, mm, side] = found;
  const words = spacingWords(p.spacing, p.spacingSource);
  const message =
    `${words} is implausible: ${what} would be ${general(mm, 3)} mm wide;` +
    " lengths in mm are left out";
  const findings = [...p.findings, { code: "implausible_size", message, side }];
  return { ...p, spacing: null, spacingSource: "", findings };
}

// Without the landmark of side `k`, the gap, and what is found about both but for the codes
// `reasons`; `lung`: nor the lung.
function withoutLandmark(p, k, lung, reasons = []) {
  const side = SIDES[k];
  const at = (values, none) => values.map((v, i) => (i === k ? none : v));
  const { height, width, data } = p.mask;
  return {
    ...p,
    points: at(p.points, NONE),
    disagreement: at(p.disagreement, NaN),
    radius90: at(p.radius90, NaN),
    gapMarginPx: NaN,
    mask: lung
      ? plane(
          data.map((v) => (v === k + 1 ? 0 : v)),
          height,
          width,
        )
      : p.mask,
    findings: p.findings.filter(
      ({ code, side: of }) =>
        code !== "gap_uncertain" &&
        (of !== side || !code.startsWith("landmark_") || reasons.includes(code)),
    ),
  };
}

function withoutPointsOffImage(p) {
  SIDES.forEach((side, k) => {
    const [x, y] = p.points[k];
    if (!(x < -0.5 || y < -0.5 || x > p.width - 0.5 || y > p.height - 0.5)) return;
    const message = `the ${side} landmark would lie off the image: it is left out`;
    p = withoutLandmark(p, k, false);
    p = { ...p, findings: [...p.findings, { code: "landmark_off_image", message, side }] };
  });
  return p;
}

// One for each landmark at the lower edge of the picture, or of what is exposed in it.
function edgeFindings(p) {
  const { px512 } = FACTS.findings.landmark_at_edge.limits;
  const nearest = p.fieldPx[3] - (px512 * Math.max(p.width, p.height)) / FRAME;
  return SIDES.filter((_, k) => p.points[k][1] > nearest).map((side) => {
    const where = `the ${side} landmark lies at the lower edge of what is exposed`;
    return { code: "landmark_at_edge", message: `${where}: its dome may be cut off`, side };
  });
}

function leavesNoAnswer({ code }) {
  return FACTS.findings[code]?.effect === FACTS.no_answer;
}

// What leaves no answer, then the others, each in their order.
function reasonFirst(findings) {
  return [...findings.filter(leavesNoAnswer), ...findings.filter((f) => !leavesNoAnswer(f))];
}

// Without a landmark that is doubtful; what is said of it says that, too.
function leftOut(p, k, doubts) {
  const lost = ({ code, side }) => side === SIDES[k] && doubts.includes(code);
  const told = (f) => ({ ...f, message: `${f.message}, and it is left out` });
  const without = withoutLandmark(p, k, false, doubts);
  return { ...without, findings: without.findings.map((f) => (lost(f) ? told(f) : f)) };
}

// The prediction without what its findings leave no answer for, as `hemidiaphragm_nb.abstain`.
function abstain(p) {
  p = withoutPointsOffImage(p);
  p = { ...p, findings: [...p.findings, ...edgeFindings(p)] };
  const reason = p.findings.find(leavesNoAnswer)?.message ?? "";
  const sides = (code) => p.findings.filter((f) => f.code === code).map((f) => f.side);
  const doubts = ["landmark_disagreement", "landmark_at_edge"]; // no landmark; its lung stays
  const [lost, doubtful] = [sides("lung_missing"), doubts.flatMap(sides)];
  SIDES.forEach((side, k) => {
    if (reason || lost.includes(side)) p = withoutLandmark(p, k, true);
    else if (doubtful.includes(side)) p = leftOut(p, k, doubts);
  });
  return { ...p, noAnswer: reason, tilt: reason ? NaN : p.tilt };
}

// ---------------------------------------------------------------- how far off it may be

// The factor of the score's group times the score, as `hemidiaphragm_nb.conformal.margin`.
function margin(score, { limits, factors }) {
  return factors[limits.filter((limit) => score >= limit).length] * score;
}

// The apex of one lung: the mean place of its highest pixels; NaN where it reaches the row `top`.
function apex(labels, label, top) {
  const { height, width, data } = labels;
  const { highest, least } = FACTS.tilt;
  const counts = new Array(height).fill(0);
  data.forEach((v, i) => (counts[Math.floor(i / width)] += Number(v === label)));
  const area = counts.reduce((total, n) => total + n, 0);
  if (area < least || counts.slice(0, top + 1).some((n) => n)) return NONE;
  let [last, above] = [0, counts[0]];
  while (above < highest * area) above += counts[++last];
  let [n, x, y] = [0, 0, 0];
  for (let i = 0; i < (last + 1) * width; i++) {
    if (data[i] !== label) continue;
    n++;
    x += i % width;
    y += Math.floor(i / width);
  }
  return [x / n, y / n];
}

// Degrees in the patient, of pixels so much higher than wide: positive where the left apex is the
// lower one.
function lungTilt(labels, top, aspect) {
  const [right, left] = [1, 2].map((label) => apex(labels, label, top));
  return (Math.atan2((left[1] - right[1]) * aspect, left[0] - right[0]) * 180) / Math.PI;
}

// ---------------------------------------------------------------- the answer

// The answer for one radiograph. `heatmaps`: two planes; `lungs`: two planes of probabilities;
// `spread`: of each landmark, px of the frame, between its readings; `facts`: what its file says.
export function interpret({ heatmaps, lungs, spread }, frame, where, card, facts) {
  const { beta } = card.recipe;
  const large = lungs.map((p) => resizeLinear(p, FRAME, FRAME));
  const labels = lungLabels(large);
  const heat = decode(heatmaps, beta);
  const rule = SIDES.map((_, k) => landmarkOfLung(labelled(labels, k + 1), large[k]));
  const [points, apart] = fuse(heat, rule);
  const expected = heatmaps.map((map) => expectedError(map, beta));
  const byOneFactor = expected.map((e) => card.radius_factor * e);
  const known = (v) => (Number.isNaN(v) ? 0 : v);
  const scores = expected.map((e, k) => Math.hypot(e, known(apart[k]), known(spread[k])));
  const radius = scores.map((score, k) => margin(score, card.intervals[SIDES[k]]));
  const gapScore = Math.hypot(...expected, ...apart, ...spread);
  const gapMargin = margin(gapScore, card.intervals.gap);
  const checks = checkPrediction(frame, where, lungs, labels, points);
  const [top, start, rows, columns] = radiationField(frame, where);
  // near a black border a lung counts as cut off
  const upper = top + (top > where.top ? FACTS.features.edge : 0);
  const file = facts.warnings.map((message) => ({ code: "file", message, side: "" }));
  const answer = {
    width: where.width,
    height: where.height,
    points: points.map((p) => where.toImage(p)),
    mask: imageLabels(where, large, labels),
    spacing: facts.spacing,
    spacingSource: facts.spacingSource,
    disagreement: apart,
    radius90: radius.map((r) => (r * Math.max(where.height, where.width)) / FRAME),
    gapMarginPx: (gapMargin * Math.max(where.height, where.width)) / FRAME,
    tilt: lungTilt(labels, upper, facts.aspect),
    aspect: facts.aspect,
    fieldPx: [
      ...where.toImage([start - 0.5, top - 0.5]),
      ...where.toImage([start + columns - 0.5, top + rows - 0.5]),
    ],
    findings: [
      ...checks,
      ...landmarkFindings(apart, byOneFactor, radius),
      ...gapFindings(gapScore, gapMargin),
    ],
  };
  const abstained = abstain(answer);
  const findings = reasonFirst([...file, ...abstained.findings]);
  return withoutImplausibleMm({ ...abstained, findings });
}
