// Where every page starts: what all share, then the page's own module.

import { start } from "./clock.js";
import { tools } from "./fields.js";
import { Feed } from "./live.js";
import { stage, pill } from "./stage.js";

const { page, live, now } = document.body.dataset;

start(Number(now));
for (const element of document.querySelectorAll("[data-needs-script]")) element.hidden = false;
for (const select of document.querySelectorAll("[data-submit]")) select.addEventListener("change", () => select.form.requestSubmit());
for (const button of document.querySelectorAll("[data-print]")) { button.hidden = false; button.addEventListener("click", () => print()); }
tools();
for (const find of document.querySelectorAll("[data-find]")) if (find.dataset.find) filter(find, find.dataset.find);
addEventListener("click", (event) => {
  for (const pop of document.querySelectorAll("details.pop[open]")) if (!pop.contains(event.target)) pop.open = false;
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const pop of document.querySelectorAll("details.pop[open]")) { pop.open = false; pop.querySelector("summary").focus(); }
});

if (page === "register") {
  // The token stands behind the #, which no browser sends: it reaches no log on the way here.
  const token = new URLSearchParams(location.hash.slice(1)).get("t");
  const field = document.querySelector("[name=token]");
  if (token && field && !field.value) {
    field.value = token.slice(0, 64);
    history.replaceState(null, "", location.pathname);
    document.querySelector("[name=name]").focus();
  }
}

const feed = live ? new Feed(document.querySelector("[data-chart-page]")?.dataset.livePath ?? live) : null;
if (feed) { stage(feed); pill(feed); }
if (page === "chart" || page === "projector") await plotter();
if (page === "chart") (await import("./chart.js")).chartPage(feed);
if (page === "projector") (await import("./projector.js")).projectorPage(feed);
if (page === "index") (await import("./index.js")).indexPage(feed);
if (page === "setting") (await import("./setting.js")).settingPage(feed);
if (page === "settings") (await import("./settings.js")).settingsPage();
if (page === "tokens") (await import("./tokens.js")).tokensPage(new Feed(document.querySelector("[data-tokens]").dataset.livePath));

// uPlot is no module: it leaves its name on the window.
function plotter() {
  return new Promise((done) => {
    const script = document.createElement("script");
    script.src = new URL("./vendor/uPlot.iife.min.js", import.meta.url).href;
    script.addEventListener("load", done);
    script.addEventListener("error", done);
    document.head.append(script);
  });
}

function filter(input, selector) {
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLocaleLowerCase();
    for (const one of document.querySelectorAll(selector)) one.hidden = !(one.querySelector("summary") ?? one).textContent.toLocaleLowerCase().includes(wanted);
  });
}
