// The lines: a few contestants over time, with marks at what changed the round, a band where the board is frozen.
// uPlot draws; everything it needs is kept in a History. Also the whole chart page: toolbar, pause, table.

import { now, clockText } from "./clock.js";
import * as f from "./format.js";
import { axisOf } from "./axis.js";
import { Climb } from "./climb.js";
import { Compare } from "./compare.js";
import { Machine } from "./machine.js";
import { Table, Pins } from "./table.js";
import { HOUSE, TINTS, Tints, dashed } from "./tints.js";
import { History, firstFrom } from "./history.js";

// More instants than this are no finer to see.
const DRAWN_MAX = 1_200;
// A name of a deadline stands in one of so many rows above the lines.
const MARK_ROWS = 2;
const DEADLINES = new Set(["version", "from"]);

// Canvas knows no CSS variables: ask the style engine what they are now.
function paint() {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const read = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const colours = Object.fromEntries([...Array.from({ length: TINTS }, (_, tint) => `c${tint}`), "ink", "muted", "line", "surface", "accent", "warn"].map((name) => [name, read(name)]));
  probe.remove();
  return colours;
}

export class Lines {
  constructor(box, store, feed, { me = "", read = null, big = false, range = "round" } = {}) {
    Object.assign(this, { box, store, feed, me, read, big, range });
    this.tints = new Tints();
    this.metric = "points";
    // No line goes on beyond this instant, in seconds.
    this.until = Infinity;
    this.ids = [];
    this.drawn = "";
    this.zoomed = false;
    this.colours = paint();
    this.fitted = new Map();
    this.size = { width: 0, height: 0 };
    // For whoever looks closer, such as a test: a canvas says nothing of itself.
    box.lines = this;
    // The observer tells sizes when the layout is there, so that nobody has to ask for it.
    new ResizeObserver(([{ contentRect: { width, height } }]) => this.resize(width, height)).observe(box);
    addEventListener("themechange", () => { this.colours = paint(); this.build(); });
    box.addEventListener("keydown", (event) => this.key(event));
  }

  // At most as many as there are colours, and the house.
  choose(ids) {
    const teams = ids.filter((id) => id !== HOUSE).slice(0, TINTS);
    const chosen = ids.includes(HOUSE) ? [...teams, HOUSE] : teams;
    this.tints.assign(teams, (id) => this.feed.colour(id));
    // On a wall bars share the colours while everybody climbs: the same lines may come back in others.
    const drawn = chosen.map((id) => `${id} ${this.tints.of.get(id)}`).join();
    if (drawn === this.drawn && this.plot) return;
    [this.ids, this.drawn] = [chosen, drawn];
    this.build();
  }

  set(metric, range) { this.metric = metric; this.range = range; this.zoomed = false; this.draw(); }

  // What is drawn: places on the axis, and the index of each in the store.
  data() {
    const { times, lines } = this.store;
    let end = times.length;
    if (this.until < Infinity) end = firstFrom(times, this.until + 0.001);
    const last = times[end - 1] ?? now() / 1000;
    this.axis = axisOf(this.range, this.store.rounds, last);
    const [places, indices] = [[], []];
    this.axis.spans.forEach((span, number) => {
      const [low, high] = [firstFrom(times, span.from), Math.min(end, firstFrom(times, span.to + 0.001))];
      if (number && places.length && high > low) { places.push(span.offset - 1e-3); indices.push(-1); }
      const stride = Math.max(1, Math.floor((high - low) / DRAWN_MAX));
      for (let index = low; index < high; index += stride) {
        places.push(span.offset + times[index] - span.from);
        indices.push(index);
      }
      // The newest instant is always there, and what a round came to at its end.
      if (high > low && indices.at(-1) !== high - 1) { places.push(span.offset + times[high - 1] - span.from); indices.push(high - 1); }
      const settled = Math.min(end, firstFrom(times, span.until + 0.001));
      if (settled > high) {
        if (times[high - 1] >= span.to) { places.pop(); indices.pop(); }
        places.push(span.offset + span.to - span.from);
        indices.push(settled - 1);
      }
    });
    this.indices = indices;
    const none = new Array(places.length).fill(null);
    return [places, ...this.ids.map((id) => {
      const line = lines.get(id);
      if (!line) return none;
      if (this.metric === "points") return indices.map((index) => (index < 0 ? null : line[index]));
      let back = 0;
      return indices.map((index) => {
        if (index < 0) return null;
        while (times[index] - times[back] > 60) back++;
        const then = line[back];
        const length = times[index] - times[back];
        return line[index] == null || then == null || length < 5 ? null : ((line[index] - then) / length) * 60;
      });
    })];
  }

