// A radiograph with the model's answer, its landmarks as a reader puts them, and what follows in
// numbers, as `hemidiaphragm_nb.session` and `.writers` state them.

import FACTS from "./facts.json";
import { Frame } from "./frame.js";

export const SIDES = FACTS.features.sides;

export class Radiograph {
  constructor(file, answer) {
    Object.assign(this, { file, answer });
    this.points = answer.points.map((p) => [...p]);
    this.where = new Frame(answer.height, answer.width);
  }

  found(side) {
    return !Number.isNaN(this.points[side][0]);
  }

  edited(side) {
    return this.points[side].some((v, axis) => {
      const model = this.answer.points[side][axis];
      return !(Math.abs(v - model) < 1e-6 || (Number.isNaN(v) && Number.isNaN(model)));
    });
  }

  // Puts the landmark of a side at (x, y), or the nearest place on the radiograph.
  move(side, x, y) {
    const last = [this.answer.width - 1, this.answer.height - 1];
    this.points[side] = [x, y].map((v, axis) => Math.min(Math.max(v, 0), last[axis]));
  }

  // Puts a missing landmark at (x, y). Where none is missing nothing moves: who taps twice to zoom
  // means no landmark.
  place(x, y) {
    const missing = [0, 1].filter((side) => !this.found(side));
    if (!missing.length) return;
    const half = x > this.answer.width / 2 ? 1 : 0; // of two, the one of that half
    this.move(missing.length === 2 ? half : missing[0], x, y);
  }

  reset() {
    this.points = this.answer.points.map((p) => [...p]);
  }

  get gapPx() {
    return this.points[1][1] - this.points[0][1];
  }

  get gapMm() {
    return this.answer.spacing ? this.gapPx * this.answer.spacing[0] : NaN;
  }

  // Why there is no answer; '' where there is one, or both landmarks were placed by hand.
  get noAnswer() {
    return this.edited(0) && this.edited(1) ? "" : this.answer.noAnswer;
  }

  get status() {
    if (this.noAnswer) return FACTS.no_answer;
    return this.warnings.length ? "warnings" : "ok";
  }

  // From and to: holds the true gap nine times in ten; null where it is unknown, as by hand.
  get gap90Px() {
    const [gap, off] = [this.gapPx, this.answer.gapMarginPx];
    if (this.edited(0) || this.edited(1) || !Number.isFinite(gap + off)) return null;
    return [gap - off, gap + off];
  }

  get gap90Mm() {
    const { spacing } = this.answer;
    return spacing && this.gap90Px ? this.gap90Px.map((v) => v * spacing[0]) : null;
  }

  // The gap had the lungs' apices been level.
  get gapCorrectedPx() {
    const [right, left] = this.points;
    const angle = (this.answer.tilt * Math.PI) / 180;
    const [across, down] = [left[0] - right[0], left[1] - right[1]];
    return down * Math.cos(angle) - (across / this.answer.aspect) * Math.sin(angle);
  }

  // The same in mm; NaN where the spacing is unknown.
  get gapCorrectedMm() {
    return this.answer.spacing ? this.gapCorrectedPx * this.answer.spacing[0] : NaN;
  }

  // The radius of each landmark; a landmark placed by hand has none.
  get radius90() {
    return this.answer.radius90.map((r, side) => (this.edited(side) ? NaN : r));
  }

  get warnings() {
    return this.answer.findings.map((f) => f.message);
  }

  // The measurements of a side, its height up to the landmark as it stands.
  sizes(side) {
    const lung = this.answer.measured.lungs[side];
    const level = this.points[side][1];
    if (!(level > lung.top - 0.5 && level < lung.lowest) || lung.cut.includes("top")) {
      return { ...lung, height_px: NaN, height_mm: NaN };
    }
    const height = level - lung.top + 0.5;
    const row = this.answer.spacing ? this.answer.spacing[0] : NaN;
    return { ...lung, height_px: height, height_mm: height * row };
  }

  gapInWords() {
    const [px, mm] = [this.gapPx, this.gapMm];
    if (Number.isNaN(px)) {
      return this.noAnswer ? `no answer: ${this.noAnswer}` : "unknown: a landmark is missing";
    }
    const level = Math.abs(px) < 0.05;
    const beside = level || Number.isNaN(mm) ? [] : [`${Math.abs(mm).toFixed(1)} mm`];
    const ends = this.gap90Mm ?? this.gap90Px;
    if (ends) {
      const [low, high] = px >= 0 ? ends : [-ends[1], -ends[0]];
      beside.push(`90 %: ${low.toFixed(1)} to ${high.toFixed(1)} ${this.gap90Mm ? "mm" : "px"}`);
    }
    const higher = `${SIDES[Number(px < 0)]} side higher by ${Math.abs(px).toFixed(1)} px`;
    const head = level ? "both sides level" : higher;
    return beside.length ? `${head} (${beside.join("; ")})` : head;
  }

  // A row of the library's `predictions.csv`, and which landmarks were placed by hand.
  row() {
    const a = this.answer;
    const known = (v, digits = 2) => (Number.isFinite(v) ? Number(v.toFixed(digits)) : "");
    const values = [...this.points.flat(), this.gapPx, this.gapMm].map((v) => known(v));
    const uncertain = [...a.disagreement, ...this.radius90].map((v) => known(v, 1));
    const row = [this.file, ...values, this.warnings.join("; "), a.width, a.height];
    row.push(a.spacing ? known(a.spacing[0], 4) : "", ...uncertain);
    row.push(this.status, a.spacingSource);
    for (const ends of [this.gap90Px, this.gap90Mm]) {
      row.push(...(ends ?? [NaN, NaN]).map((v) => known(v)));
    }
    const level = [known(this.gapCorrectedPx), known(this.gapCorrectedMm)];
    row.push(known(a.tilt, 1), ...level, FACTS.gap_rule);
    const names = [...FACTS.columns, "placed_by_hand"];
    const byHand = SIDES.filter((_, side) => this.edited(side)).join(" ");
    return Object.fromEntries(names.map((name, i) => [name, [...row, byHand][i]]));
  }
}

// A cell of a CSV file: behind an apostrophe where a spreadsheet could take it for a formula, in
// quotation marks where it holds what separates cells.
function cell(value) {
  let text = String(value);
  const number = /^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$/.test(text);
  if (/^'*[=+\-@\t\r]/.test(text) && !number) text = `'${text}`;
  return /[",\n\r\t]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// Rows as text, cells apart by a comma (CSV) or a tab (for a spreadsheet's clipboard).
export function tableText(rows, separator = ",") {
  if (!rows.length) return "";
  const lines = [Object.keys(rows[0]), ...rows.map((row) => Object.values(row))];
  return lines.map((line) => line.map(cell).join(separator)).join("\n") + "\n";
}
