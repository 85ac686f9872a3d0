// What the server sends, brought into the shape that the page draws. The only file that knows the names of the figures.

const LEVELS = { critical: "bad", warning: "warn", note: "note" };
const NOTHING = { answered: 0, served: {}, reasons: {}, errors: {}, failed: 0, ms: {}, shadow: {} };

export function model(view) {
  const { figures } = view;
  const base = { at: view.at, role: view.role, troubles: together(view.trouble), known: Boolean(figures), work: [] };
  if (!figures) return base;
  const { gates } = figures;
  return {
    ...base,
    phase: figures.phase,
    running: figures.held_by,
    source: figures.source,
    positions: figures.positions,
    lag: figures.lag,
    staleness: figures.staleness_seconds,
    beat: figures.heartbeat,
    slot: figures.slot,
    target: figures.target,
    totals: figures.totals,
    points: view.lag,
    overTime: view.over_time,
    hour: figures.reads_together["60m"] ?? NOTHING,
    recent: figures.reads_together["5m"] ?? NOTHING,
    readsPerSecond: view.reads_per_second,
    epochs: figures.epochs,
    validations: figures.validations,
    audit: figures.audit,
    reconciliation: figures.reconciliation,
    work: work(figures),
    parkedReasons: view.parked.reasons,
    gates: gates.filter((gate) => !gate.table),
    tables: figures.tables.map((table) => drawn(table, view, gates)),
  };
}

const FEW = 2;

// What many tables have in common is told once, with their names: ten lines for one cause hide the next.
function together(found) {
  const groups = Map.groupBy(found, (one) => (one.table ? one.name : `${one.name}/`));
  return [...groups].flatMap(([name, group]) => {
    if (group.length <= FEW) return group.map((one) => trouble(one, `${one.name}/${one.table ?? ""}`, []));
    const since = group.map((one) => one.since).filter((at) => at !== null);
    const others = group.slice(1).map((one) => one.table);
    return [trouble({ ...group[0], since: since.length ? Math.min(...since) : null }, `${name}/many`, others)];
  });
}

const trouble = (one, key, others) => ({ ...one, key, others, level: LEVELS[one.severity] });

// What goes on by itself and needs nobody.
function work({ tables, under_way: underWay, phase }) {
  const loading = tables.filter((table) => table.state === "new" || table.state === "loading");
  const names = loading.map((table) => table.name).join(", ");
  const first = loading.length ? [{ key: "loading", what: `${phase === "snapshot paused" ? "Loading is paused" : "Being loaded"}: ${names}` }] : [];
  const rest = underWay.filter((one) => one.what !== "refused").map((one) => ({ key: `${one.what}/${one.table}`, what: `${one.table}: ${one.sentence}` }));
  return [...first, ...rest];
}

function drawn(table, view, gates) {
  const { figures } = view;
  const mine = (rows) => rows.filter((row) => (row.table ?? row.label) === table.name);
  const reads = figures.reads[table.name];
  return {
    ...table,
    route: { mode: reads?.mode ?? "postgres", share: reads?.share ?? 0, since: reads?.since ?? null },
    rows: table.state === "loaded" ? table.expected : Math.max(table.rows_estimated, table.rows_loaded),
    progress: table.chunks ? table.chunks_done / table.chunks : table.state === "loaded" ? 1 : 0,
    parkedKeys: mine(view.parked.rows),
    differed: mine(figures.mismatches),
    mismatches: figures.mismatch_counts[table.name] ?? 0,
    reads: reads?.windows["60m"] ?? NOTHING,
    gates: mine(gates),
    validation: figures.validations.find((one) => covers(one, table.name)) ?? null,
  };
}

function covers(validation, name) {
  const { tables } = validation.detail;
  return !tables || tables.length === 0 || tables.includes(name);
}

export const sum = (counts) => Object.values(counts ?? {}).reduce((total, one) => total + one, 0);