  build() {
    this.plot?.destroy();
    this.plot = null;
    const { width, height } = this.size;
    if (width < 10 || typeof uPlot === "undefined") return;
    const c = this.colours;
    // At ten metres a letter must be a fiftieth of the screen's height.
    const scale = this.big ? Math.max(1.2, innerWidth / 900) : 1;
    this.scale = scale;
    this.fitted.clear();
    const font = `${Math.round(12 * scale)}px system-ui, sans-serif`;
    const labels = width > 520;
    const axis = { stroke: c.muted, font, grid: { stroke: c.line, width: 1 }, ticks: { show: false } };
    const series = this.ids.map((id) => {
      const tint = this.tints.of.get(id);
      const isHouse = id === HOUSE;
      return {
        label: this.feed.name(id), stroke: isHouse ? c.muted : c[`c${tint}`],
        dash: isHouse ? [2, 5] : dashed(tint) ? [12, 5] : undefined,
        width: (id === this.me ? 4 : isHouse ? 1.5 : 2.2) * scale, points: { show: false }, spanGaps: false,
      };
    });
    const data = this.data();
    this.plot = new uPlot({
      width, height,
      padding: [(MARK_ROWS * 14 + 4) * scale, labels ? 150 * Math.min(scale, width / 500) : 12, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: true }, points: { size: 7 * scale } },
      scales: { x: { time: false }, y: { range: (_, low, high) => {
        if (low == null) return [0, 100];
        const pad = (high - low) * 0.06 || 10;
        return [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
      } } },
      axes: [
        { ...axis, size: 30 * scale, splits: (u, _, low, high) => this.axis.ticks(Math.max(2, u.bbox.width / devicePixelRatio / (76 * scale)), low, high), values: (_, splits) => splits.map((x) => this.axis.label(x)) },
        { ...axis, size: 58 * scale, space: 40 * scale, values: (_, splits) => splits.map(f.compact) },
      ],
      series: [{}, ...series],
      hooks: {
        drawClear: [(u) => this.frozen(u), (u) => this.notValid(u, scale)],
        draw: [(u) => this.drawMarks(u, scale), (u) => labels && this.drawNames(u, scale)],
        setCursor: [(u) => this.say(u)],
        setSelect: [(u) => { if (u.select.width > 0) this.zoomed = true; }],
      },
    }, data, this.box);
    this.plot.over.addEventListener("dblclick", () => { this.zoomed = false; this.draw(); });
    this.scroll();
  }

  draw() {
    if (!this.plot) { this.build(); return; }
    this.plot.setData(this.data(), false);
    this.scroll();
  }

  // Shows the whole axis, unless somebody looks closer.
  scroll() {
    if (!this.zoomed) this.plot.setScale("x", { min: this.axis.min, max: this.axis.max });
    else this.plot.redraw();
    if (this.plot.cursor.idx == null) this.say(this.plot);
  }

  // The place of an instant in canvas pixels; null outside of what is shown.
  place(u, at) {
    const x = this.axis.x(at);
    if (x == null) return null;
    const place = u.valToPos(x, "x", true);
    return place < u.bbox.left - 1 || place > u.bbox.left + u.bbox.width + 1 ? null : place;
  }

  resize(width, height) {
    const before = this.size;
    this.size = { width, height };
    if (!this.plot || Math.abs(before.width - width) > 200) { this.build(); return; }
    if (width >= 10) this.plot.setSize({ width, height });
  }

  frozen(u) {
    const round = this.feed.state.round;
    if (!round?.frozen_at || round.revealed) return;
    const { left, top, width, height } = u.bbox;
    const x = this.axis.x(round.frozen_at / 1000);
    const from = x == null ? left + width : Math.max(left, u.valToPos(x, "x", true));
    if (from >= left + width) return;
    u.ctx.save();
    u.ctx.globalAlpha = 0.14;
    u.ctx.fillStyle = this.colours.accent;
    u.ctx.fillRect(from, top, left + width - from, height);
    u.ctx.restore();
  }

