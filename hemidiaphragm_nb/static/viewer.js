// The radiograph in the browser, for the app and for the page that predicts by itself (web/): an
// anywidget module (https://anywidget.dev), nothing to build.
//
// Its owner, Python or the page, holds the state: a model with `get`, `on`, `off` and `send`. The
// viewer draws what the traits of `ImageViewer` (notebook engine/app) hold, and sends messages
// about what the hand did; it decides nothing. Zoom, place and grey window are its own. All
// coordinates are the radiograph's own pixels, with the origin at the centre of the first pixel.
//
// Messages to the owner:
//   {kind: "move", side, x, y, going}         a landmark (0 right, 1 left) was moved, or still is
//   {kind: "place", x, y}                     double-click, Enter: a landmark belongs here
//   {kind: "piece", name, at, size, others}   with one buffer: a piece of a file

const SIDES = ["right", "left"];
const PIECE = 4 * 2 ** 20; // bytes of a file in one message
const PAUSE = 50; // ms between two messages of one drag
const ENDINGS = ".png,.jpg,.jpeg,.jpe,.jfif,.tif,.tiff,.dcm,.dicom";
const ACCEPTED = ENDINGS + ",image/png,image/jpeg,image/tiff,application/dicom";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// An HTML element with properties and children. Text goes in as `textContent`, never as markup: a
// file's name cannot trick it.
function html(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// An SVG element with attributes.
function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// The number nearest to `value` between 0 and `last`.
function clamp(value, last) {
  return Math.min(Math.max(value, 0), last);
}

// Puts an element's CSS position at a point of the radiograph, whatever its size on the screen.
function placeAt(element, [x, y], [width, height]) {
  element.style.left = `${((x + 0.5) / width) * 100}%`;
  element.style.top = `${((y + 0.5) / height) * 100}%`;
}

// ---------------------------------------------------------------- the picture

// The radiograph, the lungs' outlines, and the levels of the two landmarks with the gap between.
// `stage` is what is seen, `scene` the whole radiograph, which may be larger.
function makePicture(model, stage, scene) {
  const image = html("img", { className: "radiograph", draggable: false });
  const lines = svg("svg", { class: "lines" });
  const lungs = SIDES.map((side) => svg("path", { class: `lung ${side}`, "fill-rule": "evenodd" }));
  const shade = svg("path", { class: "levels shade" }); // dark, below the white line
  const levels = svg("path", { class: "levels" });
  const gap = html("div", { className: "gap" });
  lines.append(...lungs, shade, levels);
  scene.append(image, lines, gap);

  function showImage() {
    const [width, height] = model.get("image_size");
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(new Blob([model.get("image")], { type: "image/png" }));
    image.alt = `chest radiograph ${model.get("caption")}`;
    lines.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`);
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.style.width = `min(100%, calc(var(--tall) * ${width / height}))`;
  }

  function showLungs() {
    lungs.forEach((path, side) => {
      path.setAttribute("d", model.get("lung_paths")[side] || "");
      path.style.fillOpacity = model.get("lung_opacity");
      path.style.strokeOpacity = model.get("show_outlines") ? 1 : 0;
    });
  }

  // A horizontal line across each dome, and between them a bracket that holds the gap.
  function showLevels(points) {
    const size = model.get("image_size");
    const known = points.filter(Boolean);
    const reach = size[0] / 9;
    let path = known.map(([x, y]) => `M${x - reach} ${y}L${x + reach} ${y}`).join("");
    if (known.length == 2) {
      const [[x0, y0], [x1, y1]] = known;
      const middle = (x0 + x1) / 2;
      const inner = x0 < x1 ? reach : -reach;
      path += `M${x0 + inner} ${y0}L${middle} ${y0}L${middle} ${y1}L${x1 - inner} ${y1}`;
      placeAt(gap, [middle, Math.max(y0, y1)], size);
    }
    for (const element of [levels, shade]) element.setAttribute("d", path);
    gap.textContent = known.length == 2 ? model.get("gap_label") : "";
    gap.hidden = !model.get("show_landmarks");
    lines.classList.toggle("bare", !model.get("show_landmarks"));
  }

  return { image, showImage, showLungs, showLevels };
}

// ---------------------------------------------------------------- the handles

// A handle is a real button: it takes the keyboard's focus, and arrow keys move it by a pixel, with
// Shift by ten. While it is dragged it follows the pointer at once, and Python gets a message at
// most every 50 ms; where it finally stands is always sent.
function makeHandles(model, stage, scene, showLevels) {
  const button = (side) => html("button", { className: `handle ${side}`, type: "button" });
  const handles = SIDES.map(button);
  const ghosts = SIDES.map(() => html("div", { className: "ghost" })); // where the model had put it
  scene.append(...ghosts, ...handles);
  let points = [null, null];
  let dragged = null; // side of the handle under the hand
  let placing = false; // a missing landmark, by the keyboard
  let lastSent = 0;
  model.on("change:image", () => {
    dragged = null; // what was under the hand is not on this radiograph
  });

  function showAt(element, point) {
    element.hidden = !point || !model.get("show_landmarks");
    if (point) placeAt(element, point, model.get("image_size"));
  }

  function label(side) {
    if (!points[side]) return "";
    const [x, y] = points[side].map((v) => v.toFixed(1));
    return `${SIDES[side]} landmark at x ${x}, y ${y}; arrow keys move it`;
  }

  function showPoints() {
    const before = points;
    points = model.get("points").map((point, side) => (side === dragged ? points[side] : point));
    handles.forEach((handle, side) => {
      const edited = model.get("edited")[side];
      showAt(handle, points[side]);
      showAt(ghosts[side], edited ? model.get("model_points")[side] : null);
      handle.classList.toggle("moved", edited);
      handle.dataset.label = SIDES[side][0].toUpperCase() + (edited ? ", by hand" : "");
      handle.ariaLabel = label(side);
    });
    showLevels(points);
    const placed = placing ? points.findIndex((point, side) => point && !before[side]) : -1;
    if (placed < 0) return;
    placing = false;
    handles[placed].focus(); // arrow keys move it from here
  }

  // The radiograph's pixel at a place on the screen, or the nearest one on the radiograph.
  function pixelAt({ clientX, clientY }) {
    const box = scene.getBoundingClientRect();
    const across = (clientX - box.left) / box.width;
    const down = (clientY - box.top) / box.height;
    return model.get("image_size").map((n, i) => clamp([across, down][i] * n - 0.5, n - 1));
  }

  function sendMove(side, going = false) {
    lastSent = performance.now();
    const [x, y] = points[side];
    model.send({ kind: "move", side, x, y, going });
  }

  function drag(side, event) {
    if (dragged !== side) return;
    points[side] = pixelAt(event);
    showAt(handles[side], points[side]);
    showLevels(points);
    if (performance.now() - lastSent > PAUSE) sendMove(side, true);
  }

  function drop(side) {
    if (dragged !== side) return;
    dragged = null;
    sendMove(side);
  }

  function step(side, event) {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab's own shortcuts
    const size = model.get("image_size");
    const length = event.shiftKey ? 10 : 1;
    points[side] = points[side].map((v, i) => clamp(v + arrow[i] * length, size[i] - 1));
    sendMove(side);
  }

  handles.forEach((handle, side) => {
    handle.onpointerdown = (event) => {
      if (event.button) return; // not the main one
      dragged = side;
      handle.setPointerCapture(event.pointerId);
    };
    handle.onpointermove = (event) => drag(side, event);
    handle.onpointerup = handle.onpointercancel = () => drop(side);
    handle.onkeydown = (event) => step(side, event);
  });
  stage.ondblclick = (event) => {
    if (model.get("busy_message")) return; // another radiograph is on its way
    const [x, y] = pixelAt(event);
    model.send({ kind: "place", x, y });
  };
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage || event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab's own shortcuts
    const missing = points.includes(null) && model.get("show_landmarks");
    if (!missing || model.get("busy_message")) return;
    const box = stage.getBoundingClientRect();
    const middle = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
    const [x, y] = pixelAt(middle);
    placing = true;
    model.send({ kind: "place", x, y });
  });
  return showPoints;
}

// ---------------------------------------------------------------- zoom, place, grey window

const MOST_ZOOM = 16;
const WHOLE = { zoom: 1, x: 0, y: 0, low: 0, high: 1 };
const KEYS = {
  "+": { zoom: 1.25 },
  "=": { zoom: 1.25 },
  "-": { zoom: 0.8 },
  "[": { width: -0.05 },
  "]": { width: 0.05 },
  ",": { centre: -0.03 },
  ".": { centre: 0.03 },
};
const HELP =
  "Radiograph. Plus and minus zoom, arrow keys move it, square brackets narrow and widen the grey" +
  " window, comma and full stop shift it, 0 shows all again. Enter places a landmark that is" +
  " missing in the middle of what is seen; arrow keys move it from there.";

// Zoom by Ctrl and the wheel (the wheel alone once it has the focus), by two fingers, by buttons
// and keys; a drag moves the radiograph, and with Shift, the right button or the button "grey" it
// changes the grey window: across its width, down its centre.
function makeNavigation(stage, scene, image) {
  let view = { ...WHOLE };
  let greyDrag = false;
  const fingers = new Map();
  const zoomed = html("output", { className: "zoomed" });
  const tool = (text, label, onclick) =>
    html("button", { type: "button", textContent: text, title: label, ariaLabel: label, onclick });
  const grey = tool("◐", "drag changes the grey window", () => {
    greyDrag = !greyDrag;
    grey.ariaPressed = greyDrag;
    show();
  });
  grey.ariaPressed = false;
  const tools = html("div", { className: "tools", role: "group", ariaLabel: "view" });
  tools.append(
    tool("−", "zoom out", () => zoomBy(0.8)),
    zoomed,
    tool("+", "zoom in", () => zoomBy(1.25)),
    tool("⤢", "show all, with its own grey levels", reset),
    grey,
  );
  Object.assign(stage, { tabIndex: 0, role: "group", ariaLabel: HELP });

  function show() {
    const { zoom, low, high } = view;
    const box = stage.getBoundingClientRect();
    view.x = clamp(view.x, box.width * (zoom - 1));
    view.y = clamp(view.y, box.height * (zoom - 1));
    scene.style.width = scene.style.height = `${100 * zoom}%`;
    scene.style.left = `${-view.x}px`;
    scene.style.top = `${-view.y}px`;
    // brightness, then contrast: 0 at `low`, 1 at `high`
    const filter = `brightness(${1 / (high + low)}) contrast(${(high + low) / (high - low)})`;
    image.style.filter = low === 0 && high === 1 ? "" : filter;
    stage.style.touchAction = zoom > 1 || greyDrag ? "none" : "pan-x pan-y";
    stage.classList.toggle("movable", zoom > 1 && !greyDrag);
    zoomed.textContent = `${Math.round(100 * zoom)} %`;
    stage.dispatchEvent(new CustomEvent("view", { detail: { ...view } }));
  }

  // Zooms so that the point of the stage stays where it is; by default its centre.
  function zoomBy(factor, point = [0.5 * stage.clientWidth, 0.5 * stage.clientHeight]) {
    const zoom = Math.min(Math.max(view.zoom * factor, 1), MOST_ZOOM);
    const growth = zoom / view.zoom;
    view.x = (view.x + point[0]) * growth - point[0];
    view.y = (view.y + point[1]) * growth - point[1];
    view.zoom = zoom;
    show();
  }

  function moveBy(x, y) {
    view.x -= x;
    view.y -= y;
    show();
  }

  function windowBy(width, centre) {
    const wide = Math.min(Math.max(view.high - view.low + width, 0.05), 1.5);
    const middle = Math.min(Math.max((view.high + view.low) / 2 + centre, 0.03), 1.2);
    view.low = Math.max(0, middle - wide / 2);
    view.high = Math.max(view.low + 0.05, middle + wide / 2);
    show();
  }

  function reset() {
    view = { ...WHOLE };
    show();
  }

  const pointOf = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  // How far apart two fingers are, and the middle between them.
  function pinch() {
    const [[ax, ay], [bx, by]] = [...fingers.values()];
    return [Math.hypot(ax - bx, ay - by), [(ax + bx) / 2, (ay + by) / 2]];
  }

  stage.onpointerdown = (event) => {
    if (event.target.closest(".handle, .tools")) return;
    if (fingers.size && event.pointerType !== "touch") return;
    fingers.set(event.pointerId, pointOf(event));
    stage.setPointerCapture(event.pointerId);
  };
  stage.onpointermove = (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = fingers.size === 2 ? pinch() : null;
    const [x0, y0] = fingers.get(event.pointerId);
    const [x, y] = pointOf(event);
    fingers.set(event.pointerId, [x, y]);
    if (before) {
      const [apart, middle] = pinch();
      moveBy(middle[0] - before[1][0], middle[1] - before[1][1]);
      zoomBy(apart / Math.max(before[0], 1), middle);
    } else if (greyDrag || event.shiftKey || event.buttons === 2) {
      windowBy((x - x0) / 300, (y - y0) / 300);
    } else {
      moveBy(x - x0, y - y0);
    }
  };
  stage.onpointerup = stage.onpointercancel = (event) => fingers.delete(event.pointerId);
  stage.oncontextmenu = (event) => event.preventDefault();
  stage.addEventListener(
    "wheel",
    (event) => {
      const asked = event.ctrlKey || event.metaKey || document.activeElement === stage;
      if (!asked) return;
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY / (event.ctrlKey ? 200 : 500)), pointOf(event));
    },
    { passive: false },
  );
  stage.addEventListener("keydown", (event) => {
    const modified = event.ctrlKey || event.metaKey || event.altKey;
    if (event.target !== stage || modified) return;
    const arrow = ARROWS[event.key];
    const change = KEYS[event.key];
    if (arrow) moveBy(-40 * arrow[0], -40 * arrow[1]);
    else if (event.key === "0") reset();
    else if (change?.zoom) zoomBy(change.zoom);
    else if (change) windowBy(change.width ?? 0, change.centre ?? 0);
    else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab's own shortcuts
  });
  new ResizeObserver(show).observe(stage);
  return { tools, reset };
}

// ---------------------------------------------------------------- the file

// Sends the first of the files, in pieces. One that is too large is not read: an empty piece with
// its size is enough for Python to reject it.
async function sendFile(model, files) {
  const file = files[0];
  if (!file) return;
  const { name, size } = file;
  const tooLarge = size > model.get("max_bytes");
  for (let at = 0; at == 0 || at < size; at += PIECE) {
    const piece = tooLarge ? new ArrayBuffer(0) : await file.slice(at, at + PIECE).arrayBuffer();
    model.send({ kind: "piece", name, at, size, others: files.length - 1 }, undefined, [piece]);
    if (tooLarge) return;
  }
}

// A button that opens a file, a place to drop one, and what is open or going on.
function makeOpener(model, root) {
  const input = html("input", { type: "file", accept: ACCEPTED });
  input.onchange = () => {
    sendFile(model, [...input.files]);
    input.value = ""; // the same file can be chosen once more
  };
  const name = html("span", { className: "name" });
  const choose = html("label", { className: "choose" }, "Choose a radiograph …", input);
  const invitation = html("p", { textContent: "Drop a frontal chest radiograph here" });
  const formats = html("small", { textContent: model.get("formats_hint") });
  const hint = html("div", { className: "hint" }, invitation, formats);

  function hovering(over) {
    return (event) => {
      event.preventDefault();
      event.stopPropagation();
      root.classList.toggle("over", over);
    };
  }
  root.ondragenter = root.ondragover = hovering(true);
  root.ondragleave = hovering(false);
  root.ondrop = (event) => {
    hovering(false)(event);
    sendFile(model, [...event.dataTransfer.files]);
  };
  root.append(html("div", { className: "bar" }, choose, name), hint);

  return function showCaption() {
    name.textContent = model.get("busy_message") || model.get("caption");
    root.classList.toggle("busy", !!model.get("busy_message"));
    hint.hidden = !!model.get("image_size")[0];
  };
}

// ---------------------------------------------------------------- all together

// Builds the viewer without what opens files: below `root`, and redraws a part of it when one of
// its traits changes. Gives a function that takes the listeners away.
export function makeViewer(model, root) {
  const scene = html("div", { className: "scene" });
  const stage = html("div", { className: "stage" }, scene);
  const { image, showImage, showLungs, showLevels } = makePicture(model, stage, scene);
  const showPoints = makeHandles(model, stage, scene, showLevels);
  const { tools, reset } = makeNavigation(stage, scene, image);
  root.append(stage, tools);

  function showAll() {
    stage.hidden = tools.hidden = !model.get("image_size")[0];
    showImage();
    showLungs();
    showPoints();
    reset();
  }

  const redraws = [
    [showAll, ["image"]],
    [showLungs, ["lung_paths", "lung_opacity", "show_outlines"]],
    [showPoints, ["points", "edited", "model_points", "gap_label", "show_landmarks"]],
  ];
  const listeners = redraws.flatMap(([draw, traits]) => traits.map((t) => [`change:${t}`, draw]));
  for (const [event, draw] of listeners) model.on(event, draw);
  showAll();
  return () => {
    for (const [event, draw] of listeners) model.off(event, draw);
  };
}

// The whole widget: what opens a file, and the viewer.
function render({ model, el }) {
  const root = html("div", { className: "hemi-radiograph" });
  const showCaption = makeOpener(model, root);
  el.append(root);
  const close = makeViewer(model, root);
  const events = ["image", "busy_message", "caption"].map((trait) => `change:${trait}`);
  for (const event of events) model.on(event, showCaption);
  showCaption();
  return () => {
    close();
    for (const event of events) model.off(event, showCaption);
  };
}

export default { render };
