// Outlines of the lungs as SVG paths.

import { resizeNearest } from "./resize.js";

// Closed polygons along the edges of the pixels of one label, corners as [x, y].
function edges({ data, height, width }, label) {
  const is = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] === label;
  const next = new Map(); // corner -> corners that edges lead to, the lung at their right hand
  const key = (x, y) => y * (width + 1) + x;
  const add = (x0, y0, x1, y1) => {
    const from = key(x0, y0);
    if (!next.has(from)) next.set(from, []);
    next.get(from).push([x1, y1]);
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[y * width + x] !== label) continue;
      if (!is(x, y - 1)) add(x, y, x + 1, y);
      if (!is(x + 1, y)) add(x + 1, y, x + 1, y + 1);
      if (!is(x, y + 1)) add(x + 1, y + 1, x, y + 1);
      if (!is(x - 1, y)) add(x, y + 1, x, y);
    }
  }
  const polygons = [];
  for (const [start, targets] of next) {
    while (targets.length) {
      const polygon = [];
      let [x, y] = targets.pop();
      for (;;) {
        polygon.push([x, y]);
        const here = key(x, y);
        if (here === start) break;
        [x, y] = next.get(here).pop();
      }
      polygons.push(polygon);
    }
  }
  return polygons;
}

// The points without those that lie nearer than `tolerance` to the line (Douglas and Peucker).
function simplified(points, tolerance) {
  if (points.length < 3) return points;
  const [[x0, y0], [x1, y1]] = [points[0], points.at(-1)];
  const length = Math.hypot(x1 - x0, y1 - y0);
  let [most, at] = [0, 0];
  points.forEach(([x, y], i) => {
    const across = Math.abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0));
    const away = length ? across / length : Math.hypot(x - x0, y - y0);
    if (away > most) [most, at] = [away, i];
  });
  if (most <= tolerance) return [points[0], points.at(-1)];
  const first = simplified(points.slice(0, at + 1), tolerance);
  return [...first.slice(0, -1), ...simplified(points.slice(at), tolerance)];
}

// The SVG paths of right and left lung, px of the radiograph, drawn at a size of `longest` px.
export function lungPaths(mask, longest = 1024) {
  const scale = Math.min(1, longest / Math.max(mask.height, mask.width));
  const [height, width] = [mask.height, mask.width].map((n) => Math.max(1, Math.round(n * scale)));
  const small = resizeNearest(mask, height, width);
  return [1, 2].map((label) =>
    edges(small, label)
      .map((polygon) => {
        const half = polygon.length >> 1;
        const parts = [polygon.slice(0, half + 1), [...polygon.slice(half), polygon[0]]];
        const [a, b] = parts.map((part) => simplified(part, 0.75));
        const corners = [...a, ...b.slice(1, -1)].map(([x, y]) => {
          return `${(x / scale - 0.5).toFixed(1)} ${(y / scale - 0.5).toFixed(1)}`;
        });
        return `M${corners.join("L")}Z`;
      })
      .join(""),
  );
}
