// The graph: a live picture; whoever may changes parameters, starts and stops.

import { act, api, begin, duration, el, may, notice, setText, si, stateOf, svg, view } from "./common.js";
import { NodePanel } from "./node_panel.js";

const EVERY = 800;
const KINDS = { running: "ok", failed: "bad" };

const main = await begin("graph");
const about = el("span", { class: "soft" });
const buttons = el("div", { class: "controls" });
const start = el("button", { class: "primary", id: "start", onclick: () => run("start", start) }, "Start");
const stop = el("button", { id: "stop", onclick: () => run("stop", stop) }, "Stop");
const note = el("input", { "aria-label": "Note for the recordings", placeholder: "Note for the recordings", maxlength: 500, size: 26 });
const annotate = el("form", { class: "controls", onsubmit: sendNote }, note, el("button", { type: "submit" }, "Annotate"));
const takeOver = el("button", { id: "take-over", hidden: true, onclick: async () => {
  if ((await act("/api/take-over", onShown())) !== undefined) look();
} }, "Take over");
if (may("operator")) buttons.append(annotate, takeOver, start, stop);
const picture = el("div", { class: "picture", role: "group", "aria-label": "Nodes and links" });
const floor = el("div", { class: "floor" }, picture);
const states = el("span", {});
main.append(el("div", { class: "head" }, el("h1", {}, "Graph"), states, about, buttons), floor);

const panel = new NodePanel(() => choose(null), () => look());
let key = "", cards = new Map(), wires = [], chosen = null;
// Hosts may have nodes of the same name: what is asked for and changed is said with its host.
let asked = { node: view.get("node"), host: view.get("host") }, isMany = false, shownHosts = [];

// --- looking -------------------------------------------------------------------------------------

async function look() {
  clearTimeout(look.timer);
  try {
    const found = await api(`/api/graph?key=${encodeURIComponent(key)}`);
    isMany = found.is_many;
    shownHosts = found.hosts.filter((h) => !h.error).map((h) => h.name);
    if (found.picture) { key = found.key; drawPicture(found.picture); }
    update(found);
    if (asked.node) await panel.update();
  } catch (error) {
    setText(about, error.message);
  }
  look.timer = setTimeout(look, document.hidden ? 4 * EVERY : EVERY);
}

function update(found) {
  const owners = [...new Set(found.hosts.map((h) => h.owner).filter(Boolean))];
  const isMine = owners.every((owner) => owner === found.me);
  const running = found.hosts.filter((h) => h.state === "running");
  const graphState = found.hosts.map((h) => h.state || "does not answer").join(", ");
  const text = JSON.stringify(graphState);
  if (states.dataset.text !== text) {
    states.dataset.text = text;
    states.replaceChildren(stateOf(graphState, KINDS[graphState] ?? ""));
  }
  const time = Math.max(0, ...running.map((h) => h.run_time));
  const said = [];
  if (time >= 1) said.push(`for ${duration(Math.floor(time))}`);
  if (owners.length) said.push(isMine ? "yours" : `of ${owners.join(", ")}`);
  takeOver.hidden = !isMany || isMine;
  const faults = found.hosts.filter((h) => h.error).map((h) => h.error);
  setText(about, [...said, ...faults].join(" · "));
  const hasNodes = Object.keys(found.nodes).length > 0;
  if (!start.dataset.busy) start.disabled = !hasNodes || running.length > 0;
  if (!stop.dataset.busy) stop.disabled = !Object.values(found.nodes).some((n) => !["created", "stopped"].includes(n.state));
  annotate.hidden = running.length === 0;
  for (const [id, node] of Object.entries(found.nodes)) updateCard(id, node);
  for (const wire of wires) {
    const reader = found.readers.find((r) => r.reader === wire.reader && r.stream === wire.key);
    wire.element.classList.toggle("lost", Boolean(reader?.lost));
    const rateText = si(found.nodes[wire.key.split(".")[0]]?.rates[wire.stream] || NaN, "Hz", 4);
    const lost = reader?.lost ? `, ${reader.lost} samples missed` : "";
    setText(wire.title, `${wire.stream} → ${wire.input}: ${rateText}${lost}`);
  }
}

function updateCard(id, node) {
  const card = cards.get(id);
  if (!card) return;
  card.element.setAttribute("class", `card ${node.state} ${id === chosen ? "chosen" : ""}`);
  card.element.setAttribute("aria-label", `${card.node}, ${card.type}, ${node.state}`);
  setText(card.state, node.state);
  for (const [stream, text] of card.rates) {
    const hz = node.rates[stream];
    setText(text, hz > 0 ? si(hz, "Hz", 3) : "");
  }
}

// --- the picture ---------------------------------------------------------------------------------

