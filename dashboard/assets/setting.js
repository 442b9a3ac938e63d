// Control: what changes by itself is fetched again while somebody looks, and a team opens in its place.

import { instantFields, localise } from "./clock.js";
import { isTyped, tools } from "./fields.js";

// What Control finds out twice a second is on the page within two.
const LOOK_MS = 1_500;
const SECTIONS = ["halt", "halted", "guide", "unruled", "validity-strip", "ready", "round", "announced", "teams"];

// What an element is, so that the one in its place is found: whoever moves by the keyboard stays where it was.
const nameOf = (one) => `${one.tagName} ${one.dataset.teamOpen ?? one.getAttribute("href") ?? ""} ${one.form?.getAttribute("action") ?? ""} ${one.tagName === "SUMMARY" ? one.firstChild?.textContent : one.name ?? ""}`;

// Where somebody types, has typed, or is asked something.
const isBusy = (part) => isTyped(part) || part.contains(document.activeElement) && document.activeElement.matches("input:not([data-find]), select, textarea");

function dress(part) {
  for (const one of [localise, tools, instantFields]) one(part);
}

// What somebody has opened stays open, whatever stands beside it now.
function keepFolds(before, after) {
  const folds = new Map([...before.querySelectorAll("details")].map((fold) => [nameOf(fold.firstElementChild), fold.open]));
  for (const fold of after.querySelectorAll("details")) fold.open = folds.get(nameOf(fold.firstElementChild)) ?? fold.open;
}

// What follows the round, fetched again every few seconds and at once when the round's state changes. What somebody
// types or has opened stays; then a line says that the levers are of before.
function follow(feed) {
  const main = document.getElementById("main");
  const bar = document.createElement("p");
  bar.className = "notice plain warn";
  bar.setAttribute("role", "status");
  const again = document.createElement("a");
  again.href = "/setting";
  again.textContent = "Leave it and show those of now";
  let asking = false;
  // The state of which the last frame told that something was fetched for.
  let asked = "";
  const said = new Map();
  const find = (part, held) => [...part.querySelectorAll("a, button, summary, [tabindex]")].find((one) => nameOf(one) === held);
  async function look() {
    if (asking || document.hidden) return false;
    asking = true;
    try {
      const team = opened();
      const answer = await fetch(`/setting/live${team}`, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) return true;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      const { state, round } = next.dataset;
      for (const id of SECTIONS) {
        const [before, after] = [document.getElementById(id), next.querySelector(`#${id}`)];
        if (!before || !after || (id === "teams" && team !== opened())) continue;
        // What has not changed is left alone, and so is what somebody presses at this moment.
        const text = after.outerHTML;
        if (said.get(id) === text || before.matches(":active")) continue;
        const held = before.contains(document.activeElement) ? nameOf(document.activeElement) : null;
        if (id === "teams" && renewTeams(before, after)) {
          said.set(id, text);
          if (held && !before.contains(document.activeElement)) find(before, held)?.focus({ preventScroll: true });
          continue;
        }
        if (isBusy(before)) {
          if (id === "round" && (state !== main.dataset.state || round !== main.dataset.round)) {
            bar.replaceChildren(`Round ${round} is ${state} now: these levers are of before. `, again);
            before.before(bar);
          }
          continue;
        }
        keepFolds(before, after);
        said.set(id, text);
        before.replaceWith(document.adoptNode(after));
        if (held) find(after, held)?.focus({ preventScroll: true });
        dress(after);
        if (id === "teams") teams();
        if (id === "round") { bar.remove(); Object.assign(main.dataset, { state, round }); }
      }
    } catch { /* The next look finds out. */ } finally { asking = false; }
    return true;
  }
  feed?.addEventListener("frame", () => {
    const { round } = feed.state;
    const told = round ? `${round.state} ${round.number}` : "";
    if (!round || told === asked || (round.state === main.dataset.state && String(round.number) === main.dataset.round)) return;
    // Whoever types keeps its section, and nothing is fetched for it every second.
    if (!asking && !document.hidden) { asked = told; look(); }
  });
  setInterval(look, LOOK_MS);
  look();
}

