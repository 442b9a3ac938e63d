// The standings: one row per contestant, moved rather than redrawn; movement, small curves, pins, search, one's own row.

import * as f from "./format.js";
import { path } from "./history.js";
import { now } from "./clock.js";
import { HOUSE } from "./tints.js";

const PINS = "flowtest-pins";
const PINS_MAX = 20;
const SPARK_SECONDS = 300;
const [SPARK_WIDTH, SPARK_HEIGHT] = [84, 24];
// In so long a small curve moves by a pixel: until then it is not drawn again.
const SPARK_STEP = SPARK_SECONDS / SPARK_WIDTH;
const CELLS = ["pin", "rank", "move", "name", "points", "holds", "last-minute", "spark", "rate", "verified", "p50", "p99", "failures"];
const LABELS = { holds: "holds", "last-minute": "last min", rate: "per s", verified: "verified", p50: "p50", p99: "p99", failures: "failed" };
// Rows of which the window's observer has not told yet are written when they stand so far up.
const FIRST_ROWS = 30;
const LEFT = new Set(["pin", "move", "name", "spark"]);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
// As in chart.css: narrower than this there is no column for the small curves.
const hasSparks = matchMedia("(min-width: 981px)");
// More rows than this that move at once are no movement that anybody could follow.
const SLIDES_MAX = 12;

// The places of a longest run that rises, of numbers of which those below zero are in none.
function rising(numbers) {
  const ends = [];
  const before = [];
  numbers.forEach((number, place) => {
    if (number < 0) return;
    let [from, to] = [0, ends.length];
    while (from < to) { const middle = (from + to) >> 1; if (numbers[ends[middle]] < number) from = middle + 1; else to = middle; }
    before[place] = ends[from - 1];
    ends[from] = place;
  });
  const run = new Set();
  for (let place = ends.at(-1); place !== undefined; place = before[place]) run.add(place);
  return run;
}

// How a team fares, where it is more than a word.
function stateWords(line) {
  if (!line.state || line.state === "playing") return "";
  const word = f.stateWord(line.state);
  if (line.state !== "failing" && !f.isWrong(line.state)) return word;
  const seconds = Math.max(0, Math.round((now() - line.state_since) / 1000));
  return `${word} for ${f.duration(seconds)}`;
}

export class Pins extends EventTarget {
  constructor() {
    super();
    const asked = new URL(location.href).searchParams.get("pin");
    let kept = [];
    try { kept = JSON.parse(localStorage.getItem(PINS) ?? "[]"); } catch { /* unreadable: start anew */ }
    this.ids = new Set((asked ? asked.split(",") : Array.isArray(kept) ? kept : []).slice(0, PINS_MAX));
  }

  has(id) { return this.ids.has(id); }

  toggle(id) {
    if (!this.ids.delete(id) && this.ids.size < PINS_MAX) this.ids.add(id);
    const all = [...this.ids];
    try { localStorage.setItem(PINS, JSON.stringify(all)); } catch { /* lasts for the page */ }
    const address = new URL(location.href);
    if (all.length) address.searchParams.set("pin", all.join(",")); else address.searchParams.delete("pin");
    history.replaceState(null, "", address);
    this.dispatchEvent(new Event("change"));
  }
}

export class Table {
  // `pins` and `store` (a History) may be absent: a projector has neither. `tints` say which line of the chart is whose.
  constructor(box, feed, { pins, store, me, tints } = {}) {
    Object.assign(this, { box, feed, pins, store, me, tints, until: Infinity });
    this.body = box.querySelector("[data-rows]");
    this.rows = new Map();
    this.order = [];
    // Only rows near the window are written; the others when they come there.
    this.near = "IntersectionObserver" in window ? new IntersectionObserver((seen) => this.see(seen), { rootMargin: "40% 0px" }) : null;
    this.rowHeight = 0;
    this.sizes = new ResizeObserver(([first]) => { this.rowHeight = first.borderBoxSize[0].blockSize; });
    for (const row of this.body.querySelectorAll("tr")) this.adopt(row);
    this.order = [...this.rows.keys()];
    if (this.order.length) this.sizes.observe(this.rows.get(this.order[0]).row);
  }

