// The lungs brought to one place and size, read there several times, and the mean taken, as
// `hemidiaphragm_nb.placement`. A placement brings a point u of the frame, in sides, to
// scale * u + (x, y); the lungs' place is their centre and radius, in sides.

import { clamp, f32, plane, rint, sum } from "./arrays.js";
import { decode } from "./decode.js";
import FACTS from "./facts.json";
import { FRAME } from "./frame.js";

const { narrowest: NARROWEST, certain, fewest: FEWEST, scales: SCALES } = FACTS.placement;
const [LOW, RANGE] = [f32(certain[0]), f32(certain[1] - certain[0])];
const STEPS = 10 ** FACTS.placement.digits; // a side, of a lung's place
const WHOLE = { scale: 1, x: 0, y: 0 };
const FAINTEST = 1e-14; // of a Gaussian's height: what weighs less is left out
const REACH = Math.sqrt(-2 * Math.log(FAINTEST)); // standard deviations

// ---------------------------------------------------------------- to a place, and back

// For each of `side` values: the first of `size` values that it is made of, and their weights.
function gaussians(size, side, scale, shift, blur) {
  const width = Math.max((blur * size) / (side * scale), NARROWEST);
  const height = width * Math.sqrt(2 * Math.PI);
  return Array.from({ length: side }, (_, i) => {
    const at = (((i + 0.5) / side - shift) / scale) * size - 0.5;
    const start = clamp(Math.ceil(at - REACH * width), 0, size);
    const end = clamp(Math.floor(at + REACH * width) + 1, start, size);
    const weights = new Float32Array(end - start);
    for (let k = 0; k < weights.length; k++) {
      weights[k] = Math.exp(-0.5 * ((start + k - at) / width) ** 2) / height;
    }
    return { start, weights };
  });
}

// The same of the two values of a placed row beside each value of the frame's.
function lines(side, scale, shift) {
  return Array.from({ length: side }, (_, i) => {
    const at = ((scale * (i + 0.5)) / side + shift) * side - 0.5;
    const start = clamp(Math.floor(at), 0, side);
    const end = clamp(Math.floor(at) + 2, start, side);
    const weights = new Float32Array(end - start);
    for (let k = 0; k < weights.length; k++) weights[k] = 1 - Math.abs(start + k - at);
    return { start, weights };
  });
}

// rows · plane · columns, transposed; in 64 bits, since the network rounds grey levels, and what
// lies between two of them must fall alike everywhere.
function product(rows, p, columns) {
  const { width, data } = p;
  const out = new Float32Array(rows.length * columns.length);
  const line = new Float64Array(width);
  rows.forEach(({ start, weights }, y) => {
    line.fill(0);
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k];
      const row = (start + k) * width;
      for (let x = 0; x < width; x++) line[x] += weight * data[row + x];
    }
    const target = y * columns.length;
    for (let x = 0; x < columns.length; x++) {
      const { start: first, weights: across } = columns[x];
      let total = 0;
      for (let k = 0; k < across.length; k++) total += across[k] * line[first + k];
      out[target + x] = total;
    }
  });
  return plane(out, rows.length, columns.length);
}

// The frame as the network gets it; `blur`: standard deviation, px of the result.
export function placed(frame, side, at, blur) {
  const weights = (size, shift) => gaussians(size, side, at.scale, shift, blur);
  return product(weights(frame.height, at.y), frame, weights(frame.width, at.x));
}

// The mean of the maps of placed frames, one of each, where the frame has them; `beside`: the value
// where a placed frame shows nothing.
function meanBack(maps, around, beside) {
  const { height: side } = maps[0];
  const out = new Float32Array(side * side);
  maps.forEach(({ data }, i) => {
    const at = around[i];
    const over = plane(new Float32Array(data), side, side);
    for (let k = 0; k < over.data.length; k++) over.data[k] -= beside;
    const back = product(lines(side, at.scale, at.y), over, lines(side, at.scale, at.x)).data;
    for (let k = 0; k < out.length; k++) out[k] += f32(back[k] + beside);
  });
  for (let k = 0; k < out.length; k++) out[k] /= maps.length;
  return plane(out, side, side);
}

