// The end of the session: the page leaves for signing in, unless something is typed there that would be lost.

import { isTyped } from "./fields.js";

export function sessionEnded() {
  const address = `/login?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`;
  if (!isTyped(document)) { location.assign(address); return; }
  if (document.querySelector("[data-session-ended]")) return;
  const bar = document.createElement("div");
  bar.className = "notice plain warn session-ended";
  bar.dataset.sessionEnded = "";
  bar.setAttribute("role", "alert");
  const text = document.createElement("p");
  const title = document.createElement("b");
  title.textContent = "Your session has ended.";
  const link = document.createElement("a");
  link.href = address;
  link.textContent = "Sign in without it";
  text.append(title, " What you have typed is still here: send it, and you are asked to sign in before it is done. ", link);
  bar.append(text);
  document.getElementById("main").before(bar);
}
