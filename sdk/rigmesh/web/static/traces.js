// Stacked traces: uPlot has the axes, the cursor and the sizes; the rows are drawn here, each from
// its own columns (least and greatest of what falls on a pixel), so that rows may differ in rate.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { clock, onTheme, si, token } from "./common.js";

const MARGIN = 0.2; // of a row, above the first and below the last

/**
 * A row: {name, unit, colour (0 to 5), group (rows of one group share the scale),
 *         span (units from one row to the next), offset (what is at its middle),
 *         source: {n, t0, dt (column k is from t0 + k·dt on)  or  times (Float64Array, the middles),
 *                   least, greatest (Float32Array, n long)}}
 * In a source, NaN is missing: the line is broken, and if all of a group is, the place is shaded.
 */
export class StackedTraces {
  /**
   * options: {label, formatTime(t, decimals), onView(t0, t1) when a person moves or zooms the time,
   *           longest (seconds that zooming out ends at), onGain(direction) for ↑ and ↓, onReset() for a double click or Home, onCursor(t)}
   */
  constructor(container, options = {}) {
    this.options = options;
    this.rows = [];
    this.markers = [];
    this.range = [0, 1];
    this.leastLabel = 0; // width kept free at the left, to align with what stands below
    this.container = container;
    container.classList.add("traces");
    container.tabIndex = 0;
    container.setAttribute("role", "img");
    container.setAttribute("aria-label", options.label ?? "traces");
    this.plot = new uPlot(this.#settings(), [[0, 1], [null, null]], container);
    this.#listen();
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(container);
    onTheme(() => this.#restyle());
    this.#readTheme();
    this.#resize();
  }

  /** How many columns fill the plot, in device pixels of its area. */
  get columns() { return Math.max(16, Math.round(this.plot.over.clientWidth)); }

  setRows(rows) {
    this.rows = rows;
    this.draw();
  }

  /** Markers: [{time, text}], oldest first. */
  setMarkers(markers) { this.markers = markers; }

  setRange(t0, t1) { this.range = [t0, t1]; }

  /** Show a line at a time, as another view's cursor; null for none. */
  setCursor(time) {
    this.foreignCursor = time;
    this.draw();
  }

  draw() {
    // The texts of markers need room above, which uPlot plans with the axes.
    if (this.hadMarkers !== this.markers.length > 0) {
      this.hadMarkers = this.markers.length > 0;
      this.plot.setSize({ width: this.plot.width, height: this.plot.height });
    }
    if (this.plot.width > 0) this.plot.setScale("x", { min: this.range[0], max: this.range[1] });
  }

  destroy() {
    this.observer.disconnect();
    this.plot.destroy();
  }

  // --- uPlot ---------------------------------------------------------------------------------

  #settings() {
    const rowsOf = () => Math.max(1, this.rows.length);
    return {
      width: 300, height: 200, legend: { show: false }, padding: [() => (this.markers.length ? 20 : 10), 26, 0, 0],
      cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
      scales: {
        x: { time: false, range: () => this.range },
        // The outermost rows may reach a little beyond their own height, as all others may.
        y: { range: () => [-MARGIN, rowsOf() + MARGIN] },
      },
      series: [{}, { paths: () => null, points: { show: false } }],
      axes: [
        {
          stroke: () => this.theme.soft, font: this.#font(), size: 34, gap: 6, space: 90,
          grid: { stroke: () => this.theme.grid, width: 1 },
          ticks: { stroke: () => this.theme.grid, width: 1, size: 5 },
          values: (_, splits) => this.#times(splits),
        },
        {
          stroke: () => this.theme.ink, font: this.#font(), gap: 8, size: () => this.#labelWidth(),
          grid: { show: false }, ticks: { show: false },
          splits: (u) => this.#labelled(u).map((i) => rowsOf() - i - 0.5),
          values: (_, splits) => splits.map((y) => this.#name(Math.round(rowsOf() - y - 0.5))),
        },
      ],
      hooks: {
        draw: [(u) => this.#drawAll(u)],
        setCursor: [(u) => this.options.onCursor?.(u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : null)],
      },
    };
  }

  #font() { return "12px system-ui, 'DejaVu Sans', sans-serif"; }

  #times(splits) {
    const step = splits.length > 1 ? splits[1] - splits[0] : 1;
    let decimals = 0;
    while (decimals < 6 && Math.abs(step * 10 ** decimals % 1 - 0.5) < 0.499999) decimals += 1;
    const format = this.options.formatTime ?? clock;
    return splits.map((t) => format(t, decimals));
  }

  #labelled(u) {
    const height = u.bbox ? u.bbox.height / devicePixelRatio / Math.max(1, this.rows.length) : 20;
    const every = Math.max(1, Math.ceil(13 / Math.max(height, 0.5)));
    return this.rows.map((_, i) => i).filter((i) => i % every === 0);
  }

  #name(index) {
    const text = String(this.rows[index]?.name ?? "");
    const most = this.container.clientWidth < 560 ? 9 : 18;
    return text.length > most ? `${text.slice(0, most - 1)}…` : text;
  }

