// The page: opens files, asks the worker, shows its answers.

import { makeViewer } from "../../hemidiaphragm_nb/static/viewer.js";
import { targetHeatmap } from "./decode.js";
import FACTS from "./facts.json";
import { keepOffline, startWorker, worksOffline } from "./load.js";
import { drawHeatmap, greyCanvas, overlay, pngOf } from "./pictures.js";
import { Radiograph, SIDES, tableText } from "./radiograph.js";

const $ = (id) => document.getElementById(id);
const ACCEPTED =
  ".png,.jpg,.jpeg,.jpe,.jfif,.tif,.tiff,.dcm,.dicom" +
  ",image/png,image/jpeg,image/tiff,application/dicom";

const OPEN_REJECTIONS = 3; // more of them are folded

// ---------------------------------------------------------------- the state

// What the viewer draws: traits by name, and who listens to them.
class Model {
  constructor(traits) {
    this.traits = traits;
    this.listeners = new Map();
  }
  get(name) {
    return this.traits[name];
  }
  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }
  off(event, listener) {
    this.listeners.set(
      event,
      (this.listeners.get(event) ?? []).filter((l) => l !== listener),
    );
  }
  set(traits) {
    Object.assign(this.traits, traits);
    const listeners = Object.keys(traits).flatMap(
      (name) => this.listeners.get(`change:${name}`) ?? [],
    );
    for (const listener of new Set(listeners)) listener();
  }
  send(message) {
    const radiograph = shown?.radiograph;
    if (!radiograph) return;
    if (message.kind === "move") radiograph.move(message.side, message.x, message.y);
    if (message.kind === "place") radiograph.place(message.x, message.y);
    showPoints();
    if (!message.going) showNumbers();
  }
}

const model = new Model({
  image: new Blob(),
  image_size: [0, 0],
  caption: "",
  lung_paths: ["", ""],
  lung_opacity: 0.12,
  show_outlines: true,
  show_landmarks: true,
  points: [null, null],
  edited: [false, false],
  model_points: [null, null],
  gap_label: "",
  busy_message: "",
});

const entries = []; // of each file: { id, file, blob, radiograph, canvas, message }
globalThis.hemidiaphragm = { entries }; // for the browser's console, and for tests
let shown = null; // whose picture stands on the screen: moves of landmarks are its
let wanted = null; // the last that was asked for; its picture is being made
let worker = null;
let next = 0;
let view = { low: 0, high: 1 };

