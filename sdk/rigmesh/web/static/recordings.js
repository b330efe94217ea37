// The list of recordings: what there is, whether it is whole; a click looks into one.

import { api, begin, bytes, duration, el, notice, rate, stateOf, view } from "./common.js";

const REFRESH = 5000;
const AT_A_TIME = 3;

const main = await begin("recordings");
const known = new Map(); // name -> {entry, about}
let order = view.get("sort", "-modified");
let isAsking = 0;

const search = el("input", {
  type: "search", placeholder: "Find by name, stream or subject", "aria-label": "Find recordings",
  value: view.get("find"), oninput: () => { view.set({ find: search.value }); draw(); },
});
const folder = el("span", { class: "soft break" });
const body = el("tbody");
const COLUMNS = [
  ["name", "Recording"], ["modified", "When"], ["duration", "Duration"], ["bytes", "Size"],
  [null, "Streams"], ["verdict", "Verdict"], [null, ""],
];
const heads = COLUMNS.map(([key, title]) => key
  ? el("th", { scope: "col", class: ["duration", "bytes"].includes(key) ? "number" : "", "data-key": key },
    el("button", { onclick: () => sortBy(key) }, title))
  : el("th", { scope: "col" }, title || el("span", { class: "visually-hidden" }, "Actions")));
const empty = el("p", { class: "empty", hidden: true });
main.append(
  el("div", { class: "head" }, el("h1", {}, "Recordings"), folder,
    el("div", { class: "recordings-tools controls" }, search)),
  el("section", { class: "panel scroll" },
    el("table", { class: "recordings" }, el("thead", {}, el("tr", {}, ...heads)), body), empty));

async function refresh() {
  try {
    const answer = await api("/api/recordings");
    folder.textContent = answer.folder;
    const names = new Set(answer.recordings.map((r) => r.name));
    for (const name of known.keys()) if (!names.has(name)) known.delete(name);
    for (const entry of answer.recordings) {
      const before = known.get(entry.name);
      const isSame = before && before.entry.bytes === entry.bytes && before.entry.modified === entry.modified;
      known.set(entry.name, { entry, about: entry.about ?? before?.about, isOld: !entry.about && !isSame });
    }
    draw();
    ask();
  } catch (error) {
    notice(error.message, "bad");
  }
  setTimeout(refresh, document.hidden ? 4 * REFRESH : REFRESH);
}

/** Have those looked into that nobody knows yet, a few at a time, in the order of the list. */
async function ask() {
  while (isAsking < AT_A_TIME) {
    const next = sorted().find((r) => (!r.about || r.isOld) && !r.isAsked);
    if (!next) return;
    next.isAsked = true;
    isAsking += 1;
    api(`/api/recordings/about?file=${encodeURIComponent(next.entry.name)}`)
      .then((about) => { next.about = about; next.isOld = false; })
      .catch((error) => { next.about = { state: "unreadable", verdict: error.message, streams: [] }; })
      .finally(() => { isAsking -= 1; draw(); ask(); });
  }
}

function sortBy(key) {
  order = order === `-${key}` ? key : order === key ? `-${key}` : key === "name" ? key : `-${key}`;
  view.set({ sort: order === "-modified" ? "" : order });
  draw();
}

function valueOf({ entry, about }, key) {
  if (key === "duration") return about?.duration ?? -1;
  if (key === "verdict") return about?.verdict ?? "";
  return entry[key];
}

function sorted() {
  const key = order.replace("-", ""), sign = order.startsWith("-") ? -1 : 1;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [...known.values()].filter((r) => {
    const text = `${r.entry.name} ${r.about?.verdict ?? ""} ${JSON.stringify(r.about?.metadata ?? "")} ${(r.about?.streams ?? []).map((s) => s.name).join(" ")}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return found.sort((a, b) => {
    const x = valueOf(a, key), y = valueOf(b, key);
    return sign * (x < y ? -1 : x > y ? 1 : 0) || (a.entry.name < b.entry.name ? -1 : 1);
  });
}

function draw() {
  for (const head of heads) {
    const key = head.dataset.key;
    if (!key) continue;
    if (order.replace("-", "") === key) head.setAttribute("aria-sort", order.startsWith("-") ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  const rows = sorted();
  const focused = document.activeElement?.getAttribute("href");
  body.replaceChildren(...rows.map(rowOf));
  if (focused) [...body.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
  empty.hidden = rows.length > 0;
  empty.textContent = known.size
    ? "No recording has all of these words."
    : "Nothing has been recorded into this folder yet. A recorder in a graph, or `rigmesh record`, makes the first one.";
}

function rowOf({ entry, about }) {
  const name = encodeURIComponent(entry.name);
  const cut = entry.name.lastIndexOf("/") + 1;
  const isOpenable = about?.state !== "unreadable";
  const label = [el("span", { class: "faint" }, entry.name.slice(0, cut)), entry.name.slice(cut)];
  return el("tr", { "data-name": entry.name },
    el("td", { class: "name" }, isOpenable ? el("a", { href: `/browse?file=${name}` }, ...label) : el("span", {}, ...label)),
    el("td", { class: "soft when", title: about?.created ? `recorded ${about.created}` : "" }, when(entry.modified)),
    el("td", { class: "number" }, about && about.duration !== undefined ? duration(about.duration) : "…"),
    el("td", { class: "number" }, bytes(entry.bytes)),
    el("td", { class: "streams" }, ...(about?.streams ?? []).slice(0, 6).map((s) =>
      el("span", { title: s.kind === "signal" ? `${s.channels} channels, ${rate(s.rate)}` : s.kind }, s.name)),
      (about?.streams ?? []).length > 6 && el("span", {}, `${about.streams.length - 6} more`)),
    el("td", { class: "verdict" }, verdictOf(entry, about)),
    el("td", { class: "actions" }, isOpenable && el("a", { class: "button", href: `/browse?file=${name}` }, "Browse"), " ",
      about?.is_linked && el("span", { class: "faint", title: "Sealed with seal: link: to fetch it, copy both" }, `samples in ${entry.name.slice(cut)}.data`),
      !entry.is_capture && !about?.is_linked && el("a", { class: "button", href: `/api/recordings/file?file=${name}`, download: "", "aria-label": `Download ${entry.name}` }, "Download")));
}

function verdictOf(entry, about) {
  if (!about) return el("span", { class: "faint" }, "looking …");
  if (about.state === "recording") {
    const found = stateOf("being recorded", "ok");
    found.classList.add("live");
    return found;
  }
  if (about.state === "file") return stateOf("of another program");
  const kind = about.verdict.startsWith("OK with") ? "warn" : about.verdict.startsWith("OK") ? "ok" : "bad";
  const text = entry.is_capture ? `${about.verdict}; not sealed` : about.verdict;
  return stateOf(text, entry.is_capture && kind === "ok" ? "warn" : kind);
}

function when(unix) {
  const date = new Date(unix * 1000), now = new Date();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  if (date.toDateString() === now.toDateString()) return `today ${time}`;
  const two = (n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

refresh();
