// One recording: its tree, traces at any zoom, events, and what happens around them. All of what
// is shown is in the URL; views share one window of time, and follow the edge while it grows.

import { api, begin, count, duration, el, notice, setText, stateOf, token, view } from "./common.js";
import { Around, NAMES } from "./browse_around.js";
import { Latest, eventsOf, query, seconds, tracesOf } from "./browse_data.js";
import { Lanes, Overview } from "./browse_lanes.js";
import { drawGaps, listenToKeys, scaleOf } from "./browse_panels.js";
import { Tree } from "./browse_tree.js";
import { StackedTraces } from "./traces.js";

const FIRST_CHANNELS = 32, FIRST_STREAMS = 4, MOST_LINES = 120;
const POLL = 500, ROW = 26, LEAST_HEIGHT = 110, MOST_HEIGHT = 620;
const MARGIN = 0.25; // asked for beyond each side of the window, so that a drag shows something

const file = view.get("file");
const askedFirst = api(`/api/browse/tree?${query({ file })}`);
askedFirst.catch(() => { /* it is told where it is waited for */ });
const main = await begin("recordings");
main.classList.add("wide");
const around_ = Object.fromEntries(NAMES.filter((n) => view.get(n) !== "").map((n) => [n, view.get(n)]));
const state = {
  t0: Number(view.get("t0")), t1: Number(view.get("t1")), gain: Number(view.get("gain")) || 0,
  shown: view.all("stream"), channels: new Map(), isFollowing: view.get("follow") === "1",
  told: null, version: "", end: 1,
  isChosen: false, // until somebody does, the first streams are shown, once there are some
};
for (const text of view.all("channels")) {
  const at = text.lastIndexOf(":");
  state.channels.set(text.slice(0, at), text.slice(at + 1).split(",").filter(Boolean).map(Number));
}
const panels = new Map(); // key -> {box, traces, latest, data, span}

// --- the frame -----------------------------------------------------------------------------------

const title = el("h1", { class: "break" }, file.slice(file.lastIndexOf("/") + 1) || "No file");
const badge = el("span", { class: "badge" });
const where = el("span", { class: "where", "aria-live": "off" });
const progress = el("span", { class: "soft progress", role: "status" });
const follow = el("button", { id: "follow", hidden: true, title: "Follow what is being recorded (F)", "aria-pressed": "false", onclick: () => setFollowing(!state.isFollowing) }, "Follow");
const button = (text, label, run, more = {}) => el("button", { title: label, "aria-label": label, onclick: run, ...more }, text);
const toolbar = el("div", { class: "controls browse-tools", role: "toolbar", "aria-label": "Time and gain" },
  el("span", { class: "segmented" },
    button("⇤", "To the beginning (Home)", () => goTo("start")),
    button("←", "Back (←)", () => pan(-0.25)), button("→", "On (→)", () => pan(0.25)),
    button("⇥", "To the end (End)", () => goTo("end"))),
  el("span", { class: "segmented" },
    button("−", "Zoom out (-)", () => zoom(1 / 0.5)), button("+", "Zoom in (+)", () => zoom(0.5)),
    button("All", "The whole recording (A)", () => goTo("all"))),
  el("span", { class: "segmented" },
    button("↓", "Smaller (↓)", () => setGain(state.gain - 1)), button("Auto", "Fit to the signal", () => setGain(0)),
    button("↑", "Larger (↑)", () => setGain(state.gain + 1))),
  follow, where, progress);
