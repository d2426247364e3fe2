// From the values that a DICOM file stores to grey values in which brighter means denser, by the
// standard's own stages, as `hemidiaphragm_nb.dicom_grey`: each is verified before it is applied.

import { extremes, f32, mapped, plane } from "./arrays.js";

const IGNORED = "and was ignored";

// The entries that a table's descriptor promises and the value of the first; null where unusable.
function tableOf(item) {
  const form = item.numbers("LUTDescriptor");
  if (form.length !== 3 || !item.element("LUTData")) return null;
  let entries = item.words("LUTData");
  const length = form[0] & 0xffff || 65536;
  if (entries.length < length && form[2] <= 8) {
    entries = Uint8Array.from(
      entries.length * 2 ? [...entries].flatMap((w) => [w & 255, w >> 8]) : [],
    );
  }
  return entries.length < length ? null : [entries.slice(0, length), form[1], form[2]];
}

// The table's entry for each value; `first` is the value of entry 0, in either sign.
function lookedUp(values, [table, first]) {
  const [low, high] = extremes(values);
  const starts = [first, first + 65536, first - 65536];
  const start = starts.find((s) => s <= high && s + table.length > low) ?? first;
  return mapped(Float64Array, values, (v) => {
    return table[Math.min(Math.max(Math.floor(v - start), 0), table.length - 1)];
  });
}

// The values through the first table that is usable, its bits, and whether one was skipped.
function throughTable(values, items, usable) {
  for (const [place, item] of items.entries()) {
    const table = tableOf(item);
    const shown = table && lookedUp(values, table);
    if (shown && usable(shown)) return [shown, table[2], place > 0];
  }
  return null;
}

// The smallest and the largest value that the stored bits can hold.
function storedSpan(h) {
  const bits = h.number("BitsStored") || 16;
  return h.number("PixelRepresentation")
    ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
    : [0, 2 ** bits - 1];
}

// The values by slope and intercept, their span, and warnings.
function rescaled(stored, h) {
  const names = ["RescaleSlope", "RescaleIntercept"];
  const span = storedSpan(h);
  const stated = names.filter((name) => h.states(name));
  if (stated.some((name) => !h.numbers(name).length)) {
    return [stored, span, [`its rescale slope or intercept is no number ${IGNORED}`]];
  }
  if (!stated.length) return [stored, span, []];
  const [slope, intercept] = [h.number("RescaleSlope") ?? 1, h.number("RescaleIntercept") ?? 0];
  const values = mapped(Float64Array, stored, (v) => v * slope + intercept);
  const [low, high] = extremes(stored);
  const [least, most] = extremes(values);
  const [expected, reach] = [Math.abs(slope) * (high - low), most - least];
  const largest = Math.max(Math.abs(least), Math.abs(most));
  const fits = reach > 1e-30 && largest < 1e30 && Math.abs(reach - expected) <= 1e-3 * expected;
  if (!(fits || (expected === 0 && slope))) {
    return [stored, span, [`its rescale slope or intercept leaves no picture ${IGNORED}`]];
  }
  return [values, span.map((end) => end * slope + intercept).sort((a, b) => a - b), []];
}

// The values after the modality LUT or rescale, their span, and warnings.
function meant(stored, h) {
  if (!h.items("ModalityLUTSequence").length) return rescaled(stored, h);
  const differs = (shown) => extremes(shown)[0] !== extremes(shown)[1];
  const found = throughTable(stored, h.items("ModalityLUTSequence"), differs);
  if (found) {
    const [values, bits, skipped] = found;
    const warnings = skipped ? [`its first modality look-up table is unusable ${IGNORED}`] : [];
    return [values, [0, 2 ** Math.min(Math.max(bits, 8), 16) - 1], warnings];
  }
  const [values, span, more] = rescaled(stored, h);
  return [values, span, [`its modality look-up table is unusable ${IGNORED}`, ...more]];
}

// Values through a window of positive width, over `span` (PS3.3 C.11.2.1.2 and C.11.2.1.3).
function throughWindow(values, [low, high], centre, width, kind) {
  const reach = high - low;
  return mapped(Float64Array, values, (v) => {
    if (kind === "SIGMOID") return reach / (1 + Math.exp((-4 * (v - centre)) / width)) + low;
    if (v <= centre - width / 2) return low;
    return v > centre + width / 2 ? high : ((v - centre) / width + 0.5) * reach + low;
  });
}

// Whether at least a tenth of the pixels lie between the ends; `counts`: how many hold a value.
function shows(shown, counts) {
  const [low, high] = extremes(shown);
  let [between, all] = [0, 0];
  shown.forEach((v, i) => {
    all += counts[i];
    if (v > low && v < high) between += counts[i];
  });
  return between / all >= 0.1;
}

// The values through the first window that is usable; and warnings.
function windowed(values, span, h, counts) {
  const names = ["WindowCenter", "WindowWidth"];
  const empty = names.filter((name) => !h.states(name));
  if (empty.length) {
    return [values, empty.length === 2 ? [] : [`its window has no pair of numbers ${IGNORED}`]];
  }
  const [centres, widths] = names.map((name) => h.numbers(name));
  if (!centres.length || !widths.length) {
    return [values, [`its window is no pair of numbers ${IGNORED}`]];
  }
  const doubts = [];
  let kind = h.text("VOILUTFunction") || "LINEAR";
  if (!["LINEAR", "LINEAR_EXACT", "SIGMOID"].includes(kind)) {
    kind = "LINEAR";
    doubts.push("its VOI LUT function is unknown and was taken as linear");
  }
  if (Math.max(...widths) <= 0) return [values, [`its window has no positive width ${IGNORED}`]];
  const shift = kind === "LINEAR" ? [0.5, 1] : [0, 0];
  for (let i = 0; i < Math.min(centres.length, widths.length); i++) {
    const [centre, width] = [centres[i] - shift[0], widths[i] - shift[1]];
    if (!(width > 0)) continue;
    const shown = throughWindow(values, span, centre, width, kind);
    if (shows(shown, counts)) {
      if (i) doubts.push(`its first window shows almost nothing ${IGNORED}`);
      return [shown, doubts];
    }
  }
  return [values, [`its window shows almost nothing ${IGNORED}`]];
}

