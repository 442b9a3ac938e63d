// A contestant's own page: asks /api/me, and follows a test and a practice run until they are done.

import { clockText, localise, now, sayText, timeOf } from "./clock.js";
import * as f from "./format.js";
import { path } from "./history.js";
import { Health } from "./health.js";
import { Seconds } from "./seconds.js";
import { sessionEnded } from "./session.js";

const ASK_MS = 3_000;
// A tab that nobody looks at goes on saying by its title and icon how the server does.
const ASK_HIDDEN_MS = 6_000;
const POLL_MS = 700;
// A practice waits in the queue for two minutes, and takes little more than half a one.
const POLLS_MAX = 250;
// So many looks without an answer, and nobody believes any more what stands on the page.
const LOST_AFTER = 2;

function element(tag, kind, ...children) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Seconds of the round that were not valid when it was last asked.
let invalidBefore;

const sleep = (length) => new Promise((done) => { setTimeout(done, length); });

// What was asked without a session that goes on.
class SignedOut extends Error {}

async function json(address) {
  const answer = await fetch(address, { headers: { accept: "application/json" }, credentials: "same-origin" });
  if (answer.status === 401) { sessionEnded(); throw new SignedOut(); }
  return answer.ok ? answer.json() : null;
}

export function indexPage(feed) {
  const main = document.querySelector("[data-index]");
  const advice = new Map([...document.querySelectorAll("[data-advice] dt")].map((one) => [one.textContent, one.nextElementSibling?.textContent]));
  follow("probe", "/index/probe/", showProbe);
  follow("practice", "/index/practice/", showPractice(advice));
  const shown = new Shown(advice);
  const of = main.hasAttribute("data-readonly") ? main.dataset.id.slice(1) : "";
  const seconds = new Seconds(document.querySelector("[data-seconds]"), feed, of, (from, to) => shown.during(from, to));
  // Where an organiser looks, all is that of the team.
  const as = of ? `?as=${of}` : "";
  const health = new Health(document.querySelector("[data-health]"));
  const curve = [];
  let timer = 0;
  let heardAt = now();
  let unheard = 0;
  addEventListener("visibilitychange", () => { if (!document.hidden) { clearTimeout(timer); ask(); } });
  const ask = async () => {
    let [me, isOut] = [null, false];
    try { me = await json(`/api/me${as}`); } catch (error) { isOut = error instanceof SignedOut; }
    if (me) {
      [heardAt, unheard] = [now(), 0];
      show(me, feed, shown, curve);
      may(me);
      health.show(me.health);
      if (await renew(me, `/index${as}`)) seconds.ask();
      ledger(me.ledger);
      climb(me.climb);
    } else if (isOut) health.signedOut(heardAt);
    else if (++unheard >= LOST_AFTER) health.lost(heardAt);
    clearTimeout(timer);
    timer = setTimeout(ask, (document.hidden ? ASK_HIDDEN_MS : ASK_MS) + Math.random() * 500);
  };
  ask();
  const id = main.dataset.id;
  json(main.dataset.history).then((history) => {
    const line = history?.points?.[id];
    const late = new Set(history?.invalid);
    if (line) curve.unshift(...line.map((value, at) => [history.t[at], value, late.has(history.t[at])]).filter(([, value]) => value != null));
    draw(curve);
  }).catch(() => {});
}

function draw(curve) {
  const box = document.querySelector("[data-mini]");
  const d = path(curve, 100, 40);
  if (!box || !d) return;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 -6 100 50");
  svg.setAttribute("preserveAspectRatio", "none");
  const [first, last] = [curve[0][0], curve.at(-1)[0]];
  const x = (at) => ((at - first) / (last - first || 1)) * 100;
  const late = curve.flatMap(([at, , invalid], index) => (invalid && index ? [[x(curve[index - 1][0]), x(at)]] : []));
  for (const [from, to] of late) {
    const band = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    band.setAttribute("class", "late");
    for (const [name, value] of [["x", from], ["y", -6], ["width", Math.max(to - from, 0.4)], ["height", 50]]) band.setAttribute(name, String(value));
    svg.append(band);
  }
  document.querySelector("[data-mini-late]").hidden = !late.length;
  for (const [kind, line] of [["area", `${d}L100 44L0 44Z`], ["line", d]]) {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
    shape.setAttribute("class", kind);
    shape.setAttribute("d", line);
    svg.append(shape);
  }
  box.replaceChildren(svg);
}

