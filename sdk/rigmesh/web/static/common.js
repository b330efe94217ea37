// What all pages share: the bar, talking to the server, and writing numbers for people.
// Whatever comes from a rig is text. Nothing here or elsewhere parses it as HTML.

/** An error that the server answered with: `status`, `kind` (class of the error), `message`. */
export class ApiError extends Error {
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

const ROLES = ["viewer", "operator", "admin"];

/** Who has logged in: {name, role, csrf, recordings}; filled by `begin`. */
export const session = { name: "", role: "", csrf: "", recordings: false };

/** Whether the role of who has logged in is enough; the server checks it again. */
export function may(role) {
  return ROLES.indexOf(session.role) >= ROLES.indexOf(role);
}

/** Begin a page: fetch the session, draw the bar; returns the element for the content. */
export async function begin(current) {
  Object.assign(session, await api("/api/session"));
  drawBar(current);
  return document.getElementById("main");
}

/**
 * Ask the server; returns what it answered (JSON, or null for 204).
 * options: {method, body (made JSON), signal, binary (returns an ArrayBuffer)}
 */
export async function api(path, { method = "GET", body, signal, binary = false } = {}) {
  const headers = {};
  if (method !== "GET") headers["X-Rigmesh-Csrf"] = session.csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method, headers, signal, credentials: "same-origin", cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "Offline", "the page's server does not answer");
  }
  if (response.status === 401 && path !== "/api/login") {
    toLogin();
    throw new ApiError(401, "NotLoggedIn", "log in again");
  }
  if (!response.ok) {
    let found = {};
    try { found = await response.json(); } catch { /* not from our own code */ }
    throw new ApiError(response.status, found.error ?? "Error", found.message ?? `HTTP ${response.status}`);
  }
  if (response.status === 204) return null;
  return binary ? response.arrayBuffer() : response.json();
}

/** Change something; an error becomes a notice and undefined, an answer is returned. */
export async function act(path, body = {}) {
  try {
    return await api(path, { method: "POST", body });
  } catch (error) {
    if (error.kind === "NotOwner") {
      notice(error.message, "warn", {
        label: "Take over",
        run: async () => {
          if ((await act("/api/take-over")) !== undefined) return act(path, body);
          return undefined;
        },
      });
    } else {
      notice(error.message, "bad");
    }
    return undefined;
  }
}

export function toLogin() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/**
 * A WebSocket that comes back by itself: {send(object or ArrayBuffer), close()}.
 * handlers: {open, message(event.data), state(text: "live" | why not)}
 */
export function socket(path, { open, message, state }) {
  let ws = null, isClosed = false, timer = 0, wait = 250;
  const connect = () => {
    ws = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
    ws.binaryType = "arraybuffer";
    ws.onopen = () => { wait = 250; state?.("live"); open?.(); };
    ws.onmessage = (event) => message(event.data);
    ws.onclose = (event) => {
      if (isClosed) return;
      if (event.code === 4401) { toLogin(); return; }
      state?.(event.reason || "the connection is lost; trying again");
      timer = setTimeout(connect, wait);
      wait = Math.min(5000, wait * 2);
    };
  };
  connect();
  return {
    send(data) {
      if (ws.readyState === WebSocket.OPEN) {
        ws.send(data instanceof ArrayBuffer ? data : JSON.stringify(data));
      }
    },
    close() { isClosed = true; clearTimeout(timer); ws.close(); },
  };
}

// --- elements ------------------------------------------------------------------------------------

/**
 * Make an element: el("td", {class: "number", onclick: …, "aria-label": …}, "text", child, …).
 * Strings become text nodes; attributes that are null, undefined or false are left out.
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (["value", "checked", "disabled", "hidden"].includes(name)) made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, String(value));
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return made;
}

/** Set the text of an element, if it is another one: keeps selections and saves layout. */
export function setText(element, text) {
  const value = String(text ?? "");
  if (element.textContent !== value) element.textContent = value;
}

/** A state as a word with a dot: kind is "", "ok", "warn" or "bad". */
export function stateOf(text, kind = "") {
  return el("span", { class: `state ${kind}` }, text);
}