// ---------------------------------------------------------------- where the lungs lie

// Of the maps of probabilities of both lungs; null where they hold hardly any.
export function lungPlace([right, left]) {
  const { height: side } = right;
  const [columns, rows] = [new Float64Array(side), new Float64Array(side)];
  for (let y = 0, i = 0; y < side; y++) {
    for (let x = 0; x < side; x++, i++) {
      const likely = f32(Math.max(right.data[i], left.data[i]) - LOW);
      const weight = clamp(f32(likely / RANGE), 0, 1);
      columns[x] += weight;
      rows[y] += weight;
    }
  }
  const total = sum(rows);
  if (total < FEWEST * side * side) return null;
  const moment = (weights, f) =>
    weights.reduce((all, weight, i) => all + (weight / total) * f((i + 0.5) / side), 0);
  const [x, y] = [columns, rows].map((weights) => moment(weights, (at) => at));
  const spread = moment(columns, (at) => (at - x) ** 2) + moment(rows, (at) => (at - y) ** 2);
  const [rx, ry, radius] = [x, y, Math.sqrt(spread)].map((v) => rint(v * STEPS) / STEPS);
  return { x: rx, y: ry, radius };
}

// The placement that brings the lungs to the goal.
export function placeAt(lungs, goal) {
  const scale = clamp(goal.radius / lungs.radius, ...SCALES);
  return { scale, x: goal.x - scale * lungs.x, y: goal.y - scale * lungs.y };
}

// Where a placed point (in sides) lies in the frame.
function back([x, y], at) {
  return [(x - at.x) / at.scale, (y - at.y) / at.scale];
}

// Lungs found on a placed frame, in the frame.
function inFrame(lungs, at) {
  const [x, y] = back([lungs.x, lungs.y], at);
  return { x, y, radius: lungs.radius / at.scale };
}

// ---------------------------------------------------------------- read several times

// Of each landmark, px of the frame: the farthest of the readings from the mean's.
function spreadOf(readings, placements, mean, beta) {
  const points = decode(readings.flat(), beta);
  return decode(mean, beta).map(([x, y], k) => {
    const off = placements.map((at, i) => {
      const placed = points[i * mean.length + k].map((v) => (v + 0.5) / FRAME);
      const [u, v] = back(placed, at).map((w) => w * FRAME - 0.5);
      return Math.hypot(u - x, v - y);
    });
    return Math.max(...off);
  });
}

// The mean of the copies' maps, and how far (px of the frame) the farthest reading of each
// landmark lies from theirs; where no lungs are found, the first reading and NaN.
// `ask`: a plane of grey levels to { heatmaps, lungs }, planes of the network's side.
export async function readPlaced(ask, frame, { side, beta }, how) {
  const read = (at) => ask(placed(frame, side, at, how.blur));
  const first = await read(WHOLE);
  const found = lungPlace(first.lungs);
  if (!found) return { ...first, spread: [NaN, NaN] };
  const near = placeAt(found, how);
  const second = await read(near);
  const again = lungPlace(second.lungs);
  const lungs = again ? inFrame(again, near) : found;
  const around = how.copies.map(([factor, dx, dy]) =>
    placeAt(lungs, { x: how.x + dx, y: how.y + dy, radius: how.radius * factor }),
  );
  const copies = [];
  for (const at of around) copies.push(await read(at)); // one image at a time
  const mean = (task, beside) =>
    first[task].map((_, k) =>
      meanBack(
        copies.map((copy) => copy[task][k]),
        around,
        beside,
      ),
    );
  const heatmaps = mean("heatmaps", 1);
  const readings = [first, second, ...copies].map((answer) => answer.heatmaps);
  const spread = spreadOf(readings, [WHOLE, near, ...around], heatmaps, beta);
  return { heatmaps, lungs: mean("lungs", 0), spread };
}