  // Seconds that are not valid: shaded, striped and named, so that colour is not all that says it.
  notValid(u, scale) {
    const { invalid } = this.store;
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    const bands = [];
    if (!invalid.includes(true)) return;
    const [places] = u.data;
    for (let drawn = 1; drawn < places.length; drawn++) {
      // Of the instants that are left out between two that are drawn, any counts.
      let isLate = false;
      for (let index = this.indices[drawn - 1] + 1; index <= this.indices[drawn] && !isLate; index++) isLate = Boolean(invalid[index]);
      if (!isLate || this.indices[drawn - 1] < 0) continue;
      const from = Math.max(bbox.left, u.valToPos(places[drawn - 1], "x", true));
      const to = Math.min(bbox.left + bbox.width, u.valToPos(places[drawn], "x", true));
      if (to <= from) continue;
      const last = bands.at(-1);
      if (last && from <= last.to + 1) last.to = Math.max(last.to, to);
      else bands.push({ from, to });
    }
    if (!bands.length) return;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = this.colours.warn;
    ctx.lineWidth = ratio;
    ctx.font = `600 ${Math.round(11 * scale * ratio)}px system-ui, sans-serif`;
    ctx.textBaseline = "bottom";
    ctx.textAlign = "left";
    ctx.direction = "ltr";
    let lastEnd = -Infinity;
    for (const { from, to } of bands) {
      // A second of a long round is narrower than a pixel.
      const width = Math.max(to - from, 2 * ratio);
      ctx.save();
      ctx.beginPath();
      ctx.rect(from, bbox.top, width, bbox.height);
      ctx.clip();
      ctx.globalAlpha = 0.2;
      ctx.fillRect(from, bbox.top, width, bbox.height);
      ctx.globalAlpha = 0.5;
      ctx.beginPath();
      for (let x = from - bbox.height; x < from + width; x += 9 * ratio) { ctx.moveTo(x, bbox.top + bbox.height); ctx.lineTo(x + bbox.height, bbox.top); }
      ctx.stroke();
      ctx.restore();
      const text = "not valid";
      const length = ctx.measureText(text).width;
      const x = Math.min(from + 3 * ratio, bbox.left + bbox.width - length);
      if (x > lastEnd) { ctx.fillText(text, x, bbox.top + bbox.height - 4 * ratio); lastEnd = x + length + 8 * ratio; }
    }
    ctx.restore();
  }

