// Live streams: what is new comes over one WebSocket, twenty times a second, to pixel width.

import { api, begin, clock, count, duration, el, notice, rate, setText, si, socket, view } from "./common.js";
import { Columns, columnsOf, sourceOf, unpack } from "./live_data.js";
import { Latencies, Raster, Video } from "./live_panels.js";
import { StackedTraces, autoScale } from "./traces.js";

const SECONDS = [1, 2, 5, 10, 30, 60, 120, 300, 600];
const MOST_ROWS = 128;
const STRIP_PADDING = 12; // of a raster's strip, which the traces do not have
const RASTER_LABELS = 86;
const LONGEST = 1e5; // s; the server answers nothing longer
const PATIENCE = 400; // ms, with a recording that is being read

const main = await begin("live");
const state = {
  // A stream of a host that was said is called name@host from here on.
  chosen: view.all("stream").map((name) => (view.get("host") ? `${name}@${view.get("host")}` : name)), seconds: Number(view.get("seconds")) || 10,
  gain: Number(view.get("gain")) || 0,
  range: null, // [t0, t1] (local clock of the server's host) while not following
  fromUrl: [Number(view.get("from")), Number(view.get("to"))],
  unix: 0, ahead: null, // of our own clock, in seconds
};
if (!SECONDS.includes(state.seconds)) state.seconds = Math.min(600, Math.max(0.5, state.seconds));
const streams = new Map(); // name -> {info, columns, window, raster, video, span, rows, …}
let known = []; // what the host has, for the chooser

// --- the page ------------------------------------------------------------------------------------

const chooserList = el("div", { role: "group", "aria-label": "Streams" });
const chooserTitle = el("summary", {}, "Streams");
const chooser = el("details", { class: "chooser" }, chooserTitle, chooserList);
const secondsBox = el("select", { "aria-label": "Seconds shown", onchange: () => setSeconds(Number(secondsBox.value)) },
  ...[...new Set([...SECONDS, state.seconds])].sort((a, b) => a - b)
    .map((s) => el("option", { value: s }, duration(s))));
secondsBox.value = state.seconds;
const follow = el("button", { id: "follow", "aria-pressed": "true", title: "Space", onclick: () => setFollowing(state.range !== null) }, "Following");
const where = el("span", { class: "where optional" });
const latencyButton = el("button", { "aria-pressed": "false", onclick: () => toggleLatencies() }, "Latency");
const connection = el("span", { class: "soft", role: "status" });
const gains = el("span", { class: "segmented", role: "group", "aria-label": "Gain" },
  el("button", { title: "Smaller (↓)", "aria-label": "Smaller", onclick: () => setGain(state.gain - 1) }, "−"),
  el("button", { title: "Fit to the signal", onclick: () => setGain(0) }, "Auto"),
  el("button", { title: "Larger (↑)", "aria-label": "Larger", onclick: () => setGain(state.gain + 1) }, "+"));
const toolbar = el("div", { class: "toolbar" },
  el("h1", { class: "visually-hidden" }, "Live"), chooser, secondsBox, follow, gains, where,
  el("span", { class: "grow" }), connection, latencyButton);
const legend = el("div", { class: "legend", "aria-label": "Streams shown" });
const box = el("div", { id: "traces" });
const hint = el("p", { class: "hint" });
const plots = el("div", { class: "plots" }, box);
const side = el("div", { class: "side" });
const stage = el("div", { class: "stage" }, plots, side);
main.append(toolbar, legend, stage);

const traces = new StackedTraces(box, {
  label: "traces of the chosen streams",
  longest: LONGEST,
  formatTime: (t, decimals) => clock(t + state.unix, decimals),
  onView: (t0, t1) => { setRange(t0, t1); },
  onGain: (direction) => setGain(state.gain + direction),
  onReset: () => setFollowing(true),
});
box.append(hint);
const latencies = new Latencies();

// --- what is shown -------------------------------------------------------------------------------

