// Numbers, durations and moments for people. A unit stays on the line of its number.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const NONE = "–";
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export const count = (value) => (missing(value) ? NONE : whole.format(value));
export const number = (value) => (missing(value) ? NONE : Math.abs(value) < 100 ? tenth.format(value) : whole.format(value));

export function bytes(value) {
  if (missing(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  let rest = value;
  while (Math.abs(rest) >= 1000 && place < units.length - 1) {
    rest /= 1000;
    place += 1;
  }
  return `${place ? tenth.format(rest) : whole.format(rest)}\u00a0${units[place]}`;
}

export function seconds(value) {
  if (missing(value)) return NONE;
  if (value < 1) return `${whole.format(value * 1000)}\u00a0ms`;
  if (value < 10) return `${tenth.format(value)}\u00a0s`;
  if (value < 90) return `${whole.format(value)}\u00a0s`;
  if (value < 5400) return `${whole.format(value / 60)}\u00a0min`;
  if (value < 172800) return `${tenth.format(value / 3600)}\u00a0h`;
  return `${whole.format(value / 86400)}\u00a0days`;
}

export const milliseconds = (value) => (missing(value) ? NONE : value < 1000 ? `${number(value)}\u00a0ms` : seconds(value / 1000));
export const percent = (value) => (missing(value) ? NONE : `${number(value)}\u00a0%`);

export function moment(at, now = Date.now() / 1000) {
  if (missing(at)) return NONE;
  const date = new Date(at * 1000);
  return now - at < 43200 ? clock.format(date) : day.format(date);
}

export const full = (at) => (missing(at) ? "" : new Date(at * 1000).toLocaleString("en-GB"));
export const ago = (at, now) => (missing(at) ? NONE : `${seconds(Math.max(now - at, 1))} ago`);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// A position as PostgreSQL writes it, as a number.
export function lsn(text) {
  const [high, low] = String(text ?? "0/0").split("/");
  return (BigInt(`0x${high || 0}`) << 32n) + BigInt(`0x${low || 0}`);
}

// A gate's value or threshold with its unit.
export function measure(value, unit) {
  if (typeof value !== "number") return missing(value) ? "not known" : String(value);
  if (unit === "B") return bytes(value);
  if (unit === "s") return seconds(value);
  if (unit === "ms") return milliseconds(value);
  if (unit === "%") return percent(value);
  return number(value);
}