  // Deadlines come first: nothing stands in their place. What finds no room beside them keeps its line and loses its name.
  drawMarks(u, scale) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    const size = Math.round(12 * scale * ratio);
    ctx.save();
    ctx.textAlign = "center";
    ctx.textBaseline = "alphabetic";
    const rows = Array.from({ length: MARK_ROWS }, () => []);
    const first = (mark) => (DEADLINES.has(mark.kind) ? 0 : mark.kind === "phase" ? 2 : 1);
    const rounds = this.axis.spans.length > 1 ? this.axis.spans.slice(1).map(({ from, name }) => ({ at: from * 1000, kind: "round", label: name })) : [];
    this.marked = [];
    for (const mark of [...this.store.marks, ...rounds].sort((a, b) => first(a) - first(b) || a.at - b.at)) {
      const x = this.place(u, mark.at / 1000);
      if (x == null) continue;
      const strong = DEADLINES.has(mark.kind);
      ctx.strokeStyle = ctx.fillStyle = strong ? this.colours.ink : this.colours.muted;
      ctx.lineWidth = (strong ? 2 : 1) * Math.max(1, scale / 1.6) * ratio;
      ctx.setLineDash(strong ? [] : [5 * ratio, 4 * ratio]);
      ctx.font = `${strong ? 750 : 600} ${size}px system-ui, sans-serif`;
      const half = ctx.measureText(mark.label).width / 2;
      // A name at the edge moves in.
      const middle = Math.max(bbox.left + half, Math.min(bbox.left + bbox.width - half, x));
      const [from, to] = [middle - half - 6 * ratio, middle + half + 6 * ratio];
      const row = rows.findIndex((taken) => taken.every((one) => to < one.from || from > one.to));
      if (row >= 0 && (strong || row === 0)) {
        rows[row].push({ from, to });
        ctx.fillText(mark.label, middle, bbox.top - (5 + row * 14) * scale * ratio);
        this.marked.push({ label: mark.label, row, from, to });
      }
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.globalAlpha = strong ? 1 : 0.7;
      ctx.stroke();
      ctx.globalAlpha = 1;
    }
    ctx.restore();
  }

  // Names at the ends of their lines, pushed apart where they would cover each other.
  drawNames(u, scale) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    const height = 17 * scale * ratio;
    const width = (u.width * ratio - bbox.left - bbox.width) - 10 * ratio;
    const ends = this.ids.map((id, index) => {
      // Between another choice of lines and its data there is none.
      const line = u.data[index + 1] ?? [];
      let at = line.length - 1;
      while (at >= 0 && line[at] == null) at--;
      return at < 0 ? null : { id, index, y: u.valToPos(line[at], "y", true) };
    }).filter((end) => end && end.y >= bbox.top - 2 && end.y <= bbox.top + bbox.height + 2).sort((a, b) => a.y - b.y);
    let floor = bbox.top;
    for (const end of ends) { end.y = Math.max(end.y, floor); floor = end.y + height; }
    let ceiling = bbox.top + bbox.height;
    for (const end of [...ends].reverse()) { end.y = Math.min(end.y, ceiling); ceiling = end.y - height; }
    ctx.save();
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.direction = "ltr";
    const x = bbox.left + bbox.width + 8 * ratio;
    for (const { id, index, y } of ends) {
      ctx.font = `${id === this.me ? 800 : 650} ${Math.round(13 * scale * ratio)}px system-ui, sans-serif`;
      ctx.fillStyle = u.series[index + 1].stroke();
      const name = this.feed.name(id);
      const key = `${name}\u0000${ctx.font}\u0000${Math.round(width)}`;
      if (!this.fitted.has(key)) this.fitted.set(key, fit(ctx, name, width));
      ctx.fillText(this.fitted.get(key), x, y);
    }
    ctx.restore();
  }

  // What the lines say at the cursor, in words.
  say(u) {
    if (!this.read) return;
    const index = u.cursor.idx;
    if (index == null) {
      if (this.saidNothing) return;
      this.saidNothing = true;
      this.read.replaceChildren("Point at the chart, or focus it and use ← and →, to read it. Drag to look closer, double-click for all.");
      return;
    }
    this.saidNothing = false;
    const parts = [];
    if (u.data[0][index] != null) {
      const time = document.createElement("b");
      const at = this.axis.at(u.data[0][index]);
      time.textContent = this.axis.clock ? clockText(at * 1000) : `${this.axis.label(u.data[0][index])} · ${clockText(at * 1000)}`;
      parts.push(time);
      const values = this.ids.map((id, at) => ({ id, value: u.data[at + 1][index] })).filter((one) => one.value != null);
      for (const { id, value } of values.sort((a, b) => b.value - a.value)) {
        const span = document.createElement("span");
        const line = document.createElement("i");
        line.className = this.tints.dress(id);
        const bold = document.createElement("b");
        bold.textContent = f.points(Math.round(value));
        span.append(line, `${this.feed.name(id)} `, bold);
        parts.push(span);
      }
      if (this.store.invalid[this.indices[index]]) { const late = document.createElement("span"); late.className = "warn"; late.textContent = "not valid: our own machine was late"; parts.push(late); }
    }
    this.read.replaceChildren(...parts);
  }

  key(event) {
    const u = this.plot;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
    if (!u || (!steps && event.key !== "Escape")) return;
    event.preventDefault();
    if (event.key === "Escape") { this.zoomed = false; u.setCursor({ left: -10, top: -10 }); this.draw(); return; }
    const [low, high] = u.series[0].idxs;
    const from = u.cursor.idx ?? high;
    const to = Math.max(low, Math.min(high, from + steps * (event.shiftKey ? 10 : 1)));
    u.setCursor({ left: u.valToPos(u.data[0][to], "x"), top: 10 });
  }
}

// Names may hold characters that turn the writing around: isolated, they turn only themselves.
function fit(ctx, name, width) {
  const text = `\u2068${name}\u2069`;
  if (ctx.measureText(text).width <= width) return text;
  const letters = [...text];
  while (letters.length > 1 && ctx.measureText(`${letters.join("")}…\u2069`).width > width) letters.pop();
  return `${letters.join("")}…\u2069`;
}

