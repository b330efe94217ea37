// One node: what it is, its parameters as a form made from their JSON schema, states, commands.

import { act, api, el, may, notice, setText, stateOf, unitOf } from "./common.js";

const KINDS = { running: "ok", failed: "bad" };

/** A panel for the node that was chosen. */
export class NodePanel {
  constructor(close, changed) {
    this.close = close;
    this.changed = changed;
    this.element = el("aside", { class: "panel node-panel", "aria-label": "Node" });
    this.name = "";
  }

  async show(name) {
    this.name = name;
    let node;
    try {
      node = await api(`/api/node?name=${encodeURIComponent(name)}`);
    } catch (error) {
      this.element.replaceChildren(el("p", { class: "bad-text" }, error.message));
      return;
    }
    if (this.name !== name) return;
    this.#draw(node);
  }

  /** Look again: states and what went wrong; what somebody is typing stays. */
  async update() {
    if (!this.element.isConnected || !this.outputs) return;
    const node = await api(`/api/node?name=${encodeURIComponent(this.name)}`);
    if (node.name !== this.name) return;
    if (node.state !== this.state || node.failure !== this.failure) {
      if (!this.element.contains(document.activeElement)) this.#draw(node);
      else this.#head(node);
    }
    for (const [name, output] of this.outputs) setText(output, shown(node.states[name]));
    for (const field of this.fields) {
      if (field.name in node.states) field.refresh(node.states[field.name]);
      else if (field.name in node.parameters) field.refresh(node.parameters[field.name]);
    }
  }

  #draw(node) {
    this.state = node.state;
    this.failure = node.failure;
    this.outputs = new Map();
    this.fields = [];
    this.top = el("header", {});
    this.#head(node);
    const type = node.type;
    const parts = [
      this.top,
      el("p", { class: "soft break" }, `${node.type_name} · group ${node.group} on ${node.host}`),
    ];
    if (type?.doc) parts.push(el("p", {}, type.doc.split("\n\n")[0].replace(/\s+/g, " ")));
    if (node.failure) parts.push(el("section", {}, el("h3", {}, "Failure"), el("p", { class: "bad-text break" }, node.failure), node.traceback && el("pre", {}, node.traceback)));
    if (type) {
      parts.push(this.#parameters(node, type), this.#states(node, type), this.#commands(type));
    }
    const scroll = this.element.scrollTop;
    this.element.replaceChildren(...parts.filter(Boolean));
    this.element.scrollTop = scroll;
  }

  #head(node) {
    this.top.replaceChildren(
      el("h2", {}, node.name), stateOf(node.state, KINDS[node.state] ?? ""),
      el("button", { class: "quiet", "aria-label": "Close", onclick: () => this.close(this.name) }, "✕"));
  }

  #parameters(node, type) {
    const properties = Object.entries(type.schema.properties ?? {});
    if (!properties.length) return null;
    const isRunning = !["created", "stopped"].includes(node.state);
    const fields = properties.map(([name, schema]) => {
      const value = node.states[name] ?? node.parameters[name] ?? schema.default ?? null;
      const isFixed = isRunning && !schema.live;
      return new Field(name, resolved(schema, type.schema), value, !may("operator") || isFixed,
        isFixed ? "only while the graph is stopped" : "");
    });
    this.fields = fields;
    const apply = el("button", { class: "primary", type: "submit" }, "Apply");
    const fault = el("p", { class: "bad-text", role: "alert" });
    const form = el("form", {
      novalidate: true,
      onsubmit: async (event) => {
        event.preventDefault();
        let values;
        try {
          values = Object.fromEntries(fields.filter((f) => f.isChanged).map((f) => [f.name, f.read()]));
        } catch (error) {
          setText(fault, error.message);
          return;
        }
        setText(fault, "");
        if (!Object.keys(values).length) return;
        const answer = await act("/api/parameters", { node: node.name, values });
        if (answer === undefined) return;
        const at = Object.entries(answer.result ?? {});
        notice(at.length ? `Applied from sample ${at[0][1][1]} of ${at[0][0]} on.` : "Applied.");
        await this.show(node.name);
        this.changed();
      },
    }, el("div", { class: "fields" }, ...fields.map((f) => f.element)));
    if (may("operator")) {
      const reset = el("button", { type: "button", onclick: () => this.show(node.name) }, "Undo");
      form.append(fault, el("div", { class: "actions" }, apply, reset));
    }
    return el("section", {}, el("h3", {}, "Parameters"), form);
  }

  #states(node, type) {
    if (!type.states.length) return null;
    const rows = type.states.map((each) => {
      const value = node.states[each.name];
      if (each.write === "clients" && may("operator")) return this.#writable(node, each, value);
      const output = el("output", {}, shown(value));
      this.outputs.set(each.name, output);
      return el("div", { class: "field" }, el("label", {}, each.name), output, el("span", { class: "doc" }, each.doc));
    });
    return el("section", {}, el("h3", {}, "States"), el("div", { class: "fields" }, ...rows));
  }

  #writable(node, each, value) {
    const field = new Field(each.name, { ...each.schema, description: each.doc }, value ?? null, false, "");
    this.fields.push(field);
    field.input.addEventListener("change", async () => {
      let read;
      try { read = field.read(); } catch (error) { notice(error.message, "bad"); return; }
      if ((await act("/api/states", { node: node.name, values: { [each.name]: read } })) !== undefined) {
        field.accept(read);
      }
    });
    return field.element;
  }

  #commands(type) {
    if (!type.commands.length) return null;
    const forms = type.commands.map((command) => {
      const properties = Object.entries(command.schema.properties ?? {});
      const fields = properties.map(([name, schema]) =>
        new Field(name, resolved(schema, command.schema), schema.default ?? null, !may("operator"), ""));
      const result = el("output", { class: "break" });
      return el("form", {
        class: "command",
        onsubmit: async (event) => {
          event.preventDefault();
          let given;
          try {
            given = Object.fromEntries(fields.filter((f) => f.isChanged).map((f) => [f.name, f.read()]));
          } catch (error) { setText(result, error.message); return; }
          const answer = await act("/api/call", { node: this.name, command: command.name, arguments: given });
          if (answer !== undefined) setText(result, answer.result === null ? "done" : shown(answer.result));
        },
      },
      el("span", { class: "soft" }, command.doc.split("\n")[0]),
      ...fields.map((f) => f.element),
      el("div", { class: "controls" }, el("button", { type: "submit", disabled: !may("operator") }, command.name), result));
    });
    return el("section", {}, el("h3", {}, "Commands"), ...forms);
  }
}

