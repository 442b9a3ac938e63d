// The live feed: one socket, one picture of the standings kept from snapshots and deltas, and whether it can be trusted.
//
// Events: "frame" after each frame (state is in `feed.state`), "link" when the connection's state changes.

import { hear, now } from "./clock.js";

const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 30_000;
const STABLE_MS = 10_000;
const HIDDEN_MS = 60_000;
// A frame comes every second; after three without one the picture is stale.
const SILENT_MS = 3_500;
const COLUMNS = ["key", "rank", "moved", "points", "minute", "rate", "success", "p50", "p99", "failures", "decided"];

export class Feed extends EventTarget {
  constructor(path) {
    super();
    this.path = path;
    this.state = { q: -1, t: 0, link: "live", since: null, round: null, due: null, notices: [], ended: false, who: {}, rows: new Map() };
    this.link = "connecting";
    this.tries = 0;
    this.heardAt = 0;
    this.timer = 0;
    addEventListener("visibilitychange", () => this.seen());
    addEventListener("online", () => this.hurry());
    addEventListener("second", () => this.judge());
    addEventListener("pagehide", () => this.stop());
    addEventListener("pageshow", (event) => { if (event.persisted) this.open(); });
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    if (this.socket || this.over) return;
    const address = new URL(this.path, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.addEventListener("message", (event) => { if (this.socket === socket) this.hear(event.data); });
    socket.addEventListener("close", (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.closed(event.code);
    });
    this.openedAt = Date.now();
  }

  stop() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
  }

  closed(code) {
    if (code === 4401) { location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`); return; }
    if (code === 1000 && this.state.ended) { this.over = true; this.judge(); return; }
    if (Date.now() - this.openedAt > STABLE_MS) this.tries = 0;
    const ceiling = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** this.tries);
    this.tries = Math.min(this.tries + 1, 10);
    const least = code === 1012 || code === 1013 ? 5_000 : 200;
    this.judge();
    if (!document.hidden) this.timer = setTimeout(() => this.open(), least + Math.random() * ceiling);
  }

  // Hidden for a minute: nobody looks, so nothing is asked for. Seen again: at once.
  seen() {
    clearTimeout(this.hiddenTimer);
    if (document.hidden) this.hiddenTimer = setTimeout(() => this.stop(), HIDDEN_MS);
    else if (!this.socket) this.hurry();
  }

  hurry() { this.tries = 0; this.open(); }

  hear(text) {
    let frame;
    try { frame = JSON.parse(text); } catch { return; }
    this.heardAt = Date.now();
    if (frame.kind === "tokens") { this.tokens = frame.rows; this.dispatchEvent(new Event("tokens")); this.judge(); return; }
    if (frame.kind !== "snapshot" && (frame.kind !== "delta" || frame.q !== this.state.q + 1)) return;
    hear(frame.t);
    const whole = frame.kind === "snapshot";
    const { q, t, link, since, round, due, notices, ended } = frame;
    Object.assign(this.state, { q, t, link, since, round, due, notices: notices ?? [], ended });
    if (whole) { this.state.who = frame.who ?? {}; this.state.rows = new Map(); }
    for (const row of frame.rows ?? []) {
      this.state.rows.set(row[0], Object.fromEntries(COLUMNS.map((name, index) => [name, row[index]])));
    }
    this.whole = whole;
    this.dispatchEvent(new Event("frame"));
    this.judge();
  }

  // What the pill says.
  judge() {
    const silent = Date.now() - this.heardAt > SILENT_MS;
    let link = "live";
    if (this.state.ended) link = "ended";
    else if (!this.socket || this.socket.readyState !== WebSocket.OPEN) link = this.heardAt || this.tries > 0 ? "reconnecting" : "connecting";
    else if (this.state.link === "stale") link = "stale";
    else if (silent && this.heardAt && this.state.q >= 0) link = "stale";
    if (link === this.link && link !== "live") return;
    this.link = link;
    this.dispatchEvent(new Event("link"));
  }

  // Since when nothing new was heard, in server time.
  get staleSince() { return this.state.since ?? this.state.t ?? now(); }

  // Rows as they stand: by rank, those without one last.
  standings() {
    const last = (rank) => rank ?? Number.MAX_SAFE_INTEGER;
    return [...this.state.rows.values()].sort((a, b) => last(a.rank) - last(b.rank) || b.points - a.points || (a.key < b.key ? -1 : 1));
  }

  name(key) { return this.state.who[key]?.shown ?? key; }
  colour(key) { return this.state.who[key]?.colour ?? 7; }
}
