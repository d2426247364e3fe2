// Reasons not to trust a result, as `hemidiaphragm_nb.features` and `.checks` find them: the same
// 45 features, the same reference, the same words.

import { extremes, inverse, mean, percentile, plane, rint, spread, sum } from "./arrays.js";
import FACTS from "./facts.json";
import { FRAME } from "./frame.js";
import * as masks from "./masks.js";
import { probeScores } from "./probes.js";
import { cut, resizeArea, resizeNearest } from "./resize.js";

const { waves: WAVES, coarse: COARSE, grid: GRID, shape: SHAPE, sides: SIDES } = FACTS.features;
const { limits: LIMITS, mean: MEAN, spread: SPREAD } = FACTS.reference;
const FINDINGS = FACTS.findings;

// ---------------------------------------------------------------- the picture

// The radiograph without empty margins: [top, left, height, width] in the frame.
export function radiationField(frame, where) {
  const image = cut(frame, where.top, where.left, where.rows, where.columns);
  const [low, high] = extremes(image.data);
  const least = FACTS.features.empty * (high - low);
  const line = (i, step, count, stride) => {
    let [darkest, brightest] = [255, 0];
    for (let k = 0; k < count; k++) {
      const v = image.data[i * step + k * stride];
      if (v < darkest) darkest = v;
      if (v > brightest) brightest = v;
    }
    return brightest - darkest > least;
  };
  const trimmed = (length, varied) => {
    const found = Array.from({ length }, (_, i) => i).filter(varied);
    return found.length > 16 ? [found[0], found.at(-1) + 1] : [0, length];
  };
  const { height, width } = image;
  const [top, bottom] = trimmed(height, (y) => line(y, width, width, 1));
  const [left, right] = trimmed(width, (x) => line(x, 1, height, width));
  return [where.top + top, where.left + left, bottom - top, right - left];
}

// Orthonormal cosine coefficients of a square plane, as rows.
function cosines(values, n) {
  const basis = Array.from({ length: n }, (_, k) =>
    Array.from({ length: n }, (_, i) => {
      return Math.sqrt((k ? 2 : 1) / n) * Math.cos((Math.PI * (i + 0.5) * k) / n);
    }),
  );
  const rows = Array.from({ length: n }, (_, y) =>
    basis.map((wave) => wave.reduce((t, c, x) => t + c * values[y * n + x], 0)),
  );
  return basis.map((wave) =>
    Array.from({ length: n }, (_, k) => wave.reduce((t, c, y) => t + c * rows[y][k], 0)),
  );
}

function variance(values) {
  return Math.max(spread(values) ** 2, 1e-3);
}

// How much of the variance lies in details of five sizes, as logarithms.
function varianceByScale(image, grey, coefficients) {
  const low = variance(resizeArea(grey, COARSE, COARSE).data);
  const [total, middle] = [variance(image.data), variance(grey.data)];
  const bands = [
    [WAVES, 8],
    [8, 16],
    [16, COARSE],
  ];
  const energy = bands.map(([a, b]) => {
    const inside = (v, i, j) => (Math.max(i, j) >= a && Math.max(i, j) < b ? v * v : 0);
    return sum(coefficients.flatMap((row, i) => row.map((v, j) => inside(v, i, j))));
  });
  const parts = energy.map((e) => (e * low) / total);
  parts.push((middle - low) / total, (total - middle) / total);
  return parts.map((v) => Math.log(Math.min(Math.max(v, 1e-5), 1)));
}

// Span of the grey levels, the fraction that is nearly black, and how often neighbours in mid-grey
// are exactly equal.
function greyLevels({ data, height, width }) {
  const sample = [];
  for (let y = 0; y < height; y += 4)
    for (let x = 0; x < width; x += 4) sample.push(data[y * width + x]);
  const sorted = Float64Array.from(sample).sort();
  let [middle, equal] = [0, 0];
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x + 1 < width; x += 2) {
      const v = data[y * width + x];
      if (!(v > 5 && v < 250)) continue;
      middle++;
      equal += Number(data[y * width + x + 1] === v);
    }
  }
  return {
    span: percentile(sorted, 95) - percentile(sorted, 5),
    dark: sample.filter((v) => v < FACTS.features.dark).length / sample.length,
    equal: equal / Math.max(middle, 1),
  };
}

