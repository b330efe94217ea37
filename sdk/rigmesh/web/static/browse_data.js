// Asking for parts of a recording, and taking the answers apart.

import { api } from "./common.js";

/** Traces as the server packs them: {head, times, least: [per channel], greatest: [per channel]}. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const n = head.n, channels = head.channels.length;
  let at = 4 + length;
  const times = new Float64Array(buffer, at, n);
  at += 8 * n;
  const part = () => Array.from({ length: channels }, (_, k) => new Float32Array(buffer, at + 4 * n * k, n));
  const least = part();
  if (!head.exact) at += 4 * n * channels;
  return { head, times, least, greatest: head.exact ? least : part() };
}

/** A query of all that is not empty. */
export function query(values) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== "" && value !== null && value !== undefined) params.set(name, value);
  }
  return params.toString();
}

/**
 * Asks one thing at a time; of what is wanted meanwhile only the last matters.
 * run(request) is async; `ask` returns at once.
 */
export class Latest {
  constructor(run) {
    this.run = run;
    this.isBusy = false;
    this.next = null;
  }

  async ask(request) {
    if (this.isBusy) { this.next = request; return; }
    this.isBusy = true;
    try {
      await this.run(request);
    } finally {
      this.isBusy = false;
      const next = this.next;
      this.next = null;
      if (next) this.ask(next);
    }
  }
}

export async function tracesOf(file, stream, channels, t0, t1, columns) {
  const asked = query({ file, stream, t0, t1, columns, channels: channels.join(",") });
  return unpack(await api(`/api/browse/traces?${asked}`, { binary: true }));
}

export const eventsOf = (file, stream, t0, t1, columns) =>
  api(`/api/browse/events?${query({ file, stream, t0, t1, columns })}`);

/** Seconds of the recording as people write them: 12.5 s, 3:07.2, 1:02:03. */
export function seconds(t, decimals = 3) {
  const size = Math.abs(t), sign = t < 0 && Number(size.toFixed(decimals)) > 0 ? "−" : "";
  if (size < 60) return `${sign}${size.toFixed(decimals)}`;
  const rounded = Number(size.toFixed(decimals));
  const h = Math.floor(rounded / 3600), m = Math.floor(rounded / 60) % 60;
  const s = (rounded % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  return h ? `${sign}${h}:${String(m).padStart(2, "0")}:${s}` : `${sign}${m}:${s}`;
}

export const COLOURS = ["--trace-0", "--trace-1", "--trace-2", "--trace-3", "--trace-4", "--trace-5"];

/** One short line of a text, as a marker is written beside its line. */
export function short(text, most = 24) {
  let line = String(text);
  if (/^[[{]/.test(line)) {
    try {
      const told = JSON.parse(line);
      line = Array.isArray(told) ? told.join(", ")
        : Object.entries(told).map(([k, v]) => `${k} ${typeof v === "object" ? JSON.stringify(v) : v}`).join(", ");
    } catch { /* it only looks like JSON */ }
  }
  line = line.replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** A canvas as wide as its box, sharp on any screen: call begin() and draw in CSS pixels. */
export class Canvas {
  constructor(height, attributes = {}) {
    this.element = document.createElement("canvas");
    for (const [name, value] of Object.entries(attributes)) this.element.setAttribute(name, value);
    this.height = height;
    this.element.style.height = `${height}px`;
    this.element.style.width = "100%";
    this.element.style.display = "block";
  }

  resize(height) {
    this.height = height;
    this.element.style.height = `${height}px`;
  }

  begin() {
    const ratio = devicePixelRatio, width = this.element.clientWidth;
    const [w, h] = [Math.round(width * ratio), Math.round(this.height * ratio)];
    if (this.element.width !== w || this.element.height !== h) {
      this.element.width = w;
      this.element.height = h;
    }
    const ctx = this.element.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, this.height);
    ctx.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    return { ctx, width, height: this.height };
  }
}

/** Round numbers from a to b, about so many. */
export function ticks(a, b, about) {
  const raw = (b - a) / Math.max(1, about), power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10);
  const found = [];
  for (let k = Math.ceil(a / step - 1e-9); k * step <= b + 1e-9 * step; k++) found.push(k * step);
  return { found, decimals: Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9))) };
}