  #labelWidth() {
    const longest = Math.max(2, ...this.rows.map((_, i) => this.#name(i).length));
    return Math.max(this.leastLabel, Math.round(16 + longest * 7));
  }

  #resize() {
    const width = this.container.clientWidth, height = this.container.clientHeight;
    if (width > 40 && height > 40 && (width !== this.plot.width || height !== this.plot.height)) {
      this.plot.setSize({ width, height });
      this.draw();
    }
  }

  #readTheme() {
    const names = ["ink", "soft", "faint", "grid", "marker", "bad-wash", "line-strong", "plot"];
    this.theme = Object.fromEntries(names.map((name) => [name, token(`--${name}`)]));
    this.theme.traces = [0, 1, 2, 3, 4, 5].map((i) => token(`--trace-${i}`));
  }

  #restyle() {
    this.#readTheme();
    this.plot.redraw();
  }

  // --- drawing -------------------------------------------------------------------------------

  #drawAll(u) {
    const { ctx, bbox } = u;
    if (!this.theme || bbox.width <= 0) return;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const place = this.#place(u);
    this.#drawGaps(ctx, place);
    this.#drawMarkers(ctx, place);
    ctx.lineWidth = Math.max(1, devicePixelRatio * 0.9);
    ctx.lineJoin = "bevel";
    this.rows.forEach((row, i) => this.#drawRow(ctx, place, row, i));
    this.#drawScales(ctx, place);
    if (this.foreignCursor != null) this.#line(ctx, place, this.foreignCursor, this.theme.faint);
    ctx.restore();
    ctx.save();
    this.#drawTexts(ctx, place);
    ctx.restore();
  }

  #place(u) {
    const { left, top, width, height } = u.bbox;
    const [t0, t1] = this.range, perSecond = width / (t1 - t0);
    const { height: rowHeight, middle } = this.rowsAt();
    const rowTop = (i) => middle(i) - rowHeight / 2;
    return {
      left, top, width, height, t0, t1, rowHeight, middle, rowTop, perSecond,
      x: (t) => left + (t - t0) * perSecond,
    };
  }

  /** How high a row is, and where the middle of each is, in pixels of the canvas. */
  rowsAt() {
    const { top, height } = this.plot.bbox;
    const each = height / (Math.max(1, this.rows.length) + 2 * MARGIN);
    return { height: each, middle: (i) => top + (i + 0.5 + MARGIN) * each };
  }

  #drawRow(ctx, place, row, index) {
    const { source, span, offset } = row;
    if (!source || !source.n) return;
    const { n, least, greatest, times } = source;
    const middle = place.middle(index), scale = place.rowHeight / (span || 1);
    const lowest = place.top - 2 * place.height, highest = place.top + 3 * place.height;
    const y = (v) => Math.min(highest, Math.max(lowest, middle - (v - offset) * scale));
    const step = times ? 0 : source.dt * place.perSecond;
    const start = times ? 0 : place.x(source.t0 + source.dt / 2);
    const [first, last] = visible(source, place);
    ctx.strokeStyle = this.theme.traces[(row.colour ?? 0) % 6];
    ctx.beginPath();
    let isDown = false, before = 0;
    for (let k = first; k < last; k++) {
      const low = least[k], high = greatest[k];
      if (!(low <= high)) { isDown = false; continue; }
      const x = times ? place.x(times[k]) : start + k * step;
      const yLow = y(low), yHigh = y(high);
      if (!isDown) {
        ctx.moveTo(x, yLow);
        isDown = true;
        // A column by itself would have no length, and so would not be seen.
        if (yLow === yHigh) ctx.lineTo(x + 0.5, yHigh);
      } else {
        // From whichever end is nearer, so that the envelope is not crossed by slanted lines.
        const lowFirst = Math.abs(yLow - before) <= Math.abs(yHigh - before);
        ctx.lineTo(x, lowFirst ? yLow : yHigh);
        if (yLow === yHigh) { before = yLow; continue; }
        ctx.lineTo(x, lowFirst ? yHigh : yLow);
        before = lowFirst ? yHigh : yLow;
        continue;
      }
      if (yLow !== yHigh) ctx.lineTo(x, yHigh);
      before = yHigh;
    }
    ctx.stroke();
  }

  #drawGaps(ctx, place) {
    ctx.fillStyle = this.theme["bad-wash"];
    this.#groups().forEach(([first, n]) => {
      const source = this.rows[first].source;
      if (!source) return;
      const top = place.rowTop(first), [begin, stop] = visible(source, place);
      for (let k = begin; k < stop; k++) {
        if (!Number.isNaN(source.least[k])) continue;
        const from = k;
        while (k + 1 < stop && Number.isNaN(source.least[k + 1])) k++;
        const x = place.x(edge(source, from)), right = place.x(edge(source, k + 1));
        ctx.fillRect(x, top, Math.max(1, right - x), n * place.rowHeight);
      }
    });
  }

  #groups() {
    const found = [];
    this.rows.forEach((row, i) => {
      const last = found[found.length - 1];
      if (last && this.rows[last[0]].group === row.group) last[1] += 1;
      else found.push([i, 1]);
    });
    return found;
  }

  #drawMarkers(ctx, place) {
    ctx.globalAlpha = 0.55;
    for (const marker of this.#markersIn(place)) this.#line(ctx, place, marker.time, this.theme.marker);
    ctx.globalAlpha = 1;
  }

  #markersIn(place) {
    return this.markers.filter(({ time }) => time >= place.t0 && time <= place.t1);
  }

  /** Their texts, above the traces, as far as they do not run into each other. */
  #drawTexts(ctx, place) {
    const size = 11 * devicePixelRatio, most = place.left + place.width;
    ctx.font = `${size}px system-ui, 'DejaVu Sans', sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.fillStyle = this.theme.marker;
    let free = -Infinity;
    for (const marker of this.#markersIn(place)) {
      const x = place.x(marker.time), text = String(marker.text).slice(0, 24);
      const width = ctx.measureText(text).width;
      if (x < free || x + width > most) continue;
      ctx.fillText(text, x, place.top - 5 * devicePixelRatio);
      free = x + width + 6 * devicePixelRatio;
    }
  }

  #line(ctx, place, time, colour) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(place.x(time), place.top);
    ctx.lineTo(place.x(time), place.top + place.height);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  /** A bar as high as a round number of units, at the right, for each group. */
  #drawScales(ctx, place) {
    const size = 11 * devicePixelRatio;
    ctx.font = `600 ${size}px system-ui, 'DejaVu Sans', sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    for (const [first, n] of this.#groups()) {
      const row = this.rows[first];
      if (!(row.span > 0) || row.unit === undefined) continue;
      const room = Math.min(n * place.rowHeight * 0.8, 64 * devicePixelRatio);
      const most = Math.max(room, 14 * devicePixelRatio) / place.rowHeight * row.span;
      const height = niceBelow(most), pixels = height / row.span * place.rowHeight;
      const x = place.left + place.width - 7 * devicePixelRatio;
      const bottom = place.rowTop(first + n) - 5 * devicePixelRatio;
      const text = si(height, row.unit), width = ctx.measureText(text).width;
      ctx.fillStyle = this.theme.plot;
      ctx.globalAlpha = 0.82;
      ctx.fillRect(x - width - 10 * devicePixelRatio, bottom - pixels / 2 - size * 0.8, width + 6 * devicePixelRatio, size * 1.5);
      ctx.globalAlpha = 1;
      ctx.strokeStyle = this.theme.ink;
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, bottom);
      ctx.lineTo(x, bottom - pixels);
      ctx.stroke();
      ctx.fillStyle = this.theme.ink;
      ctx.fillText(text, x - width - 6 * devicePixelRatio, bottom - pixels / 2 + size * 0.35);
    }
  }

  // --- pointer and keys ----------------------------------------------------------------------

  #listen() {
    const over = this.plot.over, pointers = new Map();
    let pinch = null;
    over.style.touchAction = "pan-y";
    over.addEventListener("wheel", (event) => {
      if (!this.options.onView) return;
      event.preventDefault();
      const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (sideways) this.#move((event.deltaX || event.deltaY) / over.clientWidth);
      else this.#zoom(Math.exp(event.deltaY / 600), event.offsetX / over.clientWidth);
    }, { passive: false });
    over.addEventListener("pointerdown", (event) => {
      if (!this.options.onView) return;
      over.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event.offsetX);
      pinch = null;
    });
    over.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return;
      const before = pointers.get(event.pointerId);
      pointers.set(event.pointerId, event.offsetX);
      if (pointers.size === 1) {
        if (event.offsetX !== before) this.#move((before - event.offsetX) / over.clientWidth);
        return;
      }
      const [a, b] = [...pointers.values()], apart = Math.max(8, Math.abs(a - b));
      if (pinch) this.#zoom(pinch / apart, (a + b) / 2 / over.clientWidth);
      pinch = apart;
    });
    const lift = (event) => { pointers.delete(event.pointerId); pinch = null; };
    over.addEventListener("pointerup", lift);
    over.addEventListener("pointercancel", lift);
    over.addEventListener("dblclick", () => this.options.onReset?.());
    this.container.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (event.target !== this.container || event.ctrlKey || event.metaKey || event.altKey) return;
    const { onView, onGain, onReset } = this.options;
    const keys = {
      ArrowLeft: onView && (() => this.#move(-0.1)), ArrowRight: onView && (() => this.#move(0.1)),
      "+": onView && (() => this.#zoom(0.7, 0.5)), "-": onView && (() => this.#zoom(1 / 0.7, 0.5)),
      ArrowUp: onGain && (() => onGain(1)), ArrowDown: onGain && (() => onGain(-1)),
      Home: onReset,
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  #move(part) {
    const width = this.range[1] - this.range[0];
    this.#show(this.range[0] + part * width, this.range[1] + part * width);
  }

  #zoom(factor, at) {
    const [t0, t1] = this.range, fixed = t0 + at * (t1 - t0);
    const width = Math.min(this.options.longest ?? Infinity, Math.max(1e-4, (t1 - t0) * factor));
    this.#show(fixed - at * width, fixed + (1 - at) * width);
  }

  #show(t0, t1) {
    this.setRange(t0, t1);
    this.draw();
    this.options.onView?.(t0, t1);
  }
}

