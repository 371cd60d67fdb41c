"use strict";
// polls status.json each second; rates are differences of its totals. Texts of the server are only ever set as text.
(() => {
  const POINTS = 300;
  const CHARTS = [
    { title: "rows/s", series: [["rows", "rows/s"]] },
    { title: "lag in ms", series: [["lag", "as of"], ["p95", "p95 age"]] },
    { title: "lag in bytes", series: [["bytes", "bytes"]] },
    { title: "Kafka commits/s", series: [["commits", "commits/s"]] },
  ];
  const sources = new Map();
  const note = document.getElementById("note");
  const element = (tag, parent, text) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    parent.append(made);
    return made;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (value) => {
    if (value === null || value === undefined) return "-";
    const units = ["", "k", "M", "G", "T"];
    let unit = 0;
    while (Math.abs(value) >= 10000 && unit < 4) { value /= 1000; unit += 1; }
    return (Math.abs(value) >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)) + units[unit];
  };

  const plot = (state, chart) => {
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, font: "11px system-ui" };
    const series = chart.series.map(([, label], at) => ({
      label, stroke: colour(at ? "--b" : "--a"), width: 1.5, spanGaps: false, points: { show: false }, value: (_, value) => short(value),
    }));
    return new uPlot({
      width: chart.box.clientWidth - 18, height: 150, legend: { live: true }, cursor: { y: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(high || 0, 1) * 1.1] } },
      axes: [axis, { ...axis, size: 52, values: (_, ticks) => ticks.map(short) }],
      series: [{ value: (_, at) => (at ? new Date(at * 1000).toLocaleTimeString() : "-") }, ...series],
    }, columns(state, chart), chart.place);
  };
  const columns = (state, chart) => [state.at, ...chart.series.map(([key]) => state.values[key])];

  const begin = (name) => {
    const state = { at: [], values: { rows: [], lag: [], p95: [], bytes: [], commits: [] }, last: null, charts: [] };
    const place = document.getElementById("charts");
    element("h2", place, name);
    const grid = element("div", place);
    grid.className = "grid";
    for (const { title, series } of CHARTS) {
      const box = element("div", grid);
      box.className = "chart";
      element("h3", box, title);
      const chart = { series, box, place: element("div", box) };
      state.charts.push(chart);
    }
    sources.set(name, state);
    return state;
  };
  const draw = (state) => {
    for (const chart of state.charts) {
      if (!chart.plot) chart.plot = plot(state, chart);
      else chart.plot.setData(columns(state, chart));
    }
  };
  const again = () => {
    for (const state of sources.values()) {
      for (const chart of state.charts) { if (chart.plot) chart.plot.destroy(); chart.plot = null; }
      draw(state);
    }
  };
  addEventListener("resize", () => { clearTimeout(again.soon); again.soon = setTimeout(again, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);

  const row = (name) => {
    const body = document.getElementById("sources");
    return [...body.rows].find((line) => line.dataset.source === name);
  };
  const show = (answer) => {
    for (const source of answer.sources) {
      const state = sources.get(source.name) || begin(source.name);
      const now = answer.now_ms / 1000;
      const rate = (key) => {
        const passed = state.last && now - state.last.now;
        const done = state.last && source[key] - state.last[key];
        return passed > 0 && done >= 0 ? done / passed : null;
      };
      const values = {
        rows: rate("rows_total"), commits: rate("commits_total"), lag: source.lag_ms,
        p95: source.age_ms ? source.age_ms.p95 : null, bytes: source.lag_bytes,
      };
      state.last = { now, rows_total: source.rows_total, commits_total: source.commits_total };
      state.at.push(now);
      for (const [key, list] of Object.entries(state.values)) {
        list.push(values[key] ?? null);
        if (list.length > POINTS) list.shift();
      }
      if (state.at.length > POINTS) state.at.shift();
      draw(state);
      const line = row(source.name);
      if (!line) continue;
      for (const cell of line.cells) {
        const field = cell.dataset.field;
        if (field === "rates") cell.textContent = `${short(values.rows)} rows/s, ${short(values.commits)} commits/s`;
        else if (field in source.shown) {
          cell.textContent = source.shown[field];
          if (field === "state") cell.className = source.state;
          if (field === "purge") cell.className = source.purge_warning ? "warn" : "";
        }
      }
    }
    note.textContent = `up ${answer.up}`;
    note.className = "";
  };
  const poll = async () => {
    try {
      const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      show(await answer.json());
    } catch (error) {
      note.textContent = `no answer (${error.message}); what is shown is old`;
      note.className = "bad";
    }
    setTimeout(poll, 1000);
  };
  poll();
})();
