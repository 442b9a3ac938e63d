// Where an instant stands on the axis, which is the round and not the clock: one round from its start to its end, all of
// them one behind the other without the time in between, or the last five minutes. Instants are in seconds, as uPlot has them.

import { clockText } from "./clock.js";
import { duration } from "./format.js";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];
const RECENT = 300;
// Between two rounds, of the whole.
const BETWEEN = 0.015;
// A round whose end is not known is shown as at least so long.
const SHORTEST = 10;

export class Axis {
  // `spans`: [{ from, to, until, name }] in order, which do not overlap. What came between `to` and `until`, the last answers of a
  // round, stands at its end.
  constructor(spans, { clock = false } = {}) {
    this.clock = clock;
    const length = spans.reduce((sum, { from, to }) => sum + Math.max(SHORTEST, to - from), 0);
    const gap = spans.length > 1 ? length * BETWEEN : 0;
    let offset = 0;
    this.spans = spans.map(({ from, to, until = to, name }) => {
      const end = Math.max(to, from + SHORTEST);
      const span = { from, to: end, until: Math.max(until, end), name, offset };
      offset += span.to - span.from + gap;
      return span;
    });
    this.min = 0;
    this.max = Math.max(SHORTEST, offset - gap);
  }

  // The place of an instant; null where none is.
  x(at) {
    const span = this.spans.find(({ from, to }) => at >= from && at <= to);
    return span ? span.offset + at - span.from : null;
  }

  // The instant at a place.
  at(x) {
    const span = this.spans.findLast(({ offset }) => x >= offset) ?? this.spans[0];
    return span ? span.from + Math.min(x - span.offset, span.to - span.from) : 0;
  }

  // Places for labels, no more than fit.
  ticks(count, low = this.min, high = this.max) {
    const step = STEPS.find((one) => (high - low) / one <= count) ?? STEPS.at(-1);
    const places = [];
    for (const { from, to, offset } of this.spans) {
      const first = this.clock ? Math.ceil(from / step) * step - from : 0;
      for (let at = first; at <= to - from; at += step) {
        const x = offset + at;
        if (x >= low - 1e-6 && x <= high + 1e-6) places.push(x);
      }
    }
    return places;
  }

  label(x) {
    const at = this.at(x);
    if (this.clock) return clockText(at * 1000).replace(/:00$/, "");
    const span = this.spans.findLast(({ offset }) => x >= offset - 1e-6);
    const into = Math.round(x - (span?.offset ?? 0));
    if (this.spans.length > 1 && into === 0) return span.name;
    return duration(into);
  }
}

// The axis of a range: "round", "all" or "recent". `rounds` are those of the history, `last` the newest instant.
export function axisOf(range, rounds, last) {
  const spans = rounds.map(({ number, scored, start_at, end_at, settled_at }) => ({
    name: `Round ${number}`, scored, from: start_at / 1000, to: end_at / 1000, until: (settled_at ?? end_at) / 1000,
  }));
  if (range === "recent" || !spans.length) return new Axis([{ from: last - RECENT, to: last, name: "" }], { clock: true });
  if (range === "all") {
    const scored = spans.filter((span) => span.scored);
    return new Axis(scored.length ? scored : spans.slice(-1));
  }
  return new Axis(spans.slice(-1));
}