/** The columns of a source that are seen, and one beyond at each side. */
function visible({ n, times, t0, dt }, place) {
  if (times) {
    return [Math.max(0, lowerBound(times, place.t0) - 1), Math.min(n, lowerBound(times, place.t1) + 1)];
  }
  return [
    Math.min(n, Math.max(0, Math.floor((place.t0 - t0) / dt) - 1)),
    Math.max(0, Math.min(n, Math.ceil((place.t1 - t0) / dt) + 1)),
  ];
}

/** Where column k begins. */
function edge({ n, times, t0, dt }, k) {
  if (!times) return t0 + k * dt;
  if (n < 2) return times[0];
  if (k <= 0) return times[0] - (times[1] - times[0]) / 2;
  if (k >= n) return times[n - 1] + (times[n - 1] - times[n - 2]) / 2;
  return (times[k - 1] + times[k]) / 2;
}

/** The first place in rising times that is not before a time. */
export function lowerBound(times, time) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The greatest of 1, 2, 5 × 10ⁿ that is not above a value. */
export function niceBelow(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const lead = value / power;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}

/** The least of 1, 2, 5 × 10ⁿ that is not below a value. */
export function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const lead = value / power;
  return (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10) * power;
}

/**
 * What rows of one group need: their offsets (middles) are set, and the span returned that leaves
 * them apart; `before` is kept while it still fits, so that the picture does not breathe.
 */
