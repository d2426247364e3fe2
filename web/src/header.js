// What a DICOM header says of its picture, as `hemidiaphragm_nb.dicom_header` reads it: how large a
// pixel is, from which side the picture was taken, how it has to be turned, what makes it doubtful.
// Nothing that names a patient is read.

import { general } from "./arrays.js";
import FACTS from "./facts.json";
import { Rejection } from "./rejection.js";

const H = FACTS.header;
const set = (words) => new Set(words);
const [NOT_FRONTAL, PARTS, LIMBS, UNSTATED] = [H.not_frontal, H.parts, H.limbs, H.unstated].map(
  set,
);

// ---------------------------------------------------------------- elements

const TAGS = {
  Rows: ["x00280010", "US"],
  Columns: ["x00280011", "US"],
  NumberOfFrames: ["x00280008", "IS"],
  SamplesPerPixel: ["x00280002", "US"],
  PhotometricInterpretation: ["x00280004", "CS"],
  PlanarConfiguration: ["x00280006", "US"],
  BitsAllocated: ["x00280100", "US"],
  BitsStored: ["x00280101", "US"],
  HighBit: ["x00280102", "US"],
  PixelRepresentation: ["x00280103", "US"],
  PixelPaddingValue: ["x00280120", "XS"],
  PixelPaddingRangeLimit: ["x00280121", "XS"],
  PixelAspectRatio: ["x00280034", "IS"],
  RescaleSlope: ["x00281053", "DS"],
  RescaleIntercept: ["x00281052", "DS"],
  WindowCenter: ["x00281050", "DS"],
  WindowWidth: ["x00281051", "DS"],
  VOILUTFunction: ["x00281056", "CS"],
  ModalityLUTSequence: ["x00283000", "SQ"],
  VOILUTSequence: ["x00283010", "SQ"],
  LUTDescriptor: ["x00283002", "XS"],
  LUTData: ["x00283006", "OW"],
  PresentationLUTShape: ["x20500020", "CS"],
  PixelSpacing: ["x00280030", "DS"],
  PixelSpacingCalibrationType: ["x00280a02", "CS"],
  ImagerPixelSpacing: ["x00181164", "DS"],
  NominalScannedPixelSpacing: ["x00182010", "DS"],
  EstimatedRadiographicMagnificationFactor: ["x00181114", "DS"],
  ViewPosition: ["x00185101", "CS"],
  PatientOrientation: ["x00200020", "CS"],
  PresentationIntentType: ["x00080068", "CS"],
  BodyPartExamined: ["x00180015", "CS"],
  Modality: ["x00080060", "CS"],
  PatientAge: ["x00101010", "AS"],
  SOPClassUID: ["x00080016", "UI"],
  ViewCodeSequence: ["x00540220", "SQ"],
  ViewModifierCodeSequence: ["x00540222", "SQ"],
  PatientOrientationCodeSequence: ["x00540410", "SQ"],
  PatientOrientationModifierCodeSequence: ["x00540412", "SQ"],
  AnatomicRegionSequence: ["x00082218", "SQ"],
  CodeValue: ["x00080100", "SH"],
  LongCodeValue: ["x00080119", "UC"],
  URNCodeValue: ["x00080120", "UR"],
  CodeMeaning: ["x00080104", "LO"],
};
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

// Text in capitals, its words one space apart, without padding.
function spelt(text) {
  return text.replaceAll("\0", " ").toUpperCase().trim().split(/\s+/).join(" ");
}

// The elements of a data set of dicom-parser by their keywords.
export class Header {
  constructor(dataSet, little = true) {
    Object.assign(this, { dataSet, little });
    this.unicode = /192/.test(this.raw("x00080005"));
  }

  element(name) {
    return this.dataSet.elements[TAGS[name][0]];
  }

  bytes(name) {
    const element = typeof name === "object" ? name : this.element(name);
    if (!element) return new Uint8Array(0);
    const { dataOffset: at, length } = element;
    return this.dataSet.byteArray.subarray(at, at + length);
  }

