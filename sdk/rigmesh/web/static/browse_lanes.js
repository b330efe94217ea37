// The strips above the traces: the whole recording with the window in it, and lanes of events.

import { el, onTheme, token } from "./common.js";
import { COLOURS, Canvas, seconds, short } from "./browse_data.js";

const HEIGHT = 46, LANE = 20;

/** The whole recording: a drag moves the window, a click centres it. */
export class Overview {
  /** options: {onView(t0, t1)} */
  constructor(options) {
    this.options = options;
    this.canvas = new Canvas(HEIGHT, { role: "img", "aria-label": "the whole recording; the window in it" });
    this.element = el("div", { class: "overview" }, this.canvas.element);
    this.end = 1;
    this.window = [0, 1];
    this.traces = null;
    this.gaps = [];
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(this.element);
    onTheme(() => this.draw());
  }

  get columns() { return Math.max(50, Math.round(this.element.clientWidth)); }

  draw() {
    const { ctx, width, height } = this.canvas.begin();
    const x = (t) => t / this.end * width, [t0, t1] = this.window;
    ctx.fillStyle = token("--plot");
    ctx.fillRect(0, 0, width, height);
    ctx.fillStyle = token("--bad-wash");
    for (const gap of this.gaps) ctx.fillRect(x(gap.start), 0, Math.max(1, x(gap.stop) - x(gap.start)), height);
    if (this.traces) this.#drawTrace(ctx, x, height);
    const [a, b] = [Math.max(0, x(t0)), Math.min(width, x(t1))];
    ctx.fillStyle = token("--paper");
    ctx.globalAlpha = 0.62;
    ctx.fillRect(0, 0, a, height);
    ctx.fillRect(b, 0, width - b, height);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = token("--accent");
    ctx.lineWidth = 1.5;
    ctx.strokeRect(Math.min(a, width - 3) + 0.75, 0.75, Math.max(3, b - a) - 1.5, height - 1.5);
  }

  #drawTrace(ctx, x, height) {
    const { times, least, greatest } = this.traces;
    let low = Infinity, high = -Infinity;
    for (let k = 0; k < times.length; k++) {
      if (least[0][k] < low) low = least[0][k];
      if (greatest[0][k] > high) high = greatest[0][k];
    }
    if (!(high > low)) return;
    const y = (v) => 5 + (high - v) / (high - low) * (height - 10);
    ctx.strokeStyle = token("--faint");
    ctx.lineWidth = 1;
    ctx.beginPath();
    let isDown = false;
    for (let k = 0; k < times.length; k++) {
      if (!(least[0][k] <= greatest[0][k])) { isDown = false; continue; }
      if (isDown) ctx.lineTo(x(times[k]), y(least[0][k]));
      else ctx.moveTo(x(times[k]), y(least[0][k]));
      ctx.lineTo(x(times[k]), y(greatest[0][k]));
      isDown = true;
    }
    ctx.stroke();
  }

  #listen() {
    const canvas = this.canvas.element;
    let held = null;
    const at = (event) => event.offsetX / canvas.clientWidth * this.end;
    canvas.style.touchAction = "pan-y";
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      const [t0, t1] = this.window, t = at(event);
      held = t >= t0 && t <= t1 ? t - t0 : (t1 - t0) / 2;
      this.#move(t - held);
    });
    canvas.addEventListener("pointermove", (event) => { if (held !== null) this.#move(at(event) - held); });
    const drop = () => { held = null; };
    canvas.addEventListener("pointerup", drop);
    canvas.addEventListener("pointercancel", drop);
  }

  #move(t0) {
    const width = this.window[1] - this.window[0];
    this.options.onView(t0, t0 + width);
  }
}

/** A lane for each stream of events, with texts where there is room for them. */
export class Lanes {
  /** options: {left() of the traces in pixels, right, onTime(t)} */
  constructor(options) {
    this.options = options;
    this.lanes = [];
    this.window = [0, 1];
    this.canvas = new Canvas(LANE, { role: "img", "aria-label": "events" });
    this.element = el("div", { class: "lanes", hidden: true }, this.canvas.element);
    this.canvas.element.addEventListener("click", (event) => this.#click(event));
    this.canvas.element.addEventListener("pointermove", (event) => this.#hint(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
    onTheme(() => this.draw());
  }

  /** lanes: [{name, times, texts} or {name, bins, t0, t1}] */
  set(lanes) {
    this.lanes = lanes;
    this.element.hidden = lanes.length === 0;
    this.canvas.resize(Math.max(1, lanes.length) * LANE + 6);
    this.draw();
  }

  draw() {
    if (this.element.hidden || !this.element.isConnected) return;
    const { ctx, width } = this.canvas.begin(), left = this.options.left(), right = width - this.options.right;
    const [t0, t1] = this.window, x = (t) => left + (t - t0) / (t1 - t0) * (right - left);
    const colours = COLOURS.map(token), words = new Map();
    this.x = x;
    this.lanes.forEach((lane, i) => {
      const top = 3 + i * LANE, middle = top + LANE / 2 + 4;
      ctx.textAlign = "right";
      ctx.fillStyle = token("--ink");
      const most = Math.floor((left - 12) / 7);
      ctx.fillText(lane.name.length > most ? `${lane.name.slice(0, most - 1)}…` : lane.name, left - 8, middle);
      ctx.textAlign = "left";
      ctx.fillStyle = token("--grid");
      ctx.fillRect(left, top + LANE - 1, right - left, 1);
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, top, right - left, LANE);
      ctx.clip();
      if (lane.bins) this.#drawBins(ctx, x, lane, top);
      else this.#drawTexts(ctx, x, lane, top, middle, colours, words);
      ctx.restore();
    });
  }

  #drawBins(ctx, x, lane, top) {
    const most = Math.max(1, ...lane.bins), each = (lane.t1 - lane.t0) / lane.bins.length;
    ctx.fillStyle = token("--marker");
    lane.bins.forEach((n, k) => {
      if (!n) return;
      const height = Math.max(1.5, n / most * (LANE - 4));
      const from = x(lane.t0 + k * each);
      ctx.fillRect(from, top + LANE - 2 - height, Math.max(1, x(lane.t0 + (k + 1) * each) - from), height);
    });
  }

  #drawTexts(ctx, x, lane, top, middle, colours, words) {
    let free = -Infinity;
    const labels = lane.texts.map((text) => short(text));
    lane.times.forEach((t, k) => {
      const label = labels[k], at = x(t);
      if (!words.has(label)) words.set(label, colours[words.size % colours.length]);
      ctx.fillStyle = words.get(label);
      ctx.fillRect(at - 0.75, top + 2, 1.5, LANE - 4);
      const next = k + 1 < lane.times.length ? x(lane.times[k + 1]) : Infinity;
      const needed = ctx.measureText(label).width + 8;
      if (at >= free && at + needed <= next) {
        ctx.fillText(label, at + 4, middle);
        free = at + needed;
      }
    });
  }

  #find(event) {
    const lane = this.lanes[Math.floor((event.offsetY - 3) / LANE)];
    if (!lane?.times || !this.x) return null;
    let best = null;
    lane.times.forEach((t, k) => {
      const distance = Math.abs(this.x(t) - event.offsetX);
      if (distance < 8 && (!best || distance < best.distance)) best = { distance, t, text: lane.texts[k] };
    });
    return best;
  }

  #click(event) {
    const found = this.#find(event);
    if (found) this.options.onTime(found.t);
  }

  #hint(event) {
    const found = this.#find(event);
    this.canvas.element.title = found ? `${seconds(found.t)} s: ${short(found.text, 200)}` : "";
  }
}