const tree = new Tree({
  file, isShown: (key) => state.shown.includes(key), onShow: show, channelsOf,
  onChannels: (key, list) => { state.channels.set(key, list); keepInUrl(); layOut(); refresh(); },
  onTime: (t, width = 0) => centre(t, width),
});
const overview = new Overview({ onView: (t0, t1) => setWindow(t0, t1) });
const lanes = new Lanes({ left: () => leftOf(), right: 12, onTime: (t) => centre(t) });
const stack = el("div", { class: "stack" });
const hint = el("p", { class: "empty" }, "Opening …");
const around = new Around({ file, values: around_, onChange: (values) => view.set(values), onTime: (t) => centre(t) });
const treeToggle = button("Tree", "Show or hide the tree", () => main.classList.toggle("no-tree"), { class: "tree-toggle" });
const download = el("a", { class: "button download", hidden: true, download: "", href: `/api/recordings/file?${query({ file })}` }, "Download");
const beside = el("span", { class: "soft", hidden: true, title: "Sealed with seal: link: to fetch it, copy both" }, `samples in ${file.slice(file.lastIndexOf("/") + 1)}.data beside it`);
main.append(
  el("div", { class: "head" }, el("a", { href: "/recordings", class: "soft" }, "Recordings"), title, badge,
    el("div", { class: "controls" }, treeToggle,
      beside, download)),
  el("div", { class: "browse" }, el("aside", { class: "panel side", "aria-label": "What is in it" }, tree.element),
    el("div", { class: "views" }, toolbar, overview.element, lanes.element, stack, hint, around.element)));

// --- what is shown -------------------------------------------------------------------------------

const streamOf = (key) => state.told.streams.find((s) => s.key === key);
const signals = () => state.shown.filter((key) => streamOf(key)?.kind === "signal");
const events = () => state.shown.filter((key) => streamOf(key)?.kind === "markers");

function channelsOf(key) {
  const all = streamOf(key).channels.map((_, k) => k);
  return (state.channels.get(key) ?? all.slice(0, FIRST_CHANNELS)).filter((k) => k < all.length);
}

function show(key, isShown) {
  state.shown = state.told.streams.map((s) => s.key).filter((k) => (k === key ? isShown : state.shown.includes(k)));
  state.isChosen = true;
  keepInUrl();
  layOut();
  refresh();
}

function keepInUrl() {
  const round = (t) => String(Number(t.toPrecision(10)));
  view.set({
    t0: state.isFollowing ? "" : round(state.t0), t1: state.isFollowing ? "" : round(state.t1),
    follow: state.isFollowing ? "1" : "", width: state.isFollowing ? round(state.t1 - state.t0) : "",
    gain: state.gain || "", stream: state.shown.length ? state.shown : state.isChosen ? ["-"] : [],
    channels: [...state.channels].filter(([key]) => state.shown.includes(key)).map(([key, list]) => `${key}:${list.join(",")}`),
  });
}
let urlTimer = 0;
function keepInUrlSoon() {
  clearTimeout(urlTimer);
  urlTimer = setTimeout(keepInUrl, 150);
}

/** A panel of traces for each signal that is shown, in the order of the tree. */
function layOut() {
  const keys = signals();
  for (const [key, panel] of panels) {
    if (keys.includes(key)) continue;
    panel.traces.destroy();
    panel.section.remove();
    panels.delete(key);
  }
  for (const key of keys) {
    if (!panels.has(key)) panels.set(key, makePanel(key));
    const panel = panels.get(key), rows = Math.max(1, channelsOf(key).length);
    panel.box.style.height = `${Math.min(MOST_HEIGHT, Math.max(LEAST_HEIGHT, rows * ROW + 50))}px`;
    stack.append(panel.section);
  }
  for (const panel of panels.values()) place(panel);
  hint.hidden = state.shown.length > 0;
  setText(hint, state.told.streams.length ? "Choose a stream to see it." : "No stream has begun yet.");
  tree.set(state.told);
}

function makePanel(key) {
  const s = streamOf(key);
  const box = el("div", { class: "panel-traces", "data-key": key });
  const section = el("section", { "aria-label": s.name }, el("h3", {}, s.name), box);
  stack.append(section);
  const traces = new StackedTraces(box, {
    label: `traces of ${s.name}`,
    formatTime: (t, decimals) => seconds(t, decimals),
    onView: (t0, t1) => setWindow(t0, t1),
    onGain: (direction) => setGain(state.gain + direction),
    onReset: () => goTo("all"),
    onCursor: (t) => shareCursor(key, t),
  });
  const panel = { key, section, box, traces, data: null, span: new Map() };
  traces.plot.hooks.drawClear = [(u) => drawGaps(u, streamOf(key)?.gaps ?? [], [state.t0, state.t1])];
  // Before it is laid out nobody knows how many columns it has room for.
  traces.plot.hooks.setSize = [() => {
    lanes.draw();
    if (Math.abs(traces.columns / (panel.columns ?? 1) - 1) > 0.1) refreshSoon();
  }];
  panel.latest = new Latest((request) => fetchTraces(panel, request));
  traces.setRange(state.t0, state.t1);
  return panel;
}