  raw(tag) {
    const element = this.dataSet.elements[tag];
    return element
      ? new TextDecoder(this.unicode ? "utf-8" : "latin1").decode(this.bytes(element))
      : "";
  }

  // The values of a text element in one spelling; none where it states nothing.
  texts(name) {
    const values = this.raw(TAGS[name][0]).split("\\").map(spelt);
    return values.some(Boolean) ? values : [];
  }

  text(name) {
    return this.texts(name).filter(Boolean).join(" ");
  }

  // Whether an element is there and holds anything.
  states(name) {
    return this.raw(TAGS[name][0]).replaceAll("\0", "").trim() !== "";
  }

  // The values of an element as numbers; empty where it is absent or garbled.
  numbers(name) {
    const kind = TAGS[name][1];
    if (kind !== "US" && kind !== "XS") {
      const texts = this.raw(TAGS[name][0])
        .split("\\")
        .map((v) => v.replaceAll("\0", "").trim());
      return texts.every((v) => NUMBER.test(v)) && texts.every((v) => Number.isFinite(Number(v)))
        ? texts.map(Number)
        : [];
    }
    const element = this.element(name);
    const signed = element?.vr === "SS";
    const values = this.words(name);
    return signed ? Array.from(Int16Array.from(values)) : Array.from(values);
  }

  number(name) {
    return this.numbers(name)[0];
  }

  // The data of an element as 16-bit words.
  words(name) {
    const bytes = this.bytes(name);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const whole = Math.floor(bytes.length / 2);
    const words = Array.from({ length: whole }, (_, i) => view.getUint16(2 * i, this.little));
    if (bytes.length % 2) words.push(this.little ? bytes.at(-1) : bytes.at(-1) * 256);
    return Uint16Array.from(words);
  }

  // The items of a sequence.
  items(name) {
    return (this.element(name)?.items ?? [])
      .filter((item) => item.dataSet)
      .map(({ dataSet }) => {
        const item = new Header(dataSet, this.little);
        item.unicode = this.unicode;
        return item;
      });
  }
}

// ---------------------------------------------------------------- lengths

function pair(h, name) {
  const values = h.numbers(name);
  return values.length === 2 && Math.min(...values) > 0 ? values : null;
}

const FACTOR = "EstimatedRadiographicMagnificationFactor";

// By what a PixelSpacing is said to be calibrated; "" where it is not.
function claimed(h) {
  const kind = h.text("PixelSpacingCalibrationType");
  return H.calibrations.includes(kind) ? kind : "";
}

// Whether a PixelSpacing is the ImagerPixelSpacing over again, within 1 %.
function uncorrected(spacing, imager) {
  const same = (v, i) => v / imager[i] >= 1 / 1.01 && v / imager[i] <= 1.01;
  return Boolean(spacing && imager) && spacing.every(same);
}

// By what a PixelSpacing is that in the patient; "" where the header does not show that it is.
function calibration(kind, spacing, imager) {
  if (kind) return uncorrected(spacing, imager) ? "" : ` / ${kind}`;
  const smaller = imager && imager.every((v, i) => v / spacing[i] > 1.01 && v / spacing[i] <= 2);
  return smaller ? " / calibrated" : "";
}

// The (row, column) spacing in mm and the element that it comes from; null where unknown.
function statedSpacing(h) {
  const [spacing, imager] = [pair(h, "PixelSpacing"), pair(h, "ImagerPixelSpacing")];
  const kind = claimed(h);
  const known = spacing ? calibration(kind, spacing, imager) : "";
  if (spacing && (!imager || known || kind)) return [spacing, `PixelSpacing${known}`];
  if (imager) {
    const stated = h.numbers(FACTOR);
    const factor = stated.length === 1 && stated[0] > 1 && stated[0] <= 2 ? stated[0] : 1;
    return [imager.map((v) => v / factor), `ImagerPixelSpacing${factor > 1 ? ` / ${FACTOR}` : ""}`];
  }
  const scanned = pair(h, "NominalScannedPixelSpacing");
  return [scanned, scanned ? "NominalScannedPixelSpacing" : ""];
}

