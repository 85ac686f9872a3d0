// Reconciliation: the last whole round, the one under way, what was found last, and what became of it.

import { $, h, keep, mark, say } from "./dom.js";
import { facts } from "./flow.js";
import { NONE, ago, count, full, moment, plural, seconds } from "./format.js";

const SHOWN = 8;

export function reconciliation({ reconciliation: found, at }) {
  const { last, under_way: now, open } = found;
  const unmended = Object.values(open).reduce((total, one) => total + one, 0);
  say($("reconcile-note"), now ? `a round is under way, stage ${Math.min(now.done + 1, now.stages || 1)} of ${now.stages || NONE}` : "");
  facts($("reconcile-facts"), [
    ["Last whole round", last ? ago(last.ended, at) : "none has ended yet", null],
    ["It took", last ? seconds(last.seconds) : NONE, null],
    ["Rows compared", last ? count(last.rows) : NONE, null],
    ["Memories compared", last ? count(last.memories) : NONE, null],
    ["It found", last ? (last.found ? `${count(last.found)}, ${count(last.mended)} mended` : "nothing") : NONE, last && last.found > last.mended ? "warn" : null],
    ["Under way", now ? `${count(now.rows)} rows, ${count(now.memories)} memories` : NONE, null],
    ["Not mended", count(unmended), unmended ? "warn" : null],
  ]);
  const shown = found.newest.length ? found.newest.slice(0, SHOWN) : [{ number: 0, found: null, label: "", key: "", kind: "nothing was found yet", cause: null, mended: null, how: null }];
  keep(
    $("findings"),
    shown,
    (one) => one.number,
    (one) => h("li", {}, h("time", { title: full(one.found) }), h("b", { text: [one.label, one.key].filter(Boolean).join(" ") }), h("span"), h("span", { class: "muted" })),
    (element, one) => {
      say(element.querySelector("time"), moment(one.found, at));
      say(element.querySelector("span"), one.cause ? `${one.kind}: ${one.cause}` : one.kind);
      say(element.querySelector(".muted"), one.mended ? `${one.how}, after ${seconds(Math.max(one.mended - one.found, 0))}` : one.number ? "not mended" : "");
      mark(element.querySelector(".muted"), "data-level", one.number && !one.mended ? "warn" : null);
    },
  );
  if (found.newest.length > SHOWN) say($("reconcile-note"), `${$("reconcile-note").textContent} · the newest ${SHOWN} of ${plural(found.newest.length, "finding")}`.replace(/^ · /, ""));
}
