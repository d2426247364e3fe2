// Sizes of the lungs and the gap, as `hemidiaphragm_nb.measure` computes them.

import { plane, sum } from "./arrays.js";
import FACTS from "./facts.json";
import { FRAME } from "./frame.js";
import { boundingBox, largestPiece } from "./masks.js";

const SIDES = FACTS.features.sides;

// The largest piece of one lung, cut out of the mask, and its place; null without a lung.
export function lungBox(mask, label) {
  const { height, width, data } = mask;
  const lung = plane(new Uint8Array(data.length), height, width);
  for (let i = 0; i < data.length; i++) lung.data[i] = data[i] === label ? 1 : 0;
  const box = boundingBox(lung);
  if (!box) return null;
  const [top, bottom, left, right] = box;
  const piece = largestPiece(cropped(lung, top, bottom, left, right));
  const [t, b, l, r] = boundingBox(piece);
  return {
    top: top + t,
    bottom: top + b,
    left: left + l,
    right: left + r,
    lung: cropped(piece, t, b, l, r),
  };
}

function cropped({ data, width }, top, bottom, left, right) {
  const out = new Uint8Array((bottom - top) * (right - left));
  for (let y = top; y < bottom; y++) {
    out.set(data.subarray(y * width + left, y * width + right), (y - top) * (right - left));
  }
  return plane(out, bottom - top, right - left);
}

// The lower border from costophrenic to cardiophrenic end, points (x, y) px along pixels' edges.
function contour({ lung, top, left }, side, [row, column]) {
  if (lung.width < FACTS.min_columns) return []; // it has no landmark either
  const border = [];
  for (let x = 0; x < lung.width; x++) {
    let y = lung.height - 1;
    while (!lung.data[y * lung.width + x] && y > 0) y--;
    if (!lung.data[y * lung.width + x]) y = lung.height - 1; // as argmax finds nothing
    border.push([left + x - 0.5, y + top + 0.5], [left + x + 0.5, y + top + 0.5]);
  }
  if (side !== "right") border.reverse(); // the outer end first
  const along = border.map(([x, y]) => [Math.abs(x - border[0][0]), (y * row) / column]);
  const outer = along.map(([inwards, down]) => down - inwards);
  const inner = along.map(([inwards, down]) => down + inwards);
  const [most, least] = [Math.max(...outer) - 1e-6, Math.max(...inner) - 1e-6];
  return border.slice(
    outer.findIndex((v) => v >= most),
    inner.findLastIndex((v) => v >= least) + 1,
  );
}

// Largest distance of a contour above the chord between its ends, and the chord.
function domeHeight(points, [row, column]) {
  if (points.length < 2) return [NaN, NaN];
  const scaled = points.map(([x, y]) => [x * column, y * row]);
  const [[x0, y0], [x1, y1]] = [scaled[0], scaled.at(-1)];
  const [across, down] = [x1 - x0, y1 - y0];
  const chord = Math.hypot(across, down);
  const above = ([x, y]) => (Math.sign(across) * (down * (x - x0) - across * (y - y0))) / chord;
  return [scaled.reduce((most, p) => Math.max(most, above(p)), -Infinity), chord];
}

// What a lung must keep within to be whole: left, top, right, bottom of the image, and not too near
// to a black border.
function limits({ height, width }, fieldPx) {
  const edges = [-0.5, -0.5, width - 0.5, height - 0.5];
  const near = (FACTS.features.edge * Math.max(height, width)) / FRAME;
  return edges.map((edge, i) => {
    const inwards = i < 2 ? 1 : -1;
    return (fieldPx[i] - edge) * inwards > 0.5 ? fieldPx[i] + near * inwards : edge;
  });
}

// Sizes of one lung; NaN where the radiograph does not tell them. `level`: row of its landmark.
function measureLung(mask, k, level, spacing, fieldPx) {
  const box = lungBox(mask, k + 1);
  const names = ["area", "width", "height", "dome", "chord"];
  const sizes = { cut: [], top: NaN, lowest: Infinity };
  for (const name of names)
    for (const unit of ["px", "mm"]) sizes[`${name}_${unit}${name === "area" ? "2" : ""}`] = NaN;
  if (!box) return sizes;
  const { top, bottom, left, right, lung } = box;
  const [x0, y0, x1, y1] = limits(mask, fieldPx);
  const touches = {
    top: top - 0.5 <= y0,
    bottom: bottom - 0.5 >= y1,
    left: left - 0.5 <= x0,
    right: right - 0.5 >= x1,
  };
  sizes.top = top;
  sizes.lowest = touches.bottom ? y1 - 0.5 : Infinity; // a landmark at a cut base has no height
  sizes.cut = Object.keys(touches).filter((border) => touches[border]);
  const points = contour(box, SIDES[k], spacing || [1, 1]);
  const within = ([x, y]) => x > x0 && y > y0 && x < x1 && y < y1;
  const whole = points.length >= Math.max(2, lung.width / 2) && points.every(within);
  const known = {
    area: !sizes.cut.length,
    width: !touches.left && !touches.right,
    height: !touches.top && level > top - 0.5 && level < sizes.lowest,
    dome: whole,
    chord: whole,
  };
  const count = sum(lung.data);
  for (const [unit, [row, column]] of [
    ["px", [1, 1]],
    ["mm", spacing || [NaN, NaN]],
  ]) {
    const [dome, chord] = domeHeight(points, [row, column]);
    const values = {
      area: count * row * column,
      width: lung.width * column,
      height: (level - top + 0.5) * row,
      dome,
      chord,
    };
    for (const name of names) {
      if (known[name]) sizes[`${name}_${unit}${name === "area" ? "2" : ""}`] = values[name];
    }
  }
  return sizes;
}

// What is measured on one radiograph: NaN where unknown. The gap is positive where the right
// hemidiaphragm stands higher.
export function measure(mask, points, spacing, fieldPx) {
  const lungs = SIDES.map((_, k) => measureLung(mask, k, points[k][1], spacing, fieldPx));
  const gap = points[1][1] - points[0][1];
  return { lungs, gap_px: gap, gap_mm: spacing ? gap * spacing[0] : NaN };
}
