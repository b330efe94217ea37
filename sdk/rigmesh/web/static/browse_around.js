// What happens around events: a histogram, a raster, or the mean of a signal, by group.

import { api, count, el, onTheme, setText, si, token } from "./common.js";
import { COLOURS, Canvas, Latest, query, seconds, ticks } from "./browse_data.js";

const RASTER_MOST = 260, HISTOGRAM = 190, LEFT = 56, RIGHT = 14, BOTTOM = 34;
export const NAMES = ["events", "at", "by", "only", "is", "target", "target_at", "target_only", "target_is", "channel", "from", "to", "bin"];
const DEFAULTS = { from: "-0.5", to: "1", bin: "0.02" };

export class Around {
  /** options: {file, values (from the URL), onChange(values), onTime(t) when an event is chosen} */
  constructor(options) {
    this.options = options;
    this.values = { ...DEFAULTS, ...options.values };
    this.tables = [];
    this.signals = [];
    this.answer = null;
    this.latest = new Latest((request) => this.#fetch(request));
    this.form = el("form", { class: "around-form", onsubmit: (e) => e.preventDefault() });
    this.status = el("p", { class: "soft around-status", role: "status" });
    this.raster = new Canvas(120, { role: "img", "aria-label": "raster", class: "raster" });
    this.plot = new Canvas(HISTOGRAM, { role: "img", "aria-label": "histogram", class: "histogram" });
    this.legend = el("div", { class: "around-legend" });
    this.numbers = el("details", { class: "numbers" }, el("summary", {}, "Numbers"));
    this.element = el("section", { class: "panel around", "aria-label": "Around events" },
      el("h2", {}, "Around events"), this.form, this.status,
      this.legend, this.raster.element, this.plot.element, this.numbers);
    this.numbers.addEventListener("toggle", () => this.#fillNumbers());
    this.raster.element.addEventListener("click", (event) => this.#choose(event));
    this.raster.element.addEventListener("pointermove", (event) => this.#hint(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
    onTheme(() => this.draw());
    this.element.hidden = true;
    this.isSeen = this.isWanted = false;
    new IntersectionObserver((seen) => {
      this.isSeen = seen[seen.length - 1].isIntersecting;
      if (this.isSeen && this.isWanted) this.ask();
    }).observe(this.element);
  }

  /** Learn which events there are; the values that are asked for are kept as far as they fit. */
  setTables({ tables, signals }) {
    this.tables = tables;
    this.signals = signals;
    this.element.hidden = tables.length === 0;
    if (!tables.length) return;
    const v = this.values;
    if (!this.#table(v.events)) {
      // Few different events rather than many: those are what something is around of.
      v.events = [...tables].filter((t) => t.n).sort((a, b) => a.n - b.n)[0]?.key ?? tables[0].key;
    }
    if (!this.#table(v.target) && !signals.some((s) => s.key === v.target)) {
      const others = tables.filter((t) => t.key !== v.events && t.n);
      v.target = others.sort((a, b) => b.n - a.n)[0]?.key ?? signals[0]?.key ?? v.events;
    }
    if (v.by === undefined && !this.options.values.events) {
      const by = this.#table(v.events).columns.find((c) => !c.is_time && c.n_values > 1 && c.n_values <= 12);
      v.by = by?.name ?? "";
    }
    // Not while somebody writes: what grows tells of its tables every other second.
    if (!this.form.contains(document.activeElement)) this.#drawForm();
    this.ask();
  }

  ask() {
    // An average may take a second of the server's time: only if somebody looks.
    if (!this.isSeen) { this.isWanted = true; return; }
    this.isWanted = false;
    const v = this.values;
    const asked = Object.fromEntries(NAMES.map((name) => [name, v[name]]));
    this.latest.ask({ ...asked, file: this.options.file });
  }

  async #fetch(request) {
    try {
      this.answer = await api(`/api/browse/around?${query(request)}`);
      this.#tell();
    } catch (error) {
      this.answer = null;
      this.status.classList.add("bad-text");
      setText(this.status, error.message);
    }
    this.draw();
    this.#fillNumbers();
  }

  #tell() {
    const { answer } = this, n = answer.groups.reduce((sum, g) => sum + g.n, 0);
    this.status.classList.remove("bad-text");
    // What is looked at is not all that was recorded: that is said first.
    const cut = [this.values.events, this.values.target].filter((key, k, all) => all.indexOf(key) === k)
      .map((key) => this.#table(key)).filter((table) => table?.is_cut)
      .map((table) => `only the first ${count(table.n)} rows of ${table.title} are looked at; `).join("");
    if (answer.kind === "counts") {
      const inside = answer.groups.reduce((sum, g) => sum + g.counts.reduce((a, b) => a + b, 0), 0);
      const shown = answer.n_shown < n ? `; the raster has room for ${answer.n_shown} of them, the first${answer.groups.length > 1 ? " of each group" : ""}` : "";
      setText(this.status, `${cut}${n} events, of ${answer.n_targets} others one is around them ${inside} times${shown}`);
    } else {
      const left = answer.n_events - answer.n_used;
      setText(this.status, `${cut}mean of ${answer.n_used} events${left ? `; ${left} left out: at an edge, in a gap, or too many` : ""}`);
    }
  }

  // --- the form ------------------------------------------------------------------------------

  #table(key) { return this.tables.find((t) => t.key === key); }

  #change(name, value) {
    const v = this.values;
    v[name] = value;
    if (name === "events") Object.assign(v, { at: "", by: "", only: "", is: "" });
    if (name === "target") Object.assign(v, { target_at: "", target_only: "", target_is: "", channel: "" });
    if (name === "only") v.is = this.#first(v.events, value);
    if (name === "target_only") v.target_is = this.#first(v.target, value);
    this.#drawForm(name);
    this.options.onChange(Object.fromEntries(NAMES.map((n) => [n, v[n] === DEFAULTS[n] ? "" : v[n] ?? ""])));
    this.ask();
  }

  #first(key, column) {
    return this.#table(key)?.columns.find((c) => c.name === column)?.values[0]?.[0] ?? "";
  }

  #drawForm(focus = null) {
    const v = this.values, events = this.#table(v.events), target = this.#table(v.target);
    const select = (name, label, choices) => {
      const box = el("select", { id: `around-${name}`, onchange: () => this.#change(name, box.value) },
        ...choices.map(([value, text]) => el("option", { value }, text)));
      box.value = v[name] ?? "";
      if (box.selectedIndex < 0) box.selectedIndex = 0;
      return el("label", {}, el("span", {}, label), box);
    };
    const number = (name, label, step) => {
      const box = el("input", { id: `around-${name}`, type: "number", step, value: v[name], onchange: () => this.#change(name, box.value) });
      return el("label", { class: "narrow" }, el("span", {}, label), box);
    };
    const filter = (table, only, is) => {
      const offered = table.columns.filter((c) => c.values.length && c.values.length <= 60 && !c.is_time);
      const found = [select(only, "only where", [["", "all"], ...offered.map((c) => [c.name, `${c.name} is`])])];
      const column = offered.find((c) => c.name === v[only]);
      if (column) found.push(select(is, "this", column.values.map(([value, n]) => [value, `${value} (${n})`])));
      return found;
    };
    const times = (table, name) => {
      const names = table.columns.filter((c) => c.is_time).map((c) => [c.name, c.name]);
      return names.length > 1 ? [select(name, "at", names)] : [];
    };
    const groups = events.columns.filter((c) => !c.is_time && c.n_values > 0).map((c) => [c.name, `${c.name} (${c.n_values})`]);
    const all = [
      ...this.tables.map((t) => [t.key, `${t.title} (${t.n})`]), ...this.signals.map((s) => [s.key, `${s.title}: mean`]),
    ];
    const signal = this.signals.find((s) => s.key === v.target);
    this.form.replaceChildren(
      el("fieldset", {}, el("legend", {}, "Around each of"),
        select("events", "events", this.tables.map((t) => [t.key, `${t.title} (${t.n})`])),
        ...times(events, "at"), ...filter(events, "only", "is"), select("by", "grouped by", [["", "nothing"], ...groups])),
      el("fieldset", {}, el("legend", {}, "show"),
        select("target", "what", all),
        ...(target ? [...times(target, "target_at"), ...filter(target, "target_only", "target_is")] : []),
        ...(signal && signal.channels.length > 1 ? [select("channel", "channel", signal.channels.map((name, k) => [k, name]))] : [])),
      el("fieldset", {}, el("legend", {}, "from … to, in seconds"),
        number("from", "from", "0.1"), number("to", "to", "0.1"), ...(target ? [number("bin", "bins of", "0.001")] : [])));
    if (focus) this.form.querySelector(`#around-${focus}`)?.focus();
  }

  // --- the picture ---------------------------------------------------------------------------

  draw() {
    const answer = this.answer;
    this.raster.element.hidden = !answer || answer.kind !== "counts";
    this.plot.element.hidden = this.numbers.hidden = this.legend.hidden = !answer;
    if (!answer || !this.element.isConnected) return;
    const colours = COLOURS.map(token);
    this.legend.replaceChildren(...(answer.groups.length > 1 ? answer.groups : []).map((g, k) => {
      const dot = el("i", {});
      dot.style.background = colours[k % colours.length];
      return el("span", {}, dot, g.label || "all", el("span", { class: "faint" }, ` ${g.n}`));
    }));
    const xs = answer.kind === "counts" ? answer.edges : answer.times;
    const [a, b] = [xs[0], xs[xs.length - 1]];
    if (answer.kind === "counts") this.#drawRaster(a, b, colours);
    this.#drawPlot(a, b, colours);
  }

  #drawRaster(a, b, colours) {
    const rows = this.answer.n_shown;
    const each = Math.max(0.6, Math.min(7, RASTER_MOST / Math.max(1, rows)));
    this.raster.resize(Math.max(24, Math.round(rows * each) + 8));
    const { ctx, width, height } = this.raster.begin();
    const x = (t) => LEFT + (t - a) / (b - a) * (width - LEFT - RIGHT);
    ctx.fillStyle = token("--plot");
    ctx.fillRect(LEFT, 0, width - LEFT - RIGHT, height);
    this.places = [];
    let row = 0;
    this.answer.groups.forEach((group, k) => {
      ctx.fillStyle = colours[k % colours.length];
      const size = Math.max(1, each * 0.82);
      group.raster.forEach((times, n) => {
        const y = 4 + (row + n) * each;
        for (const t of times) ctx.fillRect(x(t) - 0.75, y, 1.5, size);
      });
      for (const time of group.events) this.places.push([time, group.label]);
      row += group.events.length;
      if (k < this.answer.groups.length - 1) {
        ctx.fillStyle = token("--line");
        ctx.fillRect(LEFT, 4 + row * each - 0.5, width - LEFT - RIGHT, 1);
      }
    });
    this.each = each;
    ctx.fillStyle = token("--soft");
    ctx.textAlign = "right";
    ctx.fillText(`${rows}`, LEFT - 8, 12);
    ctx.save();
    ctx.translate(14, height / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.textAlign = "center";
    if (height > 60) ctx.fillText("event", 0, 0);
    ctx.restore();
    this.#zero(ctx, x, height, a, b);
  }

  #drawPlot(a, b, colours) {
    const { ctx, width, height } = this.plot.begin(), { answer } = this;
    const isCounts = answer.kind === "counts";
    const bottom = height - BOTTOM, top = 10;
    const series = answer.groups.map((g) => isCounts ? g.rates : g.mean);
    let low = isCounts ? 0 : Infinity, high = -Infinity;
    answer.groups.forEach((g, k) => series[k].forEach((value, n) => {
      if (value === null) return;
      const error = isCounts ? 0 : g.error?.[n] ?? 0;
      if (value + error > high) high = value + error;
      if (value - error < low) low = value - error;
    }));
    if (!(high > low)) { high = (Number.isFinite(low) ? low : 0) + 1; low = isCounts ? 0 : high - 2; }
    if (!isCounts) { const room = (high - low) * 0.06; low -= room; high += room; } else high *= 1.05;
    const x = (t) => LEFT + (t - a) / (b - a) * (width - LEFT - RIGHT);
    const y = (v) => bottom - (v - low) / (high - low) * (bottom - top);
    ctx.fillStyle = token("--plot");
    ctx.fillRect(LEFT, top, width - LEFT - RIGHT, bottom - top);
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    const vertical = ticks(low, high, 4);
    for (const v of vertical.found) {
      ctx.fillStyle = token("--grid");
      ctx.fillRect(LEFT, Math.round(y(v)), width - LEFT - RIGHT, 1);
      ctx.fillStyle = token("--soft");
      ctx.fillText(isCounts ? v.toFixed(vertical.decimals) : si(v), LEFT - 8, y(v));
    }
    ctx.textAlign = "center";
    ctx.textBaseline = "alphabetic";
    const horizontal = ticks(a, b, width / 90);
    for (const t of horizontal.found) {
      ctx.fillStyle = token("--grid");
      ctx.fillRect(Math.round(x(t)), top, 1, bottom - top);
      ctx.fillStyle = token("--soft");
      ctx.fillText(t.toFixed(horizontal.decimals).replace("-", "−"), x(t), bottom + 15);
    }
    ctx.fillText("seconds after the event", LEFT + (width - LEFT - RIGHT) / 2, height - 4);
    ctx.save();
    ctx.translate(14, (top + bottom) / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(isCounts ? "per second" : answer.unit || "mean", 0, 0);
    ctx.restore();
    ctx.save();
    ctx.beginPath();
    ctx.rect(LEFT, top - 2, width - LEFT - RIGHT, bottom - top + 4);
    ctx.clip();
    answer.groups.forEach((group, k) => {
      ctx.strokeStyle = ctx.fillStyle = colours[k % colours.length];
      if (isCounts) this.#steps(ctx, x, y, group.rates);
      else this.#mean(ctx, x, y, group);
    });
    this.#zero(ctx, x, bottom, a, b);
    ctx.restore();
  }

  #steps(ctx, x, y, rates) {
    const { edges } = this.answer, path = new Path2D();
    path.moveTo(x(edges[0]), y(0));
    rates.forEach((rate, n) => { path.lineTo(x(edges[n]), y(rate)); path.lineTo(x(edges[n + 1]), y(rate)); });
    path.lineTo(x(edges[edges.length - 1]), y(0));
    ctx.globalAlpha = this.answer.groups.length > 1 ? 0.1 : 0.3;
    ctx.fill(path);
    ctx.globalAlpha = 1;
    ctx.lineWidth = 1.4;
    ctx.stroke(path);
  }

  #mean(ctx, x, y, group) {
    const { times } = this.answer;
    if (group.error) {
      ctx.beginPath();
      times.forEach((t, n) => ctx.lineTo(x(t), y(group.mean[n] + group.error[n])));
      for (let n = times.length - 1; n >= 0; n--) ctx.lineTo(x(times[n]), y(group.mean[n] - group.error[n]));
      ctx.globalAlpha = 0.2;
      ctx.fill();
      ctx.globalAlpha = 1;
    }
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    let isDown = false;
    times.forEach((t, n) => {
      if (group.mean[n] === null) { isDown = false; return; }
      if (isDown) ctx.lineTo(x(t), y(group.mean[n]));
      else ctx.moveTo(x(t), y(group.mean[n]));
      isDown = true;
    });
    ctx.stroke();
  }

  #zero(ctx, x, height, a, b) {
    if (a > 0 || b < 0) return;
    ctx.strokeStyle = token("--marker");
    ctx.lineWidth = 1;
    ctx.setLineDash([4, 3]);
    ctx.beginPath();
    ctx.moveTo(x(0), 0);
    ctx.lineTo(x(0), height);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  #place(event) {
    return this.places?.[Math.floor((event.offsetY - 4) / this.each)];
  }

