// The radiograph in the square frame of 512 px, as `hemidiaphragm_nb.radiograph` puts it there.

import { clamp, extremes, f32, mapped, percentile, plane, rint } from "./arrays.js";
import FACTS from "./facts.json";
import { resizeArea, resizeLinear } from "./resize.js";

export const FRAME = FACTS.frame;

function ends(sorted) {
  return [percentile(sorted, 0.5), percentile(sorted, 99.5)];
}

// The grey levels (dark, bright) between which the anatomy lies.
export function greyRange({ data, height, width }) {
  const [top, left] = [Math.floor(height / 8), Math.floor(width / 8)];
  const [rows, columns] = [height - 2 * top, width - 2 * left];
  const step = Math.max(1, Math.floor(Math.min(rows, columns) / 256));
  const sample = new Float64Array(Math.ceil(rows / step) * Math.ceil(columns / step));
  let n = 0;
  for (let y = top; y < height - top; y += step) {
    for (let x = left; x < width - left; x += step) sample[n++] = data[y * width + x];
  }
  sample.sort();
  let [low, high] = ends(sample);
  const margin = 0.0201 * (high - low);
  const inner = sample.filter((v) => v > low + margin && v < high - margin);
  if (inner.length > 0.02 * sample.length) [low, high] = ends(inner);
  if (high <= low) return extremes(data);
  return [low - 0.05 * (high - low), high + 0.05 * (high - low)];
}

// Grey levels to [0, 1], in place of the plane's own.
export function standardise(pixels) {
  const [low, high] = greyRange(pixels);
  const whole = high - low >= 1 ? Math.floor(low) : low;
  const [start, rest] = [f32(whole), f32(low - whole)];
  const scale = high > low ? f32(1 / (high - low)) : 0;
  const out = new Float32Array(pixels.data.length);
  for (let i = 0; i < out.length; i++) {
    const v = f32(f32(pixels.data[i] - start) - rest) * scale;
    out[i] = v < 0 ? 0 : v > 1 ? 1 : v;
  }
  return plane(out, pixels.height, pixels.width);
}

// Where a radiograph of this size lies in the frame, and the ways there and back.
export class Frame {
  constructor(height, width, side = FRAME) {
    const scale = side / Math.max(height, width);
    Object.assign(this, { height, width, side });
    this.rows = Math.max(1, rint(height * scale));
    this.columns = Math.max(1, rint(width * scale));
    this.top = Math.floor((side - this.rows) / 2);
    this.left = Math.floor((side - this.columns) / 2);
  }

  toFrame([x, y]) {
    const [sx, sy] = [this.columns / this.width, this.rows / this.height];
    return [x * sx + 0.5 * sx - 0.5 + this.left, y * sy + 0.5 * sy - 0.5 + this.top];
  }

  toImage([x, y]) {
    const [sx, sy] = [this.columns / this.width, this.rows / this.height];
    return [(x - (0.5 * sx - 0.5 + this.left)) / sx, (y - (0.5 * sy - 0.5 + this.top)) / sy];
  }

  // The standardised radiograph in the frame: whole numbers from 0 to 255, 0 beside it.
  framed(standard) {
    const resize = this.rows <= this.height ? resizeArea : resizeLinear;
    const small = resize(standard, this.rows, this.columns);
    const out = new Uint8Array(this.side * this.side);
    for (let y = 0; y < this.rows; y++) {
      for (let x = 0; x < this.columns; x++) {
        const grey = f32(f32(small.data[y * this.columns + x] * 255) + f32(1e-3));
        out[(this.top + y) * this.side + this.left + x] = clamp(rint(grey), 0, 255);
      }
    }
    return plane(out, this.side, this.side);
  }
}

const [MEAN, STD] = FACTS.standard;
const [SCALE, ZERO] = [f32(1 / (255 * STD)), f32(MEAN / STD)];

// The network's input: grey levels about zero mean and unit standard deviation.
export function toFloat(levels) {
  return mapped(Float32Array, levels, (v) => f32(v * SCALE) - ZERO);
}
