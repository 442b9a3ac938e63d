// What came in each second of a round: a strip of right, wrong and failed. A second that is chosen says its numbers, and shows
// the samples of what failed in it.

import { clockText } from "./clock.js";
import * as f from "./format.js";

const ASK_MS = 5_000;
const [WIDTH, HEIGHT] = [1_000, 60];
const SVG = "http://www.w3.org/2000/svg";
const KINDS = ["right", "wrong", "failed"];

export class Seconds {
  // `of`: another's number, where an organiser looks; `open` is called with the span of a second that was chosen.
  constructor(box, of, open) {
    if (!box) return;
    Object.assign(this, { box, of, open });
    this.said = document.querySelector("[data-seconds-said]");
    this.round = document.querySelector("[data-seconds-round]");
    this.seconds = [];
    this.at = -1;
    this.round?.addEventListener("change", () => this.ask());
    box.addEventListener("pointermove", (event) => this.choose(this.under(event)));
    box.addEventListener("pointerleave", () => this.choose(-1));
    box.addEventListener("click", (event) => { this.choose(this.under(event)); this.show(); });
    box.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Enter") this.show();
      if (!steps) return;
      event.preventDefault();
      this.choose(Math.max(0, Math.min(this.seconds.length - 1, (this.at < 0 ? this.seconds.length - 1 : this.at) + steps)));
    });
    this.poll();
  }

  async poll() {
    if (!document.hidden) await this.ask();
    setTimeout(() => this.poll(), ASK_MS + Math.random() * 1_000);
  }

  async ask() {
    const address = new URL("/api/me/seconds", location.href);
    if (this.round?.value) address.searchParams.set("round", this.round.value);
    if (this.of) address.searchParams.set("as", this.of);
    try {
      const answer = await fetch(address, { headers: { accept: "application/json" }, credentials: "same-origin" });
      if (answer.ok) { this.seconds = await answer.json(); this.draw(); }
    } catch { /* asked again */ }
  }

  under(event) {
    const { left, width } = this.box.getBoundingClientRect();
    return Math.max(0, Math.min(this.seconds.length - 1, Math.floor(((event.clientX - left) / width) * this.seconds.length)));
  }

  draw() {
    const count = this.seconds.length;
    const key = `${count} ${this.seconds.at(-1)?.at_ms}`;
    if (this.drawn === key) return;
    this.drawn = key;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    const paths = { right: "", wrong: "", failed: "" };
    const most = Math.max(1, ...this.seconds.map(({ right, wrong, failed }) => right + wrong + failed));
    this.seconds.forEach((second, index) => {
      const [from, to] = [(index / count) * WIDTH, ((index + 1) / count) * WIDTH];
      let floor = HEIGHT;
      for (const kind of KINDS) {
        // What failed is seen however little it is.
        const height = second[kind] ? Math.max(kind === "right" ? 1 : 4, (second[kind] / most) * HEIGHT) : 0;
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
    this.cursor = document.createElementNS(SVG, "rect");
    this.cursor.setAttribute("class", "chosen");
    this.cursor.setAttribute("height", String(HEIGHT));
    svg.append(this.cursor);
    this.box.replaceChildren(svg);
    this.choose(this.at);
  }

  choose(at) {
    this.at = at;
    const count = this.seconds.length;
    const second = this.seconds[at];
    this.cursor?.setAttribute("x", String(count ? (Math.max(0, at) / count) * WIDTH : 0));
    this.cursor?.setAttribute("width", second ? String(Math.max(2, WIDTH / count)) : "0");
    if (!count) { this.said.textContent = "Nothing came yet."; return; }
    this.said.textContent = second
      ? `${clockText(second.at_ms)}: ${f.count(second.right)} right, ${f.count(second.wrong)} wrong, ${f.count(second.failed)} failed, p50 ${f.micros(second.p50_us)}, p99 ${f.micros(second.p99_us)}`
      : "Point at a second, or use ← and →; press it to see what failed in it.";
  }

  show() {
    const second = this.seconds[this.at];
    if (!second) return;
    const before = this.seconds[this.at - 1]?.at_ms ?? second.at_ms - 1_000;
    // A second of the history ends at its instant.
    this.open(Math.min(before, second.at_ms - 1_000) - 500, second.at_ms + 500);
  }
}
