// The tree of a recording: streams with their shapes, notes, what ran, and the file's own groups.

import { api, bytes, count, duration, el, notice, rate, si, stateOf } from "./common.js";
import { query, seconds, short } from "./browse_data.js";

const FIRST_CHANNELS = 32;

/** options: {file, isShown(key), onShow(key, isShown), channelsOf(key), onChannels(key, list), onTime(t)} */
export class Tree {
  constructor(options) {
    this.options = options;
    this.open = new Set();
    this.streams = el("div", { class: "tree-streams" });
    this.rest = el("div", {});
    this.element = el("div", { class: "tree" }, el("h2", {}, "Streams"), this.streams, this.rest);
  }

  set(told) {
    this.told = told;
    const focused = document.activeElement?.id;
    this.streams.replaceChildren(...told.streams.map((s) => this.#stream(s)));
    if (!told.streams.length) this.streams.append(el("p", { class: "soft" }, "No stream has begun yet."));
    // Not each time it is longer: what is open stays open. "About" looks when it is opened.
    const rest = JSON.stringify([told.notes, told.verdict, told.context, told.has_file_tree]);
    if (this.shownRest !== rest) {
      this.shownRest = rest;
      this.#fillRest(told);
    }
    if (focused) document.getElementById(focused)?.focus();
  }

  #stream(s) {
    const { isShown, onShow } = this.options;
    const id = `show-${s.key}`;
    const box = el("input", { type: "checkbox", id, checked: isShown(s.key), onchange: () => onShow(s.key, box.checked) });
    const inner = el("div", { class: "about" });
    const [n, ...sample] = s.shape;
    const shape = [count(n), ...(s.kind === "markers" ? [] : sample)].join(" × ");
    const told = s.kind === "markers" ? `${count(n)} events` : `${shape} ${s.dtype}`;
    const details = el("details", {
      class: "stream", "data-key": s.key,
      ontoggle: () => {
        if (details.open) { this.open.add(s.key); this.#about(s, inner); } else { this.open.delete(s.key); inner.replaceChildren(); }
      },
    },
    el("summary", {},
      el("span", { class: "label" }, el("span", { class: "key" }, s.name, s.part > 1 && el("span", { class: "faint" }, ` part ${s.part}`)),
        el("span", { class: "shape" }, told, s.kind !== "markers" && ` · ${rate(s.rate)}`),
        s.n_gaps > 0 && el("span", { class: "warn-text" }, `${count(s.n_gaps)} ${s.n_gaps === 1 ? "gap" : "gaps"}`))),
    inner);
    if (this.open.has(s.key)) details.open = true;
    return el("div", { class: "stream-row" }, s.kind === "frames" ? el("span", { class: "no-box" }) : box,
      s.kind !== "frames" && el("label", { class: "visually-hidden", for: id }, `Show ${s.name}`), details);
  }

  #about(s, into) {
    const rows = [["kind", s.stype ? `${s.kind}, ${s.stype}` : s.kind], ["source", s.source_id],
      ["from", s.first === null ? "" : `${seconds(s.first)} s`], ["to", s.last === null ? "" : `${seconds(s.last)} s`],
      ["stamps", s.clocked ? "mapped from the source's clock" : "of this clock"],
      ["epochs", s.epochs.length > 1 ? s.epochs.map(([e, , n]) => `${e}: ${count(n)}`).join(", ") : ""],
      ["missing", s.missing ? `${count(s.missing)} samples` : ""]];
    into.replaceChildren(
      el("dl", {}, ...rows.filter(([, v]) => v).flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)])),
      ...(s.gaps.length ? [this.#gaps(s)] : []), ...(s.channels.length > 1 ? [this.#channels(s)] : []));
  }

  #gaps(s) {
    return el("div", { class: "gaps" }, el("h3", {}, "Gaps"), ...s.gaps.slice(0, 200).map((gap) =>
      el("button", { class: "quiet", onclick: () => this.options.onTime((gap.start + gap.stop) / 2, gap.stop - gap.start) },
        `${seconds(gap.start)} s: ${duration(gap.stop - gap.start)}${gap.count ? `, ${count(gap.count)} samples` : ""}, ${gap.cause}`)),
    s.gaps.length > 200 && el("p", { class: "soft" }, `and ${count(s.n_gaps - 200)} more`));
  }

