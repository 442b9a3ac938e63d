// Two to five pinned teams beside each other, in numbers; the chart shows their lines alone.

import * as f from "./format.js";

const [FEW, MANY] = [2, 5];
const ROWS = [
  ["Rank", (line) => f.rank(line.rank)],
  ["Points", (line) => f.points(line.points)],
  ["To the first of these", (line, all) => { const most = Math.max(...all.map((one) => one.points)); return line.points === most ? "–" : f.signed(line.points - most); }],
  ["Holds", (line) => f.holds(line.holds)],
  ["Last minute", (line) => f.signed(line.points_last_minute)],
  ["Answers per second", (line) => f.count(line.rate)],
  ["Verified", (line) => f.permille(line.verified_permille)],
  ["p50", (line) => f.micros(line.p50_us)],
  ["p99", (line) => f.micros(line.p99_us)],
  ["Failed", (line) => f.count(line.failures)],
  ["State", (line) => f.stateWord(line.state) || "–"],
];

export class Compare extends EventTarget {
  constructor(box, feed, pins, tints) {
    super();
    Object.assign(this, { box, feed, pins, tints });
    this.button = document.querySelector("[data-compare-button]");
    this.isOn = new URL(location.href).searchParams.has("compare");
    this.button.addEventListener("click", () => this.toggle());
    this.say();
  }

  toggle() {
    this.isOn = !this.isOn;
    const address = new URL(location.href);
    if (this.isOn) address.searchParams.set("compare", ""); else address.searchParams.delete("compare");
    history.replaceState(null, "", address);
    this.say();
    this.dispatchEvent(new Event("change"));
  }

  say() {
    this.button.setAttribute("aria-pressed", String(this.isOn));
    this.box.hidden = !this.isOn;
  }

  show() {
    if (!this.isOn) return;
    const lines = [...this.pins.ids].map((id) => this.feed.state.standings.get(id)).filter(Boolean).slice(0, MANY);
    if (lines.length < FEW) {
      const said = "Pin two to five teams by the stars in the table below, and they stand here beside each other.";
      if (this.said !== said) { this.said = said; const p = document.createElement("p"); p.className = "muted"; p.textContent = said; this.box.replaceChildren(p); }
      return;
    }
    const hasHolds = lines.some((line) => line.holds != null);
    this.rows = ROWS.filter(([name]) => hasHolds || name !== "Holds");
    const key = lines.map((line) => `${line.id} ${line.display_name} ${this.tints.dress(line.id)}`).join("\n") + hasHolds;
    if (this.said !== key) { this.said = key; this.build(lines); }
    this.rows.forEach(([, say], row) => lines.forEach((line, column) => {
      const text = say(line, lines);
      const cell = this.cells[row][column];
      if (cell.textContent !== text) cell.textContent = text;
    }));
  }

  build(lines) {
    const make = (tag, kind, text) => { const one = document.createElement(tag); if (kind) one.className = kind; if (text) one.textContent = text; return one; };
    const table = make("table", "compare");
    const head = make("tr");
    head.append(make("td"));
    for (const line of lines) {
      const cell = make("th", "right");
      cell.scope = "col";
      cell.append(make("span", `swatch ${this.tints.dress(line.id)}`), make("span", "name", line.display_name));
      head.append(cell);
    }
    const caption = make("caption", "visually-hidden", "Pinned teams beside each other");
    const [top, body] = [make("thead"), make("tbody")];
    top.append(head);
    this.cells = this.rows.map(([name]) => {
      const row = make("tr");
      const th = make("th", "", name);
      th.scope = "row";
      const cells = lines.map(() => make("td", "right"));
      row.append(th, ...cells);
      body.append(row);
      return cells;
    });
    table.append(caption, top, body);
    const scroll = make("div", "table-box");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", "Comparison");
    scroll.append(table);
    this.box.replaceChildren(scroll);
  }
}