// That PixelSpacing is none that could be the patient's beside ImagerPixelSpacing.
function otherSpacing(h, source) {
  const [spacing, imager] = [pair(h, "PixelSpacing"), pair(h, "ImagerPixelSpacing")];
  if (!spacing || !imager) return [];
  if (claimed(h) && uncorrected(spacing, imager)) {
    const text = "its PixelSpacing is said to be calibrated, but it is its ImagerPixelSpacing";
    return [`${text}: lengths may be of either scale`];
  }
  const ratios = spacing.map((v, i) => v / imager[i]);
  const larger = Math.max(...ratios) > 1.01;
  if (!larger && Math.min(...ratios) >= 0.5) return [];
  const size = larger ? "larger than" : "less than half of";
  const which = source.startsWith("Imager") ? "which" : "but is said to be calibrated, and";
  return [`its PixelSpacing is ${size} its ImagerPixelSpacing, ${which} was followed`];
}

function spacingDoubts(h, spacing, source) {
  const kinds = [
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
  ];
  const doubts = kinds
    .filter((kind) => h.states(kind) && !pair(h, kind))
    .map((kind) => `its ${kind} is no pair of positive numbers and was ignored`);
  const factor = h.numbers(FACTOR);
  const sound = factor.length === 1 && factor[0] >= 1 && factor[0] <= 2;
  if (source.startsWith("ImagerPixelSpacing") && h.states(FACTOR) && !sound) {
    doubts.push(`its ${FACTOR} is no number from 1 to 2 and was ignored`);
  }
  doubts.push(...otherSpacing(h, source));
  const ratio = pair(h, "PixelAspectRatio");
  const skew = spacing && ratio ? ((spacing[0] / spacing[1]) * ratio[1]) / ratio[0] : 1;
  if (!(skew > 0.98 && skew < 1.02)) {
    doubts.push(`its PixelAspectRatio contradicts its ${source.split(" ")[0]}, which was followed`);
  }
  return doubts;
}

// A spacing, its source and warnings; null where it is unknown or not believed.
function believedSpacing(h) {
  const [spacing, source] = statedSpacing(h);
  const doubts = spacingDoubts(h, spacing, source);
  const [height, width] = spacing ?? pair(h, "PixelAspectRatio") ?? [1, 1];
  if (!(height / width > 0.98 && height / width < 1.02)) {
    const sizes = `${general(height)} high, ${general(width)} wide`;
    doubts.push(`its pixels are not square (${sizes}): lengths in px differ across and down`);
  }
  if (!spacing) return [null, "", doubts];
  const length = Math.max(h.number("Rows") * height, h.number("Columns") * width);
  if (length <= FACTS.limits.length) return [spacing, source, doubts];
  const words = `the spacing in its header (${general(height)} x ${general(width)} mm, ${source})`;
  const metres = general(length / 1000, 3);
  doubts.push(
    `${words} is implausible: the image would be ${metres} m long; lengths in mm are left out`,
  );
  return [null, "", doubts];
}

// A stored pixel's height over its width, also by a spacing whose lengths are not believed.
function aspectOf(h) {
  const [height, width] = statedSpacing(h)[0] ?? pair(h, "PixelAspectRatio") ?? [1, 1];
  return height / width;
}

// ---------------------------------------------------------------- the view

// The words of a text in capitals, without accents.
function words(text) {
  return (
    text
      .normalize("NFKD")
      .replace(/\p{M}/gu, "")
      .match(/[A-Z]+/g) ?? []
  );
}

// The word that says that a view is lateral, oblique or decubitus; '' where none does.
function notFrontal(text) {
  const found = words(text);
  for (const word of found) {
    for (const [view, beginnings] of Object.entries(H.views)) {
      const inside = word.includes(view) || (word.includes("DECUB") && view === "DECUBITUS");
      if (beginnings.some((b) => word.startsWith(b)) || (inside && word !== "BILATERAL"))
        return view;
    }
    if (NOT_FRONTAL.has(word)) return word;
  }
  const letters = found.join("");
  if (NOT_FRONTAL.has(letters) && letters.length === found.length) return letters;
  const beam = Object.entries(H.beams).find(([name]) => letters.includes(name))?.[1] ?? "";
  const upright = beam === "HORIZONTAL BEAM" && (found.includes("AP") || found.includes("PA"));
  return upright ? "" : beam;
}

