// The standings: one row per contestant, moved rather than redrawn; movement, small curves, pins, search, one's own row.

import * as f from "./format.js";
import { path } from "./history.js";

const PINS = "flowtest-pins";
const PINS_MAX = 20;
const SPARK_SECONDS = 300;
const CELLS = ["pin", "rank", "move", "name", "points", "last-minute", "spark", "rate", "verified", "p50", "p99", "failures"];
const LABELS = { "last-minute": "last min", rate: "per s", verified: "right", p50: "p50", p99: "p99", failures: "failed" };
const LEFT = new Set(["pin", "move", "name", "spark"]);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

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
  // `pins` and `store` (a History) may be absent: a projector has neither.
  constructor(box, feed, { pins, store, me } = {}) {
    Object.assign(this, { box, feed, pins, store, me });
    this.body = box.querySelector("[data-rows]");
    this.rows = new Map();
    this.said = new Map();
    for (const row of this.body.querySelectorAll("tr")) this.adopt(row);
    this.started = this.rows.size > 0;
  }

  adopt(row) {
    const cells = Object.fromEntries(CELLS.map((name, index) => [name, row.children[index]]));
    const name = cells.name.querySelector(".name");
    this.rows.set(row.dataset.id, { row, cells, name, decided: cells.name.querySelector(".decided"), swatch: cells.name.querySelector(".swatch") });
    if (this.pins) this.pinButton(cells.pin, row.dataset.id, name);
  }

  make(id) {
    const row = document.createElement("tr");
    row.dataset.id = id;
    row.setAttribute("role", "row");
    if (id === this.me) row.className = "me";
    for (const name of CELLS) {
      const cell = document.createElement("td");
      cell.setAttribute("role", "cell");
      cell.className = `col-${name}${LEFT.has(name) ? "" : " right"}`;
      if (LABELS[name]) cell.dataset.label = LABELS[name];
      row.append(cell);
    }
    const [swatch, who, name, decided] = ["swatch", "who", "name", "decided"].map((kind) => {
      const span = document.createElement("span");
      span.className = kind;
      return span;
    });
    swatch.setAttribute("aria-hidden", "true");
    who.append(name, decided);
    row.children[3].append(swatch, who);
    this.adopt(row);
    return this.rows.get(id);
  }

  pinButton(cell, id, name) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pin";
    const say = () => {
      const on = this.pins.has(id);
      button.textContent = on ? "★" : "☆";
      button.setAttribute("aria-pressed", String(on));
      button.setAttribute("aria-label", `Pin ${name.textContent}`);
    };
    button.addEventListener("click", () => { this.pins.toggle(id); say(); });
    say();
    cell.replaceChildren(button);
    this.rows.get(id).sayPin = say;
  }

  // Shows these rows, in this order.
  show(list) {
    const before = calm.matches ? null : new Map([...this.rows].map(([id, { row }]) => [id, row.isConnected ? row.offsetTop : null]));
    const old = [...this.body.children].map((row) => row.dataset.id).join();
    const next = list.map((line) => line.id).join();
    for (const line of list) this.fill(this.rows.get(line.id) ?? this.make(line.id), line);
    if (old !== next) {
      const wanted = new Set(list.map((line) => line.id));
      for (const [id, { row }] of this.rows) if (!wanted.has(id)) { row.remove(); if (!this.feed.state.standings.has(id)) this.rows.delete(id); }
      list.forEach((line, index) => {
        const { row } = this.rows.get(line.id);
        if (this.body.children[index] !== row) this.body.insertBefore(row, this.body.children[index] ?? null);
      });
      if (before) this.slide(before);
    }
    this.box.querySelector("[data-empty]")?.toggleAttribute("hidden", list.length > 0);
    this.started = true;
  }

  // FLIP: where a row was, it starts; where it is, it comes to rest.
  slide(before) {
    for (const [id, { row }] of this.rows) {
      const from = before.get(id);
      if (from == null || !row.isConnected || id === this.me) continue;
      const distance = from - row.offsetTop;
      if (Math.abs(distance) < 2) continue;
      row.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], { duration: 450, easing: "cubic-bezier(.2,.8,.2,1)" });
      row.classList.remove("rose", "fell");
      void row.offsetWidth;
      row.classList.add(distance > 0 ? "rose" : "fell");
      row.addEventListener("animationend", () => row.classList.remove("rose", "fell"), { once: true });
    }
  }

  fill(parts, line) {
    const { row, cells, name, decided, swatch } = parts;
    const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
    const tint = (cell, number) => { for (const one of ["up", "down", "even"]) cell.classList.toggle(one, f.tone(number) === one); };
    row.classList.toggle("me", line.id === this.me);
    put(cells.rank, f.rank(line.rank));
    put(cells.move, f.rankChange(line.rank_change));
    tint(cells.move, line.rank_change);
    if (name.textContent !== line.display_name) { name.textContent = line.display_name; parts.sayPin?.(); }
    const dress = `swatch c${line.colour % 8} d${Math.floor(line.colour / 8) % 4}`;
    if (swatch.className !== dress) swatch.className = dress;
    put(decided, f.decidedWord[line.decided] ?? "");
    put(cells.points, f.points(line.points));
    put(cells["last-minute"], f.signed(line.points_last_minute));
    tint(cells["last-minute"], line.points_last_minute);
    put(cells.rate, f.count(line.rate));
    put(cells.verified, f.permille(line.verified_permille));
    put(cells.p50, f.micros(line.p50_us));
    put(cells.p99, f.micros(line.p99_us));
    put(cells.failures, f.count(line.failures));
    if (this.store && cells.spark.offsetParent) this.spark(cells.spark, line);
  }

  spark(cell, { id, colour }) {
    const d = path(this.store.recent(id, SPARK_SECONDS), 84, 24);
    if (this.said.get(id) === d) return;
    this.said.set(id, d);
    let svg = cell.firstChild;
    if (!svg) {
      svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", "0 -1 84 26");
      svg.setAttribute("aria-hidden", "true");
      svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
      cell.append(svg);
    }
    svg.setAttribute("class", `spark c${colour % 8}`);
    svg.firstChild.setAttribute("d", d);
  }
}