/** Where the traces begin, in pixels: lanes and overview stand above them. */
function leftOf() {
  const first = panels.values().next().value;
  return first ? first.traces.plot.over.offsetLeft || 90 : 90;
}

// --- the window ----------------------------------------------------------------------------------

function setWindow(t0, t1, { isFollowing = false } = {}) {
  const width = Math.min(Math.max(t1 - t0, 1e-4), Math.max(2 * state.end, 30));
  const middle = (t0 + t1) / 2, room = width * 0.5;
  const at = Math.min(Math.max(middle, -room + width * 0.02), state.end + room - width * 0.02);
  [state.t0, state.t1] = [at - width / 2, at + width / 2];
  if (!isFollowing && state.isFollowing) {
    state.isFollowing = false;
    showFollowing();
  }
  for (const panel of panels.values()) {
    panel.traces.setRange(state.t0, state.t1);
    panel.traces.draw();
  }
  lanes.window = overview.window = [state.t0, state.t1];
  lanes.draw();
  overview.draw();
  tellWhere();
  keepInUrlSoon();
  refreshSoon();
}

function tellWhere() {
  const width = state.t1 - state.t0, decimals = Math.max(0, Math.min(6, Math.ceil(2 - Math.log10(width))));
  setText(where, `${seconds(state.t0, decimals)} – ${seconds(state.t1, decimals)}${state.t1 < 60 ? " s" : ""} · ${duration(width)} of ${duration(state.end)}`);
}

function pan(part) {
  const width = state.t1 - state.t0;
  setWindow(state.t0 + part * width, state.t1 + part * width);
}

function zoom(factor) {
  const middle = (state.t0 + state.t1) / 2, half = (state.t1 - state.t0) / 2 * factor;
  setWindow(middle - half, middle + half);
}

function goTo(place) {
  const width = Math.min(state.t1 - state.t0, state.end);
  if (place === "all") setWindow(0, state.end);
  else if (place === "start") setWindow(0, width);
  else if (isGrowing()) setFollowing(true);
  else setWindow(state.end - width, state.end);
}

/** Show a time in the middle; of a longer thing all, with some around it. */
function centre(t, length = 0) {
  const width = Math.max(Math.min(state.t1 - state.t0, state.end / 4), length * 3, 1e-3);
  setWindow(t - width / 2, t + width / 2);
}

function setGain(gain) {
  state.gain = Math.max(-24, Math.min(24, gain));
  for (const panel of panels.values()) place(panel, true);
  keepInUrlSoon();
}

const isGrowing = () => state.told?.state === "recording";

function setFollowing(isFollowing) {
  state.isFollowing = isFollowing && isGrowing();
  showFollowing();
  if (state.isFollowing) {
    const width = Math.min(state.t1 - state.t0, 60);
    setWindow(state.end - width, state.end, { isFollowing: true });
  } else {
    keepInUrl();
  }
}

function showFollowing() {
  follow.hidden = !isGrowing();
  follow.setAttribute("aria-pressed", String(state.isFollowing));
  setText(follow, state.isFollowing ? "Following" : "Follow");
}

let cursorFrame = 0;
function shareCursor(from, t) {
  cancelAnimationFrame(cursorFrame);
  cursorFrame = requestAnimationFrame(() => {
    for (const [key, panel] of panels) if (key !== from) panel.traces.setCursor(t);
  });
}

// --- fetching ------------------------------------------------------------------------------------

let refreshFrame = 0;
function refreshSoon() {
  cancelAnimationFrame(refreshFrame);
  refreshFrame = requestAnimationFrame(refresh);
}

function refresh() {
  const { t0, t1 } = state, width = t1 - t0;
  for (const panel of panels.values()) {
    panel.columns = panel.traces.columns;
    panel.latest.ask({ t0: t0 - MARGIN * width, t1: t1 + MARGIN * width, columns: Math.round(panel.traces.columns * (1 + 2 * MARGIN)) });
  }
  laneRequests.ask({ t0, t1, keys: events() });
}

