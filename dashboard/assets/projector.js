// What a room sees: lines and standings that turn their pages, a ticker of changes, the reveal with its podium.

import { Lines } from "./chart.js";
import { History } from "./history.js";
import { Table } from "./table.js";
import * as f from "./format.js";

const PAGE_MS = 9_000;
const TICKS_MAX = 9;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export function projectorPage(feed) {
  const view = document.body.dataset.view;
  wake();
  fullScreen();
  const table = new Table(document.querySelector("[data-standings]"), feed);
  if (view === "projector") board(feed, table);
  if (view === "ticker") ticker(feed, table);
  if (view === "reveal") reveal(feed, table);
}

// How many rows fit, measured on the first one.
function fitting() {
  const box = document.querySelector("[data-standings]");
  const row = box.querySelector("tbody tr");
  const height = row?.getBoundingClientRect().height || 60;
  return innerWidth <= 900 ? 100 : Math.max(3, Math.floor(box.getBoundingClientRect().height / height));
}

// The first three stay; the rest turn.
function pager(feed, table) {
  const said = document.querySelector("[data-pages]");
  let page = 0;
  let turned = Date.now();
  const show = () => {
    const all = feed.standings();
    const room = fitting();
    if (all.length <= room) { page = 0; table.show(all); said.textContent = ""; return; }
    const rest = room - 3;
    const pages = Math.ceil((all.length - 3) / rest);
    if (Date.now() - turned > PAGE_MS) { page = (page + 1) % pages; turned = Date.now(); }
    page %= pages;
    const from = 3 + page * rest;
    table.show([...all.slice(0, 3), ...all.slice(from, from + rest)]);
    said.textContent = `${from + 1} to ${Math.min(all.length, from + rest)} of ${all.length}`;
  };
  feed.addEventListener("frame", show);
  addEventListener("second", () => { if (feed.state.seq >= 0) show(); });
  addEventListener("resize", show);
  if (feed.state.seq < 0) clip(table);
}

// Before the first frame the server's rows are there, and may be too many.
function clip(table) {
  const room = fitting();
  [...table.body.children].forEach((row, index) => { row.hidden = index >= room; });
  table.feed.addEventListener("frame", () => { for (const row of table.body.children) row.hidden = false; }, { once: true });
}

function board(feed, table) {
  const store = new History(feed, document.body.dataset.history);
  const lines = new Lines(document.querySelector("[data-chart]"), store, feed, { big: true });
  pager(feed, table);
  const draw = () => {
    if (feed.state.seq < 0) return;
    lines.choose(feed.standings().slice(0, 10).map((line) => line.id));
    lines.draw();
  };
  store.addEventListener("change", draw);
  // The history may come before the first frame, and after a sealed round it never changes again.
  feed.addEventListener("frame", draw, { once: true });
}

function ticker(feed, table) {
  const list = document.querySelector("[data-ticker]");
  let before = new Map();
  pager(feed, table);
  feed.addEventListener("frame", () => {
    const current = new Map(feed.standings().map((line) => [line.id, line]));
    const changes = [];
    for (const [id, line] of current) {
      const old = before.get(id);
      if (old?.rank && line.rank && old.rank !== line.rank) changes.push({ id, from: old.rank, to: line.rank, points: line.points_last_minute });
    }
    before = current;
    for (const change of changes.sort((a, b) => Math.abs(b.from - b.to) - Math.abs(a.from - a.to)).slice(0, 4)) list.prepend(tick(feed, change));
    while (list.children.length > TICKS_MAX) list.lastChild.remove();
    if (!list.children.length) list.append(quiet());
    else if (changes.length) list.querySelector(".quiet")?.remove();
  });
}

function quiet() {
  const item = document.createElement("li");
  item.className = "quiet";
  item.textContent = "Nobody has passed anybody yet";
  return item;
}

function tick(feed, { id, from, to, points }) {
  const item = document.createElement("li");
  item.className = `c${feed.colour(id) % 8}`;
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = feed.name(id);
  const move = document.createElement("b");
  move.className = to < from ? "up" : "down";
  move.textContent = `${from} → ${to}`;
  const end = document.createElement("span");
  end.className = `end ${f.tone(points)}`;
  end.textContent = `${f.signed(points)} in a minute`;
  item.append(name, move, end);
  return item;
}

// From the last place to the first, one at a press; the podium when the first three stand. It has the organisers' feed, so
// that the end is known here while everybody else is still frozen; whoever is hidden from the board is so here too.
function reveal(feed, table) {
  const podium = document.querySelector("[data-podium]");
  let open = null;
  const show = () => {
    const all = feed.standings().filter((line) => !line.hidden);
    // Before the first names come there is nothing to unveil, and it must not count as done.
    if (open === null && all.length) open = all.length;
    if (open === null) return;
    table.show(all);
    all.forEach((line, index) => {
      const { row } = table.rows.get(line.id);
      const veiled = index < open;
      if (row.classList.contains("veiled") && !veiled) { row.classList.add("unveiled"); row.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" }); }
      row.classList.toggle("veiled", veiled);
    });
    podium.hidden = open > 2;
    if (!podium.hidden) steps(podium, all.slice(0, 3), open, feed);
  };
  const next = () => { if (open > 0) { open -= 1; show(); } };
  feed.addEventListener("frame", show);
  document.querySelector("[data-reveal-next]").addEventListener("click", next);
  document.querySelector("[data-reveal-all]").addEventListener("click", () => { open = 0; show(); });
  addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "PageDown" || (event.key === " " && event.target === document.body)) { event.preventDefault(); next(); }
  });
}

function steps(podium, three, open, feed) {
  const said = three.map((line, index) => (index >= open ? `${line.id}${line.points}` : "")).join();
  if (podium.dataset.said === said) return;
  podium.dataset.said = said;
  podium.replaceChildren(...three.map((line, index) => {
    const box = document.createElement("div");
    box.className = `p${index + 1}`;
    if (index < open) return box;
    const [name, score, step] = ["name", "score", "step"].map((kind) => { const p = document.createElement("p"); p.className = kind; return p; });
    name.textContent = line.display_name;
    score.textContent = f.points(line.points);
    step.textContent = f.rank(line.rank);
    box.append(name, score, step);
    return box;
  }));
}

// A projector must not fall asleep. Only where the page is served securely; elsewhere the machine's own settings count.
async function wake() {
  if (!navigator.wakeLock) return;
  const hold = async () => { try { await navigator.wakeLock.request("screen"); } catch { /* low battery or no permission */ } };
  await hold();
  addEventListener("visibilitychange", () => { if (!document.hidden) hold(); });
}

function fullScreen() {
  const button = document.querySelector("[data-full]");
  if (!button || !document.fullscreenEnabled) return;
  button.hidden = false;
  const toggle = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => {});
  button.addEventListener("click", toggle);
  addEventListener("keydown", (event) => { if (event.key === "f" && !event.ctrlKey && !event.metaKey) toggle(); });
  addEventListener("fullscreenchange", () => { button.hidden = Boolean(document.fullscreenElement); });
}
