// The picture of a DICOM file as grey pixels, upright, as `hemidiaphragm_nb.dicom_reader` reads it.
// What changes grey values or orientation and is not handled here is rejected, never guessed.

import dicomParser from "dicom-parser";
import { Decoder as LosslessDecoder } from "jpeg-lossless-decoder-js";

import { mapped, plane } from "./arrays.js";
import { decodeDeep, decodeJpeg } from "./codecs.js";
import { greyValues } from "./grey.js";
import { Header, headerFacts } from "./header.js";
import { checkJpeg, checkSize, jpegFacts, toGrey, undoOrientation } from "./images.js";
import { decodeExtended } from "./jpeg12.js";
import { Rejection } from "./rejection.js";

const ROOT = "1.2.840.10008.1.2";
const [IMPLICIT, EXPLICIT, BIG] = [ROOT, `${ROOT}.1`, `${ROOT}.2`];
const [RLE, DEFLATED] = [`${ROOT}.5`, `${ROOT}.1.99`];
const STREAMS = {
  [`${ROOT}.4.50`]: "jpeg",
  [`${ROOT}.4.51`]: "extended",
  [`${ROOT}.4.57`]: "lossless",
  [`${ROOT}.4.70`]: "lossless",
  [`${ROOT}.4.80`]: "jpeg-ls",
  [`${ROOT}.4.81`]: "jpeg-ls",
  [`${ROOT}.4.90`]: "jpeg-2000",
  [`${ROOT}.4.91`]: "jpeg-2000",
};
// the colours that each kind of picture may have, beside grey
const COLOURED = {
  plain: ["RGB"],
  jpeg: ["RGB", "YBR_FULL", "YBR_FULL_422"],
  "jpeg-2000": ["RGB", "YBR_RCT", "YBR_ICT"],
};
const ELSEWHERE = "Read it with `hemidiaphragm predict`, or export it uncompressed.";

// ---------------------------------------------------------------- the data set

function isCapital(byte) {
  return byte >= 65 && byte <= 90;
}

// The syntax that a file's head states, and the data set, where that has no value representations
// although its syntax asks for them, as some writers leave it; nothing for any other file. The file
// is parsed as the data set is written, up to the picture, whose fragments are then looked up.
function parsedAsWritten(bytes) {
  const head = dicomParser.readPart10Header(bytes);
  const stated = head.elements.x00020010;
  const syntax = (stated && head.string("x00020010")?.trim()) ?? "";
  const first = head.position + 4;
  if ([IMPLICIT, BIG, DEFLATED, ""].includes(syntax) || first + 1 >= bytes.length) return null;
  if (isCapital(bytes[first]) && isCapital(bytes[first + 1])) return null;
  const copy = bytes.slice();
  copy.fill(0, stated.dataOffset, stated.dataOffset + stated.length);
  copy.set(new TextEncoder().encode(IMPLICIT), stated.dataOffset);
  const dataSet = dicomParser.parseDicom(copy, { untilTag: "x7fe00010" });
  const picture = dataSet.elements.x7fe00010;
  if (picture?.hadUndefinedLength) {
    const order = dicomParser.littleEndianByteArrayParser;
    const stream = new dicomParser.ByteStream(order, copy, picture.dataOffset);
    dicomParser.findEndOfEncapsulatedElement(stream, picture, []);
  }
  return [dataSet, syntax];
}

// The data set of a file and its transfer syntax, with or without the preamble.
function parsed(bytes) {
  const text = (from, to) => String.fromCharCode(...bytes.subarray(from, to));
  const options = {};
  if (text(128, 132) !== "DICM") {
    if (bytes[0] === 2) {
      const whole = new Uint8Array(bytes.length + 132);
      whole.set([68, 73, 67, 77], 128);
      whole.set(bytes, 132);
      bytes = whole;
    } else {
      options.TransferSyntaxUID = isCapital(bytes[4]) && isCapital(bytes[5]) ? EXPLICIT : IMPLICIT;
    }
  }
  const inflater = () => {
    throw new Rejection("it is deflated, which this page does not read", ELSEWHERE);
  };
  try {
    const asWritten = options.TransferSyntaxUID ? null : parsedAsWritten(bytes);
    if (asWritten) return asWritten;
    const dataSet = dicomParser.parseDicom(bytes, { ...options, inflater });
    const syntax = (dataSet.string("x00020010") ?? options.TransferSyntaxUID ?? "").trim();
    return [dataSet, syntax || EXPLICIT];
  } catch (error) {
    if (error instanceof Rejection) throw error;
    const why = String(error?.exception ?? error?.message ?? error).slice(0, 100);
    const otherwise = "written in a way that this page does not read"; // pydicom accepts more
    const reason = `it is a DICOM file that is cut short, damaged, or ${otherwise} (${why})`;
    throw new Rejection(reason, "Copy or export it again.");
  }
}