function show(me, feed, shown, curve) {
  const find = (name) => document.querySelector(`[data-${name}]`);
  const put = (name, text) => { const one = find(name); if (one && one.textContent !== text) one.textContent = text; };
  put("me-points", f.points(me.points));
  put("me-unit", me.beside_practice == null ? "points" : `points of this practice; the contest stands at ${f.points(me.beside_practice)}`);
  const invalid = feed?.invalidSeconds ?? 0;
  curve.push([now(), me.points, invalid > (invalidBefore ?? invalid)]);
  invalidBefore = invalid;
  if (curve.length > 2000) curve.splice(0, 500);
  draw(curve);
  find("me-frozen").hidden = !me.frozen;
  const rank = find("me-rank");
  const change = feed?.state.standings.get(document.querySelector("[data-index]").dataset.id)?.rank_change ?? 0;
  if (me.frozen) rank.textContent = "Rank and gaps are hidden until the reveal. Your points go on.";
  else if (me.rank == null) rank.textContent = "No rank before the first answer";
  else rank.replaceChildren(element("strong", "", f.ordinal(me.rank)), ` of ${me.of} `, element("span", f.tone(change), f.rankChange(change)));
  find("gaps").hidden = me.frozen || (me.gap_ahead == null && me.gap_behind == null);
  put("gap-ahead", me.gap_ahead == null ? "you lead" : f.points(me.gap_ahead));
  put("gap-behind", me.gap_behind == null ? "nobody" : f.points(me.gap_behind));
  for (const header of document.querySelectorAll("[data-header]")) {
    const counts = me.headers?.[header.dataset.header];
    if (!counts) continue;
    header.querySelector("[data-header-counts]").textContent = `${f.count(counts.right)} right, ${f.count(counts.wrong)} wrong`;
    const points = header.querySelector("[data-header-points]");
    points.textContent = f.signed(counts.points);
    points.className = f.tone(counts.points);
    const all = counts.right + counts.wrong;
    header.querySelector("[data-header-meter]").value = all ? (counts.right / all) * 1000 : 0;
  }
  shown.take(me.errors);
}

// When requests come, and whether practice may be asked for.
function may(me) {
  const [coming, refused] = ["coming", "practice-refused"].map((name) => document.querySelector(`[data-${name}]`));
  coming.hidden = me.coming == null;
  if (coming.dataset.said !== me.coming) { coming.dataset.said = me.coming ?? ""; sayText(coming, me.coming ?? ""); }
  const { message, again_at_ms: again } = me.practice_refused ?? {};
  refused.hidden = !message;
  for (const button of document.querySelectorAll("[data-practice] button, [data-climb-practice] button")) button.disabled = !refused.hidden;
  const said = `${message} ${again}`;
  if (refused.hidden || refused.dataset.said === said) return;
  refused.dataset.said = said;
  const until = element("b");
  until.dataset.until = String(again);
  refused.replaceChildren(message, ...(again == null ? [] : [" Again in ", until, "."]));
}

// What is shown already stays; "No errors" would be a claim.
function unknown(box) {
  if (box.dataset.said === "unknown" || box.querySelector("details")) return;
  box.dataset.said = "unknown";
  box.replaceChildren(element("div", "empty", element("strong", "", "Not known right now"), element("span", "", "Errors cannot be read at this moment. This page asks again by itself.")));
}