let tellFirstDrawn;
const firstDrawn = new Promise((resolve) => { tellFirstDrawn = resolve; });

async function fetchTraces(panel, { t0, t1, columns }) {
  const channels = channelsOf(panel.key);
  if (!channels.length) { panel.data = null; place(panel); return; }
  try {
    panel.data = await tracesOf(file, panel.key, channels, t0, t1, columns);
    panel.isPrepared = panel.data.head.progress >= 1;
    place(panel);
    tellProgress();
    main.dataset.drawn = String(Number(main.dataset.drawn ?? 0) + 1);
    tellFirstDrawn();
  } catch (error) {
    fail(error);
  }
}

function place(panel, isGain = false) {
  const s = streamOf(panel.key), { data } = panel;
  if (!s || !data) { panel.traces.setRows([]); return; }
  const rows = data.head.channels.map((number, k) => ({
    name: padded(s.channels[number]?.[0] ?? String(number)), unit: s.channels[number]?.[1] ?? "",
    colour: state.told.streams.filter((o) => o.kind === "signal").indexOf(s),
    group: s.channels[number]?.[1] ?? "",
    source: { n: data.times.length, times: data.times, least: data.least[k], greatest: data.greatest[k] },
  }));
  for (const unit of new Set(rows.map((r) => r.group))) {
    const own = rows.filter((r) => r.group === unit);
    const span = scaleOf(own, isGain ? 0 : panel.span.get(unit) ?? 0, [state.t0, state.t1]);
    panel.span.set(unit, span);
    own.forEach((row) => { row.span = span / 2 ** (state.gain / 2); });
  }
  panel.traces.setRange(state.t0, state.t1);
  panel.traces.setRows(rows);
}

/** All panels have names of one width, so that a time is at the same place in each. */
function padded(name) {
  const longest = (names) => Math.max(0, ...names.map((text) => text.length));
  const most = Math.max(
    longest(signals().flatMap((key) => channelsOf(key).map((k) => streamOf(key).channels[k][0]))),
    longest(events().map((key) => streamOf(key).name)));
  return name.padStart(Math.min(stack.clientWidth < 560 ? 9 : 18, most), "\u2007");
}

const laneRequests = new Latest(async ({ t0, t1, keys }) => {
  const columns = Math.max(50, Math.round(lanes.element.parentElement.clientWidth / 3));
  try {
    const found = await Promise.all(keys.map(async (key) => {
      const told = await eventsOf(file, key, t0, t1, columns);
      return { name: streamOf(key)?.name ?? key, key, t0, t1, ...told };
    }));
    lanes.window = [state.t0, state.t1];
    lanes.set(found);
    const lines = found.filter((lane) => lane.times && lane.n <= MOST_LINES)
      .flatMap((lane) => lane.times.map((time) => ({ time, text: "" }))).sort((a, b) => a.time - b.time);
    for (const panel of panels.values()) { panel.traces.setMarkers(lines); panel.traces.draw(); }
  } catch (error) {
    fail(error);
  }
});

let failed = "";
function fail(error) {
  if (error.name === "AbortError" || error.message === failed) return;
  failed = error.message;
  notice(error.message, "bad");
  setTimeout(() => { failed = ""; }, 5000);
}

let isWaiting = false;
function tellProgress() {
  const heads = [...panels.values()].map((p) => p.data?.head).filter(Boolean);
  const fault = heads.find((head) => head.fault)?.fault ?? "";
  const least = Math.min(1, ...heads.filter((head) => !head.fault).map((head) => head.progress));
  progress.classList.toggle("bad-text", fault !== "");
  setText(progress, fault ? `cannot draw all of it, only short windows: ${fault}`
    : least < 1 ? `reading the file once: ${Math.floor(100 * least)} %` : "");
  if (least < 1 && !isWaiting) {
    isWaiting = true;
    setTimeout(() => { isWaiting = false; refresh(); fetchOverview(); }, 700);
  }
}

async function fetchOverview() {
  const s = state.told.streams.find((o) => o.kind === "signal" && state.shown.includes(o.key))
    ?? state.told.streams.find((o) => o.kind === "signal");
  overview.end = Math.max(state.end, 1e-6);
  overview.gaps = s?.gaps ?? [];
  if (s && s.shape[0] > 0) {
    try {
      overview.traces = await tracesOf(file, s.key, [channelsOf(s.key)[0] ?? 0], 0, state.end, overview.columns);
    } catch (error) {
      fail(error);
    }
  }
  overview.draw();
}

