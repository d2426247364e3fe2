// Grey JPEG pictures of 12 bits a sample (process 4, sequential), which no kept package decodes:
// the same whole-number inverse cosine transform as libjpeg's, so that the samples are the same.

import { Rejection } from "./rejection.js";

const ZIGZAG = [
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
  13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52,
  45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

function damaged() {
  return new Rejection("its picture is damaged", "Export it again.");
}

// The symbols of a Huffman table by the length and the value of their code.
function huffman(counts, symbols) {
  const table = new Map();
  let [value, next] = [0, 0];
  counts.forEach((count, i) => {
    for (let k = 0; k < count; k++) table.set(((i + 1) << 16) | value++, symbols[next++]);
    value <<= 1;
  });
  return table;
}

// The bits of a scan, without the zeros that are stuffed behind a byte of ones.
class Bits {
  constructor(bytes, at) {
    Object.assign(this, { bytes, at, left: 0, byte: 0 });
  }

  bit() {
    if (!this.left) {
      this.byte = this.bytes[this.at];
      if (this.byte === undefined) throw damaged();
      if (this.byte === 0xff) {
        if (this.bytes[this.at + 1] !== 0) throw damaged();
        this.at++;
      }
      this.at++;
      this.left = 8;
    }
    return (this.byte >> --this.left) & 1;
  }

  symbol(table) {
    let value = 0;
    for (let length = 1; length <= 16; length++) {
      value = (value << 1) | this.bit();
      const found = table.get((length << 16) | value);
      if (found !== undefined) return found;
    }
    throw damaged();
  }

  // A number of `size` bits, negative where its first bit is 0.
  number(size) {
    let value = 0;
    for (let k = 0; k < size; k++) value = value * 2 + this.bit();
    return size && value < 2 ** (size - 1) ? value - 2 ** size + 1 : value;
  }

  restart() {
    this.left = 0;
    if (this.bytes[this.at] !== 0xff || (this.bytes[this.at + 1] & 0xf8) !== 0xd0) throw damaged();
    this.at += 2;
  }
}

// The tables of a stream, and where its scan begins.
function readTables(bytes) {
  const found = { quantities: [], dc: [], ac: [], interval: 0 };
  for (let at = 2; at + 4 <= bytes.length;) {
    if (bytes[at] !== 0xff) throw damaged();
    const marker = bytes[at + 1];
    const end = at + 2 + bytes[at + 2] * 256 + bytes[at + 3];
    let i = at + 4;
    if (marker === 0xdb) {
      while (i < end) {
        const [wide, id] = [bytes[i] >> 4, bytes[i++] & 15];
        found.quantities[id] = Array.from({ length: 64 }, () => {
          const value = wide ? bytes[i] * 256 + bytes[i + 1] : bytes[i];
          i += wide ? 2 : 1;
          return value;
        });
      }
    } else if (marker === 0xc4) {
      while (i < end) {
        const [tables, id] = [bytes[i] >> 4 ? found.ac : found.dc, bytes[i++] & 15];
        const counts = [...bytes.subarray(i, i + 16)];
        const total = counts.reduce((a, b) => a + b, 0);
        tables[id] = huffman(counts, bytes.subarray(i + 16, i + 16 + total));
        i += 16 + total;
      }
    } else if (marker === 0xdd) {
      found.interval = bytes[i] * 256 + bytes[i + 1];
    } else if (marker === 0xc0 || marker === 0xc1) {
      if (bytes[i + 5] !== 1) throw damaged();
      Object.assign(found, { bits: bytes[i], quantity: bytes[i + 8] });
      found.height = bytes[i + 1] * 256 + bytes[i + 2];
      found.width = bytes[i + 3] * 256 + bytes[i + 4];
    } else if (marker === 0xda) {
      return { ...found, tables: bytes[i + 2], start: end };
    } else if (marker >= 0xc2 && marker <= 0xcf) {
      const advice = "Read it with `hemidiaphragm predict`, or export it uncompressed.";
      throw new Rejection("it is a JPEG of a rare kind, which this page does not read", advice);
    }
    at = end;
  }
  throw damaged();
}

function descale(value, bits) {
  return Math.floor((value + 2 ** (bits - 1)) / 2 ** bits);
}

// One direction of the inverse cosine transform, of 8 values `step` apart.
function transform(v, at, step, bits) {
  const x = (k) => v[at + k * step];
  const even = (x(2) + x(6)) * 4433;
  const [t2, t3] = [even - x(6) * 15137, even + x(2) * 6270];
  const [t0, t1] = [(x(0) + x(4)) * 8192, (x(0) - x(4)) * 8192];
  const evens = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
  const z5 = (x(7) + x(3) + x(5) + x(1)) * 9633;
  const [z1, z2] = [(x(7) + x(1)) * -7373, (x(5) + x(3)) * -20995];
  const [z3, z4] = [(x(7) + x(3)) * -16069 + z5, (x(5) + x(1)) * -3196 + z5];
  const odds = [
    x(1) * 12299 + z1 + z4,
    x(3) * 25172 + z2 + z3,
    x(5) * 16819 + z2 + z4,
    x(7) * 2446 + z1 + z3,
  ];
  for (let k = 0; k < 4; k++) {
    v[at + k * step] = descale(evens[k] + odds[k], bits);
    v[at + (7 - k) * step] = descale(evens[k] - odds[k], bits);
  }
}

// The samples of a grey stream, row by row.
export function decodeExtended(bytes) {
  const t = readTables(bytes);
  const [dc, ac] = [t.dc[t.tables >> 4], t.ac[t.tables & 15]];
  const quantities = t.quantities[t.quantity];
  if (!dc || !ac || !quantities) throw damaged();
  const bits = new Bits(bytes, t.start);
  const [down, across] = [Math.ceil(t.height / 8), Math.ceil(t.width / 8)];
  const [out, middle, most] = [
    new Uint16Array(t.height * t.width),
    2 ** (t.bits - 1),
    2 ** t.bits - 1,
  ];
  const precise = t.bits > 8 ? 1 : 2; // bits that the first pass keeps behind the point
  const block = new Float64Array(64);
  let level = 0;
  for (let n = 0; n < down * across; n++) {
    if (t.interval && n && n % t.interval === 0) {
      bits.restart();
      level = 0;
    }
    block.fill(0);
    level += bits.number(bits.symbol(dc));
    block[0] = level * quantities[0];
    for (let k = 1; k < 64; k++) {
      const symbol = bits.symbol(ac);
      const size = symbol & 15;
      if (!size && symbol !== 0xf0) break;
      k += symbol >> 4;
      if (k > 63) throw damaged();
      if (size) block[ZIGZAG[k]] = bits.number(size) * quantities[k];
    }
    for (let x = 0; x < 8; x++) transform(block, x, 8, 13 - precise);
    for (let y = 0; y < 8; y++) transform(block, 8 * y, 1, 13 + precise + 3);
    const [top, left] = [8 * Math.floor(n / across), 8 * (n % across)];
    for (let y = 0; y < Math.min(8, t.height - top); y++) {
      for (let x = 0; x < Math.min(8, t.width - left); x++) {
        const value = block[8 * y + x] + middle;
        out[(top + y) * t.width + left + x] = Math.min(Math.max(value, 0), most);
      }
    }
  }
  return out;
}