// How the climb goes, and of each step why it failed.
function climb(card) {
  const find = (name) => document.querySelector(`[data-climb-${name}]`);
  const [box, said, steps] = [find("card"), find("said"), find("steps")];
  if (!box || box.hidden !== !card) { if (box) box.hidden = said.hidden = !card; }
  if (!card || said.textContent === card.message) return;
  said.textContent = card.message;
  find("terms").textContent = card.terms;
  find("errors").hidden = card.steps.find((step) => step.tone === "bad")?.word !== "too few verified";
  const cell = (label, kind, ...children) => { const one = element("td", kind, ...children); one.dataset.label = label; return one; };
  steps.replaceChildren(...card.steps.map((step) => element("tr", "",
    element("td", "lead", `Step ${step.step}`), cell("Requests/s", "right", f.count(step.tried)),
    cell("What came of it", "", element("span", `step-word is-${step.tone}`, step.word)),
    cell("Verified", "right", step.verified), cell("p99", "right", f.micros(step.p99_us)), cell("Why", "step-why", step.message))));
}

// What the server wrote of the past, anew: a round was sealed, ruled on, points were adjusted, the board was frozen. And the
// endpoint with its levers, where somebody else has changed it. Whether it was.
async function renew({ ledger_version: version, endpoint }, page) {
  const box = document.querySelector("[data-ledger]");
  const before = document.querySelector("[data-endpoint]").dataset.endpoint;
  const isSame = box.dataset.version === version && before === (endpoint ?? "");
  if (!version || isSame) return false;
  const answer = await fetch(page, { headers: { accept: "text/html" }, credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok) return false;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const of = (name) => [document.querySelector(`[data-${name}]`), fresh.querySelector(`[data-${name}]`)];
  if (!of("ledger")[1]) return false;
  const open = new Set([...box.querySelectorAll("details[open]")].map((one) => one.dataset.round));
  for (const one of fresh.querySelectorAll("[data-ledger] details")) one.open ||= open.has(one.dataset.round);
  localise(fresh.querySelector("[data-endpoint]"));
  for (const [old, next] of ["ledger", "my-rounds", "endpoint", "endpoint-pill"].map(of)) old.replaceWith(document.adoptNode(next));
  levers(of, before);
  const [card, then] = of("rounds-card");
  card.hidden = then.hidden;
  // Whichever round was looked at stays chosen.
  const [choice, choices] = of("seconds-round");
  const { value } = choice;
  choice.replaceChildren(...choices.children);
  choice.value = value;
  return true;
}

// What may be done with the endpoint goes by the one that is set. What is typed stays.
function levers(of, before) {
  const [[form, then], [probe, test], [away, next]] = ["endpoint-form", "probe", "endpoint-away"].map(of);
  if (!form) return;
  const [field, { defaultValue }] = [form.elements.endpoint, then.elements.endpoint];
  if (field.value === before && field.defaultValue === before) field.value = field.defaultValue = defaultValue;
  form.querySelector("button").textContent = then.querySelector("button").textContent;
  probe.querySelector("button").disabled = test.querySelector("button").disabled;
  if (away.hidden !== next.hidden) away.replaceWith(document.adoptNode(next));
}

// The lines of the round that goes on; those of the past stand.
function ledger(round) {
  const box = document.querySelector("[data-ledger]");
  if (!box || !round) return;
  let fold = box.querySelector(`[data-round="${round.number}"]`);
  if (!fold) {
    const line = element("summary", "", element("span", "", `Round ${round.number}`), element("span", "muted small", round.note));
    const points = element("strong", "end");
    points.dataset.ledgerPoints = "";
    line.append(points);
    const lines = element("ul", "kinds");
    lines.dataset.ledgerLines = "";
    fold = element("details", "fold ledger-round", line, lines);
    fold.dataset.round = String(round.number);
    if (round.from_ms) fold.dataset.from = String(round.from_ms);
    fold.open = true;
    box.prepend(fold);
  }
  const said = JSON.stringify(round);
  if (fold.dataset.said === said) return;
  fold.dataset.said = said;
  const points = fold.querySelector("[data-ledger-points]");
  points.textContent = f.signed(round.points);
  points.className = `end ${round.counts ? f.tone(round.points) : "muted"}`;
  fold.querySelector("[data-ledger-lines]").replaceChildren(...round.lines.map((line) => {
    // Of what was right no sample is kept.
    const [isHeld, isRight] = [line.kind === "holds", line.points > 0];
    const label = element(isHeld || !isRight ? "a" : "span", "", line.label);
    if (isHeld) label.href = "#climb"; else if (!isRight) { label.href = "#errors"; label.dataset.kind = line.kind; }
    return element("li", "", label, element("span", "", f.count(line.count)), element("span", `${f.tone(line.points)} worth`, f.signed(line.points)));
  }));
  const total = box.querySelector("[data-ledger-total]");
  const sum = Number(total.dataset.ofThePast) + (round.counts ? round.points : 0);
  total.textContent = f.points(sum);
  total.className = f.tone(sum);
}

// Which of the samples are shown: all, those of a kind that a line of the ledger leads to, or those of a second. They are chosen
// before they are put together, so that what is opened is of that line, or of that second.
class Shown {
  constructor(advice) {
    [this.test, this.list, this.advice] = [null, null, advice];
    this.box = document.querySelector("[data-errors]");
    this.all = document.querySelector("[data-errors-all]");
    this.all.addEventListener("click", () => this.only(null));
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("[data-ledger] a[data-kind]");
      if (link) this.ofLine(link.dataset.kind, link.closest("[data-round]").dataset);
    });
  }

  // Samples of another round are no evidence of this one.
  ofLine(kind, { round, from, untilMs }) {
    const [first, last] = [Number(from ?? 0), Number(untilMs ?? Infinity)];
    this.only((one) => one.kind === kind && one.at_ms >= first && one.at_ms <= last,
      `No sample of ${kind} in round ${round} is kept: only your newest fifty failures are. The organisers' journal has all of them.`,
      `Samples of ${kind} in round ${round}`);
  }

  // What failed is counted when it has its outcome: a timeout a while after it was sent.
  during(from, to) {
    this.only((one) => one.ended_at_ms >= from && one.ended_at_ms < to, "Of this second no sample is kept: only your newest fifty failures are. The organisers' journal has all of them.", `Samples of ${clockText(to - 500)}`);
    document.querySelector("#errors").scrollIntoView({ block: "start" });
  }

  only(test, none = "", some = "") { [this.test, this.none, this.some] = [test, none, some]; this.again(); }

  // The newest samples; null: nobody knows them at this moment.
  take(list) {
    this.list = list ?? this.list;
    if (list) this.again(); else unknown(this.box);
  }

  again() {
    this.all.hidden = !this.test;
    const list = this.list?.filter((one) => !this.test || this.test(one));
    if (list) errors(list, this.advice, this.box);
    // Before they are known what stands in the box is of all, and nothing is said of those that are looked for.
    const isNone = Boolean(this.test) && list?.length === 0;
    this.box.hidden = isNone || Boolean(this.test) && !list;
    let said = document.querySelector("[data-errors-none]");
    if (this.test && !said) { said = element("p", "muted"); said.dataset.errorsNone = ""; this.box.before(said); }
    if (!said) return;
    said.hidden = !this.test;
    const words = !list ? "Not known right now" : isNone ? this.none : this.some ?? "";
    if (said.textContent !== words) said.textContent = words;
  }
}

