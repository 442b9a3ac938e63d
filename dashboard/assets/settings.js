// The settings: the preview follows what is typed, rows and text follow each other, and a word before a page with unsaved
// changes is left. The server reads the plan; nothing here knows what one is.

import { localise } from "./clock.js";
import { isTyped } from "./fields.js";

const WAIT_MS = 350;

export function settingsPage() {
  const form = document.querySelector("[data-contest]");
  const text = form.querySelector("[name=plan]");
  const shown = form.querySelector("[name=plan_shown]");
  const add = form.querySelector("[data-plan-add]");
  const rows = () => form.querySelector("[data-plan-rows]");
  const all = () => [...rows().querySelectorAll("[data-plan-row]")];
  // What was refused, or is asked about, is not saved either.
  let touched = isTyped(document);
  let timer = 0;
  let asked = 0;
  let last = "rows";

  // `from`: what was typed into, "rows" or "text"; the other one is written anew.
  async function look(from) {
    const mine = ++asked;
    const fields = new URLSearchParams(new FormData(form));
    const sent = text.value;
    // Only one of the two is told, so that none of them is of before.
    if (from === "text") for (const name of [...fields.keys()]) if (name === "phases" || name.startsWith("phase_")) fields.delete(name);
    if (from === "rows") fields.set("plan", shown.value);
    try {
      const answer = await fetch("/setting/contest/preview?part", { method: "POST", body: fields, headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected || mine !== asked) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const preview = document.adoptNode(next.querySelector("[data-plan-preview]"));
      localise(preview);
      form.querySelector("[data-plan-preview]").replaceWith(preview);
      const plan = next.querySelector("[data-plan-text]").value;
      // What was typed meanwhile is asked about next, and is not what the rows say.
      if (from === "text") { rows().replaceWith(document.adoptNode(next.querySelector("[data-plan-rows]"))); watch(); }
      else text.value = plan;
      shown.value = from === "text" ? sent : plan;
    } catch { /* The next letter asks again; saving says what is wrong. */ }
  }
  // The rows have what was typed into the text, however short ago, before a button changes them.
  async function settle() {
    if (text.value === shown.value) return;
    clearTimeout(timer);
    await look("text");
  }
  const soon = (from) => { last = from; clearTimeout(timer); timer = setTimeout(() => look(from), WAIT_MS); };

  function watch() {
    all().forEach(tools);
    limit();
  }
  // Rows beyond what the server reads would be lost.
  function limit() {
    const count = all().length;
    add.disabled = !count || count >= Number(add.dataset.planAdd);
  }

  // Buttons that empty a row or change places with the one above.
  function tools(row) {
    if (row.querySelector(".row-tools")) return;
    const cell = document.createElement("td");
    cell.className = "row-tools";
    const phase = row.cells[0].textContent;
    const button = (sign, label, act) => {
      const one = document.createElement("button");
      one.type = "button";
      one.className = "button quiet icon small";
      one.textContent = sign;
      one.setAttribute("aria-label", `${label} phase ${phase}`);
      one.addEventListener("click", async () => {
        const place = all().indexOf(row);
        await settle();
        const now = all()[place];
        if (!now) return;
        act(now);
        touched = true;
        look("rows");
      });
      cell.append(one);
    };
    button("↑", "Move up", (row) => { const above = row.previousElementSibling; if (above) swap(row, above); });
    button("✕", "Remove", (row) => { for (let one = row; one.nextElementSibling; one = one.nextElementSibling) swap(one, one.nextElementSibling); const last = row.parentElement.lastElementChild; for (const field of fields(last)) field.value = field.tagName === "SELECT" ? "yes" : ""; });
    row.append(cell);
  }
  const fields = (row) => [...row.querySelectorAll("input, select")];
  function swap(one, other) {
    const [mine, theirs] = [fields(one), fields(other)];
    mine.forEach((field, index) => { [field.value, theirs[index].value] = [theirs[index].value, field.value]; });
  }

  // Another empty row, as the last one is; its fields count on.
  function append() {
    const last = rows().querySelector("[data-plan-row]:last-child");
    const count = rows().querySelector("[name=phases]");
    if (!last) return;
    const [old, next] = [Number(count.value) - 1, Number(count.value)];
    const row = last.cloneNode(true);
    row.querySelector(".row-tools")?.remove();
    row.cells[0].textContent = String(next + 1);
    for (const field of fields(row)) {
      field.name = field.name.replace(`phase_${old}_`, `phase_${next}_`);
      if (field.getAttribute("aria-label")) field.setAttribute("aria-label", field.getAttribute("aria-label").replace(`phase ${old + 1}`, `phase ${next + 1}`));
      field.value = field.tagName === "SELECT" ? "yes" : "";
    }
    count.value = String(next + 1);
    last.after(row);
    tools(row);
    limit();
    row.querySelector("input").focus();
  }

  watch();
  add.addEventListener("click", async () => { await settle(); append(); });
  form.addEventListener("input", (event) => {
    touched = true;
    if (event.target === text) soon("text");
    else if (event.target.closest("[data-plan-row]")) soon("rows");
    else if (event.target.name?.endsWith("_deadline")) soon(last);
  });
  addEventListener("submit", () => { touched = false; });
  document.querySelector("[data-discard]")?.addEventListener("click", () => { touched = false; });
  addEventListener("beforeunload", (event) => { if (touched) event.preventDefault(); });
  (document.getElementById("difference") ?? document.querySelector("main [role=alert]"))?.scrollIntoView({ block: "start" });
  // A link leads to a field that lies in a fold.
  const target = location.hash && document.querySelector(location.hash);
  const fold = target && target.closest("details");
  if (fold) { fold.open = true; target.focus(); }
}
