// The grey pixels of a single-page TIFF file, as `hemidiaphragm_nb.formats.decode_tiff` reads them.

import { fromArrayBuffer } from "geotiff";

import { extremes, plane } from "./arrays.js";
import { checkSize, toGrey, undoOrientation } from "./images.js";
import { Rejection } from "./rejection.js";

const MAX_PAGES = 100;
const COMPRESSIONS = { 1: "none", 5: "LZW", 8: "Deflate", 32773: "PackBits", 32946: "Deflate" };

// The pages of a file, one after the other, for their chain may lead back to itself.
async function pagesOf(tiff) {
  const pages = [];
  for (;;) {
    try {
      pages.push(await tiff.getImage(pages.length));
    } catch (error) {
      if (error?.index === pages.length && pages.length) return pages; // there is no such page
      throw error;
    }
    if (pages.length > MAX_PAGES) {
      throw new Rejection(`it holds over ${MAX_PAGES} pages instead of one`);
    }
  }
}

// What a page states, by the names of its tags.
function stated(page) {
  const tag = (name, otherwise) => {
    const value = page.fileDirectory.getValue(name);
    return value === undefined ? otherwise : value;
  };
  return {
    colours: tag("PhotometricInterpretation"),
    compression: tag("Compression", 1),
    samples: tag("SamplesPerPixel", 1),
    bits: [...tag("BitsPerSample", [1])],
    formats: [...tag("SampleFormat", [1])],
    extra: [...tag("ExtraSamples", [])],
    orientation: tag("Orientation", 1),
    predictor: tag("Predictor", 1),
    bigEndian: !page.littleEndian,
    reduced: (tag("NewSubfileType", 0) & 1) === 1,
  };
}

// Rejects what is not read here, before anything is decoded.
function check(page, facts) {
  checkSize(page.getHeight(), page.getWidth());
  const { colours, compression, bits, formats } = facts;
  if (!(compression in COMPRESSIONS)) {
    const advice = "Save it uncompressed, or with LZW or Deflate.";
    throw new Rejection(`its compression (${compression}) is not read by this page`, advice);
  }
  if (colours === undefined) {
    const text =
      "it does not say whether large values are dark or bright (PhotometricInterpretation)";
    throw new Rejection(text, "Export it again.");
  }
  if (![0, 1, 2, 3].includes(colours)) {
    throw new Rejection(
      "its colours are of a kind that this page does not read",
      "Save it as grey or RGB.",
    );
  }
  if (facts.bigEndian && facts.predictor !== 1 && bits[0] > 8) {
    // geotiff undoes the predictor in the machine's own byte order
    throw new Rejection(
      "its samples are in big-endian order behind a predictor, which this page does not read",
      "Save it without a predictor, or in little-endian order.",
    );
  }
  const same = new Set(bits).size === 1 && new Set(formats).size === 1;
  const whole = [1, 2].includes(formats[0]) && [8, 16].includes(bits[0]);
  const floating = formats[0] === 3 && bits[0] === 32;
  if (!same || !(whole || floating)) {
    const text = `its samples (${bits.join(", ")} bits) are of a kind that this page does not read`;
    throw new Rejection(text, "Save it with 8 or 16 bits a sample.");
  }
}

export async function readTiff(bytes) {
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const tiff = await fromArrayBuffer(buffer);
  const pages = (await pagesOf(tiff)).map((page) => [page, stated(page)]);
  const full = pages.filter(([, facts]) => !facts.reduced);
  if (full.length !== 1) {
    const advice = "Save the radiograph as a single page.";
    throw new Rejection(`it holds ${full.length} pages instead of one`, advice);
  }
  const [page, facts] = full[0];
  check(page, facts);
  const [height, width] = [page.getHeight(), page.getWidth()];
  let samples = await page.readRasters({ interleave: true });
  let channels = facts.samples;
  const { extra, colours } = facts;
  if (extra.length && (extra.length > 1 || extra[0] !== 2)) {
    // anything but one unassociated alpha is left out
    const colourChannels = channels - extra.length;
    const out = new samples.constructor(height * width * colourChannels);
    for (let i = 0; i < height * width; i++) {
      const pixel = samples.subarray(i * channels, i * channels + colourChannels);
      out.set(pixel, i * colourChannels);
    }
    [samples, channels] = [out, colourChannels];
  }
  if (colours === 3) {
    const map = Uint16Array.from((await page.fileDirectory.loadValue("ColorMap")) ?? []);
    const size = map.length / 3;
    if (!size || channels !== 1)
      throw new Rejection("its colour map is missing or damaged", "Export it again.");
    const out = new Uint16Array(height * width * 3);
    for (let i = 0; i < height * width; i++) {
      for (let s = 0; s < 3; s++) out[3 * i + s] = map[s * size + samples[i]];
    }
    [samples, channels] = [out, 3];
  }
  if (facts.formats[0] === 2) samples = Float32Array.from(samples);
  if (colours === 0) {
    if (channels > 1)
      throw new Rejection(
        "its colours are of a kind that this page does not read",
        "Save it as grey.",
      );
    const [, most] = extremes(samples);
    samples = samples.map((v) => most - v);
  }
  return [
    undoOrientation(toGrey(samples, height, width, channels), facts.orientation),
    facts.orientation,
  ];
}
