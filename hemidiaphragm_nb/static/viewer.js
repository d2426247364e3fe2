// The radiograph in the browser: an anywidget module (https://anywidget.dev), nothing to build.
//
// Python owns the state. The browser draws what the traits of `ImageViewer` (notebook engine/app)
// hold, and sends messages about what the hand did; it decides nothing. All coordinates are the
// radiograph's own pixels, with the origin at the centre of the first pixel.
//
// Messages to Python:
//   {kind: "move", side, x, y, going}         a landmark (0 right, 1 left) was moved, or still is
//   {kind: "place", x, y}                     double-click: a landmark belongs here
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
function makePicture(model, stage) {
  const image = html("img", { className: "radiograph", draggable: false });
  const lines = svg("svg", { class: "lines" });
  const lungs = SIDES.map((side) => svg("path", { class: `lung ${side}`, "fill-rule": "evenodd" }));
  const shade = svg("path", { class: "levels shade" }); // dark, below the white line
  const levels = svg("path", { class: "levels" });
  const gap = html("div", { className: "gap" });
  lines.append(...lungs, shade, levels);
  stage.append(image, lines, gap);

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

  return { showImage, showLungs, showLevels };
}

// ---------------------------------------------------------------- the handles

// A handle is a real button: it takes the keyboard's focus, and arrow keys move it by a pixel, with
// Shift by ten. While it is dragged it follows the pointer at once, and Python gets a message at
// most every 50 ms; where it finally stands is always sent.
function makeHandles(model, stage, showLevels) {
  const button = (side) => html("button", { className: `handle ${side}`, type: "button" });
  const handles = SIDES.map(button);
  const ghosts = SIDES.map(() => html("div", { className: "ghost" })); // where the model had put it
  stage.append(...ghosts, ...handles);
  let points = [null, null];
  let dragged = null; // side of the handle under the hand
  let lastSent = 0;

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
  }

  // The radiograph's pixel under the pointer, or the nearest one on the radiograph.
  function pixelAt(event) {
    const box = stage.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
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
  return showPoints;
}

// ---------------------------------------------------------------- the file

// Sends the first of the files, in pieces. One that is too large is not read: an empty piece with
// its size is enough for Python to refuse it.
async function sendFile(model, files) {
  const file = files[0];
  if (!file) return;
  const { name, size } = file;
  const refused = size > model.get("max_bytes");
  for (let at = 0; at == 0 || at < size; at += PIECE) {
    const piece = refused ? new ArrayBuffer(0) : await file.slice(at, at + PIECE).arrayBuffer();
    model.send({ kind: "piece", name, at, size, others: files.length - 1 }, undefined, [piece]);
    if (refused) return;
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

// Builds the viewer in `el`, and redraws a part of it when one of its traits changes.
function render({ model, el }) {
  const root = html("div", { className: "hemi-radiograph" });
  const stage = html("div", { className: "stage" });
  const showCaption = makeOpener(model, root);
  root.append(stage);
  el.append(root);
  const { showImage, showLungs, showLevels } = makePicture(model, stage);
  const showPoints = makeHandles(model, stage, showLevels);

  function showAll() {
    stage.hidden = !model.get("image_size")[0];
    showCaption();
    showImage();
    showLungs();
    showPoints();
  }

  const redraws = [
    [showAll, ["image"]],
    [showCaption, ["busy_message", "caption"]],
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

export default { render };
