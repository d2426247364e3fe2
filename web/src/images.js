// The bytes of a file to grey pixels, as `hemidiaphragm_nb.formats` and `.readers` make them. What
// is damaged, gigantic or no single picture is rejected, where possible before it is decoded.

import { decode as decodePng, convertIndexedToRgb } from "fast-png";

import { extremes, f32, plane } from "./arrays.js";
import { decodeJpeg } from "./codecs.js";
import FACTS from "./facts.json";
import { Rejection } from "./rejection.js";

const LIMITS = FACTS.limits;

// ---------------------------------------------------------------- what may be read

// Rejects a size that no frontal chest radiograph has.
export function checkSize(height, width) {
  const size = `${width} x ${height} pixels`;
  if (Math.min(height, width) < LIMITS.side) {
    throw new Rejection(`it is too small (${size}; at least ${LIMITS.side} a side)`);
  }
  if (height * width > LIMITS.pixels) {
    const most = LIMITS.pixels / 1e6;
    const reason = `it is gigantic (${size}; the limit is ${most} million)`;
    throw new Rejection(reason, "Reduce it first.");
  }
}

function ascii(bytes, start, end) {
  return String.fromCharCode(...bytes.subarray(start, end));
}

// 'png', 'jpeg', 'tiff' or 'dicom', by the content alone.
export function fileKind(bytes) {
  if (ascii(bytes, 128, 132) === "DICM") return "dicom";
  const starts = {
    "\x89PNG\r\n\x1a\n": "png",
    "\xff\xd8\xff": "jpeg",
    "II*\0": "tiff",
    "MM\0*": "tiff",
    "II+\0": "tiff",
    "MM\0+": "tiff",
    "\x08\0": "dicom",
    "\x02\0": "dicom",
  };
  for (const [magic, kind] of Object.entries(starts)) {
    if (ascii(bytes, 0, magic.length) === magic) return kind;
  }
  const advice = "Export the radiograph as one of these.";
  throw new Rejection("it is not a PNG, JPEG, TIFF or DICOM file", advice);
}

// ---------------------------------------------------------------- grey values

// How OpenCV makes grey of red, green and blue: whole numbers by whole numbers.
function luminance(r, g, b, floating) {
  if (floating) return f32(0.299) * r + f32(0.587) * g + f32(0.114) * b;
  return Math.floor((9798 * r + 19235 * g + 3735 * b + 16384) / 32768);
}

// The grey plane of samples that lie pixel by pixel, 1 to 4 a pixel; composited over black.
export function toGrey(samples, height, width, channels) {
  if (channels === 1) return plane(samples, height, width);
  const floating = samples instanceof Float32Array;
  const largest = floating ? 1 : 2 ** (8 * samples.BYTES_PER_ELEMENT) - 1;
  const alpha = channels === 2 || channels === 4;
  const out = new Float32Array(height * width);
  for (let i = 0, at = 0; i < out.length; i++, at += channels) {
    const grey =
      channels < 3
        ? samples[at]
        : luminance(samples[at], samples[at + 1], samples[at + 2], floating);
    out[i] = alpha ? grey * f32(samples[at + channels - 1] / largest) : grey;
  }
  return plane(out, height, width);
}

// Undoes an EXIF orientation (1 to 8).
export function undoOrientation(p, orientation) {
  if (!(orientation > 1 && orientation < 9)) return p;
  const swap = orientation > 4;
  const across = [2, 3, 6, 7].includes(orientation);
  const down = [3, 4, 7, 8].includes(orientation);
  const [height, width] = swap ? [p.width, p.height] : [p.height, p.width];
  const out = new p.data.constructor(p.data.length);
  for (let y = 0; y < height; y++) {
    const row = down ? height - 1 - y : y;
    for (let x = 0; x < width; x++) {
      const column = across ? width - 1 - x : x;
      out[y * width + x] = swap ? p.data[column * p.width + row] : p.data[row * p.width + column];
    }
  }
  return plane(out, height, width);
}

// ---------------------------------------------------------------- orientation

// The orientation that EXIF data state; 0 where they state none.
function exifOrientation(bytes) {
  if (ascii(bytes, 0, 6) === "Exif\0\0") bytes = bytes.subarray(6);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8) return 0;
  const little = view.getUint16(0) === 0x4949;
  const at = view.getUint32(4, little);
  if (at + 2 > bytes.length) return 0;
  for (let k = 0; k < view.getUint16(at, little); k++) {
    const entry = at + 2 + 12 * k;
    if (entry + 12 > bytes.length) return 0;
    if (view.getUint16(entry, little) === 0x0112) return view.getUint16(entry + 8, little);
  }
  return 0;
}