// ---------------------------------------------------------------- the lungs

function solidity(lung) {
  const { numbers, sizes } = masks.pieces(lung);
  let best = [-1, 1];
  for (let k = 1; k < sizes.length; k++) {
    const piece = plane(
      Uint8Array.from(numbers, (n) => Number(n === k)),
      lung.height,
      lung.width,
    );
    const area = masks.outlineArea(piece);
    if (area > best[0]) best = [area, masks.hullArea(piece)];
  }
  return best[0] / Math.max(best[1], 1);
}

function meanWhere(grey, mask) {
  let [total, count] = [0, 0];
  for (let i = 0; i < mask.length; i++) {
    if (!mask[i]) continue;
    total += grey[i];
    count++;
  }
  return count ? total / count : 0;
}

// How much darker a lung is than a rim around it, in standard deviations of the grey levels.
function contrast(lung, either, grey) {
  const beside = masks.dilate(either, 3).data;
  const rim = masks.dilate(lung, 13).data.map((v, i) => v & (1 - beside[i]));
  const core = masks.erode(lung, 3).data;
  return (
    (meanWhere(grey.data, rim) - meanWhere(grey.data, core)) / Math.max(spread(grey.data), 1e-3)
  );
}

// Size, place and form of one lung on the grid: the numbers named in SHAPE; NaN for a tiny one.
function lungShape(lung, either, grey) {
  const rows = new Array(GRID).fill(0);
  const columns = new Array(GRID).fill(0);
  lung.data.forEach((v, i) => {
    rows[Math.floor(i / GRID)] += v;
    columns[i % GRID] += v;
  });
  const area = sum(rows);
  if (area < 40) return SHAPE.map(() => NaN);
  const place = (counts) => sum(counts.map((v, i) => (v * (i + 0.5)) / GRID)) / area;
  const first = rows.findIndex(Boolean);
  const n = rows.findLastIndex(Boolean) - first + 1;
  const upper = mean(rows.slice(first, first + Math.max(Math.floor(n / 3), 1)));
  const half = Math.floor(n / 2);
  const lower = mean(rows.slice(first + half, first + Math.max(Math.floor((5 * n) / 6), half + 1)));
  return [
    Math.log(area / GRID ** 2),
    place(columns),
    place(rows),
    columns.filter(Boolean).length / GRID,
    n / GRID,
    solidity(lung),
    contrast(lung, either, grey),
    Math.log(upper / lower),
  ];
}

// What can be wrong with a mask as such, relative to its area.
function maskFaults(probability, lungs) {
  const either = plane(
    lungs.data.map((v) => Number(v > 0)),
    GRID,
    GRID,
  );
  const count = sum(either.data);
  const area = Math.max(count, 1);
  const near = masks.dilate(either, 5).data;
  let [unsure, dropped, touching] = [0, 0, 0];
  probability.data.forEach((p, i) => {
    unsure += Number(p > 0.2 && p < 0.8);
    dropped += Number(p > FACTS.lung_threshold && !near[i]);
  });
  for (let y = 0; y < GRID; y++) {
    const row = lungs.data.subarray(y * GRID, (y + 1) * GRID);
    touching += Number(row.subarray(1).some((v, x) => v * row[x] === 2));
  }
  return {
    unsure: unsure / area,
    pieces: dropped / area,
    holes: (sum(masks.filled(either).data) - count) / area,
    touching,
  };
}