function resolved(schema, whole) {
  const name = schema.$ref?.split("/").pop();
  return name ? { ...(whole.$defs?.[name] ?? {}), ...schema } : schema;
}

function shown(value) {
  if (value === undefined || value === null) return "–";
  if (typeof value === "string") return value;
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return JSON.stringify(value);
}

let fieldNumber = 0;

/** A control for one value with a JSON schema: a tick, a choice, a number, a text, or JSON. */
class Field {
  constructor(name, schema, value, isDisabled, why) {
    this.name = name;
    const id = `field-${(fieldNumber += 1)}`;
    const options = (schema.anyOf ?? [schema]);
    this.mayBeNull = options.some((o) => o.type === "null");
    const main = options.find((o) => o.type !== "null") ?? schema;
    const unit = schema.unit ?? main.unit;
    this.kind = main.enum ?? (main.const !== undefined ? [main.const] : null) ? "choice"
      : options.filter((o) => o.type !== "null").length > 1 ? "json"
        : { boolean: "tick", integer: "number", number: "number", string: "text" }[main.type] ?? "json";
    const common = { id, disabled: isDisabled, title: why || null, "aria-describedby": schema.description ? `${id}-doc` : null };
    if (this.kind === "tick") this.input = el("input", { type: "checkbox", ...common });
    else if (this.kind === "choice") {
      this.choices = [...(this.mayBeNull ? [null] : []), ...(main.enum ?? [main.const])];
      this.input = el("select", common, ...this.choices.map((c, i) => el("option", { value: i }, c === null ? "–" : String(c))));
    } else {
      this.input = el("input", {
        type: "text", inputmode: this.kind === "number" ? "decimal" : null, spellcheck: "false",
        autocomplete: "off", placeholder: this.mayBeNull ? "none" : null, ...common,
      });
    }
    const range = rangeOf(main);
    this.element = el("div", { class: "field" },
      el("label", { for: id }, name),
      el("span", { class: "with-unit" }, this.input, unit && el("span", { class: "faint" }, unitOf(unit))),
      (schema.description || range || why) && el("span", { class: "doc", id: `${id}-doc`, title: schema.description ?? null }, [schema.description, range, why].filter(Boolean).join(" · ")));
    this.input.addEventListener("input", () => this.#mark());
    this.accept(value);
  }

  get isChanged() { return this.#text() !== this.before; }

  /** Show a value that is so. */
  accept(value) {
    if (this.kind === "tick") this.input.checked = Boolean(value);
    else if (this.kind === "choice") this.input.value = String(Math.max(0, this.choices.findIndex((c) => c === value)));
    else if (value === null || value === undefined) this.input.value = "";
    else this.input.value = this.kind === "json" ? JSON.stringify(value) : String(value);
    this.before = this.#text();
    this.#mark();
  }

  /** Somebody else changed it: shown, unless it is being edited here. */
  refresh(value) {
    if (!this.isChanged && document.activeElement !== this.input) this.accept(value);
  }

  read() {
    if (this.kind === "tick") return this.input.checked;
    if (this.kind === "choice") return this.choices[Number(this.input.value)];
    const text = this.input.value.trim();
    if (text === "" && this.mayBeNull) return null;
    if (this.kind === "json") {
      try { return JSON.parse(text); } catch { return text; }
    }
    if (this.kind === "number") {
      const number = Number(text);
      // A number with a unit, such as 8 Hz, is understood by the daemon.
      return text !== "" && Number.isFinite(number) ? number : text;
    }
    return this.input.value;
  }

  #text() {
    return this.kind === "tick" ? String(this.input.checked) : this.input.value;
  }

  #mark() {
    this.element.classList.toggle("changed", this.isChanged);
  }
}

function rangeOf(schema) {
  const low = schema.minimum ?? schema.exclusiveMinimum, high = schema.maximum ?? schema.exclusiveMaximum;
  if (low !== undefined && high !== undefined) return `${low} to ${high}`;
  if (low !== undefined) return schema.minimum !== undefined ? `at least ${low}` : `above ${low}`;
  return high !== undefined ? `at most ${high}` : "";
}