// The value and the meaning of a code, wherever its value stands.
function code(item) {
  const values = ["CodeValue", "LongCodeValue", "URNCodeValue"].map((name) => item.text(name));
  return [(values.find(Boolean) ?? "").split(":").at(-1), item.text("CodeMeaning")];
}

function codedViews(h) {
  return ["View", "PatientOrientation"].flatMap((name) =>
    h.items(`${name}CodeSequence`).flatMap((item) => {
      const modifiers = item.items(`${name}ModifierCodeSequence`).map(code);
      return [
        code(item),
        ...modifiers.map(([c, meaning]) => [H.angled.includes(c) ? "" : c, meaning]),
      ];
    }),
  );
}

const AXES = ["LR", "AP", "HF"];

// What PatientOrientation states, in letters, whatever separates its values.
function orientation(h) {
  let stated = h.texts("PatientOrientation");
  if (stated.length === 1) stated = stated[0].split(/[^A-Z ]+/);
  let parts = stated.map((text) =>
    text
      .replace(/[^A-Z ]/g, "")
      .split(/\s+/)
      .filter(Boolean),
  );
  if (parts.length === 1 && parts[0].length === 2) parts = parts[0].map((word) => [word]);
  const values = parts.map((part) => part.map((word) => H.in_words[word] ?? word).join(""));
  return values.length > 2 ? values.filter(Boolean) : values;
}

// The patient's main direction towards the picture's right edge, and the lower; '' if unstated.
function directions(h) {
  const stated = orientation(h);
  const within = (letters, allowed) => [...letters].every((c) => allowed.includes(c));
  const sound = (s) =>
    within(s, AXES.join("")) && !AXES.some((axis) => [...axis].every((c) => s.includes(c)));
  const found = stated.map((s) => (sound(s) ? s.slice(0, 1) : ""));
  const alongOne =
    stated.length === 2 && AXES.some((axis) => found.every((c) => c && axis.includes(c)));
  const lateral = found.includes("A") || found.includes("P");
  if ((alongOne || stated.length > 2) && !lateral) return ["", ""];
  return [found[0] ?? "", found[1] ?? ""];
}

const ADVICE =
  "Leave it out, or read it by force (`hemidiaphragm predict --force`) if the header is wrong.";

function checkView(h) {
  let declared = notFrontal(h.text("ViewPosition"));
  for (const [value, meaning] of codedViews(h)) {
    declared ||= notFrontal(meaning) || (H.view_codes.includes(value) ? `of code ${value}` : "");
  }
  if (directions(h).some((d) => d === "A" || d === "P")) declared ||= "LATERAL";
  if (declared) {
    throw new Rejection(`its header says that its view is ${declared}, not frontal`, ADVICE);
  }
}

function turnOf(h) {
  return H.turns[directions(h).join(",")] ?? 1;
}

// ---------------------------------------------------------------- the body part

const LIMB_PATTERN = (() => {
  const [limbs, beside] = [H.limbs, H.beside].map((names) => names.join("|"));
  return new RegExp(`^(?:(?:${beside})|(?<limb>${limbs})S?)+$`);
})();
const UNKNOWN = "a part that is not known";

function limb(word) {
  return LIMB_PATTERN.exec(word.slice(0, 40))?.groups.limb ?? "";
}

function partOf(text) {
  const found = words(text);
  const chest =
    found.some((word) => H.chest.some((name) => word.includes(name))) && !found.includes("SPINE");
  if (chest || found.every((word) => UNSTATED.has(word))) return "";
  return found.map((word) => (PARTS.has(word) ? word : limb(word))).find(Boolean) ?? UNKNOWN;
}

// The body part where that is no chest, by its text or its code; '' for a chest.
function part(h) {
  const parts = [partOf(h.text("BodyPartExamined"))];
  for (const [value, meaning] of h.items("AnatomicRegionSequence").map(code)) {
    const found = H.limb_codes.includes(value) ? "EXTREMITY" : partOf(meaning);
    if (PARTS.has(found) || LIMBS.has(found)) parts.push(found);
  }
  return parts.find((p) => LIMBS.has(p)) ?? parts.find(Boolean) ?? "";
}

