// A breakpoint phase, as everybody sees it: a bar for each team on one axis. What it holds is filled; the step that it is asked
// for now is outlined above that; where it broke stays marked. All begin each step together, and the clock says when.

import { now } from "./clock.js";
import * as f from "./format.js";
import { HOUSE, TINTS } from "./tints.js";

// So long a break is shown large: from the last row of a room it is seen within one look.
const BREAK_MS = 8_000;
const PAGE_MS = 9_000;
// The first three stay; the rest turn.
const STAY = 3;
const FAILED = { failed_by_verified: "too few verified", failed_by_p99: "too slow" };
const BREAKS_SAID = 3;

export class Climb {
  // `turns`: a wall shows what fits and turns its pages; a page that can be scrolled shows all. `tints`: those of the lines. A
  // bar has the colour of its line; on a wall, where bars stand in the place of the lines, those that are shown share them out.
  constructor(box, feed, { turns = false, me = "", tints } = {}) {
    const find = (name) => box.querySelector(`[data-climb-${name}]`);
    Object.assign(this, { box, feed, turns, me, tints, bars: find("bars"), axis: find("axis"), step: find("step"), clock: find("clock"), said: find("said"), progress: find("progress"), pages: find("pages") });
    this.rows = new Map();
    this.broke = new Map();
    this.breaks = [];
    [this.page, this.turned, this.fit, this.scale] = [0, Date.now(), 8, ""];
    new ResizeObserver(([{ contentRect: { width } }]) => {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      this.fit = Math.max(STAY + 1, Math.floor(width / (7.5 * rem)));
    }).observe(this.bars);
    addEventListener("second", () => this.tick());
  }

  // Whether there is something to be seen: a breakpoint phase is played, or the round is over and somebody holds something.
  get isOn() {
    const { round, standings } = this.feed.state;
    if (round?.climb) return true;
    const isOver = !round?.phase && ["running", "draining", "sealed"].includes(round?.state);
    return isOver && [...standings.values()].some((line) => line.holds != null);
  }

  // Draws what the frame says, where there is something to be seen; whether there is.
  show(lines) {
    const isOn = this.isOn;
    if (this.box.hidden === isOn) this.box.hidden = !isOn;
    if (!isOn) return false;
    const { round } = this.feed.state;
    const all = lines.filter((line) => line.id !== HOUSE && (round?.climb || line.holds != null)).map((line) => barOf(line, round?.climb));
    all.sort((a, b) => b.held - a.held || (b.tries ?? 0) - (a.tries ?? 0) || (a.line.id < b.line.id ? -1 : 1));
    this.hear(all);
    const top = niceTop(Math.max(1, ...all.map(({ held, tries, broke }) => Math.max(held, tries ?? 0, broke ?? 0))));
    this.rule(top);
    this.draw(this.turn(all), top);
    this.tick();
    return true;
  }

  // Who has just broken: its limit was not known, and now it is.
  hear(all) {
    const at = Date.now();
    // Of an instant that is over nothing is news, nor what came while it was looked at.
    const isNews = !this.feed.past && !this.wasPast;
    this.wasPast = this.feed.past;
    for (const { line, broke, by } of this.feed.past ? [] : all) {
      const before = this.broke.get(line.id);
      this.broke.set(line.id, broke);
      if (before !== null || broke == null || !isNews) continue;
      this.breaks.unshift({ id: line.id, at, words: `${line.display_name} broke at ${f.count(broke)}/s: ${FAILED[by] ?? "it failed"}` });
    }
    this.breaks = this.breaks.filter((one) => at - one.at < 2 * BREAK_MS).slice(0, BREAKS_SAID);
  }

  turn(all) {
    if (!this.turns || all.length <= this.fit) { this.page = 0; put(this.pages, ""); return all; }
    const each = Math.max(1, this.fit - STAY);
    const pages = Math.ceil((all.length - STAY) / each);
    if (Date.now() - this.turned > PAGE_MS) { this.page += 1; this.turned = Date.now(); }
    this.page %= pages;
    const from = STAY + this.page * each;
    put(this.pages, `${from + 1} to ${Math.min(all.length, from + each)} of ${all.length}`);
    return [...all.slice(0, STAY), ...all.slice(from, from + each)];
  }

  // Lines of the axis, with their rates.
  rule(top) {
    if (this.scale === String(top)) return;
    this.scale = String(top);
    this.axis.replaceChildren(...[0.25, 0.5, 0.75, 1].map((part) => {
      const line = document.createElement("span");
      line.style.setProperty("--at", `${part * 100}%`);
      line.textContent = `${f.compact(top * part)}/s`;
      return line;
    }));
  }

