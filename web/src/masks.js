// Pieces, boxes and neighbourhoods of masks: planes of 0 and 1.

import { plane } from "./arrays.js";

// 1 where a plane of labels holds `label`.
export function labelled(labels, label) {
  const { data, height, width } = labels;
  const is = new Uint8Array(data.length);
  for (let i = 0; i < is.length; i++) is[i] = data[i] === label ? 1 : 0;
  return plane(is, height, width);
}

// The rows and columns that hold all of a mask: [top, bottom, left, right], ends excluded; null
// where it is empty.
export function boundingBox({ data, height, width }) {
  let [top, bottom, left, right] = [height, 0, width, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0, i = y * width; x < width; x++, i++) {
      if (!data[i]) continue;
      if (y < top) top = y;
      if (y >= bottom) bottom = y + 1;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
    }
  }
  return bottom ? [top, bottom, left, right] : null;
}

// The runs of pixels of a mask, row by row: first and last column of each, and where the runs of a
// row begin.
function runsOf({ data, height, width }) {
  const [first, last, rows] = [[], [], [0]];
  for (let y = 0; y < height; y++) {
    for (let x = 0, i = y * width; x < width; x++) {
      if (!data[i + x]) continue;
      first.push(x);
      while (x + 1 < width && data[i + x + 1]) x++;
      last.push(x);
    }
    rows.push(first.length);
  }
  return { first, last, rows };
}

// Of each run the first run of its piece. Runs touch at their corners too, or at their sides alone.
function joined({ first, last, rows }, corners) {
  const reach = corners ? 1 : 0;
  const parent = Int32Array.from(first, (_, i) => i);
  const root = (i) => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]];
    return i;
  };
  for (let y = 1; y + 1 < rows.length; y++) {
    let above = rows[y - 1];
    for (let i = rows[y]; i < rows[y + 1]; i++) {
      while (above < rows[y] && last[above] < first[i] - reach) above++;
      for (let k = above; k < rows[y] && first[k] <= last[i] + reach; k++) {
        const [a, b] = [root(k), root(i)];
        parent[Math.max(a, b)] = Math.min(a, b);
      }
    }
  }
  return parent.map((_, i) => root(i));
}

// Numbers the pieces of a mask from 1 on, in reading order; and how many pixels each has. Pixels
// touch at their corners too (8-connected), or at their sides alone.
export function pieces(mask, corners = true) {
  const runs = runsOf(mask);
  const roots = joined(runs, corners);
  const numbers = new Int32Array(mask.data.length);
  const numberOf = new Int32Array(roots.length);
  const sizes = [0];
  for (let y = 0; y < mask.height; y++) {
    for (let i = runs.rows[y]; i < runs.rows[y + 1]; i++) {
      if (roots[i] === i) numberOf[i] = sizes.push(0) - 1;
      const number = numberOf[roots[i]];
      const [from, to] = [y * mask.width + runs.first[i], y * mask.width + runs.last[i] + 1];
      numbers.fill(number, from, to);
      sizes[number] += to - from;
    }
  }
  return { numbers, sizes };
}

// The largest 8-connected piece of a mask, the first of equal ones.
export function largestPiece(mask) {
  const { numbers, sizes } = pieces(mask);
  if (sizes.length < 3) return mask;
  const best = sizes.indexOf(Math.max(...sizes.slice(1)), 1);
  const is = new Uint8Array(numbers.length);
  for (let i = 0; i < is.length; i++) is[i] = numbers[i] === best ? 1 : 0;
  return plane(is, mask.height, mask.width);
}

// 1 where any pixel of a square of `size` px around it is 1; what lies outside counts as 0.
export function dilate({ data, height, width }, size) {
  const reach = size >> 1;
  const across = new Uint8Array(data.length);
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!data[y * width + x]) continue;
      const [from, to] = [Math.max(0, x - reach), Math.min(width - 1, x + reach)];
      across.fill(1, y * width + from, y * width + to + 1);
    }
  }
  for (let y = 0; y < height; y++) {
    for (let dy = -reach; dy <= reach; dy++) {
      if (y + dy < 0 || y + dy >= height) continue;
      const [to, from] = [y * width, (y + dy) * width];
      for (let x = 0; x < width; x++) out[to + x] |= across[from + x];
    }
  }
  return plane(out, height, width);
}

// 1 where all pixels of a square around it are 1; what lies outside counts as 0.
export function erode({ data, height, width }, size) {
  const reach = size >> 1;
  const out = new Uint8Array(data.length);
  for (let y = reach; y < height - reach; y++) {
    for (let x = reach; x < width - reach; x++) {
      let all = 1;
      for (let dy = -reach; dy <= reach && all; dy++) {
        for (let dx = -reach; dx <= reach; dx++) all &= data[(y + dy) * width + x + dx];
      }
      out[y * width + x] = all;
    }
  }
  return plane(out, height, width);
}

// The mask without holes: what cannot be reached from outside, pixel by pixel over their sides.
export function filled(mask) {
  const { height, width } = mask;
  const wide = width + 2;
  const outside = new Uint8Array((height + 2) * wide).fill(1);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++)
      outside[(y + 1) * wide + x + 1] = Number(!mask.data[y * width + x]);
  }
  const { numbers } = pieces(plane(outside, height + 2, wide), false);
  const out = new Uint8Array(mask.data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      out[y * width + x] = Number(numbers[(y + 1) * wide + x + 1] !== numbers[0]);
    }
  }
  return plane(out, height, width);
}

// The area of the outline through the centres of a piece's outermost pixels (cv2.contourArea).
export function outlineArea(piece) {
  const { data, height, width } = filled(piece);
  let area = 0;
  for (let y = 0; y < height - 1; y++) {
    for (let x = 0; x < width - 1; x++) {
      const i = y * width + x;
      const corners = data[i] + data[i + 1] + data[i + width] + data[i + width + 1];
      area += corners === 4 ? 1 : corners === 3 ? 0.5 : 0;
    }
  }
  return area;
}

// The area of the convex hull of the centres of a mask's pixels.
export function hullArea({ data, height, width }) {
  const points = [];
  for (let x = 0; x < width; x++) {
    const column = [];
    for (let y = 0; y < height; y++) if (data[y * width + x]) column.push(y);
    if (column.length) points.push([x, column[0]], [x, column.at(-1)]);
  }
  const turn = ([ax, ay], [bx, by], [cx, cy]) => (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
  const half = (ordered) => {
    const chain = [];
    for (const p of ordered) {
      while (chain.length > 1 && turn(chain.at(-2), chain.at(-1), p) <= 0) chain.pop();
      chain.push(p);
    }
    return chain.slice(0, -1);
  };
  const hull = [...half(points), ...half([...points].reverse())];
  const crossed = hull.map(([x, y], i) => {
    const [nx, ny] = hull[(i + 1) % hull.length];
    return x * ny - y * nx;
  });
  return Math.abs(crossed.reduce((a, b) => a + b, 0)) / 2;
}
