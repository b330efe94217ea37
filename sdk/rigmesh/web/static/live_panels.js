// Beside the traces: a raster of markers, videos, and how long chunks take.

import { api, clock, count, el, onTheme, si, token } from "./common.js";

const MOST_LINES = 12;

/** A canvas as wide as its place, drawn in CSS pixels. */
function canvasOf(label, height) {
  const canvas = el("canvas", { role: "img", "aria-label": label });
  canvas.style.height = `${height}px`;
  return canvas;
}

function context(canvas, height) {
  const width = canvas.clientWidth, scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(scale, 0, 0, scale, 0, 0);
  ctx.clearRect(0, 0, width, height);
  ctx.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  return [ctx, width];
}

/** Markers by their text: a line each for the most frequent ones, and one for all others. */
export class Raster {
  constructor(name) {
    this.markers = [];
    this.total = 0;
    this.canvas = canvasOf(`raster of ${name}`, 40);
    this.note = el("span", { class: "faint" });
    this.element = el("section", { class: "strip" }, el("h3", {}, name, this.note), this.canvas);
  }

  add({ markers, total, is_new: isNew }, oldest) {
    this.total = total;
    if (isNew) this.markers = [];
    if (markers.length) {
      this.markers.push(...markers.map(([time, text]) => ({ time, text })));
      this.markers.sort((a, b) => a.time - b.time);
    }
    const first = this.markers.findIndex((marker) => marker.time >= oldest);
    if (first > 500) this.markers.splice(0, first);
  }

  draw(markers, t0, t1, left, right) {
    const seen = markers.filter((m) => m.time >= t0 && m.time <= t1);
    const counts = new Map();
    for (const marker of seen) counts.set(marker.text, (counts.get(marker.text) ?? 0) + 1);
    const frequent = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_LINES).map(([t]) => t);
    const lines = frequent.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    if (counts.size > lines.length) lines.push(null);
    const of = new Map(lines.map((text, i) => [text, i]));
    const height = Math.max(1, lines.length) * 17 + 6;
    const [ctx, width] = context(this.canvas, height);
    const plotted = width - left - right;
    ctx.textAlign = "right";
    lines.forEach((text, i) => {
      const y = 12 + i * 17;
      ctx.fillStyle = token("--soft");
      const label = text === null ? "others" : text.length > 14 ? `${text.slice(0, 13)}…` : text;
      ctx.fillText(label, left - 8, y + 3.5, left - 10);
      ctx.fillStyle = token("--grid");
      ctx.fillRect(left, y, plotted, 1);
    });
    ctx.fillStyle = token("--marker");
    for (const marker of seen) {
      const line = of.get(marker.text) ?? lines.length - 1;
      ctx.fillRect(left + (marker.time - t0) / (t1 - t0) * plotted - 0.75, 6 + line * 17, 1.5, 13);
    }
    this.note.textContent = `${count(seen.length)} in view · ${count(this.total)} in all`;
  }
}

/** The newest frame of a camera. */
export class Video {
  constructor(name) {
    this.canvas = el("canvas", { role: "img", "aria-label": `picture of ${name}`, width: 320, height: 180 });
    this.note = el("span", { class: "faint" });
    this.element = el("section", { class: "panel video" }, el("h3", {}, name, this.note), this.canvas);
  }

  async show(bytes, header) {
    const picture = await createImageBitmap(new Blob([bytes], { type: header.type }));
    this.canvas.width = picture.width;
    this.canvas.height = picture.height;
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.note.textContent = `frame ${count(header.frame)} · ${clock(header.time + header.unix, 2)}`;
    this.canvas.dataset.frame = header.frame;
  }
}

/** How long chunks took to the ends of the graph, since its start: logarithmic both ways. */
export class Latencies {
  constructor() {
    this.select = el("select", { "aria-label": "Latency to", onchange: () => this.#draw() });
    this.canvas = canvasOf("histogram of latencies", 120);
    this.note = el("p", { class: "soft" });
    this.element = el("section", { class: "panel", id: "latencies" },
      el("h3", {}, "Latency"), this.select, this.canvas, this.note);
    this.found = [];
    onTheme(() => this.#draw());
  }

  open() {
    this.isOpen = true;
    this.#look();
  }

  close() {
    this.isOpen = false;
    clearTimeout(this.timer);
  }

  async #look() {
    try {
      this.found = (await api("/api/latencies")).latencies;
      this.#fill();
      this.#draw();
    } catch (error) {
      this.note.textContent = error.message;
    }
    clearTimeout(this.timer);
    if (this.isOpen) this.timer = setTimeout(() => this.#look(), 2000);
  }

  #fill() {
    const order = (each) => (each.is_last && !each.stream ? 0 : each.stream ? 2 : 1);
    this.found.sort((a, b) => order(a) - order(b) || a.reader.localeCompare(b.reader));
    const names = this.found.map(nameOf);
    if (names.join("\n") === this.names) return;
    this.names = names.join("\n");
    const before = this.select.value;
    this.select.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
    if (names.includes(before)) this.select.value = before;
  }

  #draw() {
    const chosen = this.found.find((each) => nameOf(each) === this.select.value);
    const [ctx, width] = context(this.canvas, 120);
    if (!chosen) {
      this.note.textContent = "Nothing is counted yet; start the graph.";
      return;
    }
    const bins = chosen.bins.filter(([, high]) => high > 0);
    const low = Math.log10(Math.max(bins[0][1] / 2, 1e-7)), high = Math.log10(bins[bins.length - 1][1] * 1.2);
    const x = (seconds) => 6 + (Math.log10(Math.max(seconds, 1e-7)) - low) / (high - low) * (width - 12);
    const most = Math.log10(1 + Math.max(...bins.map(([, , n]) => n)));
    ctx.fillStyle = token("--accent");
    for (const [from, to, n] of bins) {
      const left = x(Math.max(from, 10 ** low)), tall = Math.log10(1 + n) / most * 84;
      ctx.fillRect(left, 100 - tall, Math.max(1, x(to) - left - 0.5), tall);
    }
    ctx.fillStyle = token("--line-strong");
    ctx.fillRect(6, 100, width - 12, 1);
    ctx.fillStyle = token("--soft");
    ctx.textAlign = "center";
    for (let power = Math.ceil(low); power <= high; power++) {
      ctx.fillText(si(10 ** power, "s"), Math.min(width - 20, Math.max(18, x(10 ** power))), 115);
    }
    ctx.strokeStyle = token("--ink");
    ctx.setLineDash([3, 3]);
    for (const at of [chosen.p50, chosen.p99]) {
      ctx.beginPath();
      ctx.moveTo(x(at), 10);
      ctx.lineTo(x(at), 100);
      ctx.stroke();
    }
    const late = chosen.late ? ` · ${count(chosen.late)} late` : "";
    this.note.textContent = `median ${si(chosen.p50, "s")} · p99 ${si(chosen.p99, "s")} · longest ${si(chosen.max, "s")}${late}`;
  }
}

function nameOf(each) {
  return each.stream ? `${each.stream} → ${each.reader}` : each.reader;
}
