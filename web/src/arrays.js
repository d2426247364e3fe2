// NumPy's and OpenCV's arithmetic on flat typed arrays, so that the page computes what the library
// computes: single precision where they use it, and halves rounded to the even number.

export const f32 = Math.fround;

// A picture's plane: `data` holds height x width values, row by row.
export function plane(data, height, width) {
  return { data, height, width };
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// The nearest whole number, halves to the even one.
export function rint(x) {
  const floor = Math.floor(x);
  const part = x - floor;
  if (part !== 0.5) return part < 0.5 ? floor : floor + 1;
  return floor % 2 ? floor + 1 : floor;
}

// A typed array of `f(value, index)` of each value, quicker than `Type.from`; where it is done for
// every pixel of a radiograph, a loop of its own is quicker still.
export function mapped(Type, values, f) {
  const out = new Type(values.length);
  for (let i = 0; i < values.length; i++) out[i] = f(values[i], i);
  return out;
}

// The smallest and the largest value. Math.min(...) would need a stack of the picture's size.
export function extremes(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const v = values[i];
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return [low, high];
}

export function sum(values) {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

export function mean(values) {
  return sum(values) / values.length;
}

// The standard deviation of a population.
export function spread(values) {
  const middle = mean(values);
  let total = 0;
  for (let i = 0; i < values.length; i++) total += (values[i] - middle) ** 2;
  return Math.sqrt(total / values.length);
}

// Percentiles of sorted numbers, between neighbours as `numpy.percentile` interpolates.
export function percentile(sorted, percent) {
  const at = ((sorted.length - 1) * percent) / 100;
  const i = Math.min(Math.floor(at), sorted.length - 1);
  const j = Math.min(i + 1, sorted.length - 1);
  const t = at - i;
  const step = sorted[j] - sorted[i];
  return t >= 0.5 ? sorted[j] - step * (1 - t) : sorted[i] + step * t;
}

// The inverse of a square matrix (an array of rows), by Gauss and Jordan with pivots.
export function inverse(matrix) {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
  for (let k = 0; k < n; k++) {
    let best = k;
    for (let i = k; i < n; i++) if (Math.abs(rows[i][k]) > Math.abs(rows[best][k])) best = i;
    [rows[k], rows[best]] = [rows[best], rows[k]];
    const pivot = rows[k][k];
    rows[k] = rows[k].map((v) => v / pivot);
    for (let i = 0; i < n; i++) {
      const factor = rows[i][k];
      if (i !== k && factor) rows[i] = rows[i].map((v, j) => v - factor * rows[k][j]);
    }
  }
  return rows.map((row) => row.slice(n));
}

// The solution x of matrix · x = values; zeros where a number is not finite.
export function solve(matrix, values) {
  if (![...matrix.flat(), ...values].every(Number.isFinite)) return values.map(() => 0);
  return inverse(matrix).map((row) => row.reduce((total, v, j) => total + v * values[j], 0));
}

// A number in as few digits as Python's format `g` writes it.
export function general(value, digits = 6) {
  const exponent = value ? Math.floor(Math.log10(Math.abs(Number(value.toPrecision(digits))))) : 0;
  if (exponent >= -4 && exponent < digits) return String(Number(value.toPrecision(digits)));
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const size = String(Math.abs(Number(power))).padStart(2, "0");
  return `${Number(mantissa)}e${Number(power) < 0 ? "-" : "+"}${size}`;
}
