// The tables: one line each, which opens to its gates, its reads and what waits.

import { $, h, keep, mark, prose, say, show } from "./dom.js";
import { NONE, ago, count, full, measure, moment, number, percent, plural, seconds } from "./format.js";
import { makeRoute, retryButton, updateRoute, validateButton } from "./control.js";

const HEADS = ["Table", "State", "Rows", "Reads from", "Parked", "Edges", "Differ", "Search", "Gates"];
const LABELS = { state: "State", rows: "Rows", reads: "Reads from", parked: "Parked keys", edges: "Pending edges", differ: "Differ", search: "Search", gates: "Gates" };
const LOADING = ["new", "loading"];

export function tables(state) {
  keep($("heads"), HEADS, (name) => name, (name) => h("span", { text: name }), () => {});
  const total = state.tables.length;
  const moved = state.tables.filter((table) => table.route.mode.startsWith("engram")).length;
  say($("tables-note"), total ? `${moved} of ${total} answered by Engram` : "no table is known yet");
  keep($("tables"), state.tables, (table) => table.name, make, (element, table) => update(element, table, state));
}

function make(table) {
  const detail = makeDetail(table);
  const toggle = h("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": detail.id }, h("span", { class: "caret", "aria-hidden": "true" }), h("span", { text: table.name }));
  toggle.addEventListener("click", () => {
    const wanted = toggle.getAttribute("aria-expanded") !== "true";
    mark(toggle, "aria-expanded", String(wanted));
    show(detail, wanted);
    if (detail.last) updateDetail(detail, ...detail.last);
  });
  const cell = (name) => h("div", { class: `cell ${name}`, "data-label": LABELS[name] });
  const state = cell("state");
  state.append(h("span", { class: "chip" }), h("span", { class: "eta muted" }), h("progress", { max: 1, "aria-label": `how much of ${table.name} is loaded` }));
  const reads = cell("reads");
  reads.append(h("span", { class: "mode" }), h("meter", { min: 0, max: 100, "aria-label": `share of the keys of ${table.name}` }));
  const row = h("div", { class: "row" }, h("h3", {}, toggle), state, cell("rows"), reads, cell("parked"), cell("edges"), cell("differ"), cell("search"), cell("gates"));
  return h("li", { "data-table": table.name }, row, detail);
}

function makeDetail(table) {
  const id = `detail-${(makeDetail.made = (makeDetail.made ?? 0) + 1)}`;
  const part = (name, title, ...children) => h("section", { class: `part ${name}` }, h("h4", { text: title }), ...children);
  return h(
    "div",
    { class: "detail", id, hidden: true },
    h("p", { class: "reason" }),
    h(
      "div",
      { class: "side" },
      part("route", "Where its reads go", makeRoute(table)),
      part("of-validation", "Validation", h("p", { class: "validation" }), validateButton(table)),
      part("of-reads", "Reads of the last hour", h("ul", { class: "bars" })),
    ),
    h(
      "div",
      { class: "wide" },
      part("of-gates", "Gates", h("p", { class: "muted note" }), h("ul", { class: "gates" })),
      part("of-keys", "What waits", h("p", { class: "muted none" }), h("ul", { class: "lines parked" }), h("ul", { class: "lines differed" })),
    ),
  );
}

