// Points over time: what the server kept, and every frame since. The server says milliseconds; kept here are seconds, as
// uPlot takes them.

const POINTS_MAX = 5_000;

export class History extends EventTarget {
  constructor(feed, address) {
    super();
    this.feed = feed;
    this.address = address;
    this.times = [];
    // Of each instant, whether a second since the one before was not valid.
    this.invalid = [];
    this.lines = new Map();
    this.marks = [];
    // Those that were or are played: { id, number, scored, start_at, end_at, settled_at } in milliseconds.
    this.known = [];
    this.step = 5;
    feed.addEventListener("frame", () => this.frame());
    this.loaded = this.load();
  }

  // The rounds of the axis, with the one that the feed tells of as it is now.
  get rounds() {
    const now = this.feed.state.round;
    const rounds = this.known.filter((round) => round.id !== now?.id || !now.start_at);
    if (now?.id && now.start_at) {
      const known = this.known.find((round) => round.id === now.id);
      const newest = (this.times.at(-1) ?? 0) * 1000;
      const over = known?.settled_at > known?.end_at ? known : null;
      const planned = now.end_at ?? known?.end_at ?? now.start_at;
      // However long it drains and however late it is sealed, its axis ends where it ended; only a pause has no end yet.
      const end_at = over?.end_at ?? (now.paused_at ? Math.max(planned, newest) : planned);
      const settled_at = over?.settled_at ?? Math.max(end_at, newest);
      rounds.push({ id: now.id, number: now.number, scored: now.scored, start_at: now.start_at, end_at, settled_at });
    }
    rounds.sort((a, b) => a.start_at - b.start_at);
    // Rows of a coarse step come later than what they tell; those of the next round are not its.
    const within = (round, index) => Math.min(round.settled_at + this.step * 1000, rounds[index + 1]?.start_at ?? Infinity);
    return rounds.map((round, index) => ({ ...round, settled_at: within(round, index) }));
  }

  async load() {
    if (this.loading) return;
    this.loading = true;
    try {
      const address = new URL(this.address, location.href);
      const answer = await fetch(address, { headers: { accept: "application/json" }, credentials: "same-origin" });
      if (answer.ok) this.take(await answer.json());
    } catch { /* the frames go on; a later gap asks again */ } finally {
      this.loading = false;
      this.askedAt = Date.now();
    }
  }

  take({ step, t, invalid, points, marks, rounds }) {
    const fresh = t.map((ms) => ms / 1000);
    const end = fresh.at(-1) ?? -Infinity;
    const from = this.times.findIndex((at) => at > end);
    const tail = from < 0 ? [] : this.times.slice(from);
    const lines = new Map();
    for (const id of new Set([...Object.keys(points), ...this.lines.keys()])) {
      const old = points[id] ?? new Array(fresh.length).fill(null);
      const kept = from < 0 ? [] : this.lines.get(id)?.slice(from) ?? new Array(tail.length).fill(null);
      lines.set(id, [...old, ...kept]);
    }
    const late = new Set(invalid);
    this.invalid = [...t.map((ms) => late.has(ms)), ...(from < 0 ? [] : this.invalid.slice(from))];
    this.times = [...fresh, ...tail];
    this.lines = lines;
    this.marks = marks ?? [];
    this.known = rounds ?? [];
    this.step = step || 5;
    this.dispatchEvent(new Event("change"));
  }

  frame() {
    // What was is no new second.
    if (this.feed.past) return;
    const at = this.feed.state.at / 1000;
    const last = this.times.at(-1) ?? -Infinity;
    if (at <= last) return;
    const gap = last > 0 && at - last > Math.max(10, this.step * 3);
    // What is new while an answer is fresh is asked for a little later.
    this.isBehind = this.newMarks() || gap || this.isBehind;
    if (this.isBehind && !this.loading && Date.now() - (this.askedAt ?? 0) > 5_000) { this.isBehind = false; this.load(); }
    this.add(at);
    if (this.times.length > POINTS_MAX) this.thin();
    this.dispatchEvent(new Event("change"));
  }

  // Of a time in which nothing happens its two ends are kept: however long a page stays open, its rounds lose nothing.
  add(at) {
    const last = this.times.length - 1;
    const { standings } = this.feed.state;
    const isStill = last > 0 && !this.invalid[last] && this.feed.invalidSeconds === this.invalidSeconds && standings.size >= this.lines.size
      && [...standings.values()].every(({ id, points }) => { const line = this.lines.get(id); return line && line[last] === points && line[last - 1] === points; });
    if (isStill) { this.times[last] = at; return; }
    this.times.push(at);
    // What was before the first frame the server's history says.
    this.invalid.push(this.invalidSeconds !== undefined && this.feed.invalidSeconds > this.invalidSeconds);
    this.invalidSeconds = this.feed.invalidSeconds;
    for (const { id, points } of standings.values()) {
      if (!this.lines.has(id)) this.lines.set(id, new Array(this.times.length - 1).fill(null));
      this.lines.get(id).push(points);
    }
    for (const line of this.lines.values()) if (line.length < this.times.length) line.push(line.at(-1) ?? null);
  }

  // A round that changed its state, or a deadline that is over, leaves a mark that only the server knows the name of.
  newMarks() {
    const { round, due } = this.feed.state;
    const said = JSON.stringify([round?.id, round?.state, round?.phase, round?.frozen_at, round?.revealed, due?.version, due?.from]);
    const changed = this.said !== undefined && this.said !== said;
    this.said = said;
    return changed;
  }

  // The older half keeps every second instant.
  thin() {
    const half = this.times.length >> 1;
    const keep = (_, index) => index >= half || index % 2 === 0;
    // What was not valid before an instant that goes, was so before the next one.
    this.invalid = this.invalid.map((late, index) => late || (index > 0 && !keep(0, index - 1) && this.invalid[index - 1])).filter(keep);
    this.times = this.times.filter(keep);
    for (const [id, line] of this.lines) this.lines.set(id, line.filter(keep));
  }

  // The points of a contestant over the seconds before an instant, or before the newest one, for a small curve.
  recent(id, seconds, until = Infinity) {
    const line = this.lines.get(id);
    const to = firstFrom(this.times, until + .001);
    if (!line || to === 0) return [];
    const from = firstFrom(this.times, this.times[to - 1] - seconds);
    const stride = Math.max(1, Math.floor((to - from) / 60));
    const taken = [];
    for (let index = from; index < to; index += stride) if (line[index] != null) taken.push([this.times[index], line[index]]);
    return taken;
  }
}

// The index of the first instant that is not before this one.
export function firstFrom(times, at) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1; else high = middle;
  }
  return low;
}

// An SVG path through [x, y] pairs, in a box of the given size.
export function path(pairs, width, height) {
  if (pairs.length < 2) return "";
  const [first, last] = [pairs[0][0], pairs.at(-1)[0]];
  let [low, high] = [Infinity, -Infinity];
  for (const [, y] of pairs) { low = Math.min(low, y); high = Math.max(high, y); }
  const spread = high - low || 1;
  return pairs.map(([x, y], index) => `${index ? "L" : "M"}${(((x - first) / (last - first || 1)) * width).toFixed(1)} ${(height - ((y - low) / spread) * height).toFixed(1)}`).join("");
}