export function autoScale(rows, before = 0) {
  const found = rows.map((row) => [row, extentOf(row.source)]).filter(([, extent]) => extent);
  const sizes = found.map(([, { low, high }]) => high - low).sort((a, b) => a - b);
  const typical = sizes[Math.floor(sizes.length / 2)] || sizes[sizes.length - 1] || 0;
  const fits = before > 0 && typical < before * 1.15 && typical > before / 4;
  const span = fits || !(typical > 0) ? before || 1 : niceAbove(typical * 0.9);
  for (const [row, { low, high, mean }] of found) {
    const offset = row.offset ?? mean;
    row.offset = offset + 0.2 * (mean - offset);
    // What has room in its row is moved there at once.
    const reach = Math.max(high - row.offset, row.offset - low);
    if (reach > 0.6 * span && high - low <= 1.2 * span) row.offset = (low + high) / 2;
    else if (Math.abs(mean - row.offset) > span) row.offset = mean;
  }
  for (const row of rows) row.offset ??= 0;
  return span;
}

function extentOf({ n = 0, least, greatest } = {}) {
  let low = Infinity, high = -Infinity, sum = 0, seen = 0;
  for (let k = 0; k < n; k++) {
    if (!(least[k] <= greatest[k])) continue;
    if (least[k] < low) low = least[k];
    if (greatest[k] > high) high = greatest[k];
    sum += least[k] + greatest[k];
    seen += 2;
  }
  return seen && Number.isFinite(sum) ? { low, high, mean: sum / seen } : null;
}