// ---------------------------------------------------------------- small things

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function number(value, digits = 1) {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

function saveAs(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function say(text) {
  $("status-text").textContent = text;
}

// ---------------------------------------------------------------- one radiograph

function pointsOrNull(points) {
  return points.map((p) => (Number.isNaN(p[0]) ? null : p));
}

function showPoints() {
  const { radiograph } = shown;
  const [px, mm] = [radiograph.gapPx, radiograph.gapMm];
  const signed = (v) => `${v < 0 ? "−" : "+"}${number(Math.abs(v))}`;
  model.set({
    points: pointsOrNull(radiograph.points),
    model_points: pointsOrNull(radiograph.answer.points),
    edited: SIDES.map((_, side) => radiograph.edited(side)),
    gap_label: Number.isNaN(px)
      ? ""
      : `${signed(px)} px${Number.isNaN(mm) ? "" : ` (${signed(mm)} mm)`}`,
  });
  const words = radiograph.gapInWords().replace(/ (px|mm)/g, "\u00a0$1");
  $("gap").textContent = capital(words);
  $("back").disabled = !SIDES.some((_, side) => radiograph.edited(side));
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

// How sure the landmarks are, in words; what is not known is not claimed.
function certainty(radiograph) {
  const known = SIDES.map((side, k) => [side, radiograph.radius90[k]]).filter(([, r]) =>
    Number.isFinite(r),
  );
  if (radiograph.noAnswer) return "";
  if (!known.length) return "The radius of a landmark placed by hand is not known.";
  const radii = known.map(([side, r]) => `${side} ${r.toFixed(0)} px`).join(", ");
  const meaning = "A radius holds the true point nine times in ten, on average.";
  return `90 % radius of the landmarks: ${radii}. ${meaning}`;
}

function sizeRows(radiograph) {
  const sizes = [0, 1].map((side) => radiograph.sizes(side));
  const places = radiograph.points.map((p) =>
    Number.isNaN(p[0]) ? "none" : p.map((v) => v.toFixed(1)).join(", "),
  );
  const length = (lung, name) => {
    const [px, mm] = [lung[`${name}_px`], lung[`${name}_mm`]];
    if (!Number.isFinite(px)) return "unknown";
    return Number.isFinite(mm) ? `${mm.toFixed(0)} mm` : `${px.toFixed(0)} px`;
  };
  const area = (lung) => {
    if (!Number.isFinite(lung.area_px2)) return "unknown";
    const mm2 = lung.area_mm2;
    return Number.isFinite(mm2)
      ? `${(mm2 / 100).toFixed(0)} cm²`
      : `${Math.round(lung.area_px2).toLocaleString("en")} px²`;
  };
  return [
    ["landmark, px", ...places],
    ["90 % radius, px", ...radiograph.radius90.map((r) => number(r))],
    ["height", ...sizes.map((lung) => length(lung, "height"))],
    ["width", ...sizes.map((lung) => length(lung, "width"))],
    ["area", ...sizes.map(area)],
    ["dome height", ...sizes.map((lung) => length(lung, "dome"))],
  ];
}

function warnings(radiograph) {
  return radiograph.warnings.map((text, i) => {
    const head = i === 0 && radiograph.answer.noAnswer ? "No answer" : "Warning";
    return element("li", { className: "doubt" }, `${head}: ${text}`);
  });
}

function remarks(radiograph) {
  const { spacing, spacingSource } = radiograph.answer;
  const lengths = spacing
    ? `Lengths in mm by ${spacingSource} (${spacing[0]} mm a pixel).`
    : "Lengths in pixels: the file states no spacing, or none that is believed.";
  const others = [element("li", {}, lengths)];
  if (!radiograph.warnings.length) others.unshift(element("li", {}, "No warnings from the model."));
  SIDES.forEach((side, k) => {
    if (radiograph.edited(k))
      others.push(element("li", {}, `The ${side} landmark was placed by hand.`));
    const { cut } = radiograph.answer.measured.lungs[k];
    if (cut.length) {
      const text = `The ${side} lung touches the ${cut.join(" and ")} border`;
      others.push(element("li", {}, `${text}: what needs the whole lung is unknown.`));
    }
  });
  return others;
}

function showMaps() {
  const { radiograph } = shown;
  const beta = Number($("beta").value);
  $("beta-value").textContent = `${beta} px of 512`;
  const side = 128;
  const points = pointsOrNull(radiograph.points).map((p) => p && radiograph.where.toFrame(p));
  const target = points.some(Boolean) ? targetHeatmap(points, side, beta) : null;
  const [right, left] = radiograph.answer.heatmaps;
  const both = { ...right, data: right.data.map((v, i) => Math.min(v, left.data[i])) };
  const predicted = radiograph.answer.noAnswer ? null : both; // nor is its map
  showMap("network", predicted, {
    words: "what the network predicted",
    label: "heatmap that the network predicted, darkest at the landmarks",
    none: "not shown: no answer",
  });
  showMap("target", target, {
    words: "what it is trained to predict for these points, at this β",
    label: `target heatmap of these points at β ${beta} px`,
    none: "not shown: no landmark",
  });
}

// A heatmap with its words, or a grey field where there is none.
function showMap(name, map, { words, label, none }) {
  drawHeatmap($(`${name}-map`), map, shown.radiograph);
  $(`${name}-map`).ariaLabel = map ? label : `${name} heatmap ${none}`;
  $(`${name}-words`).textContent = map ? words : none;
}

function showNumbers() {
  const { radiograph } = shown;
  $("certainty").textContent = certainty(radiograph);
  $("warnings").replaceChildren(...warnings(radiograph));
  $("findings").replaceChildren(...remarks(radiograph));
  const rows = sizeRows(radiograph).map(([name, ...values]) => {
    const cells = values.map((value) => element("td", {}, value));
    return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
  });
  $("sizes").tBodies[0].replaceChildren(...rows);
  showMaps();
  showTable();
}

async function show(entry) {
  wanted = entry;
  const { radiograph } = entry;
  entry.canvas ??= greyCanvas(radiograph.answer.picture);
  const image = await pngOf(entry.canvas);
  if (wanted !== entry) {
    if (shown !== entry) entry.canvas = null;
    return;
  }
  if (shown && shown !== entry) shown.canvas = null; // many radiographs would fill the memory
  shown = entry;
  $("desk").hidden = false;
  $("name").textContent = entry.file;
  model.set({
    image,
    image_size: [radiograph.answer.width, radiograph.answer.height],
    caption: entry.file,
    lung_paths: radiograph.answer.paths,
  });
  showPoints();
  showNumbers();
}

// ---------------------------------------------------------------- all radiographs

function answered() {
  return entries.filter((entry) => entry.radiograph);
}

function resultCells({ radiograph, message }) {
  if (!radiograph) return [element("td", { colSpan: 4 }, message ?? "waiting …")];
  return [
    radiograph.noAnswer ? "no answer" : number(radiograph.gapPx),
    number(radiograph.gapMm),
    radiograph.radius90.map((r) => number(r)).join(", "),
    radiograph.warnings.join("; ") || "none",
  ].map((text) => element("td", {}, text));
}

function showTable() {
  $("overview").hidden = !entries.length;
  const body = $("table").tBodies[0];
  if (!entries.length) body.replaceChildren();
  for (const entry of entries) {
    // an entry keeps its row and button: what has the keyboard's focus must stay
    entry.row ??= body.appendChild(element("tr", {}, element("td", {}, entry.file)));
    if (entry === shown) entry.row.setAttribute("aria-current", "true");
    else entry.row.removeAttribute("aria-current");
    const name = entry.row.cells[0];
    if (entry.radiograph && !name.firstElementChild) {
      const onclick = async () => {
        await show(entry);
        // the focus stays here, so that the next radiograph is one key away
        const { top, bottom } = $("name").getBoundingClientRect();
        if (top < 0 || bottom > innerHeight) $("desk").scrollIntoView();
      };
      name.replaceChildren(element("button", { type: "button", onclick }, entry.file));
    }
    while (entry.row.cells.length > 1) entry.row.deleteCell(-1);
    entry.row.append(...resultCells(entry));
  }
  for (const id of ["copy", "csv"]) $(id).disabled = !answered().length;
}

function rows() {
  return answered().map((entry) => entry.radiograph.row());
}

// ---------------------------------------------------------------- files

function reject(entry, message) {
  entry.message = message;
  // the first that can be read of those opened together is shown
  const waits = (other) => other.opening === entry.opening && !other.radiograph && !other.message;
  const following = entry.first && entries.find(waits);
  if (following) following.first = true;
  showRejection(element("p", {}, element("b", {}, entry.file), `: ${message}`));
}

// Above the answers, which many files that are not read must not push off the screen.
function showRejection(line) {
  const box = $("rejected");
  box.hidden = false;
  (box.querySelector("details") ?? box).append(line);
  const lines = box.querySelectorAll("p");
  if (lines.length <= OPEN_REJECTIONS) return;
  if (lines[0].parentElement === box) {
    box.append(element("details", {}, element("summary", {}), ...lines));
  }
  box.querySelector("summary").textContent = `${lines.length} files are not read`;
}

function progressText() {
  const waiting = entries.filter((entry) => !entry.radiograph && !entry.message);
  if (!worker) return;
  say(waiting.length ? `Computing ${waiting[0].file} (${waiting.length} to go) …` : ready);
}

let ready = "Ready.";

// Opens files, and shows the first that can be read of them as soon as it is there.
async function open(files) {
  $("rejected").replaceChildren();
  $("rejected").hidden = true;
  const opening = next;
  const opened = [...files].map((blob) => ({ id: next++, file: blob.name, blob, opening }));
  if (opened.length) opened[0].first = true;
  entries.push(...opened);
  for (const entry of opened) {
    const file = entry.blob;
    if (file.size > FACTS.limits.bytes) {
      const mib = Math.round(file.size / 2 ** 20);
      reject(
        entry,
        `the file is gigantic (${mib} MiB; the limit is ${FACTS.limits.bytes / 2 ** 20}).`,
      );
    }
  }
  showTable();
  await sendNext();
}

// Reads and sends one file at a time, so that many large ones do not fill the memory.
let sending = null;
async function sendNext() {
  if (!worker || sending) return;
  sending = entries.find((entry) => !entry.radiograph && !entry.message);
  progressText();
  if (!sending) return;
  try {
    const bytes = await sending.blob.arrayBuffer();
    worker.postMessage({ kind: "open", id: sending.id, bytes }, [bytes]);
  } catch {
    reject(sending, "it cannot be read (a folder, or it is gone).");
    sending = null;
    showTable();
    await sendNext();
  }
}

function take({ data }) {
  const entry = entries.find(({ id }) => id === data.id);
  sending = null;
  if (entry) {
    entry.blob = null;
    if (data.kind === "answer") entry.radiograph = new Radiograph(entry.file, data.answer);
    else reject(entry, data.message);
    if (entry.radiograph && (!wanted || entry.first)) show(entry);
  }
  showTable();
  sendNext();
}

async function openExample(name) {
  try {
    const response = await fetch(`examples/${name}`);
    if (!response.ok) throw new Error();
    await open([new File([await response.blob()], name)]);
  } catch {
    say("The example cannot be fetched.");
  }
}

function connect() {
  $("files").accept = ACCEPTED;
  $("files").onchange = ({ target }) => {
    open([...target.files]);
    target.value = "";
  };
  const radiographs = EXAMPLES.filter((name) => name.endsWith(".dcm")).length;
  // `build.mjs` knows the files: a radiograph, where there is one, and phantoms
  EXAMPLES.forEach((name, k) => {
    const title = name.endsWith(".dcm") ? "Radiograph" : `Phantom ${k + 1 - radiographs}`;
    const onclick = () => openExample(name);
    $("examples").append(element("button", { type: "button", onclick }, title));
  });
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.ondragenter = document.ondragover = (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  };
  document.ondragleave = (event) => {
    if (!event.relatedTarget) $("drop").hidden = true;
  };
  document.ondrop = (event) => {
    event.preventDefault();
    $("drop").hidden = true;
    open([...(event.dataTransfer?.files ?? [])]);
  };
  $("back").onclick = () => {
    shown.radiograph.reset();
    showPoints();
    showNumbers();
  };
  $("beta").oninput = showMaps;
  $("opacity").oninput = ({ target }) => model.set({ lung_opacity: Number(target.value) });
  $("outlines").onchange = ({ target }) => model.set({ show_outlines: target.checked });
  $("landmarks").onchange = ({ target }) => {
    model.set({ show_landmarks: target.checked, points: model.get("points") });
  };
  $("csv").onclick = () =>
    saveAs(new Blob([tableText(rows())], { type: "text/csv" }), "predictions.csv");
  $("copy").onclick = async () => {
    try {
      await navigator.clipboard.writeText(tableText(rows(), "\t"));
      say("The table is in the clipboard.");
    } catch {
      say("The browser does not let this page write to the clipboard.");
    }
  };
  $("picture").onclick = async () => {
    const filter = document.querySelector(".radiograph").style.filter;
    const picture = overlay(shown.radiograph, shown.canvas, filter);
    saveAs(await pngOf(picture), `${shown.file.replace(/\.[a-z]+$/i, "")}_overlay.png`);
  };
  $("clear").onclick = () => {
    entries.length = 0;
    shown = wanted = null;
    $("desk").hidden = true;
    $("rejected").hidden = true;
    showTable();
    $("files").focus();
  };
  makeViewer(model, $("viewer"));
}

async function start() {
  connect();
  if (location.protocol === "file:") {
    say(
      "Open this folder through a web server (or `hemidiaphragm page`): a browser lets no page" +
        " read its files from disk.",
    );
    $("progress").hidden = true;
    return;
  }
  await keepOffline();
  try {
    say("Loading the network …");
    worker = await startWorker((part) => {
      $("progress").value = part;
      say(
        part < 1 ? `Loading the network: ${Math.round(100 * part)} %` : "Preparing the network …",
      );
    });
  } catch (error) {
    say(`The network cannot be loaded here (${error.message}).`);
    $("status").classList.add("alert");
    $("progress").hidden = true;
    return;
  }
  worker.onmessage = take;
  worker.onerror = (event) =>
    say(`The computation failed (${event.message}). Load the page again.`);
  $("progress").hidden = true;
  const offline = await worksOffline();
  ready = offline ? "Ready; this page works offline, too." : "Ready.";
  say(ready);
  document.documentElement.dataset.ready = offline ? "offline" : "online";
  sendNext();
}

start();
