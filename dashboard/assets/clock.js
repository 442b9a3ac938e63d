// The server's time: countdowns, instants in the zone of who looks, and the echo under fields of date and time.

import { duration } from "./format.js";

let offset = 0;
let known = false;

// A frame said `t` when it was sent: the largest difference is the one that travelled fastest.
export function hear(t) {
  const seen = t - Date.now();
  offset = known ? Math.max(seen, offset - 5) : seen;
  known = true;
}

const real = () => Date.now() + offset;
// An instant that is looked at instead of now.
let looked = null;

export const now = () => looked ?? real();

// Lets every countdown say what it said at an instant; null: what it says now.
export function travel(ms) {
  looked = ms;
  count();
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
const clockStyle = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const fullStyle = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const longStyle = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const clockText = (ms) => clockStyle.format(ms);
export const fullText = (ms) => fullStyle.format(ms);
const utcText = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

// Of an instant that is farther away the day is said too.
const DAY_FROM_MS = 12 * 3_600_000;
const whenText = (ms) => `${Math.abs(ms - real()) < DAY_FROM_MS ? clockText(ms) : fullText(ms)} (${away(ms)})`;

// How an instant is said, by its `data-style`. What counts on is said anew every second.
const STYLES = { full: fullText, clock: clockText, ago: away, when: whenText };
const COUNTING = 'time[data-style="ago"], time[data-style="when"]';

// An instant of a page that the script makes.
export function timeOf(ms, style = "full") {
  const time = document.createElement("time");
  time.dataset.ms = String(ms);
  time.dataset.style = style;
  localise(time);
  return time;
}

// Every instant of a part of the page, as the server has written it.
export function localise(root = document) {
  for (const time of root.matches?.("time") ? [root] : root.querySelectorAll("time[data-ms]")) {
    const ms = Number(time.dataset.ms);
    if (!Number.isFinite(ms) || time.dataset.done === time.dataset.ms) continue;
    time.textContent = STYLES[time.dataset.style ?? "full"](ms);
    time.title = `${utcText(ms)} · shown in ${zone}`;
    time.dataset.done = time.dataset.ms;
  }
}

// How far an instant is away, in words: from now, whatever instant is looked at, for what is announced is announced now.
export function away(ms) {
  const seconds = Math.round((ms - real()) / 1000);
  const size = Math.abs(seconds);
  // What is to come is counted to its second; what has been is not.
  if (size < 10 && seconds <= 0) return "now";
  const units = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const [length, unit] = units.find(([one]) => size >= one);
  const words = `${Math.floor(size / length)} ${unit}`;
  return seconds > 0 ? `in ${words}` : `${words} ago`;
}

const INSTANT = /(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC))/;

// Says a sentence that came with a frame: its instants are those of the page, as in what the server has written.
export function sayText(element, text) {
  element.replaceChildren(...text.split(INSTANT).map((part, index) => {
    const ms = index % 2 ? Date.parse(part.replace(" UTC", "Z").replace(" ", "T")) : NaN;
    return Number.isNaN(ms) ? part : timeOf(ms, "when");
  }));
}

function count() {
  const at = now();
  for (const element of document.querySelectorAll("[data-until]")) {
    const left = (Number(element.dataset.until) - at) / 1000;
    const text = duration(left);
    if (element.textContent !== text) element.textContent = text;
    element.closest(".stage-item")?.classList.toggle("due-soon", left < 60);
  }
  for (const element of document.querySelectorAll("[data-since]")) {
    const text = duration(Math.max(0, at - Number(element.dataset.since)) / 1000);
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of document.querySelectorAll("[data-clock-now]")) {
    const text = clockText(at);
    if (element.textContent !== text) element.textContent = text;
  }
  for (const time of document.querySelectorAll(COUNTING)) {
    const text = STYLES[time.dataset.style](Number(time.dataset.ms));
    if (time.textContent !== text) time.textContent = text;
  }
}

function tick() {
  count();
  dispatchEvent(new Event("second"));
  setTimeout(tick, 1000 - (real() % 1000) + 5);
}

export function start(serverNow) {
  if (Number.isFinite(serverNow) && serverNow > 0) { offset = serverNow - Date.now(); }
  for (const element of document.querySelectorAll("[data-countdown]")) {
    element.dataset.until = String(now() + Number(element.dataset.countdown) * 1000);
  }
  localise();
  const said = document.querySelector("[data-zone]");
  if (said) said.textContent = `Times in ${zone}`;
  instantFields();
  tick();
}

// What fields of date and time get by the script, also in a section that was fetched again.
export function instantFields(root = document) {
  root.querySelectorAll("[data-when]").forEach(instantField);
}

const units = { s: 1, m: 60, h: 3600, d: 86400 };

// "+1h30m" in seconds; null when it is no length of time.
function relative(text) {
  if (!/^\+\s*(\d+(\.\d+)?\s*[smhd]\s*)+$/.test(text)) return null;
  return [...text.matchAll(/(\d+(?:\.\d+)?)\s*([smhd])/g)].reduce((sum, [, number, unit]) => sum + Number(number) * units[unit], 0);
}

// The server is told in which zone a date and time without an offset is meant: the one that the page shows times in.
function zoned(form) {
  if (!form || form.elements.zone) return;
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "zone";
  field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  form.append(field);
}

// Under a field that takes an instant: what it means here, in UTC, and how far away; beside it a picker in local time.
function instantField(field) {
  const input = field.querySelector("input");
  const row = document.createElement("div");
  row.className = "when-row";
  input.replaceWith(row);
  const picker = document.createElement("input");
  picker.type = "datetime-local";
  picker.step = "1";
  picker.setAttribute("aria-label", `Pick in ${zone}`);
  picker.title = `Pick in ${zone}`;
  row.append(input, picker);
  const echo = document.createElement("p");
  echo.className = "when-echo";
  row.after(echo);
  zoned(input.form);
  const say = () => {
    const text = input.value.trim();
    const seconds = relative(text);
    // Without an offset it is meant here, as the server is told.
    const at = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?$/i.test(text) ? Date.parse(text.replace(" ", "T")) : NaN;
    echo.classList.remove("bad");
    if (text === "") echo.textContent = "";
    else if (seconds != null) echo.textContent = seconds % 86_400 === 0 ? `after ${seconds / 86_400} days` : `after ${duration(seconds)}`;
    else if (Number.isFinite(at)) {
      const away = at - now();
      echo.textContent = `${longStyle.format(at)} in ${zone} · ${utcText(at)} · ${away >= 0 ? `in ${duration(away / 1000)}` : `${duration(-away / 1000)} ago`}`;
    } else { echo.textContent = "Write +20m, or 2026-12-01T10:45 for that time here"; echo.classList.add("bad"); }
  };
  picker.addEventListener("change", () => {
    const at = new Date(picker.value);
    if (!Number.isNaN(at.getTime())) { input.value = utcText(at.getTime()); say(); input.dispatchEvent(new Event("input", { bubbles: true })); }
  });
  input.addEventListener("input", say);
  const onSecond = () => { if (input.isConnected) say(); else removeEventListener("second", onSecond); };
  addEventListener("second", onSecond);
  say();
}