function modalities(h) {
  return h.text("Modality").split(" ").filter(Boolean);
}

// Rejects what no chest radiograph can be, by its header's modality, class or body part.
function checkKind(h, metaClass) {
  const uids = [h.raw("x00080016"), metaClass].map((uid) => uid.replaceAll("\0", "").trim());
  const others = [
    ...modalities(h).filter((word) => H.other_modalities.includes(word)),
    ...uids.map((uid) => H.other_classes[uid]).filter(Boolean),
  ];
  if (others.length) {
    throw new Rejection(`its header says that it is ${others[0]}, not a radiograph`, ADVICE);
  }
  if (LIMBS.has(part(h))) {
    throw new Rejection(`its header says that it shows ${part(h)}, not a chest`, ADVICE);
  }
}

// ---------------------------------------------------------------- doubts

const UNITS = { D: ["day", 1 / 365], W: ["week", 7 / 365], M: ["month", 1 / 12], Y: ["year", 1] };

function age(h) {
  const text = h.text("PatientAge");
  const stated = /^([0-9]{1,3}) ?(D|DAYS?|W|WEEKS?|M|MONTHS?|Y|YRS?|YEARS?)$/.exec(text);
  if (!stated) return null;
  const [unit, years] = UNITS[stated[2][0]];
  const n = Number(stated[1]);
  return [n * years, `${n} ${unit}${n === 1 ? "" : "s"}`];
}

function headerWarnings(h) {
  const turn = turnOf(h);
  const turns = {
    2: ["mirrored", "flipped"],
    3: ["upside down", "rotated"],
    6: ["on its side", "rotated"],
    8: ["on its side", "rotated"],
  };
  const [how, back] = turns[turn] ?? ["mirrored and rotated", "flipped and rotated"];
  const shown = part(h);
  const where = directions(h);
  const lateral = where.some((d) => d === "A" || d === "P");
  const unsettled =
    h.texts("PatientOrientation").length && !(where.join(",") in H.turns) && !lateral;
  const strange = modalities(h).filter((word) => !H.radiographs.includes(word));
  const side = h.text("ViewPosition");
  const years = age(h);
  const doubts = [
    [
      h.text("PresentationIntentType") === "FOR PROCESSING",
      "it holds raw detector values, not a radiograph for viewing",
    ],
    [
      turn !== 1,
      `its header says that it is ${how}: it was ${back} back, and coordinates in tables are` +
        ` those of the ${back} picture`,
    ],
    [
      unsettled,
      "its header states a PatientOrientation that does not settle the sides: they are taken as" +
        " they are in the picture",
    ],
    [shown && shown !== UNKNOWN, `its header says that it shows ${shown}, not a chest`],
    [shown === UNKNOWN, `its header says that it shows ${shown}, which may be no chest`],
    [
      ["L", "R", "LT", "RT", "LEFT", "RIGHT"].includes(side),
      `its header says that its view is ${side}, which may be a lateral`,
    ],
    [strange.length, "its header states a modality that is not known"],
    [years && years[0] < 18, `its header says that the patient is ${years?.[1]} old`],
  ];
  return doubts.filter(([holds]) => holds).map(([, text]) => text);
}

// The spacing of the upright picture, its source, the aspect of its pixels, the orientation to
// undo, and warnings.
// Rejects what is no frontal chest radiograph.
export function headerFacts(h, metaClass) {
  checkKind(h, metaClass);
  checkView(h);
  const turn = turnOf(h);
  const [spacing, spacingSource, doubts] = believedSpacing(h);
  const upright = spacing && turn > 4 ? [spacing[1], spacing[0]] : spacing;
  const aspect = turn > 4 ? 1 / aspectOf(h) : aspectOf(h);
  const warnings = [...doubts, ...headerWarnings(h)];
  return { spacing: upright, spacingSource, aspect, orientation: turn, warnings };
}
