// The page: takes each view as it comes and brings the document up to date.

import { ask, roles } from "./control.js";
import { draw } from "./charts.js";
import { $, h, keep, mark, say, show } from "./dom.js";
import { facts, flow, positions } from "./flow.js";
import { NONE, ago, count, full, moment, seconds } from "./format.js";
import { model } from "./model.js";
import { reconciliation } from "./reconcile.js";
import { gates, tables } from "./tables.js";
import { Feed, operator, remember, token } from "./talk.js";
import { lost, verdict } from "./verdict.js";

const STALE = 5;

let feed = null;
let newest = null;
let heard = 0;

function seen(view) {
  heard = Date.now();
  newest = model(view);
  live("live", `live · ${moment(newest.at)}`);
  document.body.classList.remove("stale");
  show($("summary"), false);
  show($("page"), true);
  render(newest);
}

function render(state) {
  roles(state.role);
  signing(state.role);
  verdict(state, state.at);
  for (const name of ["flow", "charts"]) show($(name), state.known);
  if (!state.known) return;
  say($("where"), [state.source.database, state.phase].filter(Boolean).join(" · "));
  flow(state);
  positions(state);
  draw($("charts"), state);
  tables(state);
  const shut = state.gates.filter((gate) => !gate.open).length;
  say($("gates-note"), state.gates.length ? (shut ? `${shut} of ${state.gates.length} closed` : "all open") : "none is known yet");
  gates($("gates"), state.gates, state.at);
  epochs(state);
  writes(state);
  reconciliation(state);
  audit(state);
  say($("foot"), `Slot ${state.source.slot ?? NONE} · publication ${state.source.publication ?? NONE} · ${state.running ?? "no bridge runs"}`);
}

function epochs({ epochs: found, at }) {
  keep(
    $("epochs"),
    found.slice(0, 6),
    (one) => one.epoch,
    (one) => h("li", {}, h("p", {}, h("b"), h("span", { class: "chip" })), h("p", { class: "muted", text: `epoch ${one.epoch}` })),
    (element, one) => {
      say(element.querySelector("b"), `${moment(one.seen, at)}, ${ago(one.seen, at)}`);
      const done = one.repaired !== null;
      const chip = element.querySelector(".chip");
      say(chip, done ? `compared and mended in ${seconds(Math.max(one.repaired - one.seen, 0))}` : one === found[0] ? "being compared" : "never compared to its end");
      mark(chip, "data-level", done ? "good" : "work");
    },
  );
}

// The ledger's counters that tell of the target's honesty: what it dropped, what had to be mended.
const WRITES = [
  ["changes_applied", "Changes applied"],
  ["embedded", "Embedded"],
  ["rewritten", "Written again"],
  ["dropped_by_target", "Dropped by Engram"],
  ["unproven", "Unproven, parked"],
  ["mended", "Mended"],
  ["refreshed", "Read again"],
  ["target_restarts", "Restarts of Engram"],
];

function writes({ totals, parkedReasons }) {
  const counted = { ...totals, unproven: parkedReasons.unproven };
  facts($("writes"), WRITES.map(([name, title]) => [title, count(counted[name] ?? 0), name === "unproven" && counted[name] ? "warn" : null]));
}

const VERBS = { advance: "moved on", back: "taken back", returned: "went back by itself", shadow: "shadowed", retry: "retried a key", validate: "asked for a validation" };
const route = (one) => (one.mode === "engram" || one.mode === "shadow" ? `${one.mode} ${one.share} %` : one.mode);

function audit({ audit: acts, at }) {
  const shown = acts.length ? acts : [{ number: 0, who: "", verb: "nothing was changed yet", label: "", at: null, detail: {} }];
  keep(
    $("audit"),
    shown,
    (act) => act.number,
    (act) => h("li", {}, h("time", { title: full(act.at) }), h("b", { text: act.label }), h("span"), h("span", { class: "muted", text: [act.who, act.detail.why].filter(Boolean).join(": ") })),
    (element, act) => {
      const { from, to, closed, key } = act.detail;
      const moved = to ? `${route(from)} → ${route(to)}` : (key ?? "");
      const forced = closed?.length ? `, forced past ${closed.join(", ")}` : "";
      say(element.querySelector("time"), moment(act.at, at));
      say(element.querySelector("span"), [VERBS[act.verb] ?? act.verb, moved].filter(Boolean).join(": ") + forced);
    },
  );
}

// connection and token

function live(state, text) {
  mark($("live"), "data-state", state);
  say($("live-text"), text);
}

function signing(role) {
  const button = $("sign");
  show(button, Boolean(token()) || role !== "operate");
  say(button, token() ? `Sign out${operator() ? ` ${operator()}` : ""}` : "Sign in");
}

function signIn(message = "") {
  const name = h("input", { id: "name", type: "text", maxlength: 80, autocomplete: "name", value: operator() });
  const secret = h("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const apply = h("button", { type: "submit", class: "primary", text: "Sign in" });
  ask(
    "Sign in",
    [
      h("p", { text: message || "The read token shows this page; the operate token also lets you change things." }),
      h("label", { for: "token", text: "Token" }),
      secret,
      h("label", { for: "name", text: "Your name (for the audit trail)" }),
      name,
      h("p", { class: "muted", text: "Kept in this tab until it is closed." }),
    ],
    apply,
    async () => {
      remember(secret.value.trim(), name.value.trim());
      connect();
      return true;
    },
  );
}

function connect() {
  feed?.stop();
  feed = new Feed({
    seen,
    silent: () => live("lost", "no answer"),
    refused: () => {
      const tried = token();
      heard = 0;
      show($("page"), false);
      remember(null, operator());
      live("lost", "token needed");
      show($("sign"), true);
      say($("sign"), "Sign in");
      signIn(tried ? "That token is not good here." : "");
    },
  });
}

$("sign").addEventListener("click", () => {
  if (!token()) {
    signIn();
    return;
  }
  remember(null, "");
  location.reload(); // nothing that the token has shown stays
});

setInterval(() => {
  if (!heard || Date.now() - heard < STALE * 1000) return;
  live("lost", "no answer");
  document.body.classList.add("stale");
  lost(newest?.at, Date.now() / 1000);
}, 1000);

connect();