function update(element, table, state) {
  const loading = LOADING.includes(table.state);
  const shut = table.gates.filter((gate) => !gate.open).length + state.gates.filter((gate) => !gate.open).length;
  const judged = table.gates.length + state.gates.length;
  const bad = table.state === "stopped" || table.mismatches > 0;
  mark(element, "data-level", bad ? "bad" : table.parked ? "warn" : null);
  const chip = element.querySelector(".chip");
  const proven = state.target.health === "repaired"; // what was proven once is not what Engram holds now
  say(chip, table.state !== "loaded" ? table.state : proven ? "proven" : "loaded");
  mark(chip, "data-level", table.state === "stopped" ? "bad" : table.state !== "loaded" ? "work" : proven ? "good" : "warn");
  const eta = table.eta_seconds === null || table.eta_seconds === undefined ? "" : `, ${seconds(table.eta_seconds)} to go`;
  say(element.querySelector(".eta"), loading ? `${percent(100 * table.progress)}${speed(table)}${eta}` : "");
  const progress = element.querySelector("progress");
  show(progress, loading);
  progress.value = table.progress;
  put(element, "rows", count(table.rows));
  const mode = element.querySelector(".mode");
  const partial = table.route.mode === "engram" || table.route.mode === "shadow";
  say(mode, partial ? `${table.route.mode} ${table.route.share} %` : table.route.mode);
  const meter = element.querySelector("meter");
  show(meter, partial);
  meter.value = table.route.share;
  put(element, "parked", count(table.parked), table.parked ? "warn" : null);
  put(element, "edges", count(table.pending_edges), table.pending_edges ? "warn" : null);
  put(element, "differ", count(table.mismatches), table.mismatches ? "bad" : null);
  put(element, "search", table.searchable ? "complete" : `${count(table.search_rows)} of ${count(table.expected)}`, table.searchable ? null : "work");
  put(element, "gates", !judged ? NONE : shut ? `${shut} closed` : "all open", judged && shut && table.route.mode.startsWith("engram") ? "warn" : judged && !shut ? "good" : null);
  updateDetail(element.querySelector(".detail"), table, state);
}

const speed = (table) => (table.rows_per_second ? ` at ${number(table.rows_per_second)} rows/s` : "");

function put(element, name, text, level = null) {
  mark(say(element.querySelector(`.cell.${name}`), text), "data-level", level);
}

function updateDetail(detail, table, state) {
  detail.last = [table, state];
  if (detail.hidden) return;
  const reason = detail.querySelector(".reason");
  show(reason, Boolean(table.reason));
  say(reason, table.reason ? `Stopped: ${table.reason}` : "");
  updateRoute(detail.querySelector("form"), table, state);
  say(detail.querySelector(".of-gates .note"), gatesNote(table.gates, state.gates));
  gates(detail.querySelector(".of-gates ul"), table.gates, state.at);
  bars(detail.querySelector(".bars"), table.reads);
  keys(detail, table, state);
  validation(detail.querySelector(".validation"), table.validation, table.name, state.at);
}

const GATES = {
  lag: "Lag",
  heartbeat: "Heartbeat p99",
  wire: "Wire silence",
  slot: "Time until the slot is lost",
  epoch: "Since Engram's last start",
  round: "Since the last round of reconciliation began",
  snapshot: "Snapshot",
  parked: "Parked keys",
  edges: "Pending edges",
  proof: "Rows proven",
  mismatches: "Mismatches",
  validation: "Last validation",
  shadow: "Clean comparisons",
  target: "Engram's p99",
  errors: "Reads that failed at Engram",
};

const BOUNDS = { lag: "at most", heartbeat: "at most", wire: "at most", slot: "at least", epoch: "at least", round: "at most", parked: "at most", edges: "at most", proof: "at least", mismatches: "at most", validation: "not older than", shadow: "at least", target: "at most", errors: "at most" };

// Closed ones first: value, what is asked for, since when, and what to do.
export function gates(list, found, now) {
  const ordered = [...found].sort((a, b) => a.open - b.open);
  keep(
    list,
    ordered,
    (gate) => `${gate.table}/${gate.name}`,
    (gate) => h("li", {}, h("span", { class: "sign", "aria-hidden": "true" }), h("div", {}, h("p", {}, h("b", { text: GATES[gate.name] ?? gate.name }), h("span", { class: "chip" }), h("span", { class: "value" }), h("span", { class: "muted since" })), h("p", { class: "remedy" }))),
    (element, gate) => {
      mark(element, "data-level", gate.open ? "good" : "bad");
      say(element.querySelector(".sign"), gate.open ? "✓" : "✕");
      say(element.querySelector(".chip"), gate.open ? "open" : "closed");
      say(element.querySelector(".value"), `${measure(gate.value, gate.unit)} · ${BOUNDS[gate.name] ?? "asked for"} ${measure(gate.threshold, gate.unit)}`);
      say(element.querySelector(".since"), gate.since ? `since ${moment(gate.since, now)}` : "");
      mark(element.querySelector(".since"), "title", full(gate.since));
      prose(element.querySelector(".remedy"), gate.open ? "" : gate.remedy);
    },
  );
}

