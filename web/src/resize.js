// `resize` of OpenCV 5: INTER_AREA, INTER_LINEAR and INTER_NEAREST of one plane, rounded to 32-bit
// floats wherever OpenCV rounds.

import { f32, plane, rint } from "./arrays.js";

// For each target cell the source cells that it covers, and how much of it each fills.
function coverage(source, target) {
  const scale = source / target;
  const cells = [];
  for (let d = 0; d < target; d++) {
    const start = d * scale;
    const end = start + scale;
    const whole = Math.min(scale, source - start);
    const last = Math.min(Math.floor(end), source - 1);
    const first = Math.min(Math.ceil(start), last);
    const parts = [];
    if (first - start > 1e-3) parts.push([first - 1, f32((first - start) / whole)]);
    for (let s = first; s < last; s++) parts.push([s, f32(1 / whole)]);
    if (end - last > 1e-3) {
      parts.push([last, f32(Math.min(Math.min(end - last, 1), whole) / whole)]);
    }
    cells.push(parts);
  }
  return cells;
}

// Means of whole blocks of ky x kx values.
function blockMeans(p, height, width, bytes) {
  const [ky, kx] = [p.height / height, p.width / width];
  const out = new Float32Array(height * width);
  const share = f32(1 / (ky * kx));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let total = 0;
      for (let i = 0; i < ky; i++) {
        const row = (y * ky + i) * p.width + x * kx;
        for (let j = 0; j < kx; j++) total += p.data[row + j];
      }
      out[y * width + x] = f32(total) * share;
    }
  }
  if (!bytes) return plane(out, height, width);
  // of two by two bytes OpenCV rounds halves up, of others to the even number
  const round = ky === 2 && kx === 2 ? (v) => Math.floor(v + 0.5) : rint;
  return plane(out.map(round), height, width);
}

// A plane at a smaller size, each value the mean over the area that it covers (INTER_AREA).
// `bytes`: the values are whole numbers from 0 to 255, and the result's are too.
export function resizeArea(p, height, width, bytes = false) {
  if (height === p.height && width === p.width)
    return plane(new Float32Array(p.data), height, width);
  if (height > p.height || width > p.width) return areaEnlarged(p, height, width, bytes);
  if (p.height % height === 0 && p.width % width === 0) return blockMeans(p, height, width, bytes);
  const columns = coverage(p.width, width);
  const out = new Float32Array(height * width);
  const line = new Float32Array(width);
  coverage(p.height, height).forEach((parts, y) => {
    const target = out.subarray(y * width, (y + 1) * width);
    for (const [sy, beta] of parts) {
      const row = sy * p.width;
      for (let x = 0; x < width; x++) {
        let total = 0;
        for (const [sx, alpha] of columns[x]) total = f32(total + f32(p.data[row + sx] * alpha));
        line[x] = total;
      }
      for (let x = 0; x < width; x++) target[x] += f32(beta * line[x]);
    }
  });
  return plane(bytes ? out.map(rint) : out, height, width);
}

// For each target position the lower source position and the weight of the next one.
function linearSteps(source, target) {
  const scale = source / target;
  return Array.from({ length: target }, (_, d) => {
    const at = (d + 0.5) * scale - 0.5;
    const s = Math.floor(at);
    if (s < 0) return [0, 0];
    return s >= source - 1 ? [source - 1, 0] : [s, f32(at - s)];
  });
}

// The same as INTER_AREA takes them where one side grows.
function areaSteps(source, target) {
  const scale = source / target;
  return Array.from({ length: target }, (_, d) => {
    const s = Math.floor(d * scale);
    const t = f32(d + 1 - (s + 1) / scale);
    return s >= source - 1 ? [source - 1, 0] : [s, t <= 0 ? 0 : f32(t - Math.floor(t))];
  });
}

// The rows of a plane at a new width.
function widened(p, steps) {
  const width = steps.length;
  const out = new Float32Array(p.height * width);
  const starts = Int32Array.from(steps, ([s]) => s);
  const parts = Float32Array.from(steps, ([, t]) => t);
  for (let y = 0; y < p.height; y++) {
    const row = y * p.width;
    for (let x = 0; x < width; x++) {
      const s = starts[x];
      const t = parts[x];
      const here = p.data[row + s];
      out[y * width + x] = t ? here + f32(p.data[row + s + 1] - here) * t : here;
    }
  }
  return plane(out, p.height, width);
}

// A function that gives any row of the enlarged plane, always in the same array.
function reader(p, columnSteps, rowSteps) {
  const wide = widened(p, columnSteps);
  const row = new Float32Array(wide.width);
  return (y) => {
    const [s, t] = rowSteps[y];
    const above = s * wide.width;
    const below = above + (t ? wide.width : 0);
    for (let x = 0; x < wide.width; x++) {
      const here = wide.data[above + x];
      row[x] = here + f32(wide.data[below + x] - here) * t;
    }
    return row;
  };
}

function enlarged(p, columnSteps, rowSteps) {
  const read = reader(p, columnSteps, rowSteps);
  const [height, width] = [rowSteps.length, columnSteps.length];
  const out = new Float32Array(height * width);
  for (let y = 0; y < height; y++) out.set(read(y), y * width);
  return plane(out, height, width);
}

function areaEnlarged(p, height, width, bytes) {
  const out = enlarged(p, areaSteps(p.width, width), areaSteps(p.height, height));
  return bytes ? plane(out.data.map(rint), height, width) : out;
}

// A plane at another size, linear between the centres of its values (INTER_LINEAR).
export function resizeLinear(p, height, width) {
  if (height === p.height && width === p.width)
    return plane(new Float32Array(p.data), height, width);
  return enlarged(p, linearSteps(p.width, width), linearSteps(p.height, height));
}

// A function that gives any row of what `resizeLinear` gives, without holding them all.
export function linearRows(p, height, width) {
  return reader(p, linearSteps(p.width, width), linearSteps(p.height, height));
}

// A plane of labels at another size (INTER_NEAREST).
export function resizeNearest(p, height, width) {
  const out = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    const row = Math.min(Math.floor((y * p.height) / height), p.height - 1) * p.width;
    for (let x = 0; x < width; x++) {
      out[y * width + x] = p.data[row + Math.min(Math.floor((x * p.width) / width), p.width - 1)];
    }
  }
  return plane(out, height, width);
}

// Part of a plane, as a copy.
export function cut(p, top, left, height, width) {
  const out = new p.data.constructor(height * width);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * p.width + left;
    out.set(p.data.subarray(start, start + width), y * width);
  }
  return plane(out, height, width);
}