function tell() {
  wire.send({ streams: state.chosen, seconds: state.seconds, width: traces.columns });
}

function keepInUrl() {
  const fixed = state.range ? state.range.map((t) => (t + state.unix).toFixed(4)) : ["", ""];
  view.set({
    stream: state.chosen, host: "", seconds: state.seconds === 10 ? "" : state.seconds,
    gain: state.gain || "", from: fixed[0], to: fixed[1],
  });
}

function choose(names) {
  state.chosen = names;
  for (const [name, stream] of streams) {
    if (names.includes(name)) continue;
    stream.raster?.element.remove();
    stream.video?.element.remove();
    stream.legend.remove();
    streams.delete(name);
  }
  showSide();
  keepInUrl();
  rebuildRows();
  drawChooser();
  tell();
  if (state.range) askWindow();
}

function setSeconds(seconds) {
  state.seconds = seconds;
  if (state.range) {
    const middle = (state.range[0] + state.range[1]) / 2;
    setRange(middle - seconds / 2, middle + seconds / 2);
  }
  for (const stream of streams.values()) stream.columns = null;
  keepInUrl();
  tell();
}

function setGain(gain) {
  state.gain = Math.max(-20, Math.min(20, gain));
  keepInUrl();
  scaleRows(true);
  traces.draw();
}

function setFollowing(isFollowing) {
  if (isFollowing) {
    state.range = null;
    for (const stream of streams.values()) stream.window = stream.markers = null;
    rebuildRows();
  } else {
    setRange(...traces.range);
  }
  showFollowing();
  keepInUrl();
}

function setRange(t0, t1) {
  t0 = Math.max(t0, t1 - LONGEST);
  state.range = [t0, t1];
  traces.setRange(t0, t1);
  showFollowing();
  clearTimeout(setRange.timer);
  setRange.timer = setTimeout(() => { keepInUrl(); askWindow(); }, 60);
}

function showFollowing() {
  const isFollowing = state.range === null;
  follow.setAttribute("aria-pressed", String(isFollowing));
  setText(follow, isFollowing ? "Following" : "Follow");
  const [t0, t1] = traces.range;
  setText(where, isFollowing ? "" : `${clock(t0 + state.unix, 1)} – ${clock(t1 + state.unix, 1)} · ${duration(t1 - t0)}`);
}

// Windows are answered in turn; of those asked meanwhile only the last one matters.
// Of one that reaches beyond what the server keeps that comes first, and the whole after it.
let asked = 0, answered = 0, whole = 0, isWaiting = false;
function askWindow() {
  if (!state.range) return;
  if (asked > answered) { isWaiting = true; return; }
  asked += 1;
  wire.send({ window: { start: state.range[0], stop: state.range[1], width: traces.columns, number: asked } });
}

function toggleLatencies() {
  const isOpen = latencyButton.getAttribute("aria-pressed") !== "true";
  latencyButton.setAttribute("aria-pressed", String(isOpen));
  if (isOpen) { side.append(latencies.element); latencies.open(); }
  else { latencies.close(); latencies.element.remove(); }
  showSide();
}

function showSide() {
  stage.classList.toggle("with-side", side.childElementCount > 0);
}

// --- what comes ----------------------------------------------------------------------------------

const wire = socket("/api/live", {
  open: () => {
    asked = answered = whole = 0;
    tell();
    ping();
    if (state.range) askWindow();
  },
  state: (text) => setText(connection, text === "live" ? "" : text),
  message: (data) => {
    if (typeof data === "string") { takePong(JSON.parse(data)); return; }
    const [header, payload] = unpack(data);
    if (header.kind === "frame") {
      streams.get(header.name)?.video?.show(new Uint8Array(data, payload, header.length), header);
    } else if (header.kind === "window") takeWindow(header, data, payload);
    else takeLive(header, data, payload);
  },
});

function ping() { wire.send({ ping: performance.now() / 1000 }); }
setInterval(ping, 2000);