function gatesNote(own, common) {
  if (!own.length && !common.length) return "No gates are known yet.";
  const shut = (found) => found.filter((gate) => !gate.open).length;
  if (!shut(own) && !shut(common)) return "All are open: it may move.";
  const others = shut(common) ? `; of those of all tables, below, ${shut(common)} of ${common.length}` : "";
  return `${shut(own)} of ${own.length} closed${others}.`;
}

function bars(list, reads) {
  const all = reads.answered;
  const rows = [
    ...Object.entries(reads.served).map(([name, n]) => [`from ${name}`, n]),
    ...Object.entries(reads.reasons).map(([name, n]) => [`PostgreSQL, because ${name}`, n]),
    ...Object.entries(reads.shadow).map(([name, n]) => [`compared: ${name}`, n]),
    ...Object.entries(reads.errors).map(([name, n]) => [`answered by nobody (${name})`, n]),
  ];
  const counted = rows.filter((row) => row[1] > 0);
  const shown = counted.length ? counted : [["nobody asked", 0]];
  keep(
    list,
    shown,
    (row) => row[0],
    (row) => h("li", {}, h("span", { text: row[0] }), h("b"), h("meter", { min: 0, max: 1, "aria-hidden": "true" })),
    (element, row) => {
      say(element.querySelector("b"), count(row[1]));
      element.querySelector("meter").value = all ? row[1] / all : 0;
    },
  );
}

function keys(detail, table, state) {
  const none = !table.parked && !table.differed.length;
  say(detail.querySelector(".none"), none ? "No key is parked, and no row differs." : "");
  keep(
    detail.querySelector(".parked"),
    table.parkedKeys,
    (row) => row.key,
    (row) => h("li", {}, h("div", {}, h("p", {}, h("b", { text: row.key }), h("span", { class: "chip", "data-level": "warn" })), h("p", { class: "muted" })), retryButton(table.name, row.key)),
    (element, row) => {
      say(element.querySelector(".chip"), row.reason);
      say(element.querySelector(".muted"), `${row.detail} · since ${moment(row.since, state.at)}, tried ${plural(row.attempts, "time")}`);
    },
  );
  keep(
    detail.querySelector(".differed"),
    table.differed,
    (row) => row.key,
    (row) => h("li", {}, h("div", {}, h("p", {}, h("b", { text: row.key }), h("span", { class: "chip", "data-level": "bad", text: "differed" })), h("p", { class: "muted" }))),
    (element, row) => say(element.querySelector(".muted"), `in ${row.columns.join(", ") || "its presence"} · ${plural(row.times, "time")}, last ${ago(row.last, state.at)}`),
  );
}

function validation(place, found, table, now) {
  const result = found?.result;
  const one = result?.tables[table];
  const clean = found?.ended && !result?.failed && one?.findings === 0;
  const rows = one ? `: ${count(one.sampled)} of ${plural(one.rows, "row")} compared` : "";
  const by = `Asked for by ${found?.who}`;
  if (!found) say(place, "Never validated.");
  else if (!found.began) say(place, `${by} ${ago(found.asked, now)}; waits for the running bridge.`);
  else if (!found.ended) say(place, `${by}; under way since ${moment(found.began, now)}.`);
  else if (result?.failed) say(place, `${by}; failed ${ago(found.ended, now)}: ${result.failed}`);
  else say(place, `${clean ? "Clean" : plural(one?.findings ?? 0, "finding")}${rows}, ${ago(found.ended, now)}. ${by}.`);
  mark(place, "data-level", found?.ended ? (clean ? "good" : "bad") : null);
}
