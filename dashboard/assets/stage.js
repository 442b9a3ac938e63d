// The strip under the menu: state, clock, what answers must say now; the pill of the connection; announcements.

import { now, clockText, sayText, timeOf } from "./clock.js";
import { count, duration, frozen } from "./format.js";

const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

function until(holder, before, at) {
  if (!holder) return;
  if (at == null || at <= now()) { if (holder.firstChild) holder.replaceChildren(); return; }
  counted(holder, before, "until", at, at - now());
}

// How long something has lasted: counted by the clock, like the time until something.
function since(holder, before, at) {
  counted(holder, before, "since", at, Math.max(0, now() - at));
}

// A label and a duration that the clock counts on, by `data-until` or `data-since`.
function counted(holder, before, kind, at, length_ms) {
  const shown = holder.querySelector(`[data-${kind}]`);
  if (shown && holder.dataset.before === before) { shown.dataset[kind] = String(at); return; }
  const b = document.createElement("b");
  b.dataset[kind] = String(at);
  b.textContent = duration(length_ms / 1000);
  const label = document.createElement("span");
  label.className = "label";
  label.textContent = before;
  holder.dataset.before = before;
  holder.replaceChildren(label, " ", b);
}

export function stage(feed) {
  const strip = document.querySelector("[data-stage]");
  if (!strip) return;
  const find = (name) => strip.querySelector(`[data-${name}]`);
  feed.addEventListener("frame", () => {
    const { round, due, ended } = feed.state;
    const pill = find("stage-state");
    const state = ended ? "ended" : round?.state ?? "none";
    if (pill.dataset.state !== state) { pill.dataset.state = state; }
    put(pill, state === "none" ? "no round yet" : state);
    put(find("stage-round"), round ? `Round ${round.number}${round.scored ? "" : " (practice)"}` : "");
    put(find("stage-phase"), round?.phase ? `phase ${round.phase} of ${round.phases}` : "");
    const clock = find("stage-clock");
    if (round?.state === "armed") until(clock, "starts in", round.start_at);
    else if (round?.state === "running") until(clock, "ends in", round.end_at);
    else if (round?.paused_at) since(clock, "paused for", round.paused_at);
    else clock.replaceChildren();
    find("stage-frozen").hidden = !(round?.frozen_at && !round.revealed);
    put(find("stage-frozen"), frozen(round?.reveal_waits));
    find("stage-due").hidden = !round;
    if (due) {
      put(find("due-version"), due.version);
      put(find("due-from"), due.from);
      until(find("due-version-at"), "→ v2 in", due.version_at);
      until(find("due-from-at"), "→ ECS in", due.from_at);
    }
    validity(feed);
    notices(feed.state.notices);
  });
  addEventListener("second", () => {
    const bar = find("stage-progress");
    const round = feed.state.round;
    if (!bar || !round?.start_at || !round.end_at || round.end_at <= round.start_at) return;
    bar.value = Math.max(0, Math.min(1000, ((now() - round.start_at) / (round.end_at - round.start_at)) * 1000));
  });
}

export function pill(feed) {
  const element = document.querySelector("[data-link]");
  if (!element) return;
  const text = element.querySelector("[data-link-text]");
  feed.addEventListener("link", () => {
    if (element.dataset.state !== feed.link) element.dataset.state = feed.link;
    const said = {
      live: "live", ended: "ended", out: "signed out", connecting: "connecting", reconnecting: "reconnecting",
      stale: `stale since ${clockText(feed.staleSince)}`,
    }[feed.link];
    put(text, said);
  });
}

// The sentence is the server's; its numbers go on with the feed.
function validity(feed) {
  const of = feed.state.validity;
  for (const banner of document.querySelectorAll("[data-validity]")) {
    banner.hidden = !of?.warn;
    if (banner.hidden) continue;
    const say = (name, text) => put(banner.querySelector(`[data-validity-${name}]`), text);
    const show = (name, shown) => { const part = banner.querySelector(`[data-validity-${name}]`); if (part) part.hidden = !shown; };
    say("invalid", count(feed.invalidSeconds));
    for (const name of ["seconds", "void", "due"]) say(name, count(of[name]));
    show("late", of.late_ms > 0);
    say("late-ms", count(of.late_ms ?? 0));
    show("generators", of.late_generators?.length);
    say("names", of.late_generators?.join(", ") ?? "");
    show("away", of.unplayed_seconds > 0);
    say("unplayed", count(of.unplayed_seconds));
    show("because", of.cause);
    say("cause", of.cause ?? "");
    show("house", of.house_failures != null);
    say("lost", count(of.house_failures ?? 0));
  }
}

// Those that somebody has hidden, for as long as the tab is open.
const GONE = "flowtest-hidden-notices";
let gone = new Set();
try { gone = new Set(JSON.parse(sessionStorage.getItem(GONE) ?? "[]")); } catch { /* none */ }

// One line whatever is announced: the newest, and how many more there are; unfolded it says them all.
function notices(list) {
  const box = document.querySelector("[data-notices]");
  if (!box) return;
  const shown = list.filter((notice) => !gone.has(notice.id));
  const key = shown.map((notice) => notice.id).join();
  if (box.dataset.said === key) return;
  box.dataset.said = key;
  if (!shown.length) { box.replaceChildren(); return; }
  const make = (tag, kind, text) => { const one = document.createElement(tag); if (kind) one.className = kind; if (text) one.textContent = text; return one; };
  const time = (notice, kind) => { const one = timeOf(notice.at, "ago"); one.className = kind; return one; };
  const [newest] = shown;
  const whole = make("details", `notice one-line ${shown.some((notice) => notice.level === "warn") ? "warn" : "info"}`);
  whole.open = Boolean(box.querySelector("details[open]"));
  const line = make("summary");
  const words = (kind, text) => { const one = make("span", kind); sayText(one, text); return one; };
  line.append(words("notice-text", newest.text));
  if (shown.length > 1) line.append(make("span", "notice-more", `and ${shown.length - 1} more`));
  line.append(time(newest, ""));
  const all = make("ul", "lines");
  all.append(...shown.map((notice) => { const item = make("li"); item.append(words("grow wrap-anywhere", notice.text), time(notice, "muted small")); return item; }));
  whole.append(line, all);
  box.replaceChildren(whole);
  hideable(box, shown.map((notice) => notice.id));
}

function hideable(box, ids) {
  if (document.body.dataset.page === "projector") return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet small notice-hide";
  button.textContent = "Hide";
  button.addEventListener("click", () => {
    for (const id of ids) gone.add(id);
    try { sessionStorage.setItem(GONE, JSON.stringify([...gone])); } catch { /* for the page */ }
    box.replaceChildren();
  });
  box.append(button);
}
