// What can be done from the page: where reads go, a parked key again, a validation. The rules are the server's.

import { $, h, keep, mark, say, show } from "./dom.js";
import { count } from "./format.js";
import { gates } from "./tables.js";
import { send } from "./talk.js";

const MODES = [
  ["postgres", "PostgreSQL", "PostgreSQL answers everything."],
  ["shadow", "Shadow", "PostgreSQL answers everything; Engram is asked too and compared, for this share of the keys."],
  ["engram", "Engram", "Engram answers this share of the keys, wherever its answer is proven."],
];
const ONLY = "engram-only";

let operates = false;

export function roles(role) {
  operates = role === "operate";
  for (const element of document.querySelectorAll("[data-operate]")) {
    element.disabled = !operates;
    mark(element, "title", operates ? null : "Sign in with the operate token to do this.");
  }
}

const guarded = (element) => {
  element.setAttribute("data-operate", "");
  element.disabled = !operates;
  return element;
};

// where reads go

export function makeRoute(table) {
  const name = `mode-${table.name}`;
  const choice = ([value, title, what]) => h("label", { class: "choice", title: what }, guarded(h("input", { type: "radio", name, value })), h("span", { text: title }));
  const slider = guarded(h("input", { type: "range", min: 1, max: 100, step: 1, "aria-label": `share of the keys of ${table.name}, percent` }));
  const exact = guarded(h("input", { type: "number", min: 1, max: 100, step: 1, inputmode: "numeric", "aria-label": `share of the keys of ${table.name}, percent, as a number` }));
  const form = h(
    "form",
    { class: "route-form", novalidate: true },
    h("fieldset", { class: "modes" }, h("legend", { class: "hidden", text: `mode of ${table.name}` }), MODES.map(choice)),
    h("p", { class: "muted explain" }),
    h("div", { class: "share" }, slider, exact, h("span", { text: "%" })),
    h("div", { class: "deeds" }, guarded(h("button", { type: "submit", class: "primary", text: "Change…" })), h("button", { type: "button", class: "quiet undo", text: "Undo", hidden: true })),
  );
  form.touched = false;
  const touch = () => {
    form.touched = true;
    explain(form);
  };
  slider.addEventListener("input", () => {
    exact.value = slider.value;
    touch();
  });
  exact.addEventListener("input", () => {
    slider.value = exact.value;
    touch();
  });
  form.addEventListener("change", touch);
  form.querySelector(".undo").addEventListener("click", () => {
    form.touched = false;
    if (form.known) updateRoute(form, form.known, null);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    confirmRoute(form);
  });
  return form;
}

// What somebody is choosing is left alone; else the form shows what is.
export function updateRoute(form, table) {
  form.known = table;
  if (!form.touched) {
    for (const radio of form.querySelectorAll("[type=radio]")) radio.checked = radio.value === table.route.mode;
    for (const input of form.querySelectorAll("[type=range], [type=number]")) input.value = table.route.share || 1;
  }
  explain(form);
}

const chosen = (form) => ({
  mode: form.querySelector("[type=radio]:checked")?.value ?? form.known.route.mode,
  share: Math.min(100, Math.max(1, Math.round(Number(form.querySelector("[type=number]").value) || 1))),
});

function explain(form) {
  const { mode, share } = chosen(form);
  const { route } = form.known;
  const text = MODES.find((one) => one[0] === mode)?.[2] ?? "Engram answers everything; PostgreSQL is asked no more. Completed by the command line.";
  say(form.querySelector(".explain"), text);
  show(form.querySelector(".share"), mode === "shadow" || mode === "engram");
  const same = mode === route.mode && (mode === "postgres" || mode === ONLY || share === route.share);
  show(form.querySelector(".undo"), form.touched && !same);
  form.querySelector("[type=submit]").disabled = !operates || same;
}

function confirmRoute(form) {
  const table = form.known;
  const wanted = chosen(form);
  if (wanted.mode === "postgres") wanted.share = 0;
  const shown = (route) => (route.mode === "postgres" || route.mode === ONLY ? route.mode : `${route.mode} ${route.share} %`);
  const keys = Math.round((table.rows * wanted.share) / 100);
  const effect = {
    postgres: "PostgreSQL answers all of its reads, within a second. No gate is asked.",
    shadow: `About ${count(keys)} of ${count(table.rows)} keys are compared; PostgreSQL answers all of them.`,
    engram: `Engram answers about ${count(keys)} of ${count(table.rows)} keys, always the same ones; all proxies follow within a second.`,
  }[wanted.mode];
  const why = h("input", { type: "text", id: "why", maxlength: 500, autocomplete: "off" });
  const list = h("ul", { class: "gates" });
  const refused = h("div", { class: "refused", hidden: true, role: "alert" }, h("p", { class: "told" }), list);
  const force = h("input", { type: "checkbox", id: "force" });
  const forcing = h("label", { class: "force", hidden: true }, force, " Go on although gates are closed. The reason above stays in the audit trail.");
  const apply = h("button", { type: "submit", class: "primary", text: "Change" });
  ask(
    `${table.name}: ${shown(table.route)} → ${shown(wanted)}`,
    [h("p", { text: effect }), h("label", { for: "why", text: "Why (for the audit trail)" }), why, refused, forcing],
    apply,
    async () => {
      const answer = await send("ops/route", { table: table.name, ...wanted, why: why.value, force: force.checked });
      if (answer.ok) {
        form.touched = false;
        toast(`${table.name} is ${shown(wanted)} now`);
        return true;
      }
      say(refused.querySelector(".told"), [answer.title, answer.detail].filter(Boolean).join(": "));
      gates(list, answer.gates ?? [], Date.now() / 1000);
      show(refused, true);
      show(forcing, Boolean(answer.gates?.length));
      say(apply, answer.gates?.length ? "Try again" : "Change");
      return false;
    },
  );
}

// a parked key, a validation

export function retryButton(table, key) {
  return act("Retry", `Retry ${key} of ${table}`, () => send("ops/retry", { table, key }), `${key} will be read again`);
}

export function validateButton(table) {
  return act("Validate now", `Validate now: ${table.name}`, () => send("ops/validate", { table: table.name }), `A validation of ${table.name} is asked for`);
}

function act(text, label, deed, done) {
  const button = guarded(h("button", { type: "button", class: "quiet", text, "aria-label": label }));
  button.addEventListener("click", async () => {
    button.disabled = true;
    const answer = await deed();
    toast(answer.ok ? done : [answer.title, answer.detail].filter(Boolean).join(": "), answer.ok ? "good" : "bad");
    button.disabled = !operates;
  });
  return button;
}

// the dialog and the short message

export function ask(title, content, submit, deed) {
  const dialog = $("dialog");
  const form = h("form", {}, h("h2", { id: "dialog-title", text: title }), content, h("div", { class: "deeds" }, h("button", { type: "button", class: "quiet", text: "Cancel", onclick: () => dialog.close() }), submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const done = await deed();
    submit.disabled = false;
    if (done) dialog.close();
  });
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
}

let fading = null;

export function toast(text, level = "good") {
  const place = $("toast");
  say(mark(place, "data-level", level), text);
  clearTimeout(fading);
  fading = setTimeout(() => say(place, ""), 6000);
}
