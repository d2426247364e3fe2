// Pictures made in the page: the radiograph, heatmaps in colour, and the overlay that is saved.

import FACTS from "./facts.json";
import { FRAME } from "./frame.js";
import { SIDES } from "./radiograph.js";

const COLOURS = { right: "#f2b701", left: "#3d9be9" }; // as in viewer.css

const MOST_LINES = 12; // over the picture that is saved
const NOTHING = "#8b949c"; // no colour of the map

function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

export function pngOf(canvas) {
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// A grey plane of bytes as a canvas.
export function greyCanvas({ data, height, width }) {
  const canvas = canvasOf(width, height);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < data.length; i++) pixels[i] = 0xff000000 | (data[i] * 0x10101);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// The colour map viridis, as the polynomial of degree 6 that fits it.
const VIRIDIS = [
  [0.2777, 0.1051, -0.3309, -4.6342, 6.2283, 4.7764, -5.4355],
  [0.0054, 1.4046, 0.2148, -5.7991, 14.1799, -13.7451, 4.6459],
  [0.3341, 1.3846, 0.0951, -19.3324, 56.6906, -65.353, 26.3124],
];

// Its colours for 0 to 255, as red, green, blue and opacity.
const COLOUR_MAP = Array.from({ length: 256 }, (_, i) => {
  const at = (c) => 255 * c.reduceRight((value, factor) => (value * i) / 255 + factor, 0);
  return [...VIRIDIS.map(at), 255];
});

// Draws a heatmap (a plane in the frame, 0 to 1) over the radiograph's extent, with crosses; grey
// where there is none.
export function drawHeatmap(canvas, map, radiograph) {
  const { top, left, rows, columns } = radiograph.where;
  canvas.width = Math.round((256 * columns) / Math.max(rows, columns));
  canvas.height = Math.round((256 * rows) / Math.max(rows, columns));
  const context = canvas.getContext("2d");
  if (!map) {
    context.fillStyle = NOTHING;
    context.fillRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const scale = map.height / FRAME;
  const whole = canvasOf(map.width, map.height);
  const image = new ImageData(map.width, map.height);
  map.data.forEach((v, i) => {
    image.data.set(COLOUR_MAP[Math.floor(255 * Math.min(Math.max(v, 0), 1))], 4 * i);
  });
  whole.getContext("2d").putImageData(image, 0, 0);
  const part = [left, top, columns, rows].map((v) => v * scale);
  context.drawImage(whole, ...part, 0, 0, canvas.width, canvas.height);
  context.strokeStyle = "white";
  context.lineWidth = 2;
  for (const [side, point] of radiograph.points.entries()) {
    if (!radiograph.found(side)) continue;
    const x = ((point[0] + 0.5) / radiograph.answer.width) * canvas.width;
    const y = ((point[1] + 0.5) / radiograph.answer.height) * canvas.height;
    context.stroke(new Path2D(`M${x - 7} ${y}H${x + 7}M${x} ${y - 7}V${y + 7}`));
  }
}

// What is written on the picture that is saved.
function overlayLines(radiograph) {
  const byHand = SIDES.filter((_, side) => radiograph.edited(side));
  // where there is no answer, the first is the reason, which stands in the line above
  const warnings = radiograph.warnings.slice(radiograph.noAnswer ? 1 : 0);
  return [
    `gap: ${radiograph.gapInWords()}`,
    ...byHand.map((side) => `${side} landmark placed by hand`),
    ...warnings.map((text) => `Warning: ${text}`),
  ];
}

// Texts in lines that are no longer than `most` px, and how many texts there is no room for.
function writtenLines(context, texts, most) {
  const lines = [];
  for (const [i, text] of texts.entries()) {
    const own = [""];
    for (const word of text.split(" ")) {
      const longer = own.at(-1) ? `${own.at(-1)} ${word}` : word;
      if (own.at(-1) && context.measureText(longer).width > most) own.push(word);
      else own[own.length - 1] = longer;
    }
    const room = MOST_LINES - (i < texts.length - 1 ? 1 : 0);
    if (lines.length + own.length > room) return [...lines, `and ${texts.length - i} more`];
    lines.push(...own);
  }
  return lines;
}

// The dashed ring where the model had put a landmark that was moved.
function ring(context, [x, y], unit) {
  context.lineWidth = 0.3 * unit;
  context.strokeStyle = "white";
  context.setLineDash([0.7 * unit, 0.5 * unit]);
  context.beginPath();
  context.arc(x, y, 1.6 * unit, 0, 7);
  context.stroke();
  context.setLineDash([]);
}

// The radiograph with lungs, landmarks, gap and warnings drawn on it.
export function overlay(radiograph, background, filter) {
  const { answer } = radiograph;
  const { width, height } = background;
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d");
  if (filter) context.filter = filter;
  context.drawImage(background, 0, 0);
  context.filter = "none";
  const scale = width / answer.width;
  const unit = Math.max(width, height) / 100;
  const at = ([x, y]) => [(x + 0.5) * scale, (y + 0.5) * scale];
  context.save();
  context.scale(scale, scale);
  context.translate(0.5, 0.5);
  answer.paths.forEach((path, side) => {
    context.lineWidth = (0.3 * unit) / scale;
    context.strokeStyle = COLOURS[SIDES[side]];
    context.stroke(new Path2D(path));
  });
  context.restore();
  context.font = `bold ${2.4 * unit}px sans-serif`;
  SIDES.forEach((name, side) => {
    if (!radiograph.found(side)) return;
    const [x, y] = at(radiograph.points[side]);
    const level = new Path2D(`M${x - 11 * unit} ${y}H${x + 11 * unit}`);
    for (const [colour, wide] of [
      ["#0008", 0.6],
      ["white", 0.25],
    ]) {
      context.lineWidth = wide * unit;
      context.strokeStyle = colour;
      context.stroke(level);
    }
    // as in the viewer: a square was placed by hand, a dashed ring is where the model had put it
    const byHand = radiograph.edited(side);
    if (byHand && !Number.isNaN(answer.points[side][0]))
      ring(context, at(answer.points[side]), unit);
    context.fillStyle = "#d5402b";
    context.beginPath();
    if (byHand) context.rect(x - 0.9 * unit, y - 0.9 * unit, 1.8 * unit, 1.8 * unit);
    else context.arc(x, y, 0.9 * unit, 0, 7);
    context.fill();
    label(context, name[0].toUpperCase(), x - 11 * unit, y - unit, unit);
  });
  context.font = `${1.9 * unit}px sans-serif`;
  writtenLines(context, overlayLines(radiograph), width - 2 * unit).forEach((line, i) =>
    label(context, line, unit, (3 + 2.8 * i) * unit, unit),
  );
  label(context, FACTS.notice, unit, height - unit, unit);
  return canvas;
}

function label(context, text, x, y, unit) {
  const wide = context.measureText(text).width;
  const tall = parseFloat(context.font.match(/[\d.]+px/)[0]);
  context.fillStyle = "#000b";
  context.fillRect(x - 0.4 * unit, y - tall, wide + 0.8 * unit, 1.3 * tall);
  context.fillStyle = "white";
  context.fillText(text, x, y);
}