function xmpOrientation(bytes) {
  const found = /tiff:Orientation(?:="|>)([0-9])/.exec(new TextDecoder("latin1").decode(bytes));
  return found ? Number(found[1]) : 0;
}

function known(...orientations) {
  const stated = orientations.find(Boolean);
  return stated >= 1 && stated <= 8 ? stated : 1;
}

// ---------------------------------------------------------------- PNG

// The chunks of a PNG file as [name, content]; what ends early is rejected.
function pngChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks = [];
  for (let at = 8; chunks.at(-1)?.[0] !== "IEND";) {
    const length = at + 12 > bytes.length ? Infinity : view.getUint32(at);
    if (at + 12 + length > bytes.length) {
      throw new Rejection("the file is cut short", "Copy it again from its source.");
    }
    chunks.push([ascii(bytes, at + 4, at + 8), bytes.subarray(at + 8, at + 8 + length)]);
    at += 12 + length;
  }
  return chunks;
}

// Samples of 1, 2 or 4 bits, a row of which begins with a byte, as bytes.
function unpacked({ data, depth, width, height }) {
  if (depth >= 8) return data;
  const out = new Uint8Array(width * height);
  const row = Math.ceil((width * depth) / 8);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      const byte = data[y * row + (bit >> 3)];
      out[y * width + x] = (byte >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
    }
  }
  return out;
}

// The samples of a PNG picture with its colour map applied, and how many a pixel has.
function pngSamples(png) {
  if (png.palette) {
    const channels = png.palette[0].length;
    return [convertIndexedToRgb(png), channels];
  }
  const samples = unpacked(png);
  if (!png.transparency) return [samples, png.channels];
  if (png.depth !== 8) {
    throw new Rejection(
      "its transparency is of a kind that this page does not read",
      "Save it without.",
    );
  }
  const [n, clear] = [png.channels, png.transparency];
  const out = new Uint8Array((samples.length / n) * (n + 1));
  for (let i = 0; i < samples.length / n; i++) {
    const pixel = samples.subarray(i * n, (i + 1) * n);
    out.set(pixel, i * (n + 1));
    out[i * (n + 1) + n] = pixel.every((v, k) => v === clear[k]) ? 0 : 255;
  }
  return [out, n + 1];
}

function readPng(bytes) {
  const chunks = pngChunks(bytes);
  const chunk = (name) => chunks.find(([found]) => found === name)?.[1];
  const header = chunk("IHDR");
  if (!header || header.length < 13) throw new Rejection("the file is damaged", "Copy it again.");
  const view = new DataView(header.buffer, header.byteOffset);
  checkSize(view.getUint32(4), view.getUint32(0));
  if (chunk("acTL")) throw new Rejection("it is animated", "Save one frame.");
  const png = decodePng(bytes, { checkCrc: true });
  const [samples, channels] = pngSamples(png);
  const text = chunks.filter(
    ([name, data]) => name === "iTXt" && ascii(data, 0, 17) === "XML:com.adobe.xmp",
  );
  const orientation = known(
    chunk("eXIf") && exifOrientation(chunk("eXIf")),
    ...text.map(([, data]) => xmpOrientation(data)),
  );
  const grey = toGrey(samples, png.height, png.width, channels);
  return [undoOrientation(grey, orientation), orientation];
}

// ---------------------------------------------------------------- JPEG

// Where the frame header of a JPEG or JPEG-LS stream begins; -1 where there is none.
export function frameHeader(bytes) {
  let at = 2;
  while (bytes[0] === 0xff && bytes[1] === 0xd8 && at + 9 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame || marker === 0xf7) return at;
    at += marker === 0xff ? 1 : 2 + bytes[at + 2] * 256 + bytes[at + 3];
  }
  return -1;
}

// The application segments before a JPEG picture's frame.
function* segments(bytes) {
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    if (marker === 0xda) return;
    const length = bytes[at + 2] * 256 + bytes[at + 3];
    if (marker === 0xe1) yield bytes.subarray(at + 4, at + 2 + length);
    at += marker === 0xff ? 1 : 2 + length;
  }
}

