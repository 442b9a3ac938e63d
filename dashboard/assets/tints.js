// Which of the twelve colours a line has: its own where that is free, and never one that another line has at this moment.

export const TINTS = 12;
export const HOUSE = "house";

export class Tints {
  constructor() { this.of = new Map(); }

  // Gives these lines their colours; those that had one keep it. At most TINTS, the house not counted.
  assign(ids, preferred) {
    const kept = new Map();
    const taken = new Set();
    for (const id of ids) {
      const tint = this.of.get(id);
      if (tint === undefined || taken.has(tint)) continue;
      kept.set(id, tint);
      taken.add(tint);
    }
    for (const id of ids) {
      if (kept.has(id) || id === HOUSE) continue;
      let tint = preferred(id) % TINTS;
      for (let tries = 0; taken.has(tint) && tries < TINTS; tries++) tint = (tint + 1) % TINTS;
      if (taken.has(tint)) continue;
      kept.set(id, tint);
      taken.add(tint);
    }
    this.of = kept;
  }

  // The classes of colour and dash; none for who has no line.
  dress(id) {
    if (id === HOUSE) return "of-house";
    const tint = this.of.get(id);
    return tint === undefined ? "none" : `c${tint}${dashed(tint) ? " d1" : ""}`;
  }
}

// The second half is dashed, so that colour is not all that tells lines apart.
export const dashed = (tint) => tint >= TINTS / 2;
