// Landmarks from heatmaps, as `hemidiaphragm_nb.heatmaps.decode_tanh` finds them; and heatmaps of
// landmarks (equations 1 and 2).

import { clamp, f32, rint, solve } from "./arrays.js";
import FACTS from "./facts.json";
import { FRAME } from "./frame.js";

// (column, row) of the middle of the square patch of about `width` px with the smallest mean.
function minimumPatch({ data, height: side }, width) {
  const step = Math.max(1, Math.floor(width / 3));
  const starts = [];
  for (let s = 0; s < side; s += step) starts.push(s);
  const n = starts.length;
  const blocks = new Float64Array(n * n);
  for (let y = 0; y < side; y++) {
    const row = Math.floor(y / step) * n;
    for (let x = 0; x < side; x++) {
      blocks[row + Math.floor(x / step)] += clamp(data[y * side + x], -1, 1);
    }
  }
  const size = (i) => Math.min(step, side - starts[i]);
  for (let i = 0; i < blocks.length; i++) blocks[i] /= size(Math.floor(i / n)) * size(i % n);
  const k = Math.min(width, n) >= 3 ? 3 : 1;
  let [best, least] = [[0, 0], Infinity];
  for (let y = 0; y + k <= n; y++) {
    for (let x = 0; x + k <= n; x++) {
      let total = 0;
      for (let i = 0; i < k; i++) for (let j = 0; j < k; j++) total += blocks[(y + i) * n + x + j];
      if (total < least) [best, least] = [[x, y], total];
    }
  }
  return best.map((v) => (v + k / 2) * step - 0.5);
}

// Lowest point of the weighted least-squares paraboloid through squared distances `z`.
// `samples` holds u, v, z and the weight w of one after the other.
function paraboloidMinimum(samples) {
  const G = Array.from({ length: 6 }, () => new Array(6).fill(0));
  const right = new Array(6).fill(0);
  const row = new Float64Array(6);
  let total = 1e-20;
  for (let k = 3; k < samples.length; k += 4) total += samples[k];
  for (let k = 0; k < samples.length; k += 4) {
    const [u, v, w] = [samples[k], samples[k + 1], samples[k + 3] / total];
    row.set([1, u, v, u * u, v * v, u * v]);
    const rest = samples[k + 2] - u * u - v * v;
    for (let i = 0; i < 6; i++) {
      right[i] += w * row[i] * rest;
      for (let j = 0; j < 6; j++) G[i][j] += w * row[i] * row[j];
    }
  }
  for (let i = 0; i < 6; i++) G[i][i] += G[i][i] * (i > 2 ? FACTS.curvature_penalty : 0) + 1e-6;
  const [, gu, gv, s3, s4, s5] = solve(G, right);
  const [a, c] = [Math.max(2 + 2 * s3, 0.2), Math.max(2 + 2 * s4, 0.2)];
  const b = clamp(s5, -0.9, 0.9) * Math.min(Math.sqrt(a * c), 1);
  return [-(c * gu - b * gv) / (a * c - b * b), -(a * gv - b * gu) / (a * c - b * b)];
}

// Step, in px of the map, from `t` to the lowest point of the squared distance around it.
function refine({ data, height: side }, t, radius, beta) {
  const half = f32((radius * FRAME) / side);
  const rate = f32(Math.PI / beta);
  const centre = t.map((v) => clamp(rint(v), 0, side - 1));
  const off = t.map((v, i) => (v - centre[i]) / radius);
  const samples = [];
  for (let dy = -radius; dy <= radius; dy++) {
    for (let dx = -radius; dx <= radius; dx++) {
      const [x, y] = [centre[0] + dx, centre[1] + dy];
      if (x < 0 || y < 0 || x >= side || y >= side) continue;
      const h = data[y * side + x];
      if (!(h < FACTS.saturated)) continue;
      const [u, v] = [dx / radius - off[0], dy / radius - off[1]];
      const near = half ** 2 * (u * u + v * v);
      const w = (1 - Math.tanh(rate * Math.sqrt(near)) ** 2) ** 2 / (near + 1);
      const d = Math.atanh(Math.max(h, 0)) / (rate * half);
      samples.push(u, v, d * d, w);
    }
  }
  return paraboloidMinimum(samples).map((v) => clamp(v, -1, 1) * radius);
}

// The landmark (x, y) of each heatmap, px of the 512-px frame.
export function decode(maps, beta) {
  const side = maps[0].height;
  const radius = Math.max(2, rint(((beta / 4) * side) / FRAME));
  let found = maps.map((map) => minimumPatch(map, ((beta / 4) * side) / FRAME).map(f32));
  for (let again = 0; again < 4; again++) {
    const steps = found.map((t, i) => refine(maps[i], t, radius, beta));
    found = found.map((t, i) => t.map((v, axis) => f32(v + steps[i][axis])));
    if (Math.max(...steps.flat().map(Math.abs)) < 0.001) break;
  }
  return found.map((t) => t.map((v) => f32((v + 0.5) * (FRAME / side) - 0.5)));
}

// The distance at which equation 2 has a heatmap's lowest value, px of the 512-px frame.
export function expectedError(map, beta) {
  let lowest = Infinity;
  for (const v of map.data) if (v < lowest) lowest = v;
  return (Math.atanh(clamp(lowest, 0, FACTS.highest_heat)) * beta) / Math.PI;
}

// The target heatmap of landmarks (px of the frame; null: unknown), both sides in one.
export function targetHeatmap(points, side, beta) {
  const out = new Float32Array(side * side).fill(1);
  for (const point of points.filter(Boolean)) {
    for (let y = 0; y < side; y++) {
      const dy = (y + 0.5) * (FRAME / side) - 0.5 - point[1];
      for (let x = 0; x < side; x++) {
        const dx = (x + 0.5) * (FRAME / side) - 0.5 - point[0];
        const value = Math.tanh((Math.PI * Math.hypot(dx, dy)) / beta);
        if (value < out[y * side + x]) out[y * side + x] = value;
      }
    }
  }
  return { data: out, height: side, width: side };
}
