// The banner on a team's page, and what follows it: the tab's title and icon, and by choice a sound, a vibration or a
// notification when it turns bad.

import { clockText } from "./clock.js";

const CHOSEN = "flowtest-tell";
const SIGN = { good: "✓", calm: "", warn: "!", bad: "✕" };

export class Health {
  constructor(box) {
    this.box = box;
    this.title = document.title;
    this.icon = document.querySelector("link[rel=icon]");
    this.tone = box.dataset.tone;
    this.chosen = new Set();
    try { this.chosen = new Set(JSON.parse(localStorage.getItem(CHOSEN) ?? "[]")); } catch { /* nothing chosen */ }
    const notification = box.querySelector("[data-tell-notification]");
    notification.hidden = !("Notification" in window) || !isSecureContext;
    for (const input of box.querySelectorAll("[data-tell]")) {
      input.checked = this.chosen.has(input.dataset.tell);
      input.addEventListener("change", () => this.choose(input));
    }
    this.tab(box.querySelector("[data-health-title]").textContent);
  }

  async choose(input) {
    const what = input.dataset.tell;
    if (input.checked && what === "notification" && (await Notification.requestPermission()) !== "granted") input.checked = false;
    if (input.checked) this.chosen.add(what); else this.chosen.delete(what);
    try { localStorage.setItem(CHOSEN, JSON.stringify([...this.chosen])); } catch { /* for the page */ }
    // A browser plays no sound before somebody has pressed something.
    if (input.checked && what === "sound") this.beep();
  }

  show(health) {
    if (!health) return;
    const { tone, title, message, since_ms: since } = health;
    const put = (name, words) => { const one = this.box.querySelector(`[data-health-${name}]`); if (one.textContent !== words) one.textContent = words; };
    put("title", title);
    put("text", message);
    put("since", since == null ? "" : `since ${clockText(since)}`);
    if (this.tone !== tone) {
      const before = this.tone;
      this.tone = tone;
      this.box.dataset.tone = tone;
      this.box.className = `health is-${tone}`;
      if (tone === "bad" || (tone === "warn" && before === "good")) this.tell(title, message);
    }
    this.tab(title);
  }

  // Nobody answers: what stood here says nothing of now.
  lost(heardAt) {
    this.show({ tone: "warn", title: "Not known", message: `The dashboard has not answered since ${clockText(heardAt)}: how your server does now is not known here. Look whether this device is online; the page goes on asking.`, since_ms: null });
  }

  // Whoever is signed out is told nothing of a server.
  signedOut(heardAt) {
    this.show({ tone: "warn", title: "Signed out", message: `Your session has ended, and nothing here is newer than ${clockText(heardAt)}. What you have typed is still here: sign in again to see how your server does.`, since_ms: null });
  }

  tab(title) {
    const sign = SIGN[this.tone];
    const words = sign ? `${sign} ${title} · ${this.title}` : this.title;
    if (document.title !== words) document.title = words;
    const name = { bad: "icon-bad.svg", warn: "icon-warn.svg" }[this.tone] ?? "icon.svg";
    const address = new URL(name, import.meta.url).href;
    if (this.icon && this.icon.href !== address) this.icon.href = address;
  }

  tell(title, message) {
    // A browser refuses both where nobody has touched the page yet, and complains.
    if (this.chosen.has("sound") && navigator.userActivation?.hasBeenActive !== false) { this.beep(); navigator.vibrate?.([200, 100, 200]); }
    if (this.chosen.has("notification") && document.hidden) { try { new Notification(title, { body: message, tag: "flowtest-health" }); } catch { /* phones want a service worker */ } }
  }

  beep() {
    try {
      this.audio ??= new AudioContext();
      const tone = this.audio.createOscillator();
      const volume = this.audio.createGain();
      volume.gain.value = 0.15;
      tone.frequency.value = 660;
      tone.connect(volume).connect(this.audio.destination);
      tone.start();
      tone.stop(this.audio.currentTime + 0.25);
    } catch { /* no sound here */ }
  }
}