// The values through the first usable VOI LUT, else window; and warnings.
function ofInterest(values, span, h, counts) {
  const items = h.items("VOILUTSequence");
  const messages = [];
  if (items.length) {
    const found = throughTable(values, items, (shown) => shows(shown, counts));
    if (found) {
      const [shown, , skipped] = found;
      return [shown, skipped ? [`its first VOI look-up table is unusable ${IGNORED}`] : []];
    }
    messages.push(`its VOI look-up table is unusable ${IGNORED}`);
  }
  const [shown, more] = windowed(values, span, h, counts);
  return [shown, [...messages, ...more]];
}

// Whether values of so many bits lie between two ends, which may be written in either sign.
function within(values, ends, bits, signed) {
  const size = 2 ** bits;
  const [low, high] = extremes(
    ends.map((end) => {
      const positive = ((end % size) + size) % size;
      return signed && positive >= size / 2 ? positive - size : positive;
    }),
  );
  return mapped(Uint8Array, values, (v) => Number(v >= low && v <= high));
}

// Where the detector measured nothing, or null.
function padding(stored, h, words) {
  const [value, limit] = [h.numbers("PixelPaddingValue"), h.numbers("PixelPaddingRangeLimit")];
  if (!value.length) return null;
  const ends = [value[0], ...limit.slice(0, 1)];
  const signed = Boolean(h.number("PixelRepresentation"));
  const whole = h.number("BitsAllocated") || 16;
  const [low, high] = storedSpan(h);
  let padded = null;
  if (words && !ends.every((end) => end >= low && end <= high)) {
    padded = within(words, ends, whole, signed);
  }
  if (!padded?.includes(1)) padded = within(stored, ends, h.number("BitsStored") || whole, signed);
  return padded.includes(1) && padded.includes(0) ? padded : null;
}

// What is wrong with the bits that the header names.
function bitDoubts(stored, h, words, padded) {
  const [size, bits, high] = ["BitsAllocated", "BitsStored", "HighBit"].map((n) => h.number(n));
  if (words === null || high !== bits - 1 || bits >= size) return [];
  const mask = 2 ** bits - 1;
  const signed = h.number("PixelRepresentation");
  for (let i = 0; i < stored.length; i++) {
    if (words[i] === stored[i] || padded?.[i]) continue;
    if (signed && (words[i] & mask) === words[i]) continue; // a sign need not be extended
    const text = `its pixels hold more than the ${bits} bits that its header states`;
    return [`${text}: others were left out`];
  }
  return [];
}

// Whether large values are dark, and warnings.
function inversion(h) {
  const photometric = h.text("PhotometricInterpretation");
  const shape = h.text("PresentationLUTShape");
  const stated = { IDENTITY: false, INVERSE: true }[shape] ?? photometric === "MONOCHROME1";
  if (shape && !["IDENTITY", "INVERSE"].includes(shape)) {
    return [stated, [`its PresentationLUTShape is unknown ${IGNORED}`]];
  }
  if (stated === (photometric === "MONOCHROME1")) return [stated, []];
  const text = `its header says ${photometric} and ${shape}, which contradict`;
  return [stated, [`${text}: ${shape} was followed`]];
}

// Grey values in which brighter is denser, and warnings. `stored`: whole numbers of at most 16
// bits, a plane; `words`: the words that they are a part of, or null.
export function greyValues({ data: stored, height, width }, h, words) {
  const padded = padding(stored, h, words);
  const [counts, measured] = [new Uint32Array(65536), new Uint32Array(65536)];
  for (let i = 0; i < stored.length; i++) {
    counts[stored[i] & 0xffff]++;
    if (!padded?.[i]) measured[stored[i] & 0xffff]++;
  }
  const patterns = [...counts.keys()].filter((word) => counts[word]);
  const signed = stored instanceof Int16Array || stored instanceof Int8Array;
  const levels = Float64Array.from(patterns, (word) => (signed ? (word << 16) >> 16 : word));
  const held = patterns.map((word) => counts[word]);
  const [inMeaning, span, doubts] = meant(levels, h);
  let [values, messages] = ofInterest(inMeaning, span, h, held);
  const there = patterns.map((word) => measured[word] > 0);
  const [least, most] = extremes(values);
  if (Math.max(Math.abs(least), Math.abs(most)) > 2 ** 24) {
    const [start] = extremes(values.filter((_, i) => there[i]));
    values = values.map((v) => v - start);
  }
  values = Float32Array.from(values);
  const [low, high] = extremes(values.filter((_, i) => there[i]));
  const [inverted, contradiction] = inversion(h);
  if (inverted) values = values.map((v) => f32(high + low) - v);
  const table = new Float32Array(65536);
  patterns.forEach((word, i) => (table[word] = values[i]));
  const out = new Float32Array(stored.length);
  for (let i = 0; i < out.length; i++) out[i] = table[stored[i] & 0xffff];
  if (padded) for (let i = 0; i < out.length; i++) if (padded[i]) out[i] = low;
  const beyond = bitDoubts(stored, h, words, padded);
  return [plane(out, height, width), [...beyond, ...doubts, ...messages, ...contradiction]];
}
