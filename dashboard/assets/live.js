// The live feed: one socket, one picture of the standings kept from snapshots and deltas, and whether it can be trusted.
//
// Events: "frame" after each frame (state is in `feed.state`), "link" when the connection's state changes. The fields of a
// standing have the names of live/standings.rs; every instant is in milliseconds.

import { hear, now } from "./clock.js";
import { sessionEnded } from "./session.js";

const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 30_000;
const STABLE_MS = 10_000;
const HIDDEN_MS = 60_000;
// A frame comes every second; after three without one the picture is stale.
const SILENT_MS = 3_500;

export class Feed extends EventTarget {
  constructor(path) {
    super();
    this.path = path;
    this.state = { seq: -1, at: 0, link: "live", stale_since: null, round: null, due: null, validity: null, notices: [], ended: false, standings: new Map() };
    // What goes on while an instant that is over is looked at.
    this.present = null;
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
    if (code === 4401) { this.over = this.isSignedOut = true; this.judge(); sessionEnded(); return; }
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
    const state = this.present ?? this.state;
    if (frame.kind !== "snapshot" && (frame.kind !== "delta" || frame.seq !== state.seq + 1)) return;
    hear(frame.at);
    const whole = frame.kind === "snapshot";
    const { seq, at, link, stale_since, round, due, validity, notices, ended } = frame;
    Object.assign(state, { seq, at, link, stale_since, round, due, validity, notices, ended });
    if (whole) state.standings = new Map();
    const { standings } = state;
    // A delta has what changed; whoever holds a line of the frame before goes on seeing that one.
    for (const line of frame.standings) standings.set(line.id, { ...standings.get(line.id), ...line });
    if (this.past) { this.judge(); return; }
    this.show();
    this.judge();
  }

  show() {
    this.sorted = null;
    this.dispatchEvent(new Event("frame"));
  }

  get past() { return this.present !== null; }

  // Shows a frame of /api/moment; what is live goes on unseen.
  look(frame) {
    this.present ??= this.state;
    const { notices } = this.present;
    this.state = { ...frame, notices, standings: new Map(frame.standings.map((line) => [line.id, line])) };
    this.show();
  }

  // Back to now.
  comeBack() {
    if (!this.past) return;
    this.state = this.present;
    this.present = null;
    this.show();
  }

  // What the pill says.
  judge() {
    const silent = Date.now() - this.heardAt > SILENT_MS;
    let link = "live";
    const state = this.present ?? this.state;
    if (this.isSignedOut) link = "out";
    else if (state.ended) link = "ended";
    else if (!this.socket || this.socket.readyState !== WebSocket.OPEN) link = this.heardAt || this.tries > 0 ? "reconnecting" : "connecting";
    else if (state.link === "stale") link = "stale";
    else if (silent && this.heardAt && state.seq >= 0) link = "stale";
    if (link === this.link && link !== "live") return;
    this.link = link;
    this.dispatchEvent(new Event("link"));
  }

  // Since when nothing new was heard, in server time.
  get staleSince() { return this.state.stale_since ?? this.state.at ?? now(); }

  // Lines as they stand: by rank, those without one last.
  standings() {
    const last = (rank) => rank ?? Number.MAX_SAFE_INTEGER;
    return this.sorted ??= [...this.state.standings.values()].sort((a, b) => last(a.rank) - last(b.rank) || b.points - a.points || (a.id < b.id ? -1 : 1));
  }

  // Seconds of the round that are not valid, until now.
  get invalidSeconds() { const { seconds, valid_seconds } = this.state.validity ?? {}; return seconds > valid_seconds ? seconds - valid_seconds : 0; }

  name(id) { return this.state.standings.get(id)?.display_name ?? id; }
  colour(id) { return this.state.standings.get(id)?.colour ?? 7; }
}
