// The time machine: any instant of any round, by a slider, by playing, or by a link. Chart, standings, badges and countdowns
// are those of that instant; what is live goes on unseen until somebody comes back.

import { clockText, fullText, travel } from "./clock.js";
import { duration } from "./format.js";
import { History } from "./history.js";

const EVERY_MS = 250;
// An instant that did not come is asked for again so soon.
const AGAIN_MS = 1_000;

export class Machine {
  constructor(box, feed, lines, store, { address, show }) {
    Object.assign(this, { box, feed, lines, store, address, show });
    const find = (name) => box.querySelector(`[data-machine-${name}]`);
    Object.assign(this, { round: find("round"), slider: find("at"), play: find("play"), speed: find("speed"), said: find("said"), live: find("live"), link: find("link") });
    this.at = null;
    this.isUnknown = false;
    this.timer = 0;
    this.stores = new Map();
    this.slider.addEventListener("input", () => { this.halt(); this.go(Number(this.slider.value)); });
    this.slider.addEventListener("change", () => this.keep());
    this.round.addEventListener("change", () => { this.halt(); const one = this.chosen(); if (one) { this.go(one.start_at); this.keep(); } });
    this.play.addEventListener("click", () => (this.timer ? this.halt() : this.start()));
    this.live.addEventListener("click", () => this.leave());
    this.link.addEventListener("click", () => this.copy());
    const asked = Number(new URL(location.href).searchParams.get("at"));
    store.addEventListener("change", () => {
      this.offer();
      if (asked > 0 && !this.opened && this.rounds().length) { this.opened = true; this.go(asked); }
    });
  }

  rounds() { return this.store.rounds.filter((round) => round.end_at > round.start_at); }

  chosen() { return this.rounds().find((round) => round.id === this.round.value); }

  roundAt(at) { return this.rounds().findLast((round) => round.start_at <= at) ?? this.rounds()[0]; }

  // The rounds that can be chosen, and how far the slider goes.
  offer() {
    const rounds = this.rounds();
    const key = rounds.map((round) => round.id).join();
    this.box.classList.toggle("is-empty", !rounds.length);
    if (this.offered !== key) {
      this.offered = key;
      const kept = this.round.value;
      this.round.replaceChildren(...rounds.map(({ id, number, scored }) => new Option(`Round ${number}${scored ? "" : " (practice)"}`, id)));
      this.round.value = rounds.some((round) => round.id === kept) ? kept : rounds.at(-1)?.id ?? "";
    }
    this.scale();
  }

  scale() {
    const one = this.chosen();
    if (!one) return;
    const end = Math.min(one.end_at, this.end());
    const [min, max] = [String(one.start_at), String(Math.max(end, one.start_at + 1_000))];
    if (this.slider.min !== min) this.slider.min = min;
    if (this.slider.max !== max) this.slider.max = max;
    if (this.at === null) this.slider.value = this.slider.max;
    this.say();
  }

  // The newest instant there is.
  end() { return (this.store.times.at(-1) ?? 0) * 1000; }

  say() {
    const one = this.chosen();
    const at = this.at ?? Number(this.slider.max);
    const into = one ? duration((at - one.start_at) / 1000) : "";
    const words = this.at === null ? "live" : `${into} · ${clockText(at)}${this.isUnknown ? " · not known: asking again" : ""}`;
    if (this.said.textContent !== words) this.said.textContent = words;
    this.slider.setAttribute("aria-valuetext", this.at === null ? "live" : `${into} into the round, ${fullText(at)}`);
    this.live.setAttribute("aria-pressed", String(this.at === null));
    document.body.classList.toggle("is-past", this.at !== null);
  }

