// Control: what changes by itself is fetched again while somebody looks, and a team opens in its place.

import { instantFields, localise } from "./clock.js";
import { tools } from "./fields.js";

const LOOK_MS = 5_000;
const SECTIONS = ["halt", "halted", "guide", "unruled", "validity-strip", "ready", "round", "teams"];

// What an element is, so that the one in its place is found: whoever moves by the keyboard stays where it was.
const nameOf = (one) => `${one.tagName} ${one.dataset.teamOpen ?? one.getAttribute("href") ?? ""} ${one.form?.getAttribute("action") ?? ""} ${one.tagName === "SUMMARY" ? one.firstChild?.textContent : one.name ?? ""}`;

// What follows the round, fetched again every few seconds and at once when the round's state changes. What somebody
// types or has opened stays; then a line says that the levers are of before.
function follow(feed) {
  const main = document.getElementById("main");
  const bar = document.createElement("p");
  bar.className = "notice plain warn";
  bar.setAttribute("role", "status");
  let asking = false;
  const said = new Map();
  // A question that waits for its answer stays as well.
  const isBusy = (section) => section.querySelector("form [role=alert]") || section.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")
    || [...section.querySelectorAll("input:not([data-find]), textarea, select")].some((input) => input.type === "checkbox" ? input.checked !== input.defaultChecked : input.tagName === "SELECT" ? false : input.value !== input.defaultValue);
  const openFolds = (section) => [...section.querySelectorAll("details")].map((fold) => fold.open);
  async function look() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const answer = await fetch(`/setting/live${opened()}`, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      const { state, round } = next.dataset;
      for (const id of SECTIONS) {
        const [before, after] = [document.getElementById(id), next.querySelector(`#${id}`)];
        if (!before || !after) continue;
        // What has not changed is left alone, and so is what somebody presses at this moment.
        const text = after.outerHTML;
        if (said.get(id) === text || before.matches(":active")) continue;
        if (isBusy(before)) {
          if (id === "round" && (state !== main.dataset.state || round !== main.dataset.round)) {
            bar.textContent = `Round ${round} is ${state} now: these levers are of before. Load the page again when you have finished typing.`;
            before.before(bar);
          }
          continue;
        }
        const folds = openFolds(before);
        const changed = [...after.querySelectorAll("details")];
        if (folds.length === changed.length) changed.forEach((fold, index) => { fold.open = folds[index]; });
        said.set(id, text);
        const held = before.contains(document.activeElement) ? nameOf(document.activeElement) : null;
        before.replaceWith(document.adoptNode(after));
        if (held) [...after.querySelectorAll("a, button, summary, [tabindex]")].find((one) => nameOf(one) === held)?.focus({ preventScroll: true });
        for (const dress of [localise, tools, instantFields]) dress(after);
        if (id === "teams") teams();
        if (id === "round") { bar.remove(); Object.assign(main.dataset, { state, round }); }
      }
    } catch { /* The next look finds out. */ } finally { asking = false; }
  }
  feed?.addEventListener("frame", () => {
    const { round } = feed.state;
    if (round && (round.state !== main.dataset.state || String(round.number) !== main.dataset.round)) look();
  });
  setInterval(look, LOOK_MS);
  look();
}

// The team that is open stands in the address, so that a reload and whoever gets the link see it too.
const opened = () => { const team = new URL(location.href).searchParams.get("team"); return team ? `?team=${encodeURIComponent(team)}` : ""; };

let wanted = "";

// What somebody searches for and what is open stays when the section is fetched again.
function teams() {
  const section = document.getElementById("teams");
  const find = section?.querySelector("[data-find]");
  if (!find) return;
  find.closest("[data-needs-script]").hidden = false;
  const look = () => {
    wanted = find.value;
    const text = wanted.trim().toLocaleLowerCase();
    for (const row of section.querySelectorAll("[data-team]")) row.hidden = !row.textContent.toLocaleLowerCase().includes(text);
  };
  if (find.value !== wanted) { find.value = wanted; look(); }
  find.addEventListener("input", look);
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
  for (const dress of [localise, tools, instantFields]) dress(row);
}

export function settingPage(feed) {
  teams();
  follow(feed);
}
