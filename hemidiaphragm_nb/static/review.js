// A crop, plain and with its candidates, side by side. A click on either says where, as fractions.
function addPicture(model, row, name) {
  const image = document.createElement("img");
  image.alt = name === "plain" ? "the crop alone" : "the crop with its candidates";
  image.style.cssText = "width: calc(50% - 4px); cursor: crosshair";
  function show() {
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(new Blob([model.get(name)], { type: "image/png" }));
  }
  image.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    model.send({ kind: "point", x, y });
  });
  model.on(`change:${name}`, show);
  show();
  row.append(image);
}

function render({ model, el }) {
  const row = document.createElement("div");
  row.style.cssText = "display: flex; gap: 8px";
  for (const name of ["plain", "drawn"]) addPicture(model, row, name);
  el.append(row);
}

export default { render };