// Fraction of a lung's columns at the lower and upper edge of the field, of its rows at a side.
function edgeFractions({ data, height, width }) {
  const edge = FACTS.features.edge;
  const [rows, columns] = [new Set(), new Set()];
  const ends = { bottom: new Set(), top: new Set(), sides: new Set() };
  data.forEach((v, i) => {
    if (!v) return;
    const x = i % width;
    const y = (i - x) / width;
    rows.add(y);
    columns.add(x);
    if (y >= height - edge) ends.bottom.add(x);
    if (y < edge) ends.top.add(x);
    if (x < edge || x >= width - edge) ends.sides.add(y);
  });
  return {
    bottom: ends.bottom.size / Math.max(columns.size, 1),
    top: ends.top.size / Math.max(columns.size, 1),
    sides: ends.sides.size / Math.max(rows.size, 1),
  };
}

// Height of a landmark above or below the lung's lowest pixel in its column.
function borderDistance({ data, height, width }, [x, y]) {
  if (Number.isNaN(x + y)) return NaN;
  const column = Math.min(Math.max(rint(x), 0), height - 1);
  for (let row = height - 1; row >= 0; row--) {
    if (data[row * width + column]) return Math.abs(y - row);
  }
  return Infinity;
}

function lungFeatures(field, grey, lungs, labels, points) {
  const [top, left, height, width] = field;
  const side = lungs[0].height;
  const scale = side / FRAME;
  const ends = (start, length) => [Math.floor(start * scale), Math.ceil((start + length) * scale)];
  const [[y0, y1], [x0, x1]] = [ends(top, height), ends(left, width)];
  const larger = lungs[0].data.map((v, i) => Math.max(...lungs.map((l) => l.data[i])));
  const probability = cut(plane(larger, side, side), y0, x0, y1 - y0, x1 - x0);
  const inField = cut(labels, top, left, height, width);
  const small = resizeNearest(inField, GRID, GRID);
  const m = maskFaults(resizeArea(probability, GRID, GRID), small);
  const either = plane(
    small.data.map((v) => Number(v > 0)),
    GRID,
    GRID,
  );
  SIDES.forEach((name, k) => {
    lungShape(masks.labelled(small, k + 1), either, grey).forEach((value, i) => {
      m[`${name} ${SHAPE[i]}`] = value;
    });
    const edges = edgeFractions(masks.labelled(inField, k + 1));
    for (const [end, value] of Object.entries(edges)) m[`${name} ${end}`] = value;
    m[`${name} off border`] = borderDistance(masks.labelled(labels, k + 1), points[k]);
  });
  const slope = Math.atan2(m["left y"] - m["right y"], m["left x"] - m["right x"]);
  m.tilt = (slope * 180) / Math.PI;
  m.ratio = m["right size"] - m["left size"];
  return m;
}

// All that the checks are made of, by name. `where`: the `Frame`.
export function extractFeatures(frame, where, lungs, labels, points) {
  const field = radiationField(frame, where);
  const image = cut(frame, ...field);
  const grey = resizeArea(image, GRID, GRID, true);
  const small = resizeArea(image, COARSE, COARSE, true).data;
  const [middle, scale] = [mean(small), Math.max(spread(small), 1e-3) * COARSE];
  const coefficients = cosines(
    Float64Array.from(small, (v) => (v - middle) / scale),
    COARSE,
  );
  const m = {};
  for (let i = 0; i < WAVES; i++) {
    for (let j = 0; j < WAVES; j++) if (i + j) m[`wave ${i} ${j}`] = coefficients[i][j];
  }
  varianceByScale(image, grey, coefficients).forEach((v, i) => (m[`grain ${i}`] = v));
  return { ...m, ...greyLevels(image), ...lungFeatures(field, grey, lungs, labels, points) };
}

// ---------------------------------------------------------------- what is usual