  adopt(row) {
    const cells = Object.fromEntries(CELLS.map((name, index) => [name, row.children[index]]));
    const [name, decided, swatch, state, category] = [".name", ".decided", ".swatch", ".team-state", ".category"].map((kind) => cells.name.querySelector(kind));
    const [holds, climbing] = ["b", ".climbing"].map((kind) => cells.holds.querySelector(kind));
    const parts = { row, cells, name, holds, climbing, decided, swatch, state, category, said: new Map(), isNear: this.rows.size < FIRST_ROWS || !this.near, line: null, written: null };
    this.rows.set(row.dataset.id, parts);
    this.near?.observe(row);
    if (this.pins) this.pinButton(cells.pin, row.dataset.id, name);
    return parts;
  }

  make(id) {
    const row = document.createElement("tr");
    row.dataset.id = id;
    row.setAttribute("role", "row");
    for (const name of CELLS) {
      const cell = document.createElement("td");
      cell.setAttribute("role", "cell");
      cell.className = `col-${name}${LEFT.has(name) ? "" : " right"}`;
      if (LABELS[name]) cell.dataset.label = LABELS[name];
      row.append(cell);
    }
    const climbing = document.createElement("span");
    climbing.className = "climbing";
    row.querySelector(".col-holds").append(document.createElement("b"), " ", climbing);
    const [swatch, who, name, decided, state, category] = ["swatch", "who", "name", "decided", "team-state", "category"].map((kind) => {
      const span = document.createElement("span");
      span.className = kind;
      return span;
    });
    swatch.setAttribute("aria-hidden", "true");
    who.append(name, category, state, decided);
    row.children[3].append(swatch, who);
    return this.adopt(row);
  }

