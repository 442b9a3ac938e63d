// The reveal, as an organiser goes through it before the room. Each step is asked for when it comes: no name and no points of
// a later one are in the page before. Back takes away again what was told.

import * as f from "./format.js";
import { sessionEnded } from "./session.js";
import { HOUSE } from "./tints.js";

const PIECES = 80;
// More boxes have no room beside each other.
const PODIUM_MAX = 6;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function make(tag, kind, text) {
  const one = document.createElement(tag);
  if (kind) one.className = kind;
  if (text !== undefined) one.textContent = text;
  return one;
}

// What a place holds; one that nothing broke is marked.
const holdsWord = ({ holds, unbroken }) => `${f.holds(holds)}${unbroken ? ", unbroken" : ""}`;
const COLUMNS = ["place", "name", "holds", "points", "points-won"];

export class Reveal {
  constructor(page) {
    const find = (name) => page.querySelector(`[data-${name}]`);
    Object.assign(this, { said: find("reveal-said"), board: find("reveal-board"), podium: find("podium"), next: find("reveal-next"), back: find("reveal-back"), count: find("reveal-count") });
    this.rows = new Map();
    this.head = make("li", "head");
    this.head.append(...["Place", "Team", "Holds", "Points", ""].map((words, index) => make("span", COLUMNS[index], words)));
    this.step = Math.max(0, Number(location.hash.slice(1)) || 0);
    // The freeze from which the show goes, once it has begun: whatever is revealed or unfrozen meanwhile, it goes on.
    this.frozen = new URL(location.href).searchParams.get("frozen");
    // What could not be shown yet comes first.
    const forward = () => this.go(this.stage ? this.step + 1 : this.step);
    const back = () => this.go(this.step - 1);
    this.next.addEventListener("click", forward);
    // Space goes on afterwards, too.
    this.back.addEventListener("click", () => { this.back.blur(); back(); });
    addEventListener("keydown", (event) => {
      if (event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
      if (["ArrowRight", "PageDown"].includes(event.key) || (event.key === " " && !event.target.closest("a, button"))) { event.preventDefault(); forward(); }
      if (["ArrowLeft", "PageUp"].includes(event.key)) { event.preventDefault(); back(); }
    });
    this.go(this.step);
  }

  async go(step) {
    if (this.isAsking || step < 0 || (this.stage && step > this.stage.steps)) return;
    this.isAsking = true;
    try {
      const from = this.frozen == null ? "" : `&frozen=${this.frozen}`;
      const answer = await fetch(`/api/reveal?step=${step}${from}`, { headers: { accept: "application/json" }, credentials: "same-origin" });
      if (answer.status === 401) { sessionEnded(); return; }
      const stage = await answer.json();
      // Such as a round that waits for a word of the organisers.
      if (answer.ok) this.show(stage); else this.said.textContent = stage.message;
    } catch { this.said.textContent = "The dashboard does not answer: press again"; } finally { this.isAsking = false; }
  }

  show(stage) {
    this.stage = stage;
    this.step = stage.step;
    if (stage.step) this.frozen = String(stage.frozen);
    const address = new URL(location.href);
    if (this.frozen != null) address.searchParams.set("frozen", this.frozen);
    address.hash = String(stage.step);
    history.replaceState(null, "", address);
    this.said.textContent = stage.said || (stage.steps ? "As the board was frozen" : "Nobody is on the board yet");
    if (!stage.said && stage.unknown) this.said.textContent = "Who has won?";
    this.next.textContent = stage.next ?? "The end";
    this.next.disabled = !stage.next;
    this.back.disabled = stage.step === 0;
    this.count.textContent = `${stage.step} of ${stage.steps}`;
    document.body.classList.toggle("ceremony", stage.ceremony);
    this.list(stage);
    this.ceremony(stage);
  }

  list(stage) {
    const before = new Map([...this.board.children].map((row, index) => [row.dataset.id, index]));
    const rows = stage.board.filter((place) => place.id !== HOUSE).map((place) => this.row(place, stage));
    const unknown = Array.from({ length: stage.unknown }, (_, index) => {
      const row = make("li", "unknown");
      row.append(...COLUMNS.map((kind) => make("span", kind, { place: String(index + 1), name: "?" }[kind])));
      return row;
    });
    const hasHolds = stage.by_holds || stage.board.some((place) => place.holds != null);
    this.board.classList.toggle("has-holds", hasHolds);
    this.board.classList.toggle("by-holds", stage.by_holds);
    this.board.replaceChildren(...(hasHolds ? [this.head] : []), ...unknown, ...rows);
    const known = new Set(stage.board.map((place) => place.id));
    for (const id of this.rows.keys()) if (!known.has(id)) this.rows.delete(id);
    const chosen = this.board.querySelector(".waits, .moved");
    // One look at the layout for all that moves.
    const height = rows[0]?.offsetHeight ?? 0;
    chosen?.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
    if (!stage.step) this.board.scrollTop = this.board.scrollHeight;
    if (calm.matches || !before.size) return;
    [...this.board.children].forEach((row, index) => {
      const from = before.get(row.dataset.id);
      if (from === undefined || from === index || !row.dataset.id) return;
      const isMoved = row.classList.contains("moved");
      row.animate([{ transform: `translateY(${(from - index) * height}px)` }, { transform: "none" }], { duration: isMoved ? 1_400 : 500, easing: "cubic-bezier(.2,.8,.2,1)" });
    });
  }

  row(place, stage) {
    let row = this.rows.get(place.id);
    if (!row) {
      row = make("li");
      row.dataset.id = place.id;
      row.append(...COLUMNS.map((kind) => make("span", kind)));
      this.rows.set(place.id, row);
    }
    row.className = [place.resolved ? "resolved" : "", place.moved ? "moved" : "", stage.suspense === place.id ? "waits" : ""].filter(Boolean).join(" ");
    const [rank, name, holds, points, won] = row.children;
    rank.textContent = String(place.rank);
    name.textContent = place.display_name;
    holds.textContent = holdsWord(place);
    points.textContent = f.points(place.points);
    const change = place.rank_change > 0 ? `▲ ${place.rank_change}` : "";
    won.textContent = place.moved && (place.points_won || change) ? `${f.signed(place.points_won)}  ${change}` : "";
    won.className = `points-won ${f.tone(place.points_won)}`;
    return row;
  }

  ceremony(stage) {
    this.podium.hidden = !stage.ceremony;
    document.querySelector(".confetti")?.remove();
    if (!stage.ceremony) { this.podium.replaceChildren(); return; }
    // Equal ones share a place, and a step as high.
    const first = stage.board.filter((place) => place.rank <= 3 && place.id !== HOUSE);
    const shown = first.slice(0, PODIUM_MAX);
    this.podium.style.setProperty("--boxes", String(Math.max(3, shown.length)));
    this.podium.classList.toggle("is-shared", shown.some((place, index) => place.rank !== index + 1));
    this.podium.replaceChildren(...shown.map((place) => {
      const box = make("div", `p${place.rank}`);
      box.append(make("p", "name", place.display_name), make("p", "score", stage.by_holds ? `${holdsWord(place)}, ${f.points(place.points)} points` : f.points(place.points)), make("p", "step", f.rank(place.rank)));
      return box;
    }));
    if (first.length > shown.length) this.podium.append(make("p", "more", `and ${first.length - shown.length} more`));
    const confetti = make("div", "confetti");
    confetti.setAttribute("aria-hidden", "true");
    for (let piece = 0; piece < PIECES; piece++) {
      const one = make("i", `c${piece % 12}`);
      one.style.left = `${Math.random() * 100}%`;
      one.style.animationDelay = `${-Math.random() * 4}s`;
      confetti.append(one);
    }
    document.body.append(confetti);
  }
}