function drawPicture(found) {
  cards = new Map();
  wires = [];
  if (!found.cards.length) {
    picture.replaceChildren(el("p", { class: "empty" }, found.why ?? "No graph. Load one: rigmesh run graph.yaml"));
    return;
  }
  // The layout leaves room for a title, which stands above the picture here.
  const top = Math.max(0, Math.min(...found.boxes.map((box) => box.y)) - 24);
  const root = svg("svg", {
    width: found.width, height: found.height - top, viewBox: `0 ${top} ${found.width} ${found.height - top}`,
    role: "group", "aria-label": `${found.cards.length} nodes`,
  });
  for (const box of found.boxes) {
    root.append(svg("g", { class: box.is_group ? "box" : "box inner" },
      svg("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx: 10 }),
      svg("text", { x: box.x + 12, y: box.y + 18 }, box.name)));
  }
  for (const wire of found.wires) root.append(drawWire(wire));
  for (const card of found.cards) {
    const source = card.from && senderOf(card, found.cards);
    if (source) root.append(drawRelay(source, card, found));
  }
  for (const card of found.cards) root.append(drawCard(card, found));
  picture.replaceChildren(root);
  if (asked.node) {
    const those = found.cards.filter((c) => c.node === asked.node && (!asked.host || c.host === asked.host));
    // Of several nobody knows which is meant: the server says so.
    chosen = those.length === 1 ? those[0].key : null;
    open();
  }
}

/** The card of another host whose stream a card brings; none if several may be meant. */
function senderOf(card, all) {
  const those = all.filter((c) => c.host !== card.host && c.node === card.from.split(".")[0]);
  return those.length === 1 ? those[0] : null;
}

function curve(x0, y0, x1, y1) {
  const bend = Math.max(24, Math.abs(x1 - x0) / 2);
  return `M${x0} ${y0}C${x0 + bend} ${y0} ${x1 - bend} ${y1} ${x1} ${y1}`;
}

function drawWire(wire) {
  const path = wire.points.map(([x0, y0, x1, y1], i) =>
    (i ? `L${x0} ${y0}` : "") + (i ? curve(x0, y0, x1, y1).replace(/^M[^C]*/, "") : curve(x0, y0, x1, y1))).join("");
  const title = svg("title", {}, `${wire.stream} → ${wire.input}`);
  const element = svg("path", { class: `wire ${wire.transport}`, d: path }, title);
  wires.push({ ...wire, element, title });
  return element;
}

function drawRelay(source, card, found) {
  const at = Math.max(0, source.outputs.indexOf(card.from.split(".")[1]));
  const y0 = source.y + found.head + found.port * (at + 0.5);
  return svg("path", { class: "wire relay", d: curve(source.x + source.width, y0, card.x, card.y + card.height / 2) },
    svg("title", {}, `${card.from} → ${card.node}, from host to host`));
}

function drawCard(card, { head, port }) {
  const name = svg("text", { class: "name", x: card.x + 14, y: card.y + 20 }, shortened(card.node, card.width - 26, 7.6));
  const type = svg("text", { class: "type", x: card.x + 14, y: card.y + 36 }, shortened(card.type, card.width - 72, 6.3));
  const state = svg("text", { class: "state", x: card.x + card.width - 10, y: card.y + 36, "text-anchor": "end" });
  const rates = new Map();
  const parts = [];
  card.inputs.forEach((input, i) => {
    const y = card.y + head + port * (i + 0.5);
    parts.push(svg("circle", { cx: card.x, cy: y, r: 3.6 }), svg("text", { x: card.x + 11, y: y + 4 }, input));
  });
  card.outputs.forEach((output, i) => {
    const y = card.y + head + port * (i + 0.5), right = card.x + card.width;
    const rate = svg("tspan", { class: "rate", "font-size": "10.5px", fill: "var(--faint)" });
    rates.set(`${card.node}.${output}`, rate);
    parts.push(svg("circle", { cx: right, cy: y, r: 3.6 }),
      svg("text", { x: right - 11, y: y + 4, "text-anchor": "end" }, rate, `  ${output}`));
  });
  const press = (event) => {
    if (event.key && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose(card);
  };
  const element = svg("g", { class: "card", tabindex: 0, role: "button", onclick: press, onkeydown: press },
    svg("title", {}, `${card.node} (${card.type}) on ${card.host}`),
    svg("rect", { class: "body", x: card.x, y: card.y, width: card.width, height: card.height, rx: 8 }),
    svg("rect", { class: "edge", x: card.x, y: card.y + 9, width: 3.5, height: card.height - 18, rx: 1.5 }),
    name, type, state, ...parts);
  cards.set(card.key, { element, state, rates, type: card.type, node: card.node });
  return element;
}

function shortened(text, room, size) {
  const most = Math.max(3, Math.floor(room / size));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// --- choosing and changing -----------------------------------------------------------------------

function choose(card) {
  chosen = card && card.key !== chosen ? card.key : null;
  asked = chosen ? { node: card.node, host: isMany ? card.host : "" } : { node: "", host: "" };
  view.set(asked);
  for (const [other, { element }] of cards) element.classList.toggle("chosen", other === chosen);
  open();
}

function open() {
  floor.classList.toggle("with-node", Boolean(asked.node));
  if (!asked.node) { panel.element.remove(); return; }
  if (!panel.element.isConnected) floor.append(panel.element);
  const name = asked.host ? `${asked.node}@${asked.host}` : asked.node;
  // Another picture, as another node has come, is no reason to lose what somebody is typing.
  if (panel.name === name && panel.fields?.some((field) => field.isChanged)) return;
  panel.show(name);
}

/** With the hosts that are shown: what is done is done on those, whatever else comes and goes. */
function onShown(body = {}) {
  return isMany ? { ...body, host: shownHosts } : body;
}

async function run(path, button) {
  button.dataset.busy = "yes";
  button.disabled = true;
  const label = button.textContent;
  setText(button, path === "start" ? "Starting…" : "Stopping…");
  await act(`/api/${path}`, onShown());
  setText(button, label);
  delete button.dataset.busy;
  look();
}

async function sendNote(event) {
  event.preventDefault();
  if (!note.value.trim()) return;
  if ((await act("/api/annotate", onShown({ text: note.value.trim() }))) !== undefined) {
    notice("The note is in the recordings.");
    note.value = "";
  }
}

look();