  pinButton(cell, id, name) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pin";
    let on;
    const say = () => {
      on = this.pins.has(id);
      button.textContent = on ? "★" : "☆";
      button.setAttribute("aria-pressed", String(on));
      button.setAttribute("aria-label", `Pin ${name.textContent}`);
    };
    button.addEventListener("click", () => this.pins.toggle(id));
    this.pins.addEventListener("change", () => { if (on !== this.pins.has(id)) say(); });
    say();
    cell.replaceChildren(button);
    this.rows.get(id).sayPin = say;
  }

  see(seen) {
    for (const { target, isIntersecting } of seen) {
      const parts = this.rows.get(target.dataset.id);
      if (!parts) continue;
      parts.isNear = isIntersecting;
      if (isIntersecting) this.write(parts);
    }
  }

  // Shows these rows, in this order; the house, which is out of competition, below all others.
  show(list) {
    const lines = [...list.filter((line) => line.id !== HOUSE), ...list.filter((line) => line.id === HOUSE)];
    // A column that says nothing in most contests.
    const hasHolds = Boolean(this.feed.state.round?.has_breakpoint) || lines.some((line) => line.holds != null);
    if (this.hasHolds !== hasHolds) { this.hasHolds = hasHolds; this.box.classList.toggle("has-holds", hasHolds); }
    const isSame = lines.length === this.order.length && lines.every((line, index) => line.id === this.order[index]);
    for (const line of lines) (this.rows.get(line.id) ?? this.make(line.id)).line = line;
    if (!isSame) this.arrange(lines.map((line) => line.id));
    for (const { id } of lines) { const parts = this.rows.get(id); if (parts.isNear) this.write(parts); }
    const empty = this.box.querySelector("[data-empty]");
    if (empty && empty.hidden !== lines.length > 0) empty.hidden = lines.length > 0;
  }

  arrange(order) {
    const before = new Map(this.order.map((id, index) => [id, index]));
    const wanted = new Set(order);
    for (const id of this.order) {
      if (wanted.has(id)) continue;
      const { row } = this.rows.get(id);
      row.remove();
      if (!this.feed.state.standings.has(id)) { this.near?.unobserve(row); this.rows.delete(id); }
    }
    // Whoever keeps its place among others stays, and as few as can be move: each that does is styled and laid out anew.
    const stay = rising(order.map((id) => before.get(id) ?? -1));
    let next = null;
    for (let place = order.length - 1; place >= 0; place--) {
      const { row } = this.rows.get(order[place]);
      if (!stay.has(place)) this.body.insertBefore(row, next);
      next = row;
    }
    this.order = order;
    if (order.length && !this.rowHeight) this.sizes.observe(this.rows.get(order[0]).row);
    if (calm.matches || !before.size) return;
    const moved = order.map((id, index) => ({ parts: this.rows.get(id), by: (before.get(id) ?? index) - index, id }))
      .filter(({ parts, by, id }) => by && parts.isNear && id !== this.me);
    if (moved.length <= SLIDES_MAX) for (const { parts, by } of moved) this.slide(parts.row, by * this.rowHeight);
  }

  // Where a row was, it starts; where it is, it comes to rest. The distance is reckoned, for the layout is not there yet.
  slide(row, distance) {
    row.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], { duration: 450, easing: "cubic-bezier(.2,.8,.2,1)" });
  }

  // Writes what differs from what was written last.
  write(parts) {
    const { row, cells, name, holds, climbing, decided, swatch, state, category, line, said } = parts;
    if (!line) return;
    const put = (element, key, text) => { if (said.get(key) !== text) { said.set(key, text); element.textContent = text; } };
    const dress = (element, key, kind) => { if (said.get(key) !== kind) { said.set(key, kind); element.className = kind; } };
    const words = stateWords(line);
    put(state, "state", words);
    const tint = `swatch ${this.tints?.dress(line.id) ?? "none"}`;
    dress(swatch, "tint", tint);
    if (parts.written !== line) {
      parts.written = line;
      dress(row, "row", [line.id === this.me ? "me" : "", line.id === HOUSE ? "house" : "", line.state === "failing" ? "failing" : f.isWrong(line.state) ? "wrong" : ""].filter(Boolean).join(" "));
      if (said.get("name") !== line.display_name) { put(name, "name", line.display_name); parts.sayPin?.(); }
      put(category, "category", line.category ?? "");
      dress(state, "kind", line.state ? `team-state is-${line.state}` : "team-state");
      put(cells.rank, "rank", f.rank(line.rank));
      put(cells.move, "move", line.rank == null ? "" : f.rankChange(line.rank_change));
      dress(cells.move, "moved", `col-move ${f.tone(line.rank_change)}`);
      put(decided, "decided", f.decidedWord[line.decided] ?? "");
      put(cells.points, "points", f.points(line.points));
      put(holds, "holds", f.holds(line.holds));
      put(climbing, "climbing", f.climbing(line));
      put(cells["last-minute"], "last", f.signed(line.points_last_minute));
      dress(cells["last-minute"], "lastly", `col-last-minute right ${f.tone(line.points_last_minute)}`);
      put(cells.rate, "rate", f.count(line.rate));
      put(cells.verified, "verified", f.permille(line.verified_permille));
      put(cells.p50, "p50", f.micros(line.p50_us));
      put(cells.p99, "p99", f.micros(line.p99_us));
      put(cells.failures, "failures", f.count(line.failures));
    }
    if (this.store && hasSparks.matches) this.spark(parts, tint);
  }

  spark(parts, tint) {
    const { line: { id }, cells: { spark: cell } } = parts;
    const { store, until } = this;
    // Another first instant: the server's history has come, or that of another round.
    const [kind, newest] = [`${tint} ${store.times[0]}`, Math.min(until, store.times.at(-1) ?? 0)];
    if (parts.sparkKind === kind && Math.abs(newest - parts.sparkAt) < SPARK_STEP) return;
    [parts.sparkKind, parts.sparkAt] = [kind, newest];
    const d = path(store.recent(id, SPARK_SECONDS, until), SPARK_WIDTH, SPARK_HEIGHT);
    let svg = cell.firstChild;
    if (!svg) {
      svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", `0 -1 ${SPARK_WIDTH} ${SPARK_HEIGHT + 2}`);
      svg.setAttribute("aria-hidden", "true");
      svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
      cell.append(svg);
    }
    svg.setAttribute("class", tint.replace("swatch", "spark"));
    svg.firstChild.setAttribute("d", d);
  }
}