const NAMES = FACTS.reference.names;
const LUNGS = NAMES.findIndex((name) => name === "right size"); // the image's features come before
const IMAGE_NAMES = NAMES.slice(0, LUNGS);
const CORRELATION = NAMES.map((_, i) =>
  NAMES.map((_, j) => FACTS.reference.correlation[Math.max(i, j)][Math.min(i, j)]),
);
const PARTS = Object.fromEntries(
  [
    [0, LUNGS],
    [LUNGS, NAMES.length],
    [0, NAMES.length],
  ].map(([a, b]) => {
    const square = CORRELATION.slice(a, b).map((row) => row.slice(a, b));
    return [b - a, { start: a, inverse: inverse(square) }];
  }),
);

// Mahalanobis distance from the usual, of image, lung or all features; infinite where unknown.
function distance(values) {
  const { start, inverse: weights } = PARTS[values.length];
  const z = values.map((v, i) => (v - MEAN[start + i]) / SPREAD[start + i]);
  const total = sum(weights.map((row, i) => z[i] * sum(row.map((w, j) => w * z[j]))));
  return Number.isNaN(total) ? Infinity : Math.sqrt(Math.max(total, 0));
}

// Grey levels, transposed, top to bottom, left to right; -1: inverted or flipped.
const PRESENTATIONS = [1, -1].flatMap((grey) =>
  [0, 1].flatMap((swap) =>
    [1, -1].flatMap((down) => [1, -1].map((across) => [grey, swap, down, across])),
  ),
);

// The image's features were it presented in another way.
function presented(values, [grey, swap, down, across]) {
  const wave = (i, j) => values[(swap ? j * WAVES + i : i * WAVES + j) - 1];
  const out = [];
  for (let i = 0; i < WAVES; i++) {
    for (let j = 0; j < WAVES; j++) {
      if (i + j) out.push(wave(i, j) * grey * (i % 2 ? down : 1) * (j % 2 ? across : 1));
    }
  }
  return [...out, ...values.slice(WAVES ** 2 - 1)];
}

// ---------------------------------------------------------------- the checks

function finding(code, message, side = "") {
  return { code, message, side };
}

function vector(m, names = NAMES) {
  return names.map((name) => m[name]);
}

// The presentation of which it looks, if not the right one; null where it looks right.
function presentation(m) {
  const distances = PRESENTATIONS.map((p) => distance(presented(vector(m, IMAGE_NAMES), p)));
  const wrong = PRESENTATIONS.map(
    ([grey, swap, down]) => !(grey === 1 && swap === 0 && down === 1),
  );
  const least = (which) => Math.min(...distances.filter((_, i) => wrong[i] === which)) ** 2;
  const best = distances.indexOf(Math.min(...distances));
  const gain = least(false) - least(true);
  if (gain < LIMITS.presentation || distances[best] > LIMITS.image) return null;
  return PRESENTATIONS[best];
}

// Whether what looks like a quarter turn is less of one: the lungs still look like lungs.
function isTilted([grey, swap], m) {
  const form = distance(vector(m, NAMES.slice(LUNGS)));
  return swap === 1 && grey > 0 && form < FACTS.checks.quarter * LIMITS.lungs;
}

function checkPresentation(m) {
  const seen = presentation(m);
  if (!seen || isTilted(seen, m)) return [];
  const [grey, swap, down] = seen;
  const how = swap ? "looks rotated by a quarter" : down < 0 ? "looks upside down" : "";
  const found = [];
  if (grey < 0) {
    const text = "the image looks inverted: show it with dark lungs and bright bone";
    found.push(finding("inverted", text));
  }
  if (how) found.push(finding("rotated", `the image ${how}: rotate it so that the head is up`));
  return found;
}

function checkFrontal(m) {
  const image = distance(vector(m, IMAGE_NAMES)) / LIMITS.image;
  const lungs = distance(vector(m, NAMES.slice(LUNGS))) / LIMITS.lungs;
  const none = Number.isNaN(m["right size"]) && Number.isNaN(m["left size"]);
  const beyond = FINDINGS.not_frontal.limits;
  const far = Number.isFinite(lungs) ? lungs > beyond.lungs : image > beyond.unknown;
  const strange = image > 1 || none || far;
  return strange ? [finding("not_frontal", FINDINGS.not_frontal.meaning)] : [];
}

