// The organiser's page: the traffic plan drawn while it is typed, and a word before a page with unsaved changes is left.

import { duration, count } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600 };

const seconds = (text) => [...text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h)/g)].reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit], 0);

// Enough of TOML for [[phase]] tables. The server reads it properly; this only draws, and says nothing about errors.
function phases(text) {
  const all = [];
  for (const raw of text.split("\n")) {
    const line = raw.replace(/#.*$/, "").trim();
    if (line === "[[phase]]") { all.push({ scored: true, connections: 64, pipeline: 1 }); continue; }
    const [, key, value] = /^(\w+)\s*=\s*"?([^"]*)"?$/.exec(line) ?? [];
    const phase = all.at(-1);
    if (!phase || !key) continue;
    if (key === "for") phase.seconds = seconds(value);
    else if (key === "rate") { const [from, to = from] = value.replaceAll("_", "").split("..").map(Number); Object.assign(phase, { from, to }); }
    else if (key === "scored") phase.scored = value !== "false";
    else if (key === "connections" || key === "pipeline") phase[key] = Number(value);
  }
  return all.filter((phase) => phase.seconds > 0 && (phase.from === undefined || (Number.isFinite(phase.from) && Number.isFinite(phase.to))));
}

function draw(box, list) {
  const total = list.reduce((sum, phase) => sum + phase.seconds, 0);
  const top = Math.max(1, ...list.map((phase) => Math.max(phase.from ?? 0, phase.to ?? 0)));
  const frame = document.createElement("div");
  frame.className = "plan-frame";
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 1000 200");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Requests per second of each contestant over ${duration(total)}`);
  const y = (rate) => 200 - (rate / top) * 188;
  let at = 0;
  for (const phase of list) {
    const [left, right] = [(at / total) * 1000, ((at + phase.seconds) / total) * 1000];
    at += phase.seconds;
    const closed = phase.from === undefined;
    const shape = document.createElementNS(SVG, "path");
    shape.setAttribute("class", `${closed ? "closed" : "open"}${phase.scored ? "" : " free"}`);
    shape.setAttribute("d", `M${left} 200L${left} ${closed ? 0 : y(phase.from)}L${right} ${closed ? 0 : y(phase.to)}L${right} 200Z`);
    svg.append(shape);
  }
  const label = document.createElement("span");
  label.className = "plan-top";
  label.textContent = `${count(top)}/s`;
  const axis = document.createElement("div");
  axis.className = "plan-axis";
  axis.append(...["0:00", duration(total)].map((text) => { const span = document.createElement("span"); span.textContent = text; return span; }));
  frame.append(label, svg, axis);
  const items = document.createElement("ol");
  items.className = "plan-phases";
  for (const phase of list) {
    const item = document.createElement("li");
    const length = document.createElement("strong");
    length.textContent = duration(phase.seconds);
    const load = phase.from === undefined ? `sprint: as fast as answers come, ${count(phase.pipeline)} in flight per connection`
      : phase.from === phase.to ? `${count(phase.from)} requests/s` : `${count(phase.from)} to ${count(phase.to)} requests/s`;
    item.append(length, ` ${load}, at most ${count(phase.connections)} connections${phase.scored ? "" : ", not scored"}`);
    items.append(item);
  }
  const figure = document.createElement("figure");
  figure.className = "plan";
  figure.append(frame, items);
  box.replaceChildren(box.querySelector("h3"), figure);
}

export function settingPage() {
  const form = document.querySelector("[data-contest]");
  const plan = form.querySelector("[name=plan]");
  const box = form.querySelector("[data-plan-preview]");
  plan.addEventListener("input", () => {
    const list = phases(plan.value);
    if (list.length) draw(box, list);
  });
  let touched = false;
  form.addEventListener("input", () => { touched = true; });
  addEventListener("submit", () => { touched = false; });
  addEventListener("beforeunload", (event) => { if (touched) event.preventDefault(); });
  document.getElementById("difference")?.scrollIntoView({ block: "start" });
}