// Lines are put in their new order around the team that is open and in which somebody types: what is typed stays, and nobody
// else's line waits for it. Says false where the section has to be put in place as a whole.
function renewTeams(before, after) {
  const [old, next] = [before, after].map((section) => section.querySelector("tbody"));
  if (!old || !next) return false;
  const open = old.querySelector("[data-team-body]");
  const held = open && isBusy(open) ? open : null;
  const body = next.querySelector("[data-team-body]");
  if (held) body?.remove();
  else if (open && body) keepFolds(open, body);
  const lines = [...next.children].map((line) => document.adoptNode(line));
  const at = held ? lines.findIndex((line) => line.id === `team-${held.dataset.teamBody}`) : -1;
  for (const line of [...old.children]) if (line !== held) line.remove();
  lines.forEach((line, index) => {
    if (held && index <= at) held.before(line); else old.append(line);
    if (line.matches("[data-team-body]")) dress(line); else localise(line);
  });
  if (held && at >= 0) lines[at].querySelector("[data-team-open]").setAttribute("aria-expanded", "true");
  before.querySelector("[data-count]").textContent = after.querySelector("[data-count]").textContent;
  search(before);
  return true;
}

// The team that is open stands in the address, so that a reload and whoever gets the link see it too.
const opened = () => { const team = new URL(location.href).searchParams.get("team"); return team ? `?team=${encodeURIComponent(team)}` : ""; };

let wanted = "";

function search(section) {
  const text = wanted.trim().toLocaleLowerCase();
  for (const row of section.querySelectorAll("[data-team]")) row.hidden = !row.textContent.toLocaleLowerCase().includes(text);
}

// What somebody searches for and what is open stays when the section is fetched again.
function teams() {
  const section = document.getElementById("teams");
  const find = section?.querySelector("[data-find]");
  if (!find) return;
  find.closest("[data-needs-script]").hidden = false;
  if (find.value !== wanted) { find.value = wanted; search(section); }
  find.addEventListener("input", () => { wanted = find.value; search(section); });
  section.addEventListener("click", (event) => {
    const link = event.target.closest("[data-team-open]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    toggle(section, link.dataset.teamOpen);
  });
}

async function toggle(section, id) {
  const address = new URL(location.href);
  const open = section.querySelector("[data-team-body]");
  for (const link of section.querySelectorAll("[data-team-open]")) link.setAttribute("aria-expanded", "false");
  open?.remove();
  if (open?.dataset.teamBody === id) {
    address.searchParams.delete("team");
    history.replaceState(null, "", address);
    return;
  }
  address.searchParams.set("team", id);
  history.replaceState(null, "", address);
  const answer = await fetch(`/setting/team/${encodeURIComponent(id)}`, { headers: { accept: "text/html" } });
  // Somebody was quicker: another team is open by now, or this one is there already.
  if (opened() !== address.search || section.querySelector("[data-team-body]")) return;
  const line = section.querySelector(`#team-${CSS.escape(id)}`);
  if (!answer.ok || answer.redirected || !line) { location.assign(address); return; }
  const body = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  const row = document.createElement("tr");
  row.className = "team-opened";
  row.dataset.teamBody = id;
  const cell = document.createElement("td");
  cell.colSpan = line.cells.length;
  cell.append(...document.adoptNode(body).childNodes);
  row.append(cell);
  line.after(row);
  line.querySelector("[data-team-open]").setAttribute("aria-expanded", "true");
  dress(row);
}

// A form that was refused, or asks something, answers at its own address. From then on the page is at its own, with the team
// that is open, so that what it fetches and a reload show the same.
function settle() {
  const { open } = document.getElementById("main").dataset;
  if (location.pathname !== "/setting") history.replaceState(null, "", open ? `/setting?team=${open}#team-${open}` : "/setting");
  document.querySelector("main [aria-invalid=true]")?.focus();
  document.querySelector("main form [role=alert]")?.scrollIntoView({ block: "center" });
}

export function settingPage(feed) {
  settle();
  teams();
  follow(feed);
}