function checkContrast(m) {
  const { span, steps, pale } = FACTS.checks;
  const why = [];
  if (m.span < span) why.push("it uses few of its grey levels");
  if (m.equal > steps) why.push("its grey levels come in coarse steps");
  const contrasts = SIDES.map((side) => m[`${side} contrast`]).filter(Number.isFinite);
  if (contrasts.length && Math.max(...contrasts) < pale) {
    why.push("the lungs hardly differ from what surrounds them");
  }
  return why.length ? [finding("low_contrast", `low contrast: ${why.join(" and ")}`)] : [];
}

function checkExposure(m) {
  const found = [];
  if (m.dark > FINDINGS.overexposed.limits.dark) {
    const text = `the image looks overexposed: ${(100 * m.dark).toFixed(0)}% of it is nearly black`;
    found.push(finding("overexposed", text));
  }
  if (m["grain 4"] - m["grain 3"] < Math.log(FINDINGS.blurred.limits.fine)) {
    const text = "the image looks blurred: it has next to no fine detail";
    found.push(finding("blurred", text));
  }
  return found;
}

function isMissing(m, side) {
  return !(Math.exp(m[`${side} size`]) >= FACTS.checks.tiny);
}

// Both lungs missing, or one of them, or cut off.
function checkLungs(m) {
  if (SIDES.every((side) => isMissing(m, side))) {
    return [finding("lungs_missing", `${FINDINGS.lungs_missing.meaning}, or both are tiny`)];
  }
  return SIDES.flatMap((side) => checkLung(m, side));
}

function checkLung(m, side) {
  const right = side === SIDES[0];
  if (isMissing(m, side)) {
    return [finding("lung_missing", `${side} lung not found or very small`, side)];
  }
  const found = [];
  const ratio = right ? m.ratio : -m.ratio;
  if (ratio < (right ? LIMITS["ratio from"] : -LIMITS["ratio to"])) {
    const text = `${side} lung is much smaller than the other: part of it may be missing`;
    found.push(finding("lung_part_missing", text, side));
  }
  if (m[`${side} contrast`] < LIMITS[`${side} contrast from`]) {
    const text = `${side} lung is not darker than what surrounds it: it may be filled or absent`;
    found.push(finding("lung_part_missing", text, side));
  } else if (m.probes[`${side} lung white`] > 0) {
    const text = `${side} lung looks white, in part or whole: it may be filled or hidden by fluid`;
    found.push(finding("lung_part_missing", text, side));
  }
  for (const [end, [most, words]] of Object.entries(FACTS.checks.ends)) {
    if (m[`${side} ${end}`] > most) {
      found.push(finding("cut_off", `${side} lung reaches the ${words} may be cut off`, side));
    }
  }
  return found;
}

// Degrees: how much lower the left lung's centre usually lies.
function usualTilt() {
  const [right, left] = SIDES.map((side) =>
    ["x", "y"].map((axis) => MEAN[NAMES.indexOf(`${side} ${axis}`)]),
  );
  return (Math.atan2(left[1] - right[1], left[0] - right[0]) * 180) / Math.PI;
}

function checkSymmetry(m) {
  const found = [];
  const straight = LIMITS["tilt from"] <= m.tilt && m.tilt <= LIMITS["tilt to"];
  const seen = presentation(m);
  if ((!straight && Math.abs(m.tilt) < 90) || (seen && isTilted(seen, m))) {
    const angle = m.tilt - usualTilt();
    const way = angle > 0 ? "clockwise" : "counterclockwise";
    const about = `${rint(Math.abs(angle))}° ${way}`;
    found.push(
      finding("rotated", `the lungs are tilted by about ${about}: is the image rotated?`),
    );
  }
  const whole = SIDES.every((side) =>
    Object.entries(FACTS.checks.ends).every(([end, [most]]) => m[`${side} ${end}`] <= most),
  );
  const white = SIDES.some((side) => m.probes[`${side} lung white`] > 0);
  const usual = distance(vector(m, IMAGE_NAMES)) < LIMITS.image;
  if (whole && usual && !white && m.probes.mirrored > 0) {
    const text = "the image looks mirrored: right and left may be exchanged";
    found.push(finding("mirrored", text));
  }
  if (m.probes["short lungs"] > 0) {
    const text = "the lungs are short for their width: is it a child, or the image out of shape?";
    found.push(finding("proportions", text));
  }
  return found;
}

