// What a room sees: lines and standings that turn their pages, a ticker of changes, the reveal with its podium.

import { Lines } from "./chart.js";
import { Climb } from "./climb.js";
import { History } from "./history.js";
import { Table } from "./table.js";
import { HOUSE, Tints } from "./tints.js";
import * as f from "./format.js";
import { Reveal } from "./reveal.js";

const PAGE_MS = 9_000;
const TICKS_MAX = 9;

export function projectorPage(feed) {
  const view = document.body.dataset.view;
  wake();
  fullScreen();
  if (view === "reveal") { new Reveal(document); return; }
  if (view === "projector") board(feed);
  if (view === "ticker") ticker(feed);
}

// How many rows fit: the observer tells the heights of the box and of a row, so that nobody asks for the layout.
class Room extends EventTarget {
  constructor(box) {
    super();
    [this.height, this.row] = [0, 60];
    this.watch = new ResizeObserver((all) => {
      for (const { target, borderBoxSize: [{ blockSize }] } of all) {
        if (target === box) this.height = blockSize; else if (blockSize) this.row = blockSize;
      }
      this.dispatchEvent(new Event("change"));
    });
    this.watch.observe(box);
    const row = box.querySelector("tbody tr");
    if (row) this.follow(row);
  }

  follow(row) {
    if (this.followed === row) return;
    // One row says how high they are: one that was the first before may have more to say, or less.
    if (this.followed) this.watch.unobserve(this.followed);
    this.followed = row;
    this.watch.observe(row);
  }

  get rows() { return innerWidth <= 900 ? 100 : Math.max(3, Math.floor(this.height / this.row)); }
}

// The first three stay; the rest turn.
function pager(feed, table) {
  const said = document.querySelector("[data-pages]");
  const room = new Room(document.querySelector("[data-standings]"));
  let page = 0;
  let turned = Date.now();
  const show = () => {
    const all = feed.standings();
    const fit = room.rows;
    const first = table.body.firstElementChild;
    if (first) room.follow(first);
    if (all.length <= fit) { page = 0; table.show(all); said.textContent = ""; return; }
    const rest = Math.max(1, fit - 3);
    const pages = Math.ceil((all.length - 3) / rest);
    if (Date.now() - turned > PAGE_MS) { page = (page + 1) % pages; turned = Date.now(); }
    page %= pages;
    const from = 3 + page * rest;
    table.show([...all.slice(0, 3), ...all.slice(from, from + rest)]);
    said.textContent = `${from + 1} to ${Math.min(all.length, from + rest)} of ${all.length}`;
  };
  feed.addEventListener("frame", show);
  addEventListener("second", () => { if (feed.state.seq >= 0) show(); });
  room.addEventListener("change", () => { if (feed.state.seq >= 0) show(); else clip(table, room.rows); });
}

// Before the first frame the server's rows are there, and may be too many.
function clip(table, room) {
  [...table.body.children].forEach((row, index) => { row.hidden = index >= room; });
  table.feed.addEventListener("frame", () => { for (const row of table.body.children) row.hidden = false; }, { once: true });
}

function board(feed) {
  const store = new History(feed, document.body.dataset.history);
  const lines = new Lines(document.querySelector("[data-chart]"), store, feed, { big: true });
  pager(feed, new Table(document.querySelector("[data-standings]"), feed, { tints: lines.tints }));
  // While everybody climbs, the bars stand where the lines do.
  const climb = new Climb(document.querySelector("[data-climb]"), feed, { turns: true, tints: lines.tints });
  const chart = document.querySelector("[data-show-chart]");
  feed.addEventListener("frame", () => {
    const wasHidden = chart.hidden;
    chart.hidden = climb.show(feed.standings());
    if (wasHidden && !chart.hidden) draw();
  });
  const draw = () => {
    if (feed.state.seq < 0 || chart.hidden) return;
    lines.choose(feed.standings().filter((line) => line.id !== HOUSE).slice(0, 10).map((line) => line.id));
    lines.draw();
  };
  store.addEventListener("change", draw);
  // The history may come before the first frame, and after a sealed round it never changes again.
  feed.addEventListener("frame", draw, { once: true });
}

function ticker(feed) {
  const table = new Table(document.querySelector("[data-standings]"), feed);
  const list = document.querySelector("[data-ticker]");
  const tints = new Tints();
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
    // No two teams that stand there have the same colour.
    const items = [...list.querySelectorAll("[data-id]")];
    tints.assign([...new Set(items.map((item) => item.dataset.id))], (id) => feed.colour(id));
    for (const item of items) item.className = tints.dress(item.dataset.id);
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
  item.dataset.id = id;
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
