// Light, dark or as the system says; runs before the first paint so that nothing flashes. Plain script, no module.
(() => {
  const key = "flowtest-theme";
  const order = ["system", "light", "dark"];
  const read = () => { try { return localStorage.getItem(key) || "system"; } catch { return "system"; } };
  const apply = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  let theme = read();
  apply(theme);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-button]");
    if (!button) return;
    const label = button.querySelector("span");
    const say = () => { label.textContent = `Theme: ${theme}`; button.title = `Theme: ${theme}`; };
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      try { localStorage.setItem(key, theme); } catch { /* private windows may refuse; the choice lasts for the page */ }
      apply(theme);
      say();
      dispatchEvent(new Event("themechange"));
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
})();
