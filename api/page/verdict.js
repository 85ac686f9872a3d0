// The top of the page: what is wrong, since when, what to do.

import { $, h, keep, mark, say, show } from "./dom.js";
import { ago, count, full, moment, percent, plural } from "./format.js";

const ICONS = {
  good: '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="#0a7a4b"/><path d="M9 17l5 5 9-11" fill="none" stroke="#fff" stroke-width="3.500" stroke-linecap="round" stroke-linejoin="round"/></svg>',
  warn: '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M16 2L31 29H1z" fill="#b57200"/><path d="M16 11v9M16 24v.5" stroke="#fff" stroke-width="3.500" stroke-linecap="round"/></svg>',
  bad: '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="#c4262e"/><path d="M10 10l12 12M22 10L10 22" stroke="#fff" stroke-width="3.500" stroke-linecap="round"/></svg>',
  unknown: '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="#68727f"/><path d="M9 16h14" stroke="#fff" stroke-width="3.500" stroke-linecap="round"/></svg>',
};
const SIGNS = { good: "✓", warn: "!", bad: "✕", unknown: "–" };

export function verdict(state, now) {
  const needed = state.troubles.filter((one) => one.level !== "note");
  const level = needed.some((one) => one.level === "bad") ? "bad" : needed.length ? "warn" : "good";
  tell(level, headline(needed), subline(state, needed));
  keep($("troubles"), state.troubles, (one) => one.key, makeTrouble, (element, one) => updateTrouble(element, one, now));
  keep($("work"), state.work, (one) => one.key, () => h("li"), (element, one) => say(element, one.what));
}

// Nothing is heard from the server: what the page shows may be true no more, and it says so.
export function lost(since, now) {
  tell("unknown", "The proxy does not answer this page", since ? `What you see is from ${moment(since)}, ${ago(since, now)}.` : "");
}

function tell(level, title, subtitle) {
  mark($("verdict"), "data-level", level);
  say($("sign-of"), SIGNS[level]);
  say($("headline"), title);
  say($("subline"), subtitle);
  const short = level === "good" ? "" : `${SIGNS[level]} `;
  if (document.title !== `${short}engram-bridge`) document.title = `${short}engram-bridge`;
  mark($("icon"), "href", `data:image/svg+xml,${encodeURIComponent(ICONS[level])}`);
}

function headline(needed) {
  if (!needed.length) return "All is well. Nothing needs you.";
  return needed.length === 1 ? "One thing needs you" : `${needed.length} things need you`;
}

function subline(state, needed) {
  if (!state.known) return "";
  const rows = state.tables.reduce((total, table) => total + table.proven, 0);
  const { answered, served } = state.hour;
  const reads = answered ? `; of ${plural(answered, "read")} in the last hour ${percent((100 * (served.engram ?? 0)) / answered)} came from Engram` : "";
  const { failed } = state.recent;
  const harm = failed ? `${plural(failed, "read")} of the last five minutes got no answer. ` : "No read has failed: PostgreSQL answers what Engram cannot. ";
  return `${needed.length ? harm : ""}${count(rows)} rows of ${plural(state.tables.length, "table")} ${state.target.health === "repaired" ? "proven" : "expected"}${reads}.`;
}

// The command that a remedy begins with, up to the first word of prose.
const COMMAND = /^engram-bridge(?: (?!(?:says|then|lets|and|for|to)\b)[^\s;,]+)+/;

function makeTrouble(one) {
  const command = h("code", { tabindex: 0 });
  const copy = h("button", { type: "button", class: "quiet copy", text: "Copy", "aria-label": "Copy the command" });
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command.textContent);
    say(copy, "Copied");
    setTimeout(() => say(copy, "Copy"), 1500);
  });
  return h(
    "li",
    { "data-name": one.name },
    h("div", { class: "what" }, h("strong"), h("time")),
    h("div", { class: "do" }, h("span", { class: "label", text: "Do" }), h("span", { class: "command" }, command, navigator.clipboard ? copy : null), h("span", { class: "deed" })),
    h("p", { class: "others" }),
    h("p", { class: "book muted" }),
  );
}

function updateTrouble(element, one, now) {
  mark(element, "data-level", one.level);
  say(element.querySelector("strong"), one.table && one.what.startsWith(one.table) ? one.what : sentence(one.what));
  const { others } = one;
  say(element.querySelector(".others"), others.length ? `The same of ${plural(others.length, "other table")}: ${others.join(", ")}.` : "");
  const time = element.querySelector("time");
  say(time, one.since ? `since ${moment(one.since, now)} · ${ago(one.since, now)}` : "");
  mark(time, "title", full(one.since));
  const command = COMMAND.exec(one.do)?.[0].trim() ?? "";
  say(element.querySelector("code"), command);
  show(element.querySelector(".command"), Boolean(command));
  const rest = one.do.slice(command.length).replace(/^[,; ]+/, "");
  say(element.querySelector(".deed"), command ? rest : sentence(rest));
  show(element.querySelector(".do"), Boolean(one.do));
  say(element.querySelector(".book"), one.runbook ? `docs/runbook.md#${one.runbook}` : "");
}

const sentence = (text) => text && `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
