// The lines: a few contestants over time, with marks at what changed the game, a band where the board is frozen.
// uPlot draws; everything it needs is kept in a History. Also the whole chart page: toolbar, pause, table.

import { now, clockText } from "./clock.js";
import * as f from "./format.js";
import { Table, Pins } from "./table.js";
import { History } from "./history.js";

const DASHES = [undefined, [9, 5], [3, 4], [12, 4, 3, 4]];
const LINES_MAX = 16;

// Canvas knows no CSS variables: ask the style engine what they are now.
function paint() {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const read = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const colours = Object.fromEntries(["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "ink", "muted", "line", "surface", "accent", "warn"].map((name) => [name, read(name)]));
  probe.remove();
  return colours;
}

export class Lines {
  constructor(box, store, feed, { me = "", read = null, big = false } = {}) {
    Object.assign(this, { box, store, feed, me, read, big });
    this.metric = "points";
    this.minutes = 0;
    this.ids = [];
    this.zoomed = false;
    this.colours = paint();
    new ResizeObserver(() => this.resize()).observe(box);
    addEventListener("themechange", () => { this.colours = paint(); this.build(); });
    box.addEventListener("keydown", (event) => this.key(event));
  }

  choose(ids) {
    const chosen = ids.slice(0, LINES_MAX);
    if (chosen.join() === this.ids.join() && this.plot) return;
    this.ids = chosen;
    this.build();
  }

  set(metric, minutes) { this.metric = metric; this.minutes = minutes; this.zoomed = false; this.draw(); }

  data() {
    const { times, lines } = this.store;
    const one = (id) => {
      const line = lines.get(id) ?? new Array(times.length).fill(null);
      if (this.metric === "points") return line;
      let back = 0;
      return line.map((value, index) => {
        while (times[index] - times[back] > 60) back++;
        const then = line[back];
        const length = times[index] - times[back];
        return value == null || then == null || length < 5 ? null : ((value - then) / length) * 60;
      });
    };
    return [times, ...this.ids.map(one)];
  }

  build() {
    this.plot?.destroy();
    this.plot = null;
    const { width, height } = this.box.getBoundingClientRect();
    if (width < 10 || typeof uPlot === "undefined") return;
    const c = this.colours;
    const scale = this.big ? Math.max(1, innerWidth / 1500) : 1;
    const font = `${Math.round(12 * scale)}px system-ui, sans-serif`;
    const labels = width > 620;
    const axis = { stroke: c.muted, font, grid: { stroke: c.line, width: 1 }, ticks: { show: false } };
    const series = this.ids.map((id) => {
      const colour = this.feed.colour(id);
      return { label: this.feed.name(id), stroke: c[`c${colour % 8}`], dash: DASHES[Math.floor(colour / 8) % 4], width: (id === this.me ? 4 : 2) * scale, points: { show: false }, spanGaps: false };
    });
    this.plot = new uPlot({
      width, height,
      padding: [18 * scale, labels ? 150 * scale : 12, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: true }, points: { size: 7 * scale } },
      scales: { x: { time: true }, y: { range: (_, low, high) => {
        if (low == null) return [0, 100];
        const pad = (high - low) * 0.06 || 10;
        return [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
      } } },
      axes: [
        { ...axis, size: 30 * scale, space: 80 * scale, values: (_, splits) => splits.map((at) => clockText(at * 1000).replace(/:00$/, "")) },
        { ...axis, size: 56 * scale, space: 46 * scale, values: (_, splits) => splits.map(f.compact) },
      ],
      series: [{}, ...series],
      hooks: {
        drawClear: [(u) => this.frozen(u), (u) => this.notValid(u, scale)],
        draw: [(u) => this.drawMarks(u, scale), (u) => labels && this.drawNames(u, scale)],
        setCursor: [(u) => this.say(u)],
        setSelect: [(u) => { if (u.select.width > 0) this.zoomed = true; }],
      },
    }, this.data(), this.box);
    this.plot.over.addEventListener("dblclick", () => { this.zoomed = false; this.draw(); });
    this.draw();
  }

  draw() {
    if (!this.plot) { this.build(); return; }
    const data = this.data();
    this.plot.setData(data, false);
    if (!this.zoomed && data[0].length) {
      const last = data[0].at(-1);
      const first = this.minutes ? Math.max(data[0][0], last - this.minutes * 60) : data[0][0];
      this.plot.setScale("x", { min: first, max: Math.max(last, first + 30) });
    } else this.plot.redraw();
    if (this.plot.cursor.idx == null) this.say(this.plot);
  }

  resize() {
    const { width, height } = this.box.getBoundingClientRect();
    if (!this.plot || Math.abs(this.plot.width - width) > 200) { this.build(); return; }
    if (width >= 10) this.plot.setSize({ width, height });
  }

  frozen(u) {
    const round = this.feed.state.round;
    if (!round?.frozen_at || round.revealed) return;
    const { left, top, width, height } = u.bbox;
    const from = Math.max(left, u.valToPos(round.frozen_at / 1000, "x", true));
    if (from >= left + width) return;
    u.ctx.save();
    u.ctx.globalAlpha = 0.14;
    u.ctx.fillStyle = this.colours.accent;
    u.ctx.fillRect(from, top, left + width - from, height);
    u.ctx.restore();
  }

  // Seconds that are not valid: shaded, striped and named, so that colour is not all that says it.
  notValid(u, scale) {
    const { times, invalid } = this.store;
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    const bands = [];
    for (let index = 1; index < times.length; index++) {
      if (!invalid[index]) continue;
      const from = Math.max(bbox.left, u.valToPos(times[index - 1], "x", true));
      const to = Math.min(bbox.left + bbox.width, u.valToPos(times[index], "x", true));
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

  drawMarks(u, scale) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.font = `600 ${Math.round(11 * scale * ratio)}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    let lastEnd = -Infinity;
    for (const mark of this.store.marks) {
      const x = u.valToPos(mark.at / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const strong = mark.kind === "version" || mark.kind === "from";
      ctx.strokeStyle = strong ? this.colours.ink : this.colours.muted;
      ctx.fillStyle = ctx.strokeStyle;
      ctx.lineWidth = (strong ? 1.5 : 1) * ratio;
      ctx.setLineDash([5 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const half = ctx.measureText(mark.label).width / 2;
      if (x - half > lastEnd) { ctx.fillText(mark.label, x, bbox.top - 5 * ratio); lastEnd = x + half + 8 * ratio; }
    }
    ctx.restore();
  }

  // Names at the ends of their lines, pushed apart where they would cover each other.
  drawNames(u, scale) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    const height = 16 * scale * ratio;
    const ends = this.ids.map((id, index) => {
      const line = u.data[index + 1];
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
      ctx.font = `${id === this.me ? 800 : 600} ${Math.round(12 * scale * ratio)}px system-ui, sans-serif`;
      ctx.fillStyle = u.series[index + 1].stroke();
      ctx.fillText(fit(ctx, this.feed.name(id), 138 * scale * ratio), x, y);
    }
    ctx.restore();
  }

  // What the lines say at the cursor, in words.
  say(u) {
    if (!this.read) return;
    const index = u.cursor.idx;
    const parts = [];
    if (index != null && u.data[0][index] != null) {
      const time = document.createElement("b");
      time.textContent = clockText(u.data[0][index] * 1000);
      parts.push(time);
      const values = this.ids.map((id, at) => ({ id, value: u.data[at + 1][index] })).filter((one) => one.value != null);
      for (const { id, value } of values.sort((a, b) => b.value - a.value)) {
        const span = document.createElement("span");
        const line = document.createElement("i");
        line.className = `c${this.feed.colour(id) % 8}`;
        const bold = document.createElement("b");
        bold.textContent = f.points(Math.round(value));
        span.append(line, `${this.feed.name(id)} `, bold);
        parts.push(span);
      }
      if (this.store.invalid[index]) { const late = document.createElement("span"); late.className = "warn"; late.textContent = "not valid: our own machine was late"; parts.push(late); }
    } else parts.push("Point at the chart, or focus it and use ← and →, to read it. Drag to look closer, double-click for all.");
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
  const table = new Table(document.querySelector("[data-standings]"), feed, { pins, store, me });
  const lines = new Lines(document.querySelector("[data-chart]"), store, feed, { me, read: document.querySelector("[data-chart-read]") });
  const find = document.querySelector("[data-find]");
  const jump = document.querySelector("[data-jump]");
  const fresh = document.querySelector("[data-fresh]");
  const pause = document.querySelector("[data-pause]");
  const behind = document.querySelector("[data-behind]");
  let top = 10;
  let metric = "points";
  let minutes = 0;
  let pausedAt = 0;
  const chosen = () => {
    const order = feed.standings().map((line) => line.id);
    const mine = feed.state.standings.has(me) ? [me] : [];
    return [...new Set([...mine, ...[...pins.ids].filter((id) => feed.state.standings.has(id)), ...order.slice(0, top)])];
  };
  const show = () => {
    if (pausedAt) return;
    const wanted = find.value.trim().toLocaleLowerCase();
    const all = feed.standings();
    table.show(wanted ? all.filter((line) => `${line.display_name} ${line.name}`.toLocaleLowerCase().includes(wanted)) : all);
    jump.hidden = !feed.state.standings.has(me);
    lines.choose(chosen());
    lines.draw();
  };
  store.addEventListener("change", () => { if (feed.state.seq >= 0) show(); });
  pins.addEventListener("change", show);
  find.addEventListener("input", show);
  jump.addEventListener("click", () => document.querySelector("tr.me")?.scrollIntoView({ block: "center" }));
  group("metric", (value) => { metric = value; lines.set(metric, minutes); });
  group("range", (value) => { minutes = Number(value); lines.set(metric, minutes); });
  group("top", (value) => { top = Number(value); show(); });
  pause.addEventListener("click", () => {
    pausedAt = pausedAt ? 0 : now();
    pause.setAttribute("aria-pressed", String(pausedAt > 0));
    pause.textContent = pausedAt ? "Go on" : "Pause";
    if (!pausedAt) { behind.textContent = ""; show(); }
  });
  addEventListener("second", () => {
    if (pausedAt) behind.textContent = `+${Math.round((now() - pausedAt) / 1000)} s behind`;
    if (feed.state.at) {
      const age = Math.max(0, now() - feed.state.at) / 1000;
      fresh.textContent = age < 2 ? "updated just now" : `updated ${Math.round(age)} s ago`;
    }
  });
}