/** Say something at the edge; of kind "", "warn" or "bad", with an action {label, run}. */
export function notice(text, kind = "", action = null) {
  const close = () => box.remove();
  const box = el(
    "div", { class: `notice ${kind}` }, el("span", {}, text),
    action && el("button", { onclick: () => { close(); action.run(); } }, action.label),
    el("button", { class: "quiet", "aria-label": "Dismiss", onclick: close }, "✕"),
  );
  document.getElementById("notices").append(box);
  if (!action) setTimeout(close, kind === "bad" ? 12000 : 5000);
}

function drawBar(current) {
  const pages = [["rigs", "Rigs"], ["live", "Live"], ["graph", "Graph"]];
  if (session.recordings) pages.push(["recordings", "Recordings"]);
  const links = pages.map(([path, title]) =>
    el("a", { href: `/${path}`, "aria-current": path === current ? "page" : null }, title));
  const leave = async () => {
    try { await api("/api/logout", { method: "POST" }); } catch { /* it is over already */ }
    location.assign("/login");
  };
  document.getElementById("bar").replaceChildren(
    el("a", { class: "brand", href: "/" }, el("img", { src: "/static/icon.svg", alt: "" }), "rigmesh"),
    el("nav", { "aria-label": "Pages" }, ...links),
    el("div", { class: "who" },
      el("span", { class: "role", title: `logged in by the token ${session.name}` }, session.role),
      el("button", { class: "quiet", onclick: leave }, "Log out")),
  );
}

// --- for people ----------------------------------------------------------------------------------

const SI = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];

/** 0.00012 s -> "120 µs"; digits are significant ones. A unit with a prefix, as uV, keeps it. */
export function si(value, unit = "", digits = 3) {
  if (!Number.isFinite(value)) return "–";
  if (unit.length > 1 && unit !== "Hz") return `${trimmed(value, digits)} ${unitOf(unit)}`;
  if (value === 0) return `0 ${unit}`.trim();
  const size = Math.abs(value);
  const [factor, prefix] = SI.find(([f]) => size >= f * 0.9995) ?? SI[SI.length - 1];
  return `${trimmed(value / factor, digits)} ${prefix}${unit}`.trim();
}

/** Units as people write them: "uV" -> "µV". */
export function unitOf(unit) {
  return /^u[A-Z]/.test(unit) ? `µ${unit.slice(1)}` : unit;
}

function trimmed(value, digits) {
  const text = value.toPrecision(digits);
  return text.includes("e") ? String(Number(text)) : text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export function count(n) {
  return Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");
}

export function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  const steps = [[2 ** 40, "TB"], [2 ** 30, "GB"], [2 ** 20, "MB"], [2 ** 10, "kB"]];
  const [factor, unit] = steps.find(([f]) => n >= f) ?? [1, "B"];
  return `${trimmed(n / factor, 3)} ${unit}`;
}

/** 3725 s -> "1 h 02 min"; below a minute with the unit that fits. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (Math.abs(seconds) < 60) return si(seconds, "s");
  const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole / 3600) % 24} h`;
}

/** Unix time -> "14:03:07", with so many decimals. */
export function clock(unix, decimals = 0) {
  const rounded = Number(unix.toFixed(decimals)); // first of all: 59.7 s are the next minute
  const date = new Date(rounded * 1000), two = (n) => String(n).padStart(2, "0");
  const seconds = (rounded % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${seconds}`;
}

export function rate(hz) {
  return hz > 0 ? si(hz, "Hz") : "irregular";
}

/** The value of a design token, such as "--ink". */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Call back when light turns to dark or back: canvases have to be drawn anew. */
export function onTheme(call) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", call);
}

/** Read and write the view in the URL, without a new entry in the history. */
export const view = {
  get: (name, otherwise = "") => new URLSearchParams(location.search).get(name) ?? otherwise,
  all: (name) => new URLSearchParams(location.search).getAll(name),
  set(values) {
    const params = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(values)) {
      params.delete(name);
      if (Array.isArray(value)) value.forEach((v) => params.append(name, v));
      else if (value !== null && value !== undefined && value !== "") params.set(name, value);
    }
    const query = params.toString();
    history.replaceState(null, "", location.pathname + (query ? `?${query}` : ""));
  },
};
