// Explorations that move without a kernel: each block carries its data as JSON; nothing is fetched.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const html = (tag, at = {}, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(at)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  const svg = (tag, at = {}, text) => {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(at)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const path = (points) =>
    points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

  // Axes with units; x and y map data to the drawing's px.
  function axes({ xs, ys, xTicks, yTicks, xName, yName, name }) {
    const [w, h, left, bottom] = [480, 320, 70, 48];
    const x = (v) => left + ((v - xs[0]) / (xs[1] - xs[0])) * (w - left - 12);
    const y = (v) => h - bottom - ((v - ys[0]) / (ys[1] - ys[0])) * (h - bottom - 14);
    const root = svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": name });
    root.append(svg("path", { class: "hd-axis", d: `M${left} 8V${h - bottom}H${w - 6}` }));
    for (const t of xTicks)
      root.append(svg("text", { x: x(t), y: h - bottom + 20, "text-anchor": "middle" }, t));
    for (const t of yTicks)
      root.append(svg("text", { x: left - 8, y: y(t) + 5, "text-anchor": "end" }, t));
    root.append(svg("text", { x: (left + w) / 2, y: h - 6, "text-anchor": "middle" }, xName));
    root.append(
      svg(
        "text",
        { transform: `translate(14 ${(h - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" },
        yName,
      ),
    );
    const layer = svg("g");
    root.append(layer);
    return { root, layer, x, y };
  }

  let count = 0;
  // A slider over `options`, with its label and its value beside it.
  function slider(controls, name, options, value, shown, draw) {
    const id = `hd-slider-${Date.now().toString(36)}-${count++}`;
    const input = html("input", {
      type: "range",
      id,
      min: 0,
      max: options.length - 1,
      step: 1,
      value: options.indexOf(value),
    });
    const output = html("output", { for: id });
    const state = {
      get value() {
        return options[+input.value];
      },
      input,
      refresh() {
        output.textContent = shown(state.value);
        input.setAttribute("aria-valuetext", output.textContent);
      },
    };
    input.addEventListener("input", () => {
      state.refresh();
      draw();
    });
    controls.append(
      html("div", { class: "hd-control" }, html("label", { for: id }, name), input, output),
    );
    state.refresh();
    return state;
  }

  function choice(controls, name, options, draw) {
    const id = `hd-choice-${Date.now().toString(36)}-${count++}`;
    const select = html(
      "select",
      { id },
      ...options.map(([value, text]) => html("option", { value }, text)),
    );
    select.addEventListener("change", draw);
    controls.append(html("div", { class: "hd-control" }, html("label", { for: id }, name), select));
    return select;
  }

  // Equation 2 on a frame of 512 px: h = tanh(pi d / beta), and what follows from it.
  function beta(data, place) {
    const size = 128,
      canvas = html("canvas", { width: size, height: size, role: "img" });
    canvas.style.cssText = "width:100%;aspect-ratio:1;max-width:360px;border:1px solid #8885";
    const plot = axes({
      xs: [0, 250],
      ys: [0, 1],
      xTicks: [0, 50, 100, 150, 200, 250],
      yTicks: [0, 0.5, 1],
      xName: "distance from the landmark d (px of 512)",
      yName: "heatmap h",
      name: "Profile of the heatmap",
    });
    place.pictures.append(canvas, plot.root);
    const draw = () => {
      const b = control.value,
        d = distance.value,
        h = (r) => Math.tanh((r * Math.PI) / b);
      const pen = canvas.getContext("2d"),
        image = pen.createImageData(size, size);
      for (let j = 0; j < size; j++)
        for (let i = 0; i < size; i++) {
          const [x, y] = [((i + 0.5) * 512) / size - 0.5, ((j + 0.5) * 512) / size - 0.5];
          const r = Math.min(...data.landmarks.map(([u, v]) => Math.hypot(x - u, y - v)));
          image.data.set([h(r) * 255, h(r) * 255, h(r) * 255, 255], 4 * (j * size + i));
        }
      pen.putImageData(image, 0, 0);
      canvas.setAttribute("aria-label", `Heatmap of two landmarks at saturation distance ${b} px`);
      plot.layer.replaceChildren(
        svg("path", {
          d: path(Array.from({ length: 251 }, (_, r) => [plot.x(r), plot.y(h(r))])),
          fill: "none",
          stroke: "currentColor",
          "stroke-width": 2.5,
        }),
        svg("path", {
          d: `M${plot.x(d)} ${plot.y(0)}V${plot.y(h(d))}`,
          stroke: "currentColor",
          "stroke-width": 2,
          "stroke-dasharray": "5 4",
        }),
        svg("circle", { cx: plot.x(d), cy: plot.y(h(d)), r: 6, fill: "currentColor" }),
      );
      const white = (((2 * b * b) / Math.PI) * (Math.PI ** 2 / 12 - Math.LN2)) / 512 ** 2;
      place.say(
        `h at ${d} px: ${h(d).toFixed(4)}. h is above 0.99 beyond ` +
          `${((Math.atanh(0.99) * b) / Math.PI).toFixed(1)} px. ` +
          `A plain white map costs a loss of ${white.toExponential(2)}: all there is to learn.`,
      );
    };
    const control = slider(place.controls, "β", data.betas, data.beta, (b) => `${b} px`, draw);
    const distance = slider(
      place.controls,
      "distance d",
      Array.from({ length: 51 }, (_, i) => 5 * i),
      125,
      (d) => `${d} px`,
      draw,
    );
    draw();
  }

  // The errors of real networks at ten beta: how many landmarks lie within a distance.
  function errors(data, place, colours) {
    const plot = axes({
      xs: [0, 100],
      ys: [0, 100],
      xTicks: [0, 10, 20, 50, 100],
      yTicks: [0, 25, 50, 75, 100],
      xName: "nearer than (px of 512)",
      yName: "landmarks (%)",
      name: "Share of landmarks within a distance",
    });
    place.pictures.append(plot.root);
    const within = (list, r) => (100 * list.filter((e) => e < r).length) / list.length;
    const draw = () => {
      const b = control.value,
        r = radius.value,
        row = data.errors[b],
        paper = data.paper[b];
      const both = [...row.right, ...row.left];
      const curve = (list, at) =>
        svg("path", {
          d: path(
            Array.from({ length: 201 }, (_, i) => [plot.x(i / 2), plot.y(within(list, i / 2))]),
          ),
          fill: "none",
          "stroke-width": 3,
          ...at,
        });
      plot.layer.replaceChildren(
        svg("path", {
          d: `M${plot.x(r)} ${plot.y(0)}V${plot.y(100)}`,
          class: "hd-axis",
          "stroke-dasharray": "3 4",
        }),
        curve(row.right, { stroke: colours.right }),
        curve(row.left, { stroke: colours.left, "stroke-dasharray": "9 5" }),
        curve(both, { stroke: "currentColor", "stroke-width": 1.5 }),
        ...Object.entries(paper).map(([at, percent]) =>
          svg("path", {
            d: `M${plot.x(at) - 6} ${plot.y(percent)}h12m-6 -6v12`,
            stroke: "currentColor",
            "stroke-width": 3,
          }),
        ),
      );
      place.say(
        `Nearer than ${r} px at β ${b} px: both ${within(both, r).toFixed(1)} %, ` +
          `right ${within(row.right, r).toFixed(1)} %, ` +
          `left ${within(row.left, r).toFixed(1)} % ` +
          `(n = ${both.length} errors, ${data.trainings} trainings).` +
          (paper[r] === undefined ? "" : ` The paper: ${paper[r].toFixed(1)} %.`),
      );
    };
    const control = slider(place.controls, "β", data.betas, data.beta, (b) => `${b} px`, draw);
    const radius = slider(place.controls, "nearer than", data.radii, 10, (r) => `${r} px`, draw);
    place.key(
      "Yellow: right lung. Blue, dashed: left. Thin: both. " +
        "Crosses: the paper's table 3, both lungs.",
    );
    draw();
  }

  // Eight pairs of weights: landmarks against masks.
  function lambda(data, place) {
    const plot = axes({
      xs: [0, 100],
      ys: data.diceRange,
      xTicks: [0, 25, 50, 75, 100],
      yTicks: data.diceTicks,
      xName: "landmarks within R/10 (%)",
      yName: "Dice of the lungs",
      name: "Landmarks against masks",
    });
    place.pictures.append(plot.root);
    const draw = () => {
      const l = control.value,
        ours = data.ours[l],
        paper = data.paper[l],
        of = (t) => data.lambdas.map((m) => [plot.x(t[m].hits), plot.y(t[m].dice)]);
      plot.layer.replaceChildren(
        svg("path", {
          d: path(of(data.paper)),
          stroke: "currentColor",
          fill: "none",
          "stroke-dasharray": "3 4",
          opacity: 0.6,
        }),
        svg("path", { d: path(of(data.ours)), stroke: "currentColor", fill: "none", opacity: 0.6 }),
        ...of(data.paper).map(([x, y]) =>
          svg("rect", {
            x: x - 3.5,
            y: y - 3.5,
            width: 7,
            height: 7,
            fill: "currentColor",
            opacity: 0.6,
          }),
        ),
        ...of(data.ours).map(([x, y]) =>
          svg("circle", { cx: x, cy: y, r: 4, fill: "currentColor", opacity: 0.6 }),
        ),
        ...ours.trainings.map(([hits, dice]) =>
          svg("circle", {
            cx: plot.x(hits),
            cy: plot.y(dice),
            r: 4,
            fill: "none",
            stroke: "currentColor",
            "stroke-width": 1.5,
          }),
        ),
        svg("circle", {
          cx: plot.x(ours.hits),
          cy: plot.y(ours.dice),
          r: 9,
          fill: "currentColor",
          class: "hd-ours",
        }),
        svg("rect", {
          x: plot.x(paper.hits) - 8,
          y: plot.y(paper.dice) - 8,
          width: 16,
          height: 16,
          fill: "none",
          stroke: "currentColor",
          "stroke-width": 3,
        }),
      );
      place.say(
        `λ_hem ${l}, λ_segm ${ours.segm}: landmarks within R/10 ${ours.hits.toFixed(1)} % ` +
          `(the paper ${paper.hits.toFixed(1)} %), ` +
          `Dice ${ours.dice.toFixed(4)} (${paper.dice.toFixed(4)}); ` +
          `ours over ${ours.trainings.length} trainings.`,
      );
    };
    const control = slider(place.controls, "λ_hem", data.lambdas, data.lambda, (l) => `${l}`, draw);
    place.key(
      "Dots: ours, the large one chosen, rings its trainings. Squares: the paper's tables 5 and 6.",
    );
    draw();
  }

  // A strip of phantoms: one dial at a time, with truth and, where there is one, the answer.
  function dials(data, place, colours) {
    const image = html("img", { alt: "" }),
      cross = svg("svg", { viewBox: "-0.5 -0.5 512 512", "aria-hidden": "true" });
    const frame = html("div", {}, image, cross);
    frame.style.cssText = "position:relative;max-width:420px;aspect-ratio:1";
    image.style.cssText = "width:100%;height:100%;margin:0;display:block";
    cross.style.cssText = "position:absolute;inset:0;height:100%";
    place.pictures.append(frame);
    const names = Object.keys(data.dials),
      host = html("div");
    host.style.cssText = "display:contents";
    let control;
    const draw = () => {
      const dial = data.dials[chosen()],
        still = dial.stills[control.value];
      const gap = (points) => Math.abs(points[0][1] - points[1][1]).toFixed(1);
      image.src = `data:image/webp;base64,${still.webp}`;
      image.alt = `Simulated radiograph, ${dial.name}: ${dial.values[control.value]} ${dial.unit}`;
      cross.replaceChildren(
        ...still.truth.map(([x, y]) =>
          svg("path", {
            d: `M${x - 14} ${y}h28m-14 -14v28`,
            stroke: colours.truth,
            "stroke-width": 5,
            style: "paint-order:stroke",
          }),
        ),
        ...still.truth.map(([x, y]) =>
          svg("path", { d: `M${x - 14} ${y}h28m-14 -14v28`, stroke: "white", "stroke-width": 1.5 }),
        ),
        ...(still.answer || []).map(([x, y]) =>
          svg("circle", {
            cx: x,
            cy: y,
            r: 9,
            fill: "none",
            stroke: colours.prediction,
            "stroke-width": 4,
          }),
        ),
      );
      place.say(
        `${dial.name}: ${dial.values[control.value]} ${dial.unit}. ` +
          `True gap ${gap(still.truth)} px` +
          (still.answer ? `; the network says ${gap(still.answer)} px.` : "."),
      );
    };
    const select =
      names.length > 1
        ? choice(
            place.controls,
            "dial",
            names.map((n) => [n, data.dials[n].name]),
            () => turn(),
          )
        : null;
    const chosen = () => (select ? select.value : names[0]);
    const turn = () => {
      const dial = data.dials[chosen()],
        indices = dial.values.map((_, i) => i);
      host.replaceChildren();
      control = slider(
        host,
        select ? "turned to" : dial.name,
        indices,
        Math.max(0, dial.values.indexOf(0)),
        (i) => `${dial.values[i]} ${dial.unit}`,
        draw,
      );
      draw();
    };
    place.controls.append(host);
    turn();
    place.key(data.key);
    if (data.plays && !matchMedia("(prefers-reduced-motion: reduce)").matches)
      play(place, () => control);
  }

  // Moves a slider to and fro until someone takes it.
  function play(place, control) {
    const button = html("button", { type: "button" }, "Pause");
    let step = 1,
      timer;
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      button.textContent = "Play";
    };
    const go = () => {
      button.textContent = "Pause";
      timer = setInterval(() => {
        const { input } = control();
        if (+input.value + step > +input.max || +input.value + step < 0) step = -step;
        input.value = +input.value + step;
        input.dispatchEvent(new Event("input"));
      }, 450);
    };
    button.addEventListener("click", () => (timer ? stop() : go()));
    place.controls.addEventListener("pointerdown", stop);
    place.controls.addEventListener("keydown", stop);
    place.root.append(button);
    go();
  }

  const kinds = { beta, errors, lambda, dials };
  for (const root of document.querySelectorAll(".hd-explore:not([data-ready])")) {
    root.dataset.ready = "yes";
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const numbers = html("p", { class: "hd-numbers", role: "status" }),
      controls = html("div", { class: "hd-controls" });
    const pictures = html("div", { class: "hd-pictures" });
    root.querySelector(".hd-still")?.remove();
    root.append(controls, pictures, numbers);
    const place = {
      root,
      controls,
      pictures,
      say: (text) => (numbers.textContent = text),
      key: (text) => root.append(html("p", { class: "hd-key" }, text)),
    };
    kinds[root.dataset.kind](data, place, data.colours);
  }
})();