const COLOURS = [
  "MONOCHROME1",
  "MONOCHROME2",
  "RGB",
  "YBR_FULL",
  "YBR_FULL_422",
  "YBR_RCT",
  "YBR_ICT",
];

// Rejects a data set without a picture, of several frames, or of a kind that is not read here.
function checkHeader(h) {
  const found = h.dataSet.elements;
  if (found.x7fe00008 || found.x7fe00009) {
    throw new Rejection(
      "its pixels are floating-point numbers, which this page does not read",
      ELSEWHERE,
    );
  }
  if (!found.x7fe00010 || !h.number("Rows")) {
    const advice = "Copy it again, or leave reports out.";
    throw new Rejection("it is a DICOM file without a picture, or cut short", advice);
  }
  if (h.number("NumberOfFrames") > 1) {
    const text = `it has ${h.number("NumberOfFrames")} frames: a radiograph has one`;
    throw new Rejection(text, "Export the frame that is the radiograph.");
  }
  checkSize(h.number("Rows"), h.number("Columns"));
  const [colours, samples] = [
    h.text("PhotometricInterpretation"),
    h.number("SamplesPerPixel") ?? 1,
  ];
  if (h.number("BitsAllocated") === 1) throw new Rejection("it is a binary mask, not a radiograph");
  if (!COLOURS.includes(colours)) {
    const text = `its colours are ${colours || "not stated"}, which this page does not read`;
    throw new Rejection(text, "Export it as grey.");
  }
  if (samples !== (colours.startsWith("MONOCHROME") ? 1 : 3)) {
    const text = `its header says ${colours} and ${samples} samples a pixel, which contradict`;
    throw new Rejection(text, ELSEWHERE);
  }
  const [size, bits, high] = ["BitsAllocated", "BitsStored", "HighBit"].map((n) => h.number(n));
  if (![8, 16].includes(size)) {
    throw new Rejection(`its pixels have ${size} bits, which this page does not read`, ELSEWHERE);
  }
  if (!(bits > 0 && bits <= high + 1 && high < size)) {
    const text = `its header says that ${bits} bits of ${size} end at bit ${high}`;
    throw new Rejection(`${text}, which contradicts itself`, ELSEWHERE);
  }
}

// ---------------------------------------------------------------- stored values

// The words of an uncompressed picture.
function plainWords(h, bytes, count) {
  const size = h.number("BitsAllocated");
  if (bytes.length < (count * size) / 8)
    throw new Rejection("its picture is cut short", "Copy it again.");
  if (size === 8) return bytes.slice(0, count);
  const [low, high] = h.little ? [0, 1] : [1, 0];
  const out = new Uint16Array(count);
  for (let i = 0; i < count; i++) out[i] = bytes[2 * i + low] + 256 * bytes[2 * i + high];
  return out;
}

// A segment of PackBits, unfolded into `out`.
function unpackBits(segment, out) {
  let at = 0;
  for (let i = 0; i < segment.length && at < out.length;) {
    const n = segment[i++];
    if (n < 128) {
      const run = segment.subarray(i, Math.min(i + n + 1, i + out.length - at));
      out.set(run, at);
      at += run.length;
      i += n + 1;
    } else if (n > 128) {
      out.fill(segment[i++], at, Math.min(at + 257 - n, out.length));
      at += 257 - n;
    }
  }
  if (at < out.length) throw new Rejection("its picture is cut short", "Copy it again.");
  return out;
}

