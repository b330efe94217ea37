// The log-in: a token typed in, or the one behind the # of a one-time link.

import { api, el } from "./common.js";

const main = document.getElementById("main");
const input = el("input", {
  id: "token", name: "token", type: "password", autocomplete: "current-password", required: true,
  spellcheck: "false", "aria-describedby": "fault",
});
const fault = el("p", { id: "fault", class: "bad-text", role: "alert" });
const button = el("button", { class: "primary", type: "submit" }, "Log in");

async function enter(token) {
  button.disabled = true;
  fault.textContent = "";
  try {
    await api("/api/login", { method: "POST", body: { token } });
    location.replace(destination());
  } catch (error) {
    fault.textContent = error.message;
    button.disabled = false;
    input.focus();
  }
}

// Only pages of this host: a link must not lead through the log-in to somewhere else.
function destination() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  let url;
  try {
    url = new URL(wanted, location.origin);
  } catch {
    return "/"; // no address at all
  }
  // As a whole: a path that begins with two slashes would be another host's address by itself.
  return url.origin === location.origin && url.pathname !== "/login" ? url.href : "/";
}

main.append(
  el("section", { class: "login panel" },
    el("h1", {}, "Log in"),
    el("p", { class: "soft" }, "With the link that ", el("code", {}, "rigmesh web"),
      " printed, or a token that ", el("code", {}, "rigmeshd token add"), " made on this host."),
    el("form", { onsubmit: (event) => { event.preventDefault(); enter(input.value); } },
      el("label", { for: "token" }, "Token"), input, button, fault)),
);
document.getElementById("bar").append(
  el("a", { class: "brand", href: "/" }, el("img", { src: "/static/icon.svg", alt: "" }), "rigmesh"));

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  // Out of the address bar, and so of the history, before anything else.
  history.replaceState(null, "", location.pathname + location.search);
  enter(given);
} else {
  input.focus();
}
