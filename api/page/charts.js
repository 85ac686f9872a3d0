// Three charts: the lag of our own heartbeat, who answered the reads, and why it was PostgreSQL.

import { h, keep, mark, say } from "./dom.js";
import { count, milliseconds, percent } from "./format.js";
import { sum } from "./model.js";

const WANTED = ["mode", "share", "shadow"];
const MOST_REASONS = 5;
const HEIGHT = 168;
const MINUTE = 60;
const SHORT = 600;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

class Chart {
  constructor(place, name, title, note) {
    this.canvas = h("div", { class: "plot", "aria-hidden": "true" });
    this.legend = h("ul", { class: "legend" });
    this.note = h("p", { class: "muted", text: note });
    this.figure = h(
      "figure",
      { class: "panel chart", id: `chart-${name}` },
      h("figcaption", {}, h("h2", { text: title }), this.note),
      this.canvas,
      this.legend,
    );
    place.append(this.figure);
    this.shape = "";
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.again());
  }

  // `lines`: [name, colour, values, what the legend says]. `stacked`: each upon the next.
  draw(times, lines, { stacked = false, format = count } = {}) {
    this.last = [times, lines, { stacked, format }];
    this.tell(lines);
    const data = [times, ...(stacked ? piled(lines) : lines.map((line) => line[2]))];
    const shape = JSON.stringify(lines.map((line) => [line[0], line[1]]));
    if (shape !== this.shape || !this.plot) {
      this.plot?.destroy();
      this.shape = shape;
      this.plot = new uPlot(this.options(lines, stacked, format), data, this.canvas);
    } else {
      this.plot.setData(data);
    }
  }

  again() {
    this.shape = "";
    if (this.last) this.draw(...this.last);
  }

  resize() {
    const width = this.canvas.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  tell(lines) {
    keep(
      this.legend,
      lines,
      (line) => line[0],
      () => h("li", {}, h("i", { "aria-hidden": "true" }), h("span"), h("b")),
      (element, line) => {
        mark(element, "data-color", line[1]);
        say(element.querySelector("span"), line[0]);
        say(element.querySelector("b"), line[3]);
      },
    );
  }

  options(lines, stacked, format) {
    const axis = { stroke: color("muted"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const series = lines.map(([, name], place) => ({
      stroke: color(name),
      width: stacked ? 0 : place === 0 ? 2 : place === 3 ? 1 : 1.5,
      dash: !stacked && place === 2 ? [5, 3] : undefined,
      fill: stacked ? color(name) : undefined,
      paths: stacked ? uPlot.paths.bars({ size: [0.8, 24], align: 1 }) : undefined,
      points: { show: false },
      spanGaps: false,
    }));
    return {
      width: this.canvas.clientWidth || 300,
      height: HEIGHT,
      padding: [8, 18, 0, 0],
      cursor: { show: false },
      legend: { show: false },
      scales: { x: { time: true, range: (_plot, low, high) => [low, high + (stacked ? MINUTE : 0)] }, y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 24, space: 64, values: (plot, ticks) => ticks.map((tick) => clock(tick, plot.scales.x.max - plot.scales.x.min < SHORT)) },
        { ...axis, size: 52, space: 32, values: (_plot, ticks) => ticks.map((tick) => format(tick)) },
      ],
      series: [{}, ...series],
    };
  }
}

const clock = (at, exact) => new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(exact ? { second: "2-digit" } : {}) });

// The first line on top of all others: drawn first, so that the shorter ones cover it.
function piled(lines) {
  const sums = lines.map((line) => [...line[2]]);
  for (let place = sums.length - 2; place >= 0; place -= 1) {
    sums[place] = sums[place].map((value, at) => value + sums[place + 1][at]);
  }
  return sums;
}

let charts = null;

export function draw(place, state) {
  charts ??= {
    beat: new Chart(place, "beat", "Heartbeat", "From PostgreSQL through the whole path until proven in Engram; percentiles of 5 minutes."),
    reads: new Chart(place, "reads", "Reads", "By who answered, each minute."),
    reasons: new Chart(place, "reasons", "Why PostgreSQL answered", "Reasons, each minute. Mode, share and shadow are as you set them."),
  };
  beat(charts.beat, state);
  reads(charts.reads, state.overTime);
  reasons(charts.reasons, state.overTime);
}

const GAP = 15;

// Where a line has no point for a moment it goes on; a null breaks it: nothing was measured then.
// Our own points hold the percentiles of five minutes; the bridge keeps, of each five seconds, the slowest.
function beat(chart, { points, beat: now }) {
  const slowest = new Map();
  for (const [at, , most] of now.history) {
    const before = [...slowest.keys()].at(-1);
    if (before !== undefined && at - before > GAP) slowest.set(before + 1, null);
    slowest.set(at, most);
  }
  const mine = new Map(points.map((point) => [point[0], point]));
  const times = [...new Set([...slowest.keys(), ...mine.keys()])].sort((a, b) => a - b);
  const line = (place) => times.map((time) => mine.get(time)?.[place]);
  const lines = [
    ["p50", "accent", line(1), milliseconds(now.p50_ms)],
    ["p95", "info", line(2), milliseconds(now.p95_ms)],
    ["p99", "warn", line(3), milliseconds(now.p99_ms)],
    ["slowest of 5 s", "slate", times.map((time) => slowest.get(time)), milliseconds(now.history.at(-1)?.[2])],
  ];
  chart.draw(times, lines, { format: milliseconds });
}

function reads(chart, { minutes, served }) {
  const none = minutes.map(() => 0);
  const all = Object.values(served).reduce((total, one) => total + sum(one), 0);
  const line = (name, title, shade) => {
    const values = served[name] ?? none;
    return [title, shade, values, all ? `${count(sum(values))} · ${percent((100 * sum(values)) / all)}` : "0"];
  };
  chart.draw(minutes, [line("ledger", "ledger", "info"), line("postgres", "PostgreSQL", "slate"), line("engram", "Engram", "accent")], { stacked: true });
}

const SHADES = ["bad", "warn", "violet", "info", "slate"];

function reasons(chart, { minutes, reasons: why }) {
  const totals = Object.entries(why).map(([name, values]) => [name, values, sum(values)]);
  const rank = ([name, , total]) => (WANTED.includes(name) ? -1 : 1) * (total + 1);
  totals.sort((a, b) => rank(b) - rank(a));
  const first = totals.slice(0, MOST_REASONS - 1);
  const rest = totals.slice(MOST_REASONS - 1);
  if (rest.length === 1) first.push(rest[0]);
  if (rest.length > 1) {
    const added = minutes.map((_minute, at) => rest.reduce((total, one) => total + one[1][at], 0));
    first.push([`${rest.length} others`, added, sum(added)]);
  }
  const lines = first.map(([name, values, total], place) => [name, WANTED.includes(name) ? "slate" : SHADES[place], values, count(total)]);
  chart.draw(minutes, lines.length ? lines : [["none", "slate", minutes.map(() => 0), "0"]], { stacked: true });
}