// The words of an RLE frame: a segment for each byte of each sample, the highest byte first.
function rleWords(h, stream, count, samples) {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const bytes = h.number("BitsAllocated") / 8;
  const n = view.getUint32(0, true);
  if (n !== bytes * samples) throw new Rejection("its picture is damaged", "Export it again.");
  const starts = Array.from({ length: n }, (_, k) => view.getUint32(4 + 4 * k, true));
  const planes = starts.map((start, k) => {
    const segment = stream.subarray(start, starts[k + 1] ?? stream.length);
    return unpackBits(segment, new Uint8Array(count / samples));
  });
  const out = bytes === 2 ? new Uint16Array(count) : new Uint8Array(count);
  for (let s = 0; s < samples; s++) {
    for (let i = 0; i < count / samples; i++) {
      const low = planes[s * bytes + bytes - 1][i];
      out[i * samples + s] = bytes === 2 ? planes[s * bytes][i] * 256 + low : low;
    }
  }
  return out;
}

// Where the size of a JPEG 2000 codestream stands.
function jpeg2000Facts(stream) {
  for (let i = 0; i + 43 < Math.min(stream.length, 65536); i++) {
    if (
      stream[i] === 0xff &&
      stream[i + 1] === 0x4f &&
      stream[i + 2] === 0xff &&
      stream[i + 3] === 0x51
    ) {
      const view = new DataView(stream.buffer, stream.byteOffset + i);
      const at = (k) => view.getUint32(8 + 4 * k);
      return { width: at(0) - at(2), height: at(1) - at(3), bits: (stream[i + 42] & 0x7f) + 1 };
    }
  }
  throw new Rejection("its picture is damaged", "Export it again.");
}

// A JPEG stream whose samples are red, green and blue by the DICOM header, for a decoder that goes
// by the stream: Adobe's marker is put in, unless there is one, or that of JFIF, which says other.
function asRgb(stream) {
  for (let at = 2; at + 4 < stream.length && stream[at] === 0xff && stream[at + 1] !== 0xda;) {
    const length = stream[at + 2] * 256 + stream[at + 3];
    const name = String.fromCharCode(...stream.subarray(at + 4, at + 9));
    if (stream[at + 1] === 0xee && name === "Adobe" && length >= 14) return stream;
    if (stream[at + 1] === 0xe0 && name === "JFIF\0") return stream;
    at += 2 + length;
  }
  const marker = [0xff, 0xee, 0, 14, ...new TextEncoder().encode("Adobe"), 0, 100, 0, 0, 0, 0, 0];
  const out = new Uint8Array(stream.length + marker.length);
  out.set([0xff, 0xd8, ...marker]);
  out.set(stream.subarray(2), 2 + marker.length);
  return out;
}

// The samples of a compressed frame, and how many bits one has.
async function decoded(h, stream, kind, samples) {
  const facts = kind === "jpeg-2000" ? jpeg2000Facts(stream) : jpegFacts(stream);
  const [rows, columns] = [h.number("Rows"), h.number("Columns")];
  if (facts.height !== rows || facts.width !== columns) {
    throw new Rejection("the size in its header is not that of its picture");
  }
  const end = stream.subarray(-64);
  if (!end.some((v, i) => v === 0xff && end[i + 1] === 0xd9)) {
    throw new Rejection("its picture is cut short", "Copy it again.");
  }
  const count = rows * columns * samples;
  if (kind === "jpeg-ls" || kind === "jpeg-2000") {
    const [words, found] = await decodeDeep(kind, stream);
    if (found.componentCount !== samples)
      throw new Rejection("its picture is damaged", "Export it again.");
    return [words, facts.bits];
  }
  checkJpeg(stream, rows, columns);
  if (kind === "lossless") {
    if (samples !== 1)
      throw new Rejection("it is a JPEG of a rare kind, which this page does not read", ELSEWHERE);
    const whole = stream.slice();
    const out = new LosslessDecoder().decode(whole.buffer, 0, whole.length, facts.bits > 8 ? 2 : 1);
    const words =
      facts.bits > 8 ? new Uint16Array(out.buffer ?? out) : new Uint8Array(out.buffer ?? out);
    if (words.length < count) throw new Rejection("its picture is cut short", "Copy it again.");
    return [words.subarray(0, count), facts.bits];
  }
  if (facts.bits === 8 && facts.process <= 0xc2) {
    const rgb = h.text("PhotometricInterpretation") === "RGB";
    return [await decodeJpeg(rgb ? asRgb(stream) : stream, count), 8];
  }
  if (samples !== 1)
    throw new Rejection("it is a JPEG of a rare kind, which this page does not read", ELSEWHERE);
  return [decodeExtended(stream), facts.bits];
}