// Height, width, components, bits a sample and process of a JPEG stream.
export function jpegFacts(bytes) {
  const at = frameHeader(bytes);
  if (at < 0) throw new Rejection("its picture is damaged", "Copy it again from its source.");
  const word = (i) => bytes[at + i] * 256 + bytes[at + i + 1];
  return {
    process: bytes[at + 1],
    bits: bytes[at + 4],
    height: word(5),
    width: word(7),
    components: bytes[at + 9],
  };
}

// Rejects a stream whose scans ask for more than 2000 million pixels of work, or that ends early.
export function checkJpeg(bytes, height, width) {
  let [scans, end] = [0, false];
  for (let i = 0; i + 1 < bytes.length; i++) {
    if (bytes[i] !== 0xff) continue;
    scans += Number(bytes[i + 1] === 0xda);
    end ||= bytes[i + 1] === 0xd9;
  }
  if (!end) throw new Rejection("the file is cut short", "Copy it again from its source.");
  if (scans * height * width > 2e9) {
    throw new Rejection("it has an absurd number of scans", "Save it again.");
  }
}

async function readJpeg(bytes) {
  const { process, bits, height, width, components } = jpegFacts(bytes);
  checkSize(height, width);
  checkJpeg(bytes, height, width);
  if (process > 0xc2 || bits !== 8 || ![1, 3].includes(components)) {
    const what = components === 4 ? "its colours are CMYK" : "it is a JPEG file of a rare kind";
    throw new Rejection(`${what}, which this page does not read`, "Save it as grey PNG.");
  }
  const samples = await decodeJpeg(bytes, height * width * components);
  const parts = [...segments(bytes)];
  const orientation = known(
    ...parts.filter((part) => ascii(part, 0, 4) === "Exif").map(exifOrientation),
    ...parts.filter((part) => ascii(part, 0, 4) === "http").map(xmpOrientation),
  );
  const grey = toGrey(samples, height, width, components);
  return [undoOrientation(grey, orientation), orientation];
}

// ---------------------------------------------------------------- any file

function checkShape({ height, width }) {
  if (Math.max(height, width) <= LIMITS.aspect * Math.min(height, width)) return;
  const shape = `${width} x ${height} pixels`;
  throw new Rejection(
    `its shape (${shape}) is beyond ${LIMITS.aspect}:1, as a lateral or a strip is`,
    "Crop the picture to the chest, or leave it out.",
  );
}

// The pixels as single precision, if they have size, shape and values of a radiograph.
function checked(p) {
  checkSize(p.height, p.width);
  checkShape(p);
  const data = p.data instanceof Float32Array ? p.data : new Float32Array(p.data);
  const [low, high] = extremes(data);
  if (!(Number.isFinite(low) && Number.isFinite(high)) || data.includes(NaN)) {
    throw new Rejection("it holds values that are not finite (NaN or infinite)");
  }
  if (low === high) throw new Rejection("it is constant: every pixel has the same value");
  return plane(data, p.height, p.width);
}

// The radiograph in a file's bytes: { pixels, orientation, spacing, spacingSource, aspect,
// warnings }. Throws a Rejection for whatever cannot be used as one.
export async function readRadiograph(bytes) {
  const facts = { orientation: 1, spacing: null, spacingSource: "", aspect: 1, warnings: [] };
  let kind;
  try {
    if (!bytes.length) throw new Rejection("the file is empty", "Copy it again from its source.");
    kind = fileKind(bytes);
    if (kind === "dicom") {
      const { readDicom } = await import("./dicom.js");
      const [pixels, found] = await readDicom(bytes);
      return { ...facts, ...found, pixels: checked(pixels) };
    }
    const readTiff = async (data) => (await import("./tiff.js")).readTiff(data);
    const [grey, orientation] = await { png: readPng, jpeg: readJpeg, tiff: readTiff }[kind](bytes);
    return { ...facts, orientation, pixels: checked(grey) };
  } catch (error) {
    if (error instanceof Rejection) throw error;
    const why = String(error?.exception ?? error?.message ?? error)
      .replace(/\s+/g, " ")
      .slice(0, 120);
    const dicom = kind === "dicom"; // many readers accept more than the standard allows
    const otherwise = dicom ? "written in a way that this page does not read" : "cut short";
    const advice = `It may be damaged, or ${otherwise}: copy or export it again.`;
    throw new Rejection(`it cannot be read (${why})`, advice);
  }
}
