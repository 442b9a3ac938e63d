// How numbers read: the same as views/format.rs says them on the server.

const MINUS = "\u2212";
const NOTHING = "–";

const grouped = (number) => String(Math.trunc(Math.abs(number))).replace(/\B(?=(\d{3})+$)/g, ",");
export const points = (number) => (number < 0 ? MINUS : "") + grouped(number);
export const signed = (number) => (number > 0 ? "+" : "") + points(number);
export const count = grouped;
export const tone = (number) => (number > 0 ? "up" : number < 0 ? "down" : "even");
export const rank = (number) => (number == null ? NOTHING : String(number));
export const rankChange = (ranks) => (ranks > 0 ? `▲ ${ranks}` : ranks < 0 ? `▼ ${-ranks}` : "=");

export function ordinal(number) {
  const teen = number % 100 >= 11 && number % 100 <= 13;
  return number + (teen ? "th" : ["th", "st", "nd", "rd"][number % 10] ?? "th");
}

export function permille(part) {
  if (part == null) return NOTHING;
  return part >= 1000 ? "100 %" : `${Math.floor(part / 10)}.${part % 10} %`;
}

const threeDigits = (number) => (number < 10 ? number.toFixed(2) : number < 100 ? number.toFixed(1) : number.toFixed(0));

export function micros(us) {
  if (us == null) return NOTHING;
  if (us < 1000) return `${us} µs`;
  return us < 1e6 ? `${threeDigits(us / 1000)} ms` : `${threeDigits(us / 1e6)} s`;
}

export function duration(seconds) {
  const all = Math.max(0, Math.ceil(seconds));
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (number) => String(number).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// For an axis: 1.2M, 300k.
export function compact(number) {
  const size = Math.abs(number);
  const say = (value, unit) => (number < 0 ? MINUS : "") + String(Math.round(value * 100) / 100) + unit;
  if (size >= 1e9) return say(size / 1e9, "G");
  if (size >= 1e6) return say(size / 1e6, "M");
  return size >= 1e3 ? say(size / 1e3, "k") : say(size, "");
}

// Why nothing broke somebody in a breakpoint phase.
export const unbrokenMark = (reason) => ({ generator: "fleet limit", connections: "connection limit", time: "time limit" })[reason] ?? "unbroken";

// What somebody holds in a breakpoint phase; what it is asked for now, or why its limit is not known.
export const holds = (rate) => (rate == null ? NOTHING : `${count(rate)}/s`);
export const climbing = (line) => {
  // A climb that does not count is told of while it goes on.
  if (line.climb_holds != null && line.tries != null) return line.tries < line.climb_holds ? "rests" : `tries ${count(line.tries)}`;
  if (line.holds == null) return "";
  if (line.unbroken) return unbrokenMark(line.unbroken_by);
  if (line.tries != null) return line.tries < line.holds ? "rests" : `tries ${count(line.tries)}`;
  return line.breaks_at == null ? "" : `breaks at ${count(line.breaks_at)}`;
};

// That the board is frozen, and why it still is.
export const frozen = (waits) => {
  const words = { seal: ": the reveal waits until the round is sealed", ruling: ": the reveal waits for the word on its validity" };
  return `board frozen${words[waits] ?? ""}`;
};

// How a team fares. Who misses a deadline is alive: it is not called failing.
export const stateWord = (state) => ({ wrong_version: "wrong Version", wrong_from: "wrong From", wrong_both: "wrong Version and From" })[state] ?? state ?? "";
export const isWrong = (state) => Boolean(state?.startsWith("wrong_"));

export const decidedWord = {
  points: "", holds: "holds less", held_p99: "holds as much, slower", held_first: "holds as much, later", failures: "fewer failures above", p99: "lower p99 above", reached: "reached it later", shared: "shared rank",
  absent: "did not play",
};