// `bits` bits up to bit `high` of words of `size` bits.
function aligned(words, { bits, high, size, signed }) {
  const out = signed ? new Int16Array(words.length) : new Uint16Array(words.length);
  const [up, down] = [32 - 1 - high, 32 - bits];
  for (let i = 0; i < words.length; i++) {
    const shifted = words[i] << up;
    out[i] = signed ? shifted >> down : shifted >>> down;
  }
  return size === 8 && !signed ? Uint8Array.from(out) : out;
}

// The stored values and the words that hold them (null where not known), sample by sample.
async function storedValues(h, syntax, samples) {
  const count = h.number("Rows") * h.number("Columns") * samples;
  const element = h.dataSet.elements.x7fe00010;
  const [bits, high] = [h.number("BitsStored"), h.number("HighBit")];
  const signed = Boolean(h.number("PixelRepresentation"));
  const size = h.number("BitsAllocated");
  const asSigned = (words) =>
    signed ? mapped(Int16Array, words, (w) => (size === 8 ? (w << 24) >> 24 : w)) : words;
  const encapsulated = Boolean(element.encapsulatedPixelData);
  if ([IMPLICIT, EXPLICIT, BIG].includes(syntax) || syntax === RLE) {
    if (encapsulated !== (syntax === RLE))
      throw new Rejection("its picture is damaged", "Export it again.");
    const words =
      syntax === RLE
        ? rleWords(h, frameOf(h, element), count, samples)
        : plainWords(h, h.bytes(element), count);
    const values = bits < size ? aligned(words, { bits, high, size, signed }) : asSigned(words);
    return [values, asSigned(words)];
  }
  const kind = STREAMS[syntax];
  if (!kind)
    throw new Rejection(`its transfer syntax (${syntax}) is not read by this page`, ELSEWHERE);
  if (!encapsulated) throw new Rejection("its picture is damaged", "Export it again.");
  const [words, precision] = await decoded(h, frameOf(h, element), kind, samples);
  if (kind === "jpeg") return [words, null];
  if (kind === "extended") {
    return [signed ? aligned(words, { bits, high: bits - 1, size: 16, signed }) : words, null];
  }
  const top = high < precision ? high : bits - 1;
  const values = aligned(words, { bits, high: top, size, signed });
  return [values, signed ? Int16Array.from(words) : words];
}

function frameOf(h, element) {
  const n = element.fragments.length;
  return dicomParser.readEncapsulatedPixelDataFromFragments(h.dataSet, element, 0, n);
}

// Planes one after the other as samples pixel by pixel.
function interleaved(data, samples) {
  const size = data.length / samples;
  const out = new data.constructor(data.length);
  for (let i = 0; i < size; i++)
    for (let s = 0; s < samples; s++) out[i * samples + s] = data[s * size + i];
  return out;
}

// ---------------------------------------------------------------- the picture

// The upright pixels of a single-frame DICOM file, and { spacing, spacingSource, aspect,
// orientation, warnings }.
export async function readDicom(bytes) {
  const [dataSet, syntax] = parsed(bytes);
  const h = new Header(dataSet, syntax !== BIG);
  checkHeader(h);
  const facts = headerFacts(h, dataSet.string("x00020002") ?? "");
  const colours = h.text("PhotometricInterpretation");
  const grey = colours.startsWith("MONOCHROME");
  const samples = grey ? 1 : 3;
  const kind = STREAMS[syntax] ?? "plain";
  if (!grey && !(COLOURED[kind] ?? []).includes(colours)) {
    const text = `its colours (${colours}) are stored in a way that this page does not read`;
    throw new Rejection(text, "Export it as grey.");
  }
  const [stored, words] = await storedValues(h, syntax, samples);
  const [rows, columns] = [h.number("Rows"), h.number("Columns")];
  if (!grey) {
    const planar = h.number("PlanarConfiguration") === 1 && kind === "plain" && syntax !== RLE;
    const picture = toGrey(planar ? interleaved(stored, 3) : stored, rows, columns, 3);
    return [undoOrientation(picture, facts.orientation), facts];
  }
  const [pixels, messages] = greyValues(plane(stored, rows, columns), h, words);
  const warnings = [...messages, ...facts.warnings];
  return [undoOrientation(pixels, facts.orientation), { ...facts, warnings }];
}
