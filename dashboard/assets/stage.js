// The strip under the menu: state, clock, what answers must say now; the pill of the connection; announcements.

import { now, clockText, localise } from "./clock.js";
import { count, duration } from "./format.js";

const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

function until(holder, before, at) {
  if (!holder) return;
  if (at == null || at <= now()) { if (holder.firstChild) holder.replaceChildren(); return; }
  const shown = holder.querySelector("[data-until]");
  if (shown && holder.dataset.before === before) { shown.dataset.until = String(at); return; }
  const b = document.createElement("b");
  b.dataset.until = String(at);
  b.textContent = duration((at - now()) / 1000);
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
    else clock.replaceChildren();
    find("stage-frozen").hidden = !(round?.frozen_at && !round.revealed);
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
      live: "live", ended: "ended", connecting: "connecting", reconnecting: "reconnecting",
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
    show("generators", of.late_generators?.length);
    say("names", of.late_generators?.join(", ") ?? "");
    show("house", of.house_failures != null);
    say("lost", count(of.house_failures ?? 0));
  }
}

const gone = new Set();

function notices(list) {
  const box = document.querySelector("[data-notices]");
  const shown = new Map([...box.querySelectorAll("[data-notice]")].map((one) => [one.dataset.notice, one]));
  for (const notice of list) {
    const id = String(notice.id);
    if (shown.delete(id) || gone.has(id)) continue;
    const element = document.createElement("div");
    element.className = `notice ${notice.level === "warn" ? "warn" : "info"}`;
    element.dataset.notice = id;
    const p = document.createElement("p");
    p.textContent = notice.text;
    const time = document.createElement("time");
    time.dataset.ms = String(notice.at);
    time.dataset.style = "clock";
    element.append(p, time);
    box.prepend(element);
    dismissable(element);
  }
  for (const old of shown.values()) old.remove();
  localise(box);
}

export function dismissable(element) {
  if (document.body.dataset.page === "projector") return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet small";
  button.textContent = "Hide";
  button.addEventListener("click", () => { gone.add(element.dataset.notice); element.remove(); });
  element.append(button);
}