function takePong(said) {
  if (said.kind !== "pong") return;
  const now = performance.now() / 1000, trip = now - said.ping;
  // The shortest trip tells the clocks' difference best.
  if (state.ahead === null || trip <= state.trip * 1.2) {
    state.trip = trip;
    state.ahead = (said.ping + now) / 2 - said.now;
  }
}

function takeLive(header, data, payload) {
  state.unix = header.unix;
  if (state.fromUrl[0] > 0 && state.fromUrl[1] > state.fromUrl[0]) {
    const [from, to] = state.fromUrl;
    state.fromUrl = [0, 0];
    setRange(from - header.unix, to - header.unix);
  }
  let isOther = false;
  for (const told of header.streams) {
    if (!state.chosen.includes(told.name)) continue;
    const stream = streamOf(told.name);
    Object.assign(stream, { state: told.state, error: told.error, lost: told.lost ?? 0, gaps: told.gaps ?? 0, age: told.age ?? null });
    if (told.info) { stream.info = told.info; isOther = true; prepare(stream); }
    if (told.columns && stream.info) isOther = takeColumns(stream, told, data, payload) || isOther;
    if (told.markers) stream.raster?.add(told, header.now - 700);
  }
  if (isOther) rebuildRows();
  newest = header;
  if (!isScheduled) {
    isScheduled = true;
    requestAnimationFrame(draw);
  }
}

function streamOf(name) {
  if (!streams.has(name)) {
    const legendEntry = el("div", {});
    streams.set(name, { name, legend: legendEntry, rows: [], span: 0, columns: null, window: null });
    legend.append(legendEntry);
  }
  return streams.get(name);
}

function prepare(stream) {
  const { kind } = stream.info;
  if (kind === "markers" && !stream.raster) {
    stream.raster = new Raster(stream.name);
    plots.append(stream.raster.element);
  }
  if (kind === "frames" && !stream.video) {
    stream.video = new Video(stream.name);
    side.prepend(stream.video.element);
    showSide();
  }
  stream.columns = null;
}

function takeColumns(stream, told, data, payload) {
  const columns = columnsOf(data, payload, told.columns);
  let isOther = false;
  if (told.columns.is_new || !stream.columns || stream.columns.nChannels !== columns.nChannels) {
    if (!told.columns.is_new && !stream.columns) return false;
    stream.columns = new Columns(columns.nChannels, Math.max(2 * traces.columns + 64, columns.n, 4000));
    isOther = true;
  }
  stream.columns.append(columns);
  return isOther;
}

function takeWindow(header, data, payload) {
  answered = Math.max(answered, header.number);
  if (isWaiting && answered === asked) { isWaiting = false; askWindow(); }
  clearTimeout(takeWindow.later);
  // What is there stays for a moment, so that the picture does not flicker while one moves.
  if (header.is_partial) takeWindow.later = setTimeout(() => showWindow(header, data, payload), PATIENCE);
  else if (header.number >= whole) {
    whole = header.number;
    showWindow(header, data, payload);
  }
}

function showWindow(header, data, payload) {
  let reaches = Infinity;
  for (const told of header.streams) {
    const stream = streams.get(told.name);
    if (!stream) continue;
    if (told.columns) stream.window = columnsOf(data, payload, told.columns);
    if (told.markers) stream.markers = told.markers.map(([time, text]) => ({ time, text }));
    if (told.reaches) reaches = Math.min(reaches, told.reaches);
  }
  if (!state.range) return;
  hint.hidden = state.range[1] >= reaches || !Number.isFinite(reaches);
  setText(hint, `Kept from ${clock(reaches + state.unix)} on.`);
  rebuildRows();
  scaleRows(false);
  traces.draw();
}

// --- drawing -------------------------------------------------------------------------------------

let newest = null, isScheduled = false, scaledAt = 0;