function group(name, change) {
  const buttons = [...document.querySelectorAll(`[data-group="${name}"] button`)];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
      change(button.dataset.value);
    });
  }
}

export function chartPage(feed) {
  const main = document.querySelector("[data-chart-page]");
  const me = document.body.dataset.me;
  const pins = new Pins();
  const store = new History(feed, main.dataset.history);
  const lines = new Lines(document.querySelector("[data-chart]"), store, feed, { me, read: document.querySelector("[data-chart-read]") });
  const table = new Table(document.querySelector("[data-standings]"), feed, { pins, store, me, tints: lines.tints });
  const compare = new Compare(document.querySelector("[data-compare]"), feed, pins, lines.tints);
  const climb = new Climb(document.querySelector("[data-climb]"), feed, { me, tints: lines.tints });
  const find = document.querySelector("[data-find]");
  const category = document.querySelector("[data-category]")?.value ?? "";
  const jump = document.querySelector("[data-jump]");
  const fresh = document.querySelector("[data-fresh]");
  const pause = document.querySelector("[data-pause]");
  const behind = document.querySelector("[data-behind]");
  let top = 10;
  let metric = "points";
  let range = "round";
  let pausedAt = 0;
  const inCategory = (all) => (category ? all.filter((line) => line.category === category) : all);
  const chosen = () => {
    const { standings } = feed.state;
    const pinned = [...pins.ids].filter((id) => standings.has(id));
    if (compare.isOn) return pinned.slice(0, 5);
    const order = inCategory(feed.standings()).map((line) => line.id).filter((id) => id !== HOUSE);
    const mine = standings.has(me) ? [me] : [];
    const house = standings.has(HOUSE) ? [HOUSE] : [];
    return [...new Set([...mine, ...pinned, ...order.slice(0, top), ...house])];
  };
  const show = () => {
    if (pausedAt) return;
    const wanted = find.value.trim().toLocaleLowerCase();
    const all = inCategory(feed.standings());
    lines.choose(chosen());
    lines.draw();
    // Another instant, or another round.
    [table.store, table.until] = [lines.store, lines.until];
    table.show(wanted ? all.filter((line) => `${line.display_name} ${line.name}`.toLocaleLowerCase().includes(wanted)) : all);
    compare.show();
    climb.show(all);
    const isMine = feed.state.standings.has(me);
    if (jump.hidden === isMine) jump.hidden = !isMine;
  };
  store.addEventListener("change", () => { if (feed.state.seq >= 0 && !feed.past) show(); });
  pins.addEventListener("change", show);
  compare.addEventListener("change", show);
  find.addEventListener("input", show);
  jump.addEventListener("click", () => document.querySelector("tr.me")?.scrollIntoView({ block: "center" }));
  group("metric", (value) => { metric = value; lines.set(metric, range); });
  group("range", (value) => { range = value; lines.set(metric, range); machine.again(); });
  group("top", (value) => { top = Number(value); show(); });
  const hold = (at) => {
    pausedAt = at;
    pause.setAttribute("aria-pressed", String(pausedAt > 0));
    pause.textContent = pausedAt ? "Go on" : "Pause";
    if (!pausedAt) behind.textContent = "";
  };
  // Whoever looks at another instant looks at all of it: what was paused goes on.
  const look = () => { if (pausedAt) hold(0); show(); };
  const machine = new Machine(document.querySelector("[data-machine]"), feed, lines, store, { address: main.dataset.history, show: look });
  pause.addEventListener("click", () => { hold(pausedAt ? 0 : now()); if (!pausedAt) show(); });
  addEventListener("second", () => {
    if (pausedAt) behind.textContent = `+${Math.round((now() - pausedAt) / 1000)} s behind`;
    if (!feed.state.at) return;
    const age = Math.max(0, now() - feed.state.at) / 1000;
    const unknown = feed.past && feed.state.link === "stale";
    const frozen = feed.state.standings_at ? `, frozen since ${clockText(feed.state.standings_at)}` : "";
    const words = unknown ? `nobody wrote down what was at ${clockText(feed.state.at)}: this is of ${clockText(feed.state.stale_since)}` : feed.past ? `as it was seen at ${clockText(feed.state.at)}${frozen}` : age < 2 ? "updated just now" : `updated ${Math.round(age)} s ago`;
    if (fresh.textContent !== words) fresh.textContent = words;
  });
}
