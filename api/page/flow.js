// The way of a change: PostgreSQL, bridge, Engram, proxy; and the four positions.

import { $, h, keep, mark, say } from "./dom.js";
import { NONE, bytes, count, lsn, milliseconds, moment, number, percent, plural, seconds } from "./format.js";

const SOON = 7200;
const NEAR = 86400;
const SILENCE = 60;

export function flow(state) {
  keep($("flow"), [source(state), bridge(state), target(state), proxy(state)], (one) => one.name, make, update);
}

function make(one) {
  return h(
    "article",
    { class: "node", id: `node-${one.name}` },
    h("header", {}, h("h2", { text: one.title }), h("span", { class: "state" })),
    h("p", { class: "main" }, h("b"), h("span")),
    h("dl", { class: "facts" }),
  );
}

function update(element, one) {
  mark(element, "data-level", one.level);
  say(element.querySelector(".state"), one.state);
  say(element.querySelector(".main b"), one.main[0]);
  say(element.querySelector(".main span"), one.main[1]);
  facts(element.querySelector("dl"), one.facts);
}

// Pairs of name, value, and how bad that is.
export function facts(list, pairs) {
  keep(
    list,
    pairs,
    (pair) => pair[0],
    (pair) => h("div", {}, h("dt", { text: pair[0] }), h("dd")),
    (element, pair) => {
      say(element.querySelector("dd"), pair[1]);
      mark(element, "data-level", pair[2] ?? null);
    },
  );
}

function source({ slot, source: from, running }) {
  const lost = slot.known && (!slot.exists || slot.wal_status === "lost");
  const left = slot.seconds_to_loss;
  const soon = left !== null && left !== undefined && left < NEAR ? (left < SOON ? "bad" : "warn") : null;
  const trouble = Boolean(from.trouble) || !slot.known;
  const idle = slot.known && slot.exists && !slot.active && running;
  return {
    name: "source",
    title: "PostgreSQL",
    state: trouble ? "not reached" : lost ? "slot lost" : idle ? "nobody reads" : running ? "streaming" : "not read",
    level: trouble || lost || !running ? "bad" : (soon ?? (idle ? "warn" : "good")),
    main: [bytes(slot.retained_wal_bytes), "of WAL kept for the bridge"],
    facts: [
      ["Slot is lost in", lost ? "lost" : untilLost(slot), lost ? "bad" : soon],
      ["WAL grows by", slot.wal_bytes_per_second === null || slot.wal_bytes_per_second === undefined ? NONE : `${bytes(slot.wal_bytes_per_second)}/s`],
      ["Slot", from.slot ?? NONE],
      ["Database", from.database ?? NONE],
    ],
  };
}

export function untilLost(slot) {
  if (!slot.known) return "not known";
  if (slot.seconds_to_loss !== null && slot.seconds_to_loss !== undefined) return seconds(slot.seconds_to_loss);
  return slot.safe_wal_bytes === null || slot.safe_wal_bytes === undefined ? "never: no limit" : `${bytes(slot.safe_wal_bytes)} of WAL`;
}

function bridge({ running, phase, lag, staleness, source: from, beat }) {
  const silence = from.wire_silence_seconds;
  const silent = silence !== null && silence !== undefined && silence > SILENCE;
  const measured = running && beat.running;
  const level = !measured || silent || from.trouble ? "bad" : phase === "paused" ? "warn" : phase === "consistent" ? "good" : "work";
  return {
    name: "bridge",
    title: "Bridge",
    state: !running ? "not running" : !measured ? "measures nothing" : phase,
    level: phase.startsWith("target") && level === "work" ? "warn" : level,
    main: [seconds(staleness), `old at most, ${bytes(lag.bytes)} behind`],
    facts: [
      ["Wire silence", silence === null || silence === undefined ? NONE : seconds(silence), silent ? "bad" : null],
      ["Heartbeat p50", milliseconds(beat.p50_ms)],
      ["Heartbeat p95", milliseconds(beat.p95_ms)],
      ["Heartbeat p99", milliseconds(beat.p99_ms)],
    ],
  };
}

const HEALTH = { repaired: "proven", unreachable: "cannot be reached" };

function target({ target: to, tables, totals, epochs, recent }) {
  const bad = to.health === "unreachable";
  const searchable = tables.filter((table) => table.searchable).length;
  return {
    name: "target",
    title: "Engram",
    state: HEALTH[to.health] ?? to.health,
    level: bad ? "bad" : to.health === "repaired" ? "good" : to.health === "being compared" ? "work" : "warn",
    main: [count(totals.memories), to.health === "repaired" ? "memories expected and proven" : "memories expected"],
    facts: [
      ["Last start seen", epochs.length ? moment(epochs[0].seen) : NONE],
      ["Answers in, p99", recent.ms.target ? milliseconds(recent.ms.target.p99) : NONE],
      ["Searchable", `${searchable} of ${plural(tables.length, "table")}`, searchable < tables.length ? "warn" : null],
      ["Parked keys", count(totals.parked), totals.parked ? "warn" : null],
    ],
  };
}

function proxy({ hour, recent, readsPerSecond }) {
  const part = (name) => (hour.answered ? `${count(hour.served[name] ?? 0)} · ${percent((100 * (hour.served[name] ?? 0)) / hour.answered)}` : NONE);
  return {
    name: "proxy",
    title: "Proxy",
    state: recent.failed ? "reads fail" : "serving",
    level: recent.failed ? "bad" : "good",
    main: [number(readsPerSecond), "reads a second"],
    facts: [
      ["From Engram, 1 h", part("engram")],
      ["From PostgreSQL", part("postgres")],
      ["Engram p99", recent.ms.engram ? milliseconds(recent.ms.engram.p99) : NONE],
      ["Answered by nobody", count(hour.failed), recent.failed ? "bad" : null],
    ],
  };
}

const STEPS = [
  ["received", "read off the wire"],
  ["written", "acknowledged by Engram"],
  ["proven", "read back and compared"],
  ["confirmed", "told to the slot"],
];

export function positions({ positions: at }) {
  const first = lsn(at.received);
  keep(
    $("positions"),
    STEPS,
    (step) => step[0],
    (step) => h("li", {}, h("h3", { text: step[0] }), h("p", { class: "lsn" }), h("p", { class: "behind" }), h("p", { class: "muted", text: step[1] })),
    (element, step) => {
      const behind = Number(first - lsn(at[step[0]]));
      say(element.querySelector(".lsn"), at[step[0]]);
      say(element.querySelector(".behind"), step[0] === "received" ? "" : behind > 0 ? `${bytes(behind)} behind` : "level");
      mark(element, "data-behind", behind > 0 ? "yes" : null);
    },
  );
}