function rebuildRows() {
  const rows = [];
  state.chosen.forEach((name, number) => {
    const stream = streams.get(name);
    if (!stream?.info || stream.info.kind !== "signal") return;
    const kept = new Map(stream.rows.map((row) => [row.name, row.offset]));
    const room = Math.max(1, MOST_ROWS - rows.length);
    stream.rows = stream.info.channels.slice(0, room).map((channel, i) => ({
      name: channel.name || `${i}`, unit: channel.unit, colour: number, group: name, channel: i,
      offset: kept.get(channel.name || `${i}`), span: stream.span,
    }));
    rows.push(...stream.rows);
  });
  traces.leastLabel = [...streams.values()].some((s) => s.raster) ? RASTER_LABELS : 0;
  traces.setRows(rows);
  scaledAt = 0;
}

function scaleRows(isNow) {
  for (const stream of streams.values()) {
    if (!stream.rows.length) continue;
    if (isNow || !stream.auto || performance.now() - scaledAt > 500) stream.auto = autoScale(stream.rows, stream.auto);
    stream.span = stream.auto / 2 ** (state.gain / 2);
    for (const row of stream.rows) row.span = stream.span;
  }
  if (performance.now() - scaledAt > 500) scaledAt = performance.now();
}

function draw() {
  isScheduled = false;
  const header = newest;
  const marked = [];
  let t1 = -Infinity;
  for (const stream of streams.values()) {
    for (const row of stream.rows) {
      row.source = state.range
        ? stream.window !== null && row.channel < stream.window.nChannels && sourceOf(stream.window, row.channel)
        : stream.columns?.source(row.channel);
    }
    if (stream.columns) t1 = Math.max(t1, stream.columns.newest);
    if (stream.raster) marked.push(...shownMarkers(stream));
  }
  if (!state.range) {
    if (!Number.isFinite(t1)) t1 = header.now;
    traces.setRange(t1 - state.seconds, t1);
  }
  const [begin_, end] = traces.range;
  traces.setMarkers(marked.filter((m) => m.time >= begin_ && m.time <= end).slice(-200).sort((a, b) => a.time - b.time));
  scaleRows(false);
  traces.draw();
  const over = traces.plot.over, left = over.offsetLeft, right = Math.max(0, box.clientWidth - left - over.clientWidth);
  for (const stream of streams.values()) {
    stream.raster?.draw(shownMarkers(stream), begin_, end, Math.max(60, left - STRIP_PADDING), Math.max(0, right - STRIP_PADDING));
  }
  drawHint();
  drawLegend();
  showFollowing();
  // uPlot draws at the end of this task; only then is the next picture asked for.
  queueMicrotask(() => {
    wire.send({ drawn: header.number });
    box.dataset.age = age(t1);
    box.dataset.drawn = header.number;
  });
}

function shownMarkers(stream) {
  return (state.range && stream.markers) || stream.raster.markers;
}

/** How old the newest sample on the screen is, in seconds. */
function age(newestTime) {
  if (state.ahead === null || !Number.isFinite(newestTime)) return "";
  return (performance.now() / 1000 - state.ahead - newestTime).toFixed(4);
}

function drawLegend() {
  state.chosen.forEach((name, number) => {
    const stream = streams.get(name);
    if (!stream) return;
    const said = [];
    if (stream.info?.kind === "signal") {
      said.push(`${count(stream.info.channels.length)} ch`, rate(stream.info.rate));
      if (stream.info.channels.length > stream.rows.length) said.push(`first ${stream.rows.length} shown`);
      if (stream.span) said.push(`${si(stream.span, stream.info.channels[0]?.unit ?? "")} per row`);
    }
    if (stream.state === "over") said.push("over");
    else if (stream.state === "waiting") said.push(stream.error && !isHinted(stream.error) ? `waiting: ${stream.error}` : "waiting");
    else if (stream.age !== null && stream.age > 2) said.push(`silent for ${duration(stream.age)}`);
    const lost = stream.lost ? `${count(stream.lost)} missing in ${count(stream.gaps)} gap${stream.gaps === 1 ? "" : "s"}` : "no gaps";
    const text = said.join(" · ");
    if (stream.legendText === text + lost) return;
    stream.legendText = text + lost;
    const swatch = el("span", { class: "swatch" });
    swatch.style.background = `var(--trace-${number % 6})`;
    stream.legend.replaceChildren(
      stream.info?.kind === "signal" ? swatch : "", el("b", {}, name), el("span", { class: "soft" }, text),
      el("span", { class: stream.lost ? "lost" : "faint" }, lost));
  });
}

