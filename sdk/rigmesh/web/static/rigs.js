// The rigs: what runs where, how it is, and what somebody should look at.

import {
  api, begin, bytes, clock, count, duration, el, rate, setText, si, stateOf,
} from "./common.js";

const EVERY = 1000;
const KINDS = { running: "ok", failed: "bad", ended: "", stopped: "", starting: "warn", stopping: "warn" };

const main = await begin("rigs");
const head = el("div", { class: "head" }, el("h1", {}, "Rigs"));
const since = el("span", { class: "faint" });
head.append(since);
const alarms = el("section", { "aria-label": "Alarms", "aria-live": "polite" });
const disks = el("div", { class: "disks soft" });
const hosts = el("div");
main.append(head, alarms, hosts, disks);

let shown = "", isMany = false;

function draw(found) {
  isMany = found.is_many;
  drawAlarms(found.alarms);
  // Drawn anew only if something is different, so that a selection or the focus stays.
  const text = JSON.stringify([found.hosts, found.disks]);
  if (text !== shown) {
    shown = text;
    const focused = document.activeElement?.dataset?.key;
    hosts.replaceChildren(...found.hosts.map((host) => drawHost(host)));
    if (focused) hosts.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    disks.replaceChildren(...found.disks.map(drawDisk));
  }
}

function drawAlarms(found) {
  const order = { bad: 0, warn: 1 };
  const sorted = [...found].sort((a, b) => order[a.level] - order[b.level]);
  const text = JSON.stringify(sorted);
  if (alarms.dataset.text === text) return;
  alarms.dataset.text = text;
  const lines = sorted.slice(0, 30).map((alarm) =>
    el("div", { class: `alarm ${alarm.level}` },
      el("b", {}, alarm.what), el("span", {}, alarm.text),
      found.some((a) => a.host !== alarm.host) && el("span", { class: "faint" }, alarm.host)));
  alarms.replaceChildren(...(lines.length ? lines : [el("p", { class: "calm" }, "No alarms.")]));
}

function drawHost(host) {
  const state = host.error ? stateOf("does not answer", "bad")
    : stateOf(host.state || "unknown", KINDS[host.state] ?? "");
  const facts = host.error ? [] : [
    fact("version", host.version),
    fact("clock", clockText(host.clock)),
    fact("CPU", `${Math.round(host.cpu)} %`),
    fact("memory", bytes(host.memory)),
  ];
  const parts = [
    el("header", {},
      el("h2", {}, host.name), state,
      host.is_here ? el("span", { class: "faint" }, "this machine") : el("span", { class: "faint" }, host.address),
      el("div", { class: "facts" }, ...facts)),
  ];
  if (host.error) parts.push(el("section", {}, el("p", { class: "break" }, host.error)));
  else if (!host.groups.some((group) => group.nodes.length)) {
    parts.push(el("section", {}, el("p", { class: "soft" },
      "No graph. Load one: ", el("code", {}, "rigmesh run graph.yaml"))));
  } else {
    parts.push(drawGraph(host), ...drawRecorders(host), drawStreams(host));
  }
  if (host.log.length) parts.push(drawLog(host));
  return el("article", { class: "panel host", "aria-label": `Host ${host.name}` }, ...parts);
}

function fact(name, value) {
  return el("span", {}, `${name} `, el("b", {}, value || "–"));
}

function clockText(found) {
  if (!found) return "";
  if (found.state === "same") return "ours";
  if (found.offset === null) return found.state;
  return `${found.offset >= 0 ? "+" : "−"}${si(Math.abs(found.offset), "s", 4)} ± ${si(found.uncertainty, "s", 2)}`;
}

function drawGraph(host) {
  const runs = host.state === "running" && host.run_time > 0;
  const groups = host.groups.filter((group) => group.nodes.length).map((group) => {
    const title = [el("b", {}, group.name)];
    for (const process of group.processes) {
      const said = [`${Math.round(process.cpu)} % CPU`, bytes(process.memory)];
      if (process.load >= 0.005) said.push(`load ${Math.round(process.load * 100)} %`);
      title.push(el("span", { class: "faint" },
        process.name === group.name ? said.join(" · ") : `${process.name}: ${said.join(" · ")}`));
      if (!process.alive) title.push(stateOf("ended", "bad"));
      if (process.restarts) title.push(el("span", { class: "warn-text" }, `${process.restarts} restarts`));
      if (process.misses) title.push(el("span", { class: "warn-text" }, `${count(process.misses)} deadlines missed`));
    }
    return el("div", { class: "group" }, el("div", { class: "title" }, ...title),
      el("div", { class: "nodes" }, ...group.nodes.map((node) => drawNode(node, host))));
  });
  return el("section", {},
    el("h3", {}, "Graph", host.graph && host.graph !== "graph" ? ` ${host.graph}` : "",
      runs ? ` · for ${duration(Math.floor(host.run_time))}` : "",
      host.owner ? ` · of ${host.owner}` : ""),
    ...groups);
}