// The same failure many times is one line with its count; what was unfolded stays so.
function errors(list, advice, box) {
  const groups = new Map();
  for (const error of list) {
    const key = [error.kind, error.message].join("\u0000");
    const known = groups.get(key);
    if (known) known.count += 1; else groups.set(key, { ...error, key, count: 1 });
  }
  const said = [...groups.values()].map(({ key, count, at_ms }) => `${key}${count}${at_ms}`).join();
  if (box.dataset.said === said) return;
  box.dataset.said = said;
  const open = new Set([...box.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  if (!groups.size) {
    box.replaceChildren(element("div", "empty", element("strong", "", "No errors"), element("span", "", "Whatever goes wrong is explained here: what was expected, what came, and what to do.")));
    return;
  }
  box.replaceChildren(...[...groups.values()].map((error) => {
    const time = error.at_ms == null ? null : timeOf(error.at_ms, "clock");
    const pair = (name, value) => element("div", "", element("dt", "", name), element("dd", "", element("code", "", value)));
    const side = (name, text) => (text ? element("div", "", element("h3", "", name), element("pre", "", text)) : null);
    const known = advice.get(error.kind);
    const made = element("details", "error",
      element("summary", "", element("span", "kind", error.kind), element("span", "error-what", error.message), element("span", "error-count", error.count === 1 ? "1 sample" : `${f.count(error.count)} samples`), ...(time ? [time] : [])),
      element("div", "error-body",
        element("dl", "versus", pair("Expected", error.expected), pair("Received", error.received)),
        known ? element("p", "advice", element("b", "", "What to do: "), known) : null,
        element("div", "grid two", ...[side("Request", error.request), side("Response", error.response)].filter(Boolean))));
    made.dataset.key = error.key;
    made.open = open.has(error.key);
    return made;
  }));
}

// The form works without this: it posts and comes back with an id, which is asked for here until there is an end.
async function follow(what, address, show) {
  const out = document.querySelector(`[data-${what}-out]`);
  const id = out?.dataset[`${what}Id`];
  if (!id) return;
  const end = (words) => out.replaceChildren(element("p", "bad", words));
  let isHeard = false;
  for (let tries = 0; tries < POLLS_MAX; tries++) {
    let report = null;
    try { report = await json(address + encodeURIComponent(id)); } catch (error) {
      if (error instanceof SignedOut) { end("Your session has ended: sign in to see what came of it."); return; }
    }
    isHeard ||= Boolean(report);
    if (report && show(out, report)) return;
    await sleep(POLL_MS);
  }
  end(isHeard ? "No generator answered. Try again; if it stays so, tell the organiser." : "The dashboard did not answer. Load this page again.");
}

// Nothing before a generator has answered.
function showProbe(out, report) {
  const answer = report.probe;
  if (!answer) return false;
  const seen = answer.verdicts;
  const verdict = (name, right) => element("span", `verdict ${right == null ? "is-none" : right ? "is-good" : "is-bad"}`, element("b", "", right == null ? "–" : right ? "✓" : "✕"), ` ${name}`);
  out.replaceChildren(
    element("div", "verdicts", verdict("Token", seen?.[0]), verdict("Version", seen?.[1]), verdict("From", seen?.[2])),
    element("p", "", answer.message),
    element("p", "muted small", `${answer.endpoint}${answer.address ? ` at ${answer.address}` : ""} from ${answer.generator}, ${f.micros(answer.latency_us)}, ${clockText(answer.at_ms)}`),
    ...(answer.head ? [element("pre", "", answer.head)] : []));
  return true;
}

// The steps of a climb, in their order.
const practiceSteps = (climb) => element("ol", "practice-steps", ...[...climb.steps].reverse().map((step) => element("li", "",
  element("b", "", `${f.count(step.tried)}/s`), " ", element("span", `step-word is-${step.tone}`, step.word), " ",
  element("span", "muted small", `${step.verified} verified, p99 ${f.micros(step.p99_us)}`))));

const showPractice = (advice) => (out, report) => {
  const over = report.state === "done" || report.state === "refused";
  if (!report.message) return over;
  const figure = (name, value, kind) => element("div", "", element("dt", "", name), element("dd", kind ?? "", value));
  const list = element("div", "errors");
  if (over && report.errors?.length) errors(report.errors, advice, list);
  out.replaceChildren(
    element("p", report.state === "refused" ? "bad" : "", report.message),
    ...(report.climb ? [practiceSteps(report.climb)] : report.state === "refused" ? [] : [element("dl", "figures", figure("Second", String(report.second ?? 0)), figure("Points", f.signed(report.points ?? 0), f.tone(report.points ?? 0)), figure("p50", f.micros(report.p50_us)), figure("p99", f.micros(report.p99_us)))]),
    list);
  return over;
};