  #channels(s) {
    const chosen = new Set(this.options.channelsOf(s.key));
    const boxes = s.channels.map(([name, unit], k) => {
      const box = el("input", { type: "checkbox", checked: chosen.has(k), onchange: () => change() });
      return { box, label: el("label", { title: unit }, box, el("span", {}, name)) };
    });
    const change = () => this.options.onChannels(s.key, boxes.flatMap(({ box }, k) => box.checked ? [k] : []));
    const choose = (test) => { boxes.forEach(({ box }, k) => { box.checked = test(k); }); change(); };
    return el("div", { class: "channels" }, el("h3", {}, `Channels (${s.channels.length})`),
      el("div", { class: "controls" },
        el("button", { class: "quiet", onclick: () => choose(() => true) }, "all"),
        el("button", { class: "quiet", onclick: () => choose(() => false) }, "none"),
        s.channels.length > FIRST_CHANNELS && el("button", { class: "quiet", onclick: () => choose((k) => k < FIRST_CHANNELS) }, `first ${FIRST_CHANNELS}`),
        s.channels.length > 64 && el("button", { class: "quiet", onclick: () => choose((k) => k % Math.ceil(s.channels.length / FIRST_CHANNELS) === 0) }, "evenly")),
      el("div", { class: "boxes" }, ...boxes.map(({ label }) => label)));
  }

  #fillRest(told) {
    const shown = told.notes.filter((note) => note.kind !== "counters");
    this.rest.replaceChildren(...[
      shown.length > 0 && section("Notes", `${told.n_notes}`, () => el("ul", { class: "notes" }, ...shown.map((note) =>
        el("li", {}, el("button", { class: "quiet", onclick: () => this.options.onTime(note.time) },
          el("span", { class: "time" }, `${seconds(note.time, 2)} s`), " ", sayNote(note)))))),
      section("About", "", () => el("dl", {}, ...[
        ["run", told.run_id], ["made", told.created.utc], ["verdict", told.verdict], ["length", duration(this.told.end)],
        ...Object.entries(told.context.metadata ?? {}).map(([k, v]) => [k, typeof v === "object" ? JSON.stringify(v) : v]),
      ].filter(([, v]) => v).flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, String(v))]))),
      Object.keys(told.context).length > 0 && section("Context", "", () => json(told.context)),
      told.has_file_tree && section("File", "HDF5", () => this.#node("/", true)),
    ].filter(Boolean));
  }

  /** A group or dataset of the file; its members are asked for when it is opened. */
  #node(path, isOpen = false) {
    const box = el("div", { class: "node" });
    api(`/api/browse/node?${query({ file: this.options.file, path })}`).then((node) => {
      const attributes = Object.entries(node.attributes);
      if (attributes.length) {
        box.append(el("dl", { class: "attributes" }, ...attributes.flatMap(([k, v]) =>
          [el("dt", {}, k), el("dd", {}, short(typeof v === "string" ? v : JSON.stringify(v), 300))])));
      }
      if (node.kind === "type") {
        box.append(el("p", { class: "soft" }, node.dtype));
        return;
      }
      if (node.kind === "dataset") {
        box.append(el("p", { class: "soft" }, [
          bytes(node.bytes), node.stored !== node.bytes && `${bytes(node.stored)} stored`,
          node.compression && `${node.compression}`, node.chunks && `chunks of ${node.chunks.join(" × ")}`,
        ].filter(Boolean).join(", ")), el("pre", {}, preview(node.preview)));
        return;
      }
      for (const member of node.members) {
        const inner = el("div", {}), label = member.kind === "dataset"
          ? `${member.shape.length ? member.shape.map(count).join(" × ") : "scalar"} ${member.dtype}`
          : member.told ? member.told : `${member.n_members}`;
        const details = el("details", {
          ontoggle: () => { if (details.open && !inner.firstChild) inner.append(this.#node(`${path === "/" ? "" : path}/${member.name}`)); },
        }, el("summary", {}, el("span", { class: `node-${member.kind}` }, member.name), " ", el("span", { class: "shape" }, label)), inner);
        box.append(member.kind === "link" ? el("p", { class: "soft" }, `${member.name} ${label}`) : details);
      }
      if (node.n_members > node.members.length) box.append(el("p", { class: "soft" }, `and ${node.n_members - node.members.length} more`));
    }).catch((error) => { box.append(stateOf(error.message, "bad")); if (isOpen) notice(error.message, "bad"); });
    return box;
  }
}

function section(title, extra, fill) {
  const inner = el("div", { class: "about" });
  const details = el("details", { class: "section", ontoggle: () => { if (details.open && !inner.firstChild) inner.append(fill()); } },
    el("summary", {}, el("span", { class: "label" }, el("span", { class: "key" }, title), extra && el("span", { class: "shape" }, extra))), inner);
  return details;
}

function sayNote(note) {
  if (note.text !== undefined) return String(note.text);
  const { kind, time, ...rest } = note;
  if (rest.values) return `${rest.node ?? ""}: ${Object.entries(rest.values).map(([k, v]) => `${k} = ${JSON.stringify(v)}`).join(", ")}`;
  return `${kind ?? ""} ${short(JSON.stringify(rest), 80)}`;
}

function json(value, name = "") {
  if (value === null || typeof value !== "object") {
    return el("p", { class: "leaf" }, name && el("span", { class: "soft" }, `${name}: `), String(value));
  }
  const entries = Object.entries(value);
  const inside = () => entries.map(([k, v]) => json(v, k));
  if (!name) return el("div", { class: "json" }, ...inside());
  const inner = el("div", { class: "json" });
  const details = el("details", { ontoggle: () => { if (details.open && !inner.firstChild) inner.append(...inside()); } },
    el("summary", {}, name, " ", el("span", { class: "shape" }, Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`)), inner);
  return details;
}

function preview(value) {
  if (Array.isArray(value)) return value.map((row) => Array.isArray(row) ? row.map(one).join("  ") : one(row)).join("\n");
  return one(value);
}

function one(value) {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : si(value, "", 6);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