// --- growing -------------------------------------------------------------------------------------

async function load(asked = api(`/api/browse/tree?${query({ file })}`)) {
  const told = await asked;
  state.told = told;
  state.version = told.version;
  state.end = Math.max(told.end, 1e-3);
  const isOpen = told.state === "recording";
  const kind = told.verdict.startsWith("OK with") ? "warn" : told.verdict.startsWith("OK") ? "ok" : "bad";
  badge.replaceChildren(isOpen ? stateOf("being recorded", "ok") : told.state === "file" ? stateOf("of another program") : stateOf(told.verdict, kind));
  download.hidden = told.state === "recording" || told.state === "capture" || told.is_linked;
  beside.hidden = !told.is_linked;
  showFollowing();
}

async function poll() {
  try {
    const edge = await api(`/api/browse/edge?${query({ file })}`);
    if (edge.version !== state.version) {
      const before = state.told;
      await load();
      overview.end = state.end;
      const isFirst = !state.isChosen && !state.shown.length;
      if (isFirst) chooseFirst();
      if (before.streams.length !== state.told.streams.length || !panels.size || isFirst) layOut();
      else tree.set(state.told);
      if (state.isFollowing) {
        const width = state.t1 - state.t0;
        setWindow(state.end - width, state.end, { isFollowing: true });
      } else {
        tellWhere();
        refresh();
      }
      await Promise.all([fetchOverview(), fetchTables()]);
    }
  } catch (error) {
    fail(error);
  }
  setTimeout(poll, document.hidden ? 4 * POLL : isGrowing() ? POLL : 4 * POLL);
}

let tablesAt = 0;
async function fetchTables() {
  if (performance.now() - tablesAt < 2000 && isGrowing()) return;
  tablesAt = performance.now();
  around.setTables(await api(`/api/browse/tables?${query({ file })}`));
}

function chooseFirst() {
  const filled = state.told.streams.filter((s) => s.shape[0] > 0);
  state.shown = [...filled.filter((s) => s.kind === "signal").slice(0, FIRST_STREAMS), ...filled.filter((s) => s.kind === "markers")].map((s) => s.key);
}

listenToKeys(main, {
  ArrowLeft: (isShifted) => pan(isShifted ? -1 : -0.1), ArrowRight: (isShifted) => pan(isShifted ? 1 : 0.1),
  PageUp: () => pan(-1), PageDown: () => pan(1),
  ArrowUp: () => setGain(state.gain + 1), ArrowDown: () => setGain(state.gain - 1),
  "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7),
  Home: () => goTo("start"), End: () => goTo("end"),
  a: () => goTo("all"), f: () => setFollowing(!state.isFollowing),
});

// --- begin ---------------------------------------------------------------------------------------

try {
  await load(askedFirst);
  document.title = `${title.textContent} · rigmesh`;
  const known = new Set(state.told.streams.map((s) => s.key));
  const isNone = state.shown.length === 1 && state.shown[0] === "-";
  state.shown = state.shown.filter((key) => known.has(key));
  state.isChosen = isNone || state.shown.length > 0;
  if (!state.isChosen) chooseFirst();
  if (!(state.t1 > state.t0)) {
    [state.t0, state.t1] = [0, state.end];
    if (isGrowing()) {
      state.isFollowing = true;
      const width = Number(view.get("width")) || 10;
      [state.t0, state.t1] = [state.end - width, state.end];
    }
  }
  showFollowing();
  layOut();
  setWindow(state.t0, state.t1, { isFollowing: state.isFollowing });
  // Traces first: all that is read of a file is read in turn.
  await Promise.race([firstDrawn, new Promise((resolve) => { setTimeout(resolve, 1500); })]);
  fetchOverview();
  fetchTables().catch(fail);
  setTimeout(poll, POLL);
} catch (error) {
  main.replaceChildren(el("div", { class: "empty" }, el("p", {}, error.message), el("p", {}, el("a", { href: "/recordings" }, "All recordings"))));
}