/** What links say of a host, where there are several. */
function onHost(host) {
  return isMany ? `&host=${encodeURIComponent(host.name)}` : "";
}

function drawNode(node, host) {
  const link = el("a", { class: "name", href: `/graph?node=${encodeURIComponent(node.name)}${onHost(host)}`, title: node.type, "data-key": `node ${node.name} ${host.name}` }, node.name);
  const row = el("div", {}, link, stateOf(node.state, KINDS[node.state] ?? ""));
  if (node.failure) row.append(el("span", { class: "failure" }, node.failure));
  return row;
}

function drawRecorders(host) {
  if (!host.recorders.length) return [];
  const rows = host.recorders.map((recorder) => {
    const said = [];
    if (recorder.written_mb) said.push(bytes(recorder.written_mb * 1e6));
    if (recorder.free_seconds > 0) said.push(`room for ${duration(recorder.free_seconds)}`);
    if (recorder.lag > 0.5) said.push(`${duration(recorder.lag)} behind`);
    const kind = recorder.verdict.startsWith("FAILED") ? "bad"
      : recorder.verdict.startsWith("OK with") ? "warn" : recorder.verdict || recorder.phase === "recording" ? "ok" : "";
    return el("div", {}, el("b", {}, recorder.name),
      stateOf(recorder.verdict || recorder.phase || recorder.state, kind),
      el("span", { class: "verdict mono" }, recorder.path.split("/").pop()),
      el("span", { class: "soft" }, said.join(" · ")));
  });
  return [el("section", { class: "recorders" }, el("h3", {}, "Recording"), ...rows)];
}

function drawStreams(host) {
  const rows = host.streams.map((stream) => {
    const missing = stream.lost + stream.missed;
    const late = stream.fill > 0.4 ? "bad-text" : stream.fill > 0.2 ? "warn-text" : "";
    const href = `/live?stream=${encodeURIComponent(stream.name)}${onHost(host)}`;
    return el("tr", {},
      el("td", {}, el("a", { href, "data-key": `stream ${stream.name} ${host.name}` }, stream.name)),
      cell("type", stream.type || stream.kind),
      cell("channels", stream.kind === "markers" ? "" : stream.shape.join("×"), "number"),
      cell("rate", stream.rate > 0 ? si(stream.rate, "Hz", 4) : stream.nominal > 0 && stream.rate === null ? rate(stream.nominal) : stream.rate === 0 ? "0 Hz" : "–", "number"),
      cell("samples", count(stream.produced), "number"),
      cell("lag", stream.lag === null ? "" : `${count(stream.lag)} (${Math.round(stream.fill * 100)} %)`, `number ${late}`),
      cell("missing", missing ? count(missing) : "0", `number ${missing ? "lost" : "faint"}`));
  });
  if (!rows.length) return el("section", {}, el("p", { class: "soft" }, "No stream has begun; start the graph."));
  const names = ["stream", "type", "channels", "rate", "samples", "lag", "missing"];
  return el("section", {}, el("h3", {}, "Streams"),
    el("table", { class: "streams" },
      el("thead", {}, el("tr", {}, ...names.map((n, i) => el("th", { class: i > 1 ? "number" : null }, n)))),
      el("tbody", {}, ...rows)));
}

function cell(label, text, kind = "") {
  return el("td", { class: kind, "data-label": label, hidden: text === "" && innerWidth < 736 }, text);
}

function drawLog(host) {
  const lines = host.log.slice(-6).reverse().map((record) =>
    el("div", {}, el("span", { class: "faint" }, clock(record.time)),
      el("span", { class: record.level === "warning" ? "" : "bad-text" },
        record.node && el("b", {}, `${record.node} `), record.message)));
  return el("section", { class: "log" }, el("h3", {}, "Log"), ...lines);
}

function drawDisk(disk) {
  const used = disk.total ? 1 - disk.free / disk.total : 0;
  const bar = el("i");
  bar.style.width = `${Math.round(used * 100)}%`;
  return el("span", {}, el("span", { class: "break" }, `${disk.path}  `),
    el("span", { class: `meter ${used > 0.95 ? "bad" : used > 0.85 ? "warn" : ""}`, role: "img", "aria-label": `${Math.round(used * 100)} % used` }, bar),
    `  ${bytes(disk.free)} free`);
}

async function look() {
  try {
    const found = await api("/api/rigs");
    draw(found);
    setText(since, "");
  } catch (error) {
    setText(since, error.message);
  }
  setTimeout(look, document.hidden ? 4 * EVERY : EVERY);
}

look();