function checkMask(m) {
  const why = Object.entries(FACTS.checks.faults)
    .filter(([name, [most]]) => m[name] > most)
    .map(([, [, words]]) => words);
  if (m["left x"] - m["right x"] < FINDINGS.mask_implausible.limits.apart) {
    why.push("the masks lie on the wrong sides");
  }
  const form = vector(m, NAMES.slice(LUNGS));
  const far = distance(form);
  if (!why.length && Number.isFinite(far) && far > LIMITS.lungs) {
    const z = form.map((v, i) => Math.abs((v - MEAN[LUNGS + i]) / SPREAD[LUNGS + i]));
    const worst = NAMES[LUNGS + z.indexOf(Math.max(...z))];
    why.push(`the masks are not shaped like lungs (mostly the ${worst})`);
  }
  return why.map((words) => finding("mask_implausible", `implausible: ${words}`));
}

function checkLandmarks(m) {
  return SIDES.filter((side) => m[`${side} off border`] > FACTS.checks.off).map((side) => {
    const off = m[`${side} off border`];
    const where = off === Infinity ? "outside" : `${rint(off)} px of 512 from`;
    const text = `${side} landmark lies ${where} the mask's lower border`;
    return finding("landmark_off_border", text, side);
  });
}

// Reasons not to trust what was found on a radiograph, the most fundamental first.
export function checkPrediction(frame, where, lungs, labels, points) {
  const m = extractFeatures(frame, where, lungs, labels, points);
  const wrong = checkPresentation(m);
  m.probes = wrong.length ? {} : probeScores(vector(m), frame, labels);
  if (wrong.length) {
    const lost = checkLungs(m).filter((f) => f.code === "lungs_missing");
    return [...lost, ...wrong, ...checkContrast({ span: m.span, equal: m.equal })];
  }
  return [
    ...checkFrontal(m),
    ...checkContrast(m),
    ...checkExposure(m),
    ...checkLungs(m),
    ...checkSymmetry(m),
    ...checkMask(m),
    ...checkLandmarks(m),
  ];
}

// Plain words for each side whose landmark is doubtful; lengths in px of the 512-px frame.
// `radius`: by one factor for all; `stated`: the one that is stated.
export function landmarkFindings(disagreement, radius, stated) {
  return SIDES.flatMap((side, k) => {
    const found = [];
    const doubt = `${side} landmark uncertain: `;
    if (disagreement[k] > FACTS.max_disagreement) {
      const text = `${doubt}heatmap and mask disagree by ${rint(disagreement[k])} px of 512`;
      found.push(finding("landmark_disagreement", text, side));
    }
    if (radius[k] > FACTS.max_radius) {
      const text = `${doubt}it may lie ${rint(stated[k])} px of 512 elsewhere`;
      found.push(finding("landmark_uncertain", `${text}, and farther one time in ten`, side));
    }
    return found;
  });
}

// Plain words for a gap that may be far off; px of the 512-px frame, NaN: unknown.
export function gapFindings(score, margin) {
  if (!(score > FINDINGS.gap_uncertain.limits.px512 && Number.isFinite(margin))) return [];
  const text = `gap uncertain: it may be ${rint(margin)} px of 512 larger or smaller`;
  return [finding("gap_uncertain", `${text}, and farther off one time in ten`)];
}
