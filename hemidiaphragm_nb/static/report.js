// The list of images in a report (report_page): filtered, sorted, fifty a page.
"use strict";
(() => {
  const PAGE = 50;
  const SEVERITIES = { 3: "severe", 2: "caution", 1: "note" };
  const rows = JSON.parse(document.getElementById("rows").textContent);
  const at = (id) => document.getElementById(id);
  let found = rows;
  let page = 0;
  let large = null; // the row whose picture is shown large

  for (const row of rows) {
    const texts = row.findings.map((f) => `${f.code} ${f.message}`);
    row.searched = [row.file, row.results, ...texts].join("\n").toLowerCase();
    row.severity = Math.max(0, ...row.findings.map((f) => f.severity));
  }

  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function counted(values) {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
    return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  function fill(select, entries) {
    for (const [value, text] of entries) {
      select.append(element("option", text, { value }));
    }
  }

  const ORDERS = {
    severity: (a, b) =>
      (b.status === "no answer") - (a.status === "no answer") ||
      b.severity - a.severity ||
      b.findings.length - a.findings.length ||
      a.at - b.at,
    gap: (a, b) => Math.abs(b.gap_px512 ?? -1) - Math.abs(a.gap_px512 ?? -1) || a.at - b.at,
    table: (a, b) => a.at - b.at,
  };

  function fits(row) {
    const [finding, view, side] = ["finding", "view", "side"].map((id) => at(id).value);
    const codes = row.findings.map((f) => `=${f.code}`);
    const of = { all: true, none: !codes.length, any: codes.length > 0 };
    return (
      (of[finding] ?? codes.includes(finding)) &&
      (view === "*" || row.view === view) &&
      (side === "*" || row.side === side) &&
      row.searched.includes(at("text").value.trim().toLowerCase())
    );
  }

  function gap(row) {
    const cell = element("td", undefined, { class: "number" });
    if (row.gap_px === null) {
      cell.textContent = row.status === "no answer" ? "no answer" : "unknown";
      return cell;
    }
    const sign = (value) => `${value > 0 ? "+" : ""}${value}`;
    const lines = [`${sign(row.gap_px)} px`, `${sign(row.gap_px512)} px of 512`];
    if (row.gap_mm !== null) lines.push(`${sign(row.gap_mm)} mm`);
    if (row.gap90_px) lines.push(`90 %: ${row.gap90_px.map(sign).join(" to ")} px`);
    if (row.gap_corrected_px !== null) lines.push(`apices level: ${sign(row.gap_corrected_px)} px`);
    if (row.gap_dome_apex_px !== null) lines.push(`domes: ${sign(row.gap_dome_apex_px)} px`);
    if (row.status === "forced") lines.push("by force: no answer");
    for (const line of lines) cell.append(element("div", line));
    if (row.usual) cell.append(element("div", row.usual, { class: "sentence" }));
    return cell;
  }

  function findings(row) {
    const cell = element("td", row.findings.length ? undefined : "none");
    const list = element("ul");
    for (const f of row.findings) {
      const words = `${SEVERITIES[f.severity]}: ${f.message}`;
      list.append(element("li", words, { class: `severity-${f.severity}` }));
    }
    if (row.findings.length) cell.append(list);
    return cell;
  }

  const inPage = (row) => `data:image/jpeg;base64,${row.thumbnail}`;
  const overlayOf = (row) => row.links.find(([label]) => label === "overlay")?.[1];

  // The overlay itself, from its file; where the page was moved away from it, the small picture.
  function enlarge(row) {
    large = row;
    const picture = element("img", undefined, { id: "large-picture" });
    at("large-missing").hidden = true;
    picture.onerror = () => {
      picture.onerror = null;
      picture.src = inPage(row);
      at("large-missing").hidden = false;
    };
    picture.src = overlayOf(row);
    picture.alt = `overlay of ${row.results}`;
    at("large-holder").replaceChildren(picture);
    at("large-name").textContent = row.file;
    const lines = [...gap(row).childNodes].map((node) => node.textContent);
    at("large-gap").textContent = `Gap: ${lines.join(", ")}`;
    at("large-findings").replaceChildren(...findings(row).childNodes);
    at("large-file").href = overlayOf(row);
    if (!at("large").open) at("large").showModal();
  }

  // To the next picture of the list, over the ends of its pages.
  function step(by) {
    const pictures = found.filter((row) => row.thumbnail && overlayOf(row));
    const next = pictures[pictures.indexOf(large) + by];
    if (next) enlarge(next);
  }

  function thumbnail(row) {
    const cell = element("td", row.thumbnail ? undefined : "no picture");
    if (!row.thumbnail) return cell;
    const holder = element("a", undefined, { href: overlayOf(row) });
    holder.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab of its own
      event.preventDefault();
      enlarge(row);
    });
    const source = inPage(row);
    const [width, height] = row.size;
    const alt = `overlay of ${row.results}`;
    holder.append(element("img", undefined, { loading: "lazy", alt, width, height, src: source }));
    cell.append(holder);
    return cell;
  }

  function files(row) {
    const cell = element("td");
    for (const [label, href] of row.links) {
      const line = element("div");
      line.append(element("a", label, { href, "aria-label": `${label} of ${row.results}` }));
      cell.append(line);
    }
    return cell;
  }

  function drawn(row) {
    const line = element("tr");
    const name = element("th", row.file, { scope: "row" });
    const view = element("td", row.view || "unknown");
    line.append(thumbnail(row), name, gap(row), view, findings(row), files(row));
    return line;
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const from = page * PAGE;
    const here = found.slice(from, from + PAGE);
    at("list").replaceChildren(...here.map(drawn));
    at("place").textContent = `Page ${page + 1} of ${pages}`;
    const range = here.length ? `: ${from + 1} to ${from + here.length} are shown` : "";
    at("shown").textContent = `${found.length} of ${rows.length} images${range}`;
    // not `disabled`, which would take the focus from whoever turns pages by the keyboard
    const ends = { first: page === 0, previous: page === 0 };
    ends.next = ends.last = page === pages - 1;
    for (const [id, end] of Object.entries(ends)) at(id).setAttribute("aria-disabled", end);
  }

  function update() {
    found = rows.filter(fits).sort(ORDERS[at("order").value]);
    page = 0;
    draw();
  }

  const codes = counted(rows.flatMap((row) => [...new Set(row.findings.map((f) => f.code))]));
  fill(at("finding"), [
    ["all", "all"],
    ["any", "any finding"],
    ["none", "no finding"],
    ...codes.map(([code, n]) => [`=${code}`, `${code} (${n})`]),
  ]);
  const views = counted(rows.map((row) => row.view));
  fill(at("view"), [["*", "all"], ...views.map(([v, n]) => [v, `${v || "unknown"} (${n})`])]);

  const turns = {
    first: () => 0,
    previous: () => page - 1,
    next: () => page + 1,
    last: () => Infinity,
  };
  for (const [id, to] of Object.entries(turns)) {
    at(id).addEventListener("click", () => {
      page = to();
      draw();
    });
  }
  at("earlier").addEventListener("click", () => step(-1));
  at("later").addEventListener("click", () => step(1));
  at("close").addEventListener("click", () => at("large").close());
  at("large").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  at("filters").addEventListener("input", update);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  update();
})();