function isHinted(text) { return !hint.hidden && hint.textContent === text; }

function drawHint() {
  if (state.range) return;
  const isEmpty = !traces.rows.some((row) => row.source?.n);
  const hasOthers = [...streams.values()].some((s) => s.raster || s.video);
  const waits = [...streams.values()].find((s) => s.error);
  hint.hidden = !isEmpty || (hasOthers && !waits);
  if (!state.chosen.length) setText(hint, known.length ? "Choose a stream." : "No stream yet; start a graph.");
  else setText(hint, waits?.error || "Waiting for samples…");
}

// --- choosing ------------------------------------------------------------------------------------

function drawChooser() {
  const names = [...new Set([...known.map((s) => s.name), ...state.chosen])];
  setText(chooserTitle, state.chosen.length === 1 ? state.chosen[0] : `${state.chosen.length} streams`);
  const text = JSON.stringify([names, state.chosen]);
  if (chooserList.dataset.text === text) return;
  chooserList.dataset.text = text;
  chooserList.replaceChildren(...names.map((name) => {
    const found = known.find((s) => s.name === name);
    const said = !found ? "not there" : found.kind === "signal" ? `${found.shape.join("×")} ch` : found.kind;
    const check = el("input", {
      type: "checkbox", checked: state.chosen.includes(name), value: name,
      onchange: () => choose(check.checked ? [...state.chosen, name] : state.chosen.filter((n) => n !== name)),
    });
    return el("label", {}, check, el("span", {}, name), el("span", { class: "faint" }, said));
  }));
  if (!names.length) chooserList.replaceChildren(el("p", { class: "soft" }, "No stream yet."));
}

/** The streams of all hosts; of a name that several have each says its host. */
function streamsOf(hosts) {
  const all = hosts.flatMap((host) => host.streams.map((stream) => ({ ...stream, host: host.name })));
  const counts = new Map();
  for (const { name } of all) counts.set(name, (counts.get(name) ?? 0) + 1);
  const chosenWithHost = new Set(state.chosen);
  return all.map((stream) => {
    const full = `${stream.name}@${stream.host}`;
    return counts.get(stream.name) > 1 || chosenWithHost.has(full) ? { ...stream, name: full } : stream;
  });
}

async function look() {
  try {
    known = streamsOf((await api("/api/rigs")).hosts);
    if (!state.chosen.length && known.length) {
      const first = known.find((s) => s.kind === "signal") ?? known[0];
      choose([first.name]);
    }
    drawChooser();
  } catch (error) {
    notice(error.message, "bad");
  }
  setTimeout(look, known.length ? 5000 : 1500);
}

document.addEventListener("keydown", (event) => {
  const isControl = event.target.closest("input, select, button, summary, textarea, a");
  if (event.key === " " && !isControl) { event.preventDefault(); setFollowing(state.range !== null); }
  if (event.key === "Escape") chooser.open = false;
});
document.addEventListener("click", (event) => { if (!chooser.contains(event.target)) chooser.open = false; });
let isResized = 0;
new ResizeObserver(() => {
  clearTimeout(isResized);
  isResized = setTimeout(() => { tell(); askWindow(); }, 250);
}).observe(box);
drawChooser();
look();

// What is shown, for who looks at the page from outside, as tests do.
export { state, streams, traces };