  draw(shown, top) {
    const at = Date.now();
    const fresh = new Set(this.breaks.filter((one) => at - one.at < BREAK_MS).map((one) => one.id));
    let place = this.bars.firstElementChild;
    const kept = new Set();
    if (this.turns) this.tints.assign(shown.slice(0, TINTS).map(({ line }) => line.id), (id) => this.feed.colour(id));
    for (const bar of shown) {
      const { id } = bar.line;
      kept.add(id);
      const row = this.rows.get(id) ?? this.make(id);
      write(row, bar, top, { breaks: fresh.has(id), me: id === this.me, dress: this.tints.dress(id) });
      if (row.item === place) place = place.nextElementSibling; else this.bars.insertBefore(row.item, place);
    }
    for (const [id, { item }] of this.rows) if (!kept.has(id)) { item.remove(); this.rows.delete(id); }
    put(this.said, this.breaks.map((one) => one.words).join(" · "));
  }

  make(id) {
    const make = (tag, kind) => { const one = document.createElement(tag); one.className = kind; return one; };
    const [item, bar, foot] = [make("li", "climb-team"), make("span", "climb-bar"), make("span", "climb-foot")];
    const [tries, held, broke] = ["climb-tries", "climb-held", "climb-broke"].map((kind) => make("i", kind));
    const [name, figure, state] = ["name", "climb-figure", "climb-state"].map((kind) => make("span", kind));
    bar.setAttribute("aria-hidden", "true");
    bar.append(tries, held, broke);
    foot.append(name, figure, state);
    item.append(bar, foot);
    item.dataset.id = id;
    const row = { item, bar, name, figure, state };
    this.rows.set(id, row);
    return row;
  }

  // What the clock says between two frames.
  tick() {
    if (this.box.hidden) return;
    const { round } = this.feed.state;
    const climb = round?.climb;
    const over = round?.frozen_at && !round.revealed ? "as it was frozen" : "what was held";
    put(this.step, climb ? `step ${climb.step} of ${climb.steps}` : over);
    const at = now();
    const words = !climb ? "" : round.paused_at ? "paused" : climb.judged_to == null ? "the last step is over" : at < climb.judged_from ? "settles" : at < climb.judged_to ? "is held and judged" : "is decided";
    const until = climb && !round.paused_at ? climb.next_at : null;
    if (this.clock.dataset.said !== `${words}${until}`) {
      this.clock.dataset.said = `${words}${until}`;
      const count = document.createElement("b");
      if (until != null) { count.dataset.until = String(until); count.textContent = f.duration((until - at) / 1000); }
      this.clock.replaceChildren(words, ...(until == null ? [] : [", next step in ", count]));
    }
    this.progress.hidden = until == null;
    if (until != null) this.progress.value = Math.max(0, Math.min(1000, ((at - climb.judged_from) / (until - climb.judged_from)) * 1000));
  }
}

const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

// What is drawn of a line. Before the first step of a phase is judged, what was held in an earlier round is not it. While one is
// played that does not count, it is the one to be seen.
function barOf(line, climb) {
  const isFirst = climb && line.tried == null;
  const isOther = climb && line.climb_holds != null;
  const [holds, broke, by, unbroken] = isOther
    ? [line.climb_holds, line.climb_breaks_at, line.climb_breaks_by, line.climb_unbroken_by]
    : [line.holds, line.breaks_at, line.breaks_by, line.unbroken_by ?? (line.unbroken ? "max" : null)];
  return {
    line,
    held: isFirst ? 0 : holds ?? 0,
    tries: isFirst ? climb.start : line.tries ?? null,
    broke: isFirst ? null : broke ?? null,
    by,
    unbroken: isFirst ? null : unbroken ?? null,
    failed: isFirst ? null : FAILED[line.step_verdict] ?? null,
  };
}

function write({ item, bar, name, figure, state }, { line, held, tries, broke, unbroken, failed }, top, { breaks, me, dress }) {
  const part = (rate) => `${Math.min(100, (100 * rate) / top)}%`;
  const kind = ["climb-team", dress, me ? "me" : "", breaks ? "breaks" : "", unbroken ? "unbroken" : "", tries == null ? "rests" : ""].filter(Boolean).join(" ");
  if (item.className !== kind) item.className = kind;
  for (const [key, value] of [["--held", part(held)], ["--tries", part(tries ?? 0)], ["--broke", broke == null ? "-1%" : part(broke)]]) {
    if (bar.style.getPropertyValue(key) !== value) bar.style.setProperty(key, value);
  }
  bar.classList.toggle("has-broken", broke != null && !unbroken);
  put(name, line.display_name);
  put(figure, held ? `${f.count(held)}/s` : "–");
  put(state, stateWords({ held, tries, broke, unbroken, failed }));
}

function stateWords({ held, tries, broke, unbroken, failed }) {
  if (unbroken) return f.unbrokenMark(unbroken);
  if (tries != null) return `${failed ? `${failed}, ` : ""}${tries < held ? "rests" : `tries ${f.count(tries)}`}`;
  return broke == null ? "" : `broke at ${f.count(broke)}`;
}

// The next of 1, 2, 3, 5 and 7 times a power of ten that leaves some room above a rate.
export function niceTop(rate) {
  const wanted = rate * 1.08;
  const power = 10 ** Math.floor(Math.log10(wanted));
  return ([1, 2, 3, 5, 7].find((times) => times * power >= wanted) ?? 10) * power;
}
