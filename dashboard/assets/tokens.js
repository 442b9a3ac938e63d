// Invitations as they change: rows by their id, which are shown, and a button to copy a clear text.

import { timeOf } from "./clock.js";
import { copyButton } from "./fields.js";

const GONE = new Set(["expired", "revoked"]);

function cell(label, ...children) {
  const made = document.createElement("td");
  if (label) made.dataset.label = label;
  made.append(...children);
  return made;
}

function text(tag, kind, content) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.textContent = content;
  return made;
}

function instant(ms, none) {
  return ms == null ? text("span", "muted", none) : timeOf(ms);
}

function row(line) {
  const made = document.createElement("tr");
  made.dataset.id = String(line.id);
  const choose = cell("");
  choose.className = "lead";
  if (line.status === "unused") {
    const label = document.createElement("label");
    label.className = "check";
    const box = document.createElement("input");
    Object.assign(box, { type: "checkbox", name: "id", value: String(line.id) });
    label.append(box, text("span", "visually-hidden", `Choose number ${line.index}`));
    choose.append(label);
  }
  const index = cell("No.", String(line.index));
  index.className = "right";
  made.append(choose, index, cell("Invitation", secret(line)), cell("Label", text("span", "name", line.label)), cell("Status"), cell("Used by"), cell("Expires", instant(line.expires_at, "never")), cell("Made", instant(line.created_at, "–")));
  return made;
}

// A row that came by the feed knows no clear text: the page does, so it is asked for when somebody wants to see it.
function secret(line) {
  if (line.status !== "unused") return text("code", "muted", line.masked);
  const details = document.createElement("details");
  details.className = "secret";
  const summary = document.createElement("summary");
  summary.append(text("code", "", line.masked));
  const clear = text("span", "secret-clear", "");
  details.append(summary, clear);
  details.addEventListener("toggle", async () => {
    if (!details.open || clear.firstChild) return;
    clear.textContent = "…";
    try {
      const page = new DOMParser().parseFromString(await (await fetch("/setting-token", { credentials: "same-origin" })).text(), "text/html");
      const found = page.querySelector(`tr[data-id="${CSS.escape(String(line.id))}"] [data-clear]`)?.textContent;
      const code = text("code", "", found ?? "not kept any more");
      if (found) code.dataset.clear = "";
      clear.replaceChildren(code);
      copyable(clear);
    } catch { clear.textContent = "could not be asked for; try again"; setTimeout(() => clear.replaceChildren(), 3_000); }
  });
  return details;
}

function copyable(root) {
  if (!navigator.clipboard) return;
  for (const code of root.querySelectorAll("[data-clear]")) {
    if (code.nextElementSibling) continue;
    const copy = copyButton("Copy", () => code.textContent);
    code.parentElement.append(copy, copyButton("Copy link", () => `${location.origin}/register#t=${code.textContent}`));
  }
}

export function tokensPage(feed) {
  const body = document.querySelector("[data-rows]");
  const find = document.querySelector("[data-find]");
  let status = "";
  const filter = () => {
    const wanted = find.value.trim().toLocaleLowerCase();
    for (const one of body.children) {
      const is = one.dataset.status;
      const kind = !status || is === status || (status === "gone" && GONE.has(is));
      one.hidden = !(kind && one.textContent.toLocaleLowerCase().includes(wanted));
    }
  };
  copyable(body);
  find.addEventListener("input", filter);
  for (const button of document.querySelectorAll('[data-group="status"] button')) {
    button.addEventListener("click", () => {
      status = button.dataset.value;
      for (const one of button.parentElement.children) one.setAttribute("aria-pressed", String(one === button));
      filter();
    });
  }
  feed.addEventListener("tokens", () => {
    const known = new Map([...body.children].map((one) => [one.dataset.id, one]));
    for (const line of feed.tokens) {
      let one = known.get(String(line.id));
      known.delete(String(line.id));
      if (!one || (one.dataset.status !== line.status && line.status !== "unused")) {
        const fresh = row(line);
        if (one) one.replaceWith(fresh); else body.append(fresh);
        one = fresh;
      }
      if (one.dataset.status === line.status) continue;
      one.dataset.status = line.status;
      one.children[4].replaceChildren(text("span", `pill status-${line.status}`, line.status));
      const used = line.used_by ? [text("span", "name", line.used_by), " ", instant(line.used_at, "")] : [text("span", "muted", "–")];
      one.children[5].replaceChildren(...used);
    }
    for (const old of known.values()) old.remove();
    for (const name of ["unused", "used", "expired", "revoked"]) {
      document.querySelector(`[data-count="${name}"]`).textContent = String(feed.tokens.filter((line) => line.status === name).length);
    }
    filter();
  });
}
