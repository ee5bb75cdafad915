// Draws what a presenter says and forwards what people do. Texts of records only ever become text nodes.
const ROW = 26; // height of a row in pixels; the style sheet says the same
const LONGEST = 12e6; // browsers lay out no element much higher than this

function make(tag, of = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(of)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Keys typed here must not reach the notebook: it would cut, insert or change cells. Both measures are needed: the mark on each element
// that can have the focus, and the stop at the root (see `quiet`).
const focusable = { "data-lm-suppress-shortcuts": "true" };

const pieces = (segments) => segments.map(([text, alike]) => (alike ? text : make("mark", {}, text)));

function content(cell, send) {
  if (Array.isArray(cell)) return pieces(cell);
  if (cell === null || typeof cell !== "object") return [String(cell ?? "")];
  const parts = [];
  if (cell.bar !== undefined) {
    const share = Math.max(0, Math.min(1, Math.abs(cell.bar)));
    parts.push(make("span", { class: `bar ${cell.bar < 0 ? "against" : ""}` }, make("i", { style: { width: `${100 * share}%` } })));
  }
  if (cell.segments) parts.push(...pieces(cell.segments));
  else if (cell.text !== undefined && cell.text !== "") parts.push(cell.tone ? make("span", { class: `tone-${cell.tone}` }, cell.text) : cell.text);
  if (cell.buttons) parts.push(...cell.buttons.map((one) => press(one, send)));
  return parts;
}

function press(one, send) {
  const label = one.key ? [make("kbd", {}, one.key === " " ? "space" : one.key.toUpperCase()), one.label] : [one.label];
  return make("button", { ...focusable, type: "button", class: `tone-${one.tone || "plain"}${one.on ? " on" : ""}`, disabled: one.off, title: one.hint || null,
    "aria-pressed": one.on ? "true" : null, data: { id: JSON.stringify(one.do) + one.label }, onclick: () => send(one.do) }, ...label);
}

function tableOf(block, send) {
  const numbers = block.numbers || [];
  const head = make("tr", {}, ...block.columns.map((title, i) => make("th", { class: numbers[i] ? "number" : null }, title)));
  const body = block.rows.map((row) => make("tr", row.on ? { class: "on" } : {}, ...(row.cells || row).map((cell, i) =>
    make("td", { dir: "auto", class: numbers[i] ? "number" : cell && cell.key ? "key" : null }, ...content(cell, send)))));
  return make("div", { class: block.tall ? "scroll tall" : "scroll" }, make("table", { class: block.sides ? "sides" : null }, block.caption ? make("caption", {}, block.caption) : null,
    make("thead", {}, head), make("tbody", {}, ...body)));
}

function slider(block, send) {
  let waiting = 0;
  const shown = make("output", {}, block.shown);
  const input = make("input", { ...focusable, type: "range", min: block.min, max: block.max, step: block.step, value: block.value, "aria-label": block.label,
    data: { id: "slider" + block.label }, oninput: () => {
      shown.textContent = Number(input.value).toFixed(2);
      clearTimeout(waiting);
      waiting = setTimeout(() => send({ ...block.do, value: Number(input.value) }), 60);
    } });
  return make("label", { class: "slider" }, make("span", { class: "quiet" }, block.label), input, shown);
}

function field(block, send) {
  let sent = block.text;
  const tell = (text) => { sent = text; send({ ...block.do, text }); };
  const input = make("input", { ...focusable, type: "text", value: block.text, placeholder: block.hint || "", "aria-label": block.label, spellcheck: "false",
    data: { id: "field" + block.label }, onchange: () => { if (input.value !== sent) tell(input.value); },
    onkeydown: (event) => { if (event.key === "Enter") tell(input.value); } }); // the change that follows says nothing new
  return make("label", { class: "field wide" }, make("span", { class: "quiet" }, block.label), input);
}

function choose(block, send) {
  const input = make("select", { ...focusable, "aria-label": block.label, data: { id: "choose" + block.label },
    onchange: () => send({ ...block.do, value: input.value }) },
    ...block.values.map(([value, label]) => make("option", { value, selected: value === block.value }, label)));
  return make("label", { class: "field" }, make("span", { class: "quiet" }, block.label), input);
}

function checks(block, send) {
  return make("div", { class: "checks" }, ...block.checks.map((one) => make("label", { title: one.hint || null },
    make("input", { ...focusable, type: "checkbox", checked: one.on, disabled: one.off, data: { id: JSON.stringify(one.do) }, onchange: () => send(one.do) }),
    make("span", {}, one.label))));
}

function draw(block, send) {
  switch (block.kind) {
    case "text": return make("p", { dir: "auto", class: block.tone ? `tone-${block.tone}` : null }, block.text);
    case "heading": return make("h4", { dir: "auto" }, block.text);
    case "row": return make("div", { class: "row" }, ...block.blocks.map((one) => draw(one, send)));
    case "buttons": return make("div", { class: "buttons" }, block.label ? make("span", { class: "quiet" }, block.label) : null, ...block.buttons.map((one) => press(one, send)));
    case "table": return tableOf(block, send);
    case "slider": return slider(block, send);
    case "field": return field(block, send);
    case "choose": return choose(block, send);
    case "checks": return checks(block, send);
    case "progress": return make("div", { class: "progress", role: "progressbar", "aria-valuenow": Math.round(100 * block.share), "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-label": block.label }, make("i", { style: { width: `${100 * block.share}%` } }));
    case "diff": return make("pre", { class: "diff" }, ...block.lines.map((line) =>
      make("div", { class: line[0] === "+" ? "more" : line[0] === "-" ? "less" : null }, line || "\u22ef")));
    case "code": {
      const copy = make("button", { ...focusable, type: "button", data: { id: "copy" }, onclick: () => {
        const done = () => { copy.textContent = "Copied"; };
        if (navigator.clipboard) navigator.clipboard.writeText(block.text).then(done, () => {});
      } }, "Copy");
      return make("div", { class: "code" }, copy, make("pre", {}, block.text));
    }
    case "picture": { // SVG of our own figures, as an image: nothing in it can run
      return make("img", { alt: block.label, src: "data:image/svg+xml;base64," + block.svg, style: { maxWidth: "100%" } });
    }
    default: return make("p", {}, block.text || "");
  }
}

// Replace the children of `node`, and give the focus back to the element that had it, or to the root.
function redraw(node, children, root) {
  const active = root.contains(document.activeElement) ? document.activeElement : null;
  const id = active && node.contains(active) ? active.dataset.id : null;
  const selection = id && active.tagName === "INPUT" && active.type === "text" ? [active.selectionStart, active.selectionEnd] : null;
  node.replaceChildren(...children);
  if (id === null || id === undefined) {
    if (active && !root.contains(document.activeElement)) root.focus({ preventScroll: true });
    return;
  }
  const again = [...node.querySelectorAll("[data-id]")].find((one) => one.dataset.id === id && !one.disabled) || root;
  again.focus({ preventScroll: true });
  if (selection && again.setSelectionRange) again.setSelectionRange(...selection);
}

const typing = (node) => node.tagName === "INPUT" && node.type === "text" || node.tagName === "SELECT" || node.tagName === "TEXTAREA";

function render({ model, el }) {
  let busy = 0;
  const send = (message) => {
    if (!message) return;
    if (message.do !== "window" && !busy) busy = setTimeout(() => root.classList.add("busy"), 500);
    model.send(message);
  };
  const rest = () => { clearTimeout(busy); busy = 0; root.classList.remove("busy"); };
  const root = make("div", { ...focusable, class: "synckit-screen", tabindex: "0" });
  el.append(root);
  const working = make("div", { class: "working", role: "status" });
  function work() {
    const { text, share } = model.get("work");
    working.replaceChildren(text || "working \u2026", ...(share === undefined || share === null ? [] :
      [make("span", { class: "progress" }, make("i", { style: { width: `${100 * share}%` } }))]));
  }
  const grid = gridParts(model, root, send);
  const plain = make("div", { class: "blocks" });
  let kind = null;

  function keys(event) {
    const modified = event.ctrlKey || event.metaKey || event.altKey;
    const state = model.get("state");
    if (event.key === "Escape") {
      if (state.detail && state.detail.length) send({ do: "close" });
      if (typing(event.target)) root.focus({ preventScroll: true });
      return; // Lab may leave the cell as well
    }
    if (modified) return;
    event.stopPropagation();
    if (typing(event.target) || (event.target.type === "range" && event.key.startsWith("Arrow"))) return;
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if ((pressed === " " || pressed === "Enter") && (event.target.tagName === "BUTTON" || event.target.type === "checkbox")) return;
    if (state.kind === "grid" && grid.key(pressed)) { event.preventDefault(); return; }
    const message = keyed(state, pressed);
    if (message) { send(message); event.preventDefault(); }
  }

  function quiet(event) { if (!(event.ctrlKey || event.metaKey || event.altKey) && event.key !== "Escape") event.stopPropagation(); }

  root.addEventListener("keydown", keys);
  root.addEventListener("keyup", quiet);
  root.addEventListener("keypress", quiet);

  function update() {
    const state = model.get("state");
    if (kind !== state.kind) {
      root.replaceChildren(working, ...(state.kind === "grid" ? grid.nodes : [plain]));
      kind = state.kind;
    }
    if (kind === "grid") grid.update(state);
    else redraw(plain, [...(state.blocks || []).map((one) => draw(one, send)), notice(state)], root);
  }
  // A file that was asked for: an object of this page, so nothing is fetched from anywhere.
  function save(message, buffers) {
    if (!message || !message.file) return;
    const link = make("a", { download: message.file, href: URL.createObjectURL(new Blob([buffers[0]])) });
    el.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  model.on("msg:custom", save);
  model.on("change:turn", rest);
  model.on("change:work", work);
  model.on("change:state", update);
  model.on("change:win", grid.rows);
  const seen = () => { if (document.visibilityState === "visible") model.send({ do: "seen" }); };
  document.addEventListener("visibilitychange", seen);
  work();
  update();
  if (model.get("state").kind === "grid") grid.rows();
  return () => { rest(); document.removeEventListener("visibilitychange", seen); model.off("msg:custom", save); model.off("change:turn", rest); model.off("change:work", work); model.off("change:state", update); model.off("change:win", grid.rows); };
}

const notice = (state) => make("p", { class: state.error ? "tone-fail" : "quiet said", role: "status" }, state.error || state.said || "\u00a0");

// The message of a key: buttons carry their keys, and a state may name further ones.
function keyed(state, pressed) {
  if (state.press && state.press[pressed]) return state.press[pressed];
  const blocks = [...(state.blocks || []), ...(state.detail || []), { kind: "buttons", buttons: state.actions || [] }];
  for (const block of blocks.flatMap((one) => (one.kind === "row" ? one.blocks : [one]))) {
    for (const one of block.buttons || []) if (one.key === pressed && !one.off) return one.do;
  }
  return null;
}

function gridParts(model, root, send) {
  const head = make("div", { class: "blocks" });
  const bar = make("div", { class: "toolbar" });
  const search = make("input", { ...focusable, type: "text", class: "search", placeholder: "Search  ( / )", "aria-label": "Search", spellcheck: "false" });
  const tools = make("div", { class: "buttons" });
  const counted = make("div", { class: "quiet counted" });
  bar.append(search, tools, counted);
  const facets = make("div", { class: "facets" });
  const titles = make("div", { class: "line titles", role: "row" });
  const inner = make("div", { class: "inner" });
  const tall = make("div", { class: "tall" }, inner);
  const scroller = make("div", { ...focusable, class: "rows", role: "grid", tabindex: "-1" }, tall);
  const frame = make("div", { class: "frame" }, titles, scroller);
  const detail = make("div", { class: "blocks detail" });
  const foot = make("div", { class: "foot" });
  let state = model.get("state");
  let total = 0, asking = false, again = false, last = null, timer = 0, counter = 0, widths = "";

  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => send({ do: "search", text: search.value }), 90); });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "ArrowDown") { root.focus({ preventScroll: true }); event.preventDefault(); }
  });

  const high = () => scroller.clientHeight || 12 * ROW;
  const fits = () => Math.max(1, Math.floor(high() / ROW));
  const length = () => Math.min(total * ROW, LONGEST);
  function top() { // number of the first visible row, with its fraction
    if (total * ROW <= LONGEST) return scroller.scrollTop / ROW;
    const range = Math.max(1, length() - high());
    return (scroller.scrollTop / range) * Math.max(0, total - high() / ROW);
  }
  function scrollTo(row) {
    scroller.scrollTop = total * ROW <= LONGEST ? row * ROW : (row / Math.max(1, total - high() / ROW)) * (length() - high());
  }
  function want() { // ask for rows where those at hand do not reach
    const win = model.get("win");
    const first = Math.floor(top());
    const enough = win.rows && win.start <= first && win.start + win.rows.length >= Math.min(total, first + fits() + 1);
    if (enough) return place();
    if (asking) { again = true; return; }
    asking = true;
    send({ do: "window", start: Math.max(0, first - 14), asked: ++counter });
  }
  function place() {
    const win = model.get("win");
    const exact = top();
    inner.style.transform = `translateY(${Math.round(scroller.scrollTop + (win.start - exact) * ROW)}px)`;
  }
  scroller.addEventListener("scroll", want, { passive: true });

  function line(row, place) {
    const tick = row.tick === null || row.tick === undefined ? make("span", { class: "tick" }) :
      make("span", { class: "tick", role: "checkbox", "aria-checked": String(row.tick), title: row.tick ? "would be written; click to leave out" : "left out; click to take back in",
        onclick: (event) => { event.stopPropagation(); send({ do: "toggle", line: row.line }); } }, row.tick ? "\u2713" : "\u2013");
    const cells = row.cells.map((cell, i) => {
      const kind = state.columns[i].kind;
      const title = typeof cell === "string" ? cell : Array.isArray(cell) ? cell.map((one) => one[0]).join("") : cell && cell.text;
      return make("span", { class: `cell ${kind === "n" ? "number" : kind === "k" ? "key" : ""}`, dir: "auto", title: title || null, role: "gridcell" }, ...content(cell, send));
    });
    return make("div", { class: `line${row.sides ? " sides" : ""}${row.dim ? " dim" : ""}${row.line === state.line ? " at" : ""}${place % 2 ? " odd" : ""}`, role: "row", "aria-selected": row.line === state.line ? "true" : null,
      style: { gridTemplateColumns: widths }, data: { line: row.line },
      onclick: () => { root.focus({ preventScroll: true }); send({ do: "go", line: row.line }); }, ondblclick: () => send({ do: "open", line: row.line }) }, tick, ...cells);
  }
  function rows() {
    const win = model.get("win");
    asking = false;
    inner.replaceChildren(...(win.rows || []).map((row, i) => line(row, win.start + i)));
    place();
    if (again) { again = false; want(); }
  }

  function update(now) {
    const before = state;
    state = now;
    total = state.total;
    widths = "2.2em " + state.columns.map((one) => `minmax(0, ${one.share}fr)`).join(" ");
    redraw(head, state.head.map((one) => draw(one, send)), root);
    if (document.activeElement !== search) search.value = state.text;
    redraw(tools, state.actions.map((one) => press(one, send)), root);
    counted.textContent = state.counted;
    redraw(facets, state.facets.filter((one) => one.values.length > 1 || one.values.some((value) => value.on)).map((one) => make("div", { class: "facet" },
      make("span", { class: "quiet" }, one.title), ...one.values.map((value) =>
        press({ do: { do: "choose", facet: one.id, value: value.value }, label: `${value.label} ${value.n}`, tone: value.tone ? value.tone + " chip" : "plain chip", on: value.on }, send)),
      one.more ? make("span", { class: "quiet" }, `and ${one.more} more`) : null)), root);
    titles.style.gridTemplateColumns = widths;
    redraw(titles, [make("span", {}), ...state.columns.map((one) => {
      const sorted = state.sort && state.sort[0] === one.id;
      return make("button", { ...focusable, type: "button", class: one.kind === "n" ? "number" : null, title: "order by this", data: { id: "sort " + one.id }, onclick: () => send({ do: "sort", column: one.id }) },
        one.title + (sorted ? (state.sort[1] ? " \u2193" : " \u2191") : ""));
    })], root);
    titles.style.paddingRight = `${8 + scroller.offsetWidth - scroller.clientWidth}px`;
    tall.style.height = `${Math.max(length(), 1)}px`;
    scroller.style.height = `${Math.min(Math.max(total, 1), 14) * ROW}px`;
    redraw(detail, (state.detail || []).map((one) => draw(one, send)), root);
    const opens = detail.hidden && (state.detail || []).length && last !== null;
    detail.hidden = !(state.detail || []).length;
    if (opens) requestAnimationFrame(() => detail.scrollIntoView({ block: "nearest" })); // what was asked for comes into sight
    redraw(foot, [make("span", { class: "quiet" }, total ? state.keys : "Nothing is shown: \u201cShow all\u201d clears the search and the filters."), notice(state)], root);
    if (state.place >= 0 && (last === null || state.line !== last)) {
      const first = top();
      if (last !== null) {
        if (state.place < first) scrollTo(state.place);
        else if (state.place > first + fits() - 1) scrollTo(state.place - fits() + 1);
      }
    }
    last = state.line;
    if (before !== now) { for (const one of inner.children) { const at = Number(one.dataset.line) === state.line; one.classList.toggle("at", at); } }
    want();
  }

  function key(pressed) {
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: fits() - 1, PageUp: 1 - fits(), Home: -1e9, End: 1e9 }[pressed];
    if (by !== undefined) { send({ do: "move", by }); return true; }
    if (pressed === "/") { search.focus(); search.select(); return true; }
    if (pressed === "Enter") { send({ do: "open" }); return true; }
    if (pressed === " " || pressed === "x") { send({ do: "toggle" }); return true; }
    return false;
  }
  return { nodes: [head, bar, facets, frame, foot, detail], update, rows, key };
}

export default { render };