  // Looks at an instant; of those asked for while an answer is on its way, the newest counts.
  async go(at) {
    const within = this.roundAt(at);
    if (within && this.round.value !== within.id) this.round.value = within.id;
    this.at = at;
    this.scale();
    this.slider.value = String(at);
    this.say();
    if (this.isAsking) return;
    this.isAsking = true;
    try {
      while (this.at !== null && this.shown !== this.at) {
        const wanted = this.at;
        const round = this.roundAt(wanted);
        // At its end stands what it came to, with the last answers; at each instant behind it what was seen then.
        const at = round && Math.round(wanted) === round.end_at ? Math.max(wanted, Math.min(round.settled_at, this.end())) : wanted;
        const [frame, store] = await Promise.all([this.fetch(at), this.lineStore(round)]);
        if (this.at === null) break;
        // What stands there is of another instant, and says so until this one comes.
        if (this.isUnknown !== !frame) { this.isUnknown = !frame; this.say(); }
        if (!frame) { await new Promise((done) => { setTimeout(done, AGAIN_MS); }); continue; }
        this.shown = wanted;
        this.look(frame, store, at);
      }
    } finally { this.isAsking = false; }
  }

  // The same instant in another range.
  again() {
    if (this.at === null) return;
    this.shown = null;
    this.go(this.at);
  }

  look(frame, store, at) {
    travel(at);
    if (store) this.lines.store = store;
    // Of a time in which they were frozen stands what was seen then.
    this.lines.until = (frame.standings_at ?? at) / 1000;
    this.feed.look(frame);
    this.show();
  }

  async fetch(at) {
    const address = new URL("/api/moment", location.href);
    address.searchParams.set("at", String(Math.round(at)));
    const asked = new URL(this.address, location.href).searchParams;
    for (const [name, value] of asked) address.searchParams.set(name, value);
    try {
      const answer = await fetch(address, { headers: { accept: "application/json" }, credentials: "same-origin" });
      return answer.ok ? await answer.json() : null;
    } catch { return null; }
  }

  // The lines of a round that is over are kept; those of one that is on are the live ones, and so are those of all rounds.
  async lineStore(round) {
    if (this.lines.range === "all") return this.store;
    if (!round || round.id === this.feed.present?.round?.id || round.id === this.feed.state.round?.id && !this.feed.past) return this.store;
    if (!this.stores.has(round.id)) {
      const address = new URL(this.address, location.href);
      address.searchParams.set("round", String(round.number));
      const store = new History(new StillFeed(), address);
      await store.loaded;
      if (store.times.length) this.stores.set(round.id, store);
      return store.times.length ? store : this.store;
    }
    return this.stores.get(round.id);
  }

  start() {
    const one = this.chosen();
    if (!one) return;
    if (this.at === null || this.at >= Number(this.slider.max) - 1_000) this.at = one.start_at;
    this.play.textContent = "Stop";
    this.play.setAttribute("aria-pressed", "true");
    let before = performance.now();
    this.timer = setInterval(() => {
      const then = before;
      before = performance.now();
      const end = Number(this.slider.max);
      const at = Math.min(end, this.at + (before - then) * Number(this.speed.value));
      this.go(at);
      if (at >= end) { this.halt(); }
    }, EVERY_MS);
    this.go(this.at);
  }

  halt() {
    if (!this.timer) return;
    clearInterval(this.timer);
    this.timer = 0;
    this.play.textContent = "Play";
    this.play.setAttribute("aria-pressed", "false");
    this.keep();
  }

  leave() {
    this.halt();
    this.at = null;
    this.shown = null;
    this.isUnknown = false;
    travel(null);
    this.lines.store = this.store;
    this.lines.until = Infinity;
    this.feed.comeBack();
    // An end of a freeze meanwhile shows more of them.
    this.stores.clear();
    // The seconds that went by unseen.
    this.store.load();
    this.keep();
    this.scale();
    this.show();
  }

  // The address names the instant, so that it can be sent to somebody.
  keep() {
    const address = new URL(location.href);
    if (this.at === null) address.searchParams.delete("at"); else address.searchParams.set("at", String(Math.round(this.at)));
    history.replaceState(null, "", address);
  }

  async copy() {
    if (this.at === null) this.at = Number(this.slider.max);
    this.keep();
    this.go(this.at);
    try { await navigator.clipboard.writeText(location.href); this.link.textContent = "Copied"; } catch { this.link.textContent = "It is in the address bar"; }
    setTimeout(() => { this.link.textContent = "Link to this instant"; }, 2_000);
  }
}

// A feed that never says anything: what a History of the past listens to.
class StillFeed extends EventTarget {
  constructor() { super(); this.state = { round: null, standings: new Map() }; this.past = true; }
}
