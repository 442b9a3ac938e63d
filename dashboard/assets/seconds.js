// What came in each second of a round: a strip of verified, wrong and failed, and below it how slow the answers were. A second that
// is chosen says its numbers, and shows the samples of what failed in it. Of a long round ten minutes are there at a time.

import { clockText } from "./clock.js";
import * as f from "./format.js";

const ASK_MS = 5_000;
const [WIDTH, HEIGHT] = [1_000, 60];
// Below the bars: p50 and p99, on a scale that ends with the slowest.
const [SLOW_TOP, SLOW_HEIGHT] = [66, 34];
const WINDOW_MS = 600_000;
const SVG = "http://www.w3.org/2000/svg";
const KINDS = ["verified", "wrong", "failed"];
const GOES_ON = new Set(["running", "paused", "draining"]);
// The last row of a round may be kept a moment after it is said to be over.
const ANSWERS_OF_OVER = 2;

export class Seconds {
  // `of`: another's number, where an organiser looks; `open` is called with the span of a second that was chosen.
  constructor(box, feed, of, open) {
    if (!box) return;
    Object.assign(this, { box, feed, of, open });
    this.said = document.querySelector("[data-seconds-said]");
    this.round = document.querySelector("[data-seconds-round]");
    this.seconds = [];
    [this.answers, this.asked] = [0, 0];
    this.at = -1;
    [this.earlier, this.later] = ["earlier", "later"].map((name) => document.querySelector(`[data-seconds-${name}]`));
    // From when on; null: the newest, which goes on with the round.
    this.from = null;
    this.window = null;
    this.round?.addEventListener("change", () => { this.from = null; this.choose(-1); this.ask(); });
    this.earlier.addEventListener("click", () => this.move(-WINDOW_MS));
    this.later.addEventListener("click", () => this.move(WINDOW_MS));
    box.addEventListener("pointermove", (event) => this.choose(this.under(event)));
    box.addEventListener("pointerleave", () => this.choose(-1));
    box.addEventListener("click", (event) => { this.choose(this.under(event)); this.reveal(); });
    box.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Enter") this.reveal();
      if (!steps) return;
      event.preventDefault();
      this.choose(Math.max(0, Math.min(this.seconds.length - 1, (this.at < 0 ? this.seconds.length - 1 : this.at) + steps)));
    });
    this.poll();
  }

  // Of a round that does not go on nothing changes: it is read until it is whole.
  async poll() {
    const { number, state } = this.feed.state.round ?? {};
    const round = Number(this.round?.value) || number;
    const goesOn = round === number && GOES_ON.has(state);
    // Before the first frame it is not known, nor while none comes.
    const isKnown = Boolean(state) && ["live", "stale", "ended"].includes(this.feed.link);
    const said = state && `${round} ${goesOn}`;
    if (this.polled && this.polled !== said) this.answers = 0;
    this.polled = said;
    const isWhole = isKnown && !goesOn && this.answers >= ANSWERS_OF_OVER;
    if (!document.hidden && this.from === null && !isWhole && (await this.ask())) this.answers += 1;
    setTimeout(() => this.poll(), ASK_MS + Math.random() * 1_000);
  }

  // Whether there was an answer.
  async ask() {
    const address = new URL("/api/me/seconds", location.href);
    if (this.round?.value) address.searchParams.set("round", this.round.value);
    if (this.from !== null) address.searchParams.set("from", String(this.from));
    if (this.of) address.searchParams.set("as", this.of);
    // Of two that are under way the later one was asked for.
    const asked = ++this.asked;
    try {
      const answer = await fetch(address, { headers: { accept: "application/json" }, credentials: "same-origin" });
      const window = answer.ok && (await answer.json());
      if (window && asked === this.asked) this.show(window);
      return answer.ok;
    } catch { return false; /* asked again */ }
  }

  show(window) {
    this.window = window;
    this.seconds = window.seconds;
    const isLong = window.end_at_ms - window.start_at_ms > WINDOW_MS;
    for (const button of [this.earlier, this.later]) button.hidden = !isLong;
    this.earlier.disabled = window.from_ms <= window.start_at_ms;
    this.later.disabled = window.until_ms >= window.end_at_ms;
    this.draw();
  }

  move(by) {
    if (!this.window) return;
    const from = this.window.from_ms + by;
    this.from = from + WINDOW_MS >= this.window.end_at_ms ? null : Math.max(from, this.window.start_at_ms);
    this.choose(-1);
    this.ask();
  }

  under(event) {
    const { left, width } = this.box.getBoundingClientRect();
    return Math.max(0, Math.min(this.seconds.length - 1, Math.floor(((event.clientX - left) / width) * this.seconds.length)));
  }

  draw() {
    const count = this.seconds.length;
    const key = `${count} ${this.seconds[0]?.at_ms} ${this.seconds.at(-1)?.at_ms}`;
    if (this.drawn === key) return;
    this.drawn = key;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${SLOW_TOP + SLOW_HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    const paths = { verified: "", wrong: "", failed: "" };
    const most = Math.max(1, ...this.seconds.map(({ verified, wrong, failed }) => verified + wrong + failed));
    this.seconds.forEach((second, index) => {
      const [from, to] = [(index / count) * WIDTH, ((index + 1) / count) * WIDTH];
      let floor = HEIGHT;
      for (const kind of KINDS) {
        // What failed is seen however little it is.
        const height = second[kind] ? Math.max(kind === "verified" ? 1 : 4, (second[kind] / most) * HEIGHT) : 0;
        const top = Math.max(0, floor - height);
        if (height) paths[kind] += `M${from.toFixed(1)} ${top.toFixed(1)}H${to.toFixed(1)}V${floor.toFixed(1)}H${from.toFixed(1)}z`;
        floor = top;
      }
    });
    for (const kind of KINDS) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", kind);
      path.setAttribute("d", paths[kind]);
      svg.append(path);
    }
    this.slowest = Math.max(0, ...this.seconds.map((second) => second.p99_us ?? 0));
    for (const name of ["p99", "p50"]) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", name);
      path.setAttribute("d", this.slow(`${name}_us`));
      svg.append(path);
    }
    this.cursor = document.createElementNS(SVG, "rect");
    this.cursor.setAttribute("class", "chosen");
    this.cursor.setAttribute("height", String(SLOW_TOP + SLOW_HEIGHT));
    svg.append(this.cursor);
    this.box.replaceChildren(svg);
    this.choose(this.at);
  }

  // A line over the seconds that had an answer.
  slow(name) {
    let [d, isDrawn] = ["", false];
    this.seconds.forEach((second, index) => {
      const value = second[name];
      if (value == null || !this.slowest) { isDrawn = false; return; }
      const x = ((index + 0.5) / this.seconds.length) * WIDTH;
      const y = SLOW_TOP + SLOW_HEIGHT * (1 - value / this.slowest);
      // One alone is seen too.
      d += isDrawn ? `L${x.toFixed(1)} ${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}h0.1`;
      isDrawn = true;
    });
    return d;
  }

  choose(at) {
    this.at = at;
    const count = this.seconds.length;
    const second = this.seconds[at];
    this.cursor?.setAttribute("x", String(count ? (Math.max(0, at) / count) * WIDTH : 0));
    this.cursor?.setAttribute("width", second ? String(Math.max(2, WIDTH / count)) : "0");
    if (!count) { this.said.textContent = "Nothing came yet."; return; }
    // Seconds in which nothing changed have no row of their own.
    const length = second ? Math.round((second.at_ms - (this.seconds[at - 1]?.at_ms ?? second.at_ms - 1_000)) / 1_000) : 1;
    const all = this.slowest ? ` The line below ends at ${f.micros(this.slowest)}.` : "";
    this.said.textContent = second
      ? `${length > 1 ? `${length} s until ` : ""}${clockText(second.at_ms)}: ${f.count(second.verified)} verified, ${f.count(second.wrong)} wrong, ${f.count(second.failed)} failed, p50 ${f.micros(second.p50_us)}, p99 ${f.micros(second.p99_us)}`
      : `Point at a second, or use ← and →; press it to see what failed in it.${all}`;
  }

  reveal() {
    const second = this.seconds[this.at];
    if (!second) return;
    const before = this.seconds[this.at - 1]?.at_ms ?? second.at_ms - 1_000;
    // A second of the history ends at its instant.
    this.open(Math.min(before, second.at_ms - 1_000) - 500, second.at_ms + 500);
  }
}