  #choose(event) {
    const found = this.#place(event);
    if (found) this.options.onTime(found[0]);
  }

  #hint(event) {
    const found = this.#place(event);
    this.raster.element.title = found ? `${found[1] ? `${found[1]}, ` : ""}at ${seconds(found[0])} s; click to go there` : "";
  }

  /** The same as a table: for people who want numbers, or do not see the picture. */
  #fillNumbers() {
    const { answer } = this;
    this.numbers.querySelector("div")?.remove();
    if (!this.numbers.open || !answer) return;
    const isCounts = answer.kind === "counts";
    const head = el("tr", {}, el("th", { scope: "col" }, isCounts ? "bin from, s" : "time, s"),
      ...answer.groups.map((g) => el("th", { scope: "col", class: "number" }, `${g.label || "all"} (${g.n})`)));
    const n = isCounts ? answer.edges.length - 1 : answer.times.length;
    const rows = Array.from({ length: n }, (_, k) => el("tr", {},
      el("th", { scope: "row" }, (isCounts ? answer.edges : answer.times)[k].toPrecision(6)),
      ...answer.groups.map((g) => el("td", { class: "number" }, isCounts ? String(g.counts[k]) : g.mean[k]?.toPrecision(6) ?? "–"))));
    this.numbers.append(el("div", { class: "scroll tall" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))));
  }
}
