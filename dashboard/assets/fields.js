// What fields and pieces of code get by the script: a password can be shown, a command can be copied. And whether something
// is typed that is not sent yet.

export function tools(root = document) {
  for (const input of root.querySelectorAll('input[type="password"]')) showable(input);
  for (const code of root.querySelectorAll("[data-copy-from]")) copyable(code);
}

// What was refused or is asked about stands in its fields as it was typed, and is not sent yet either.
const UNSENT = "form [aria-invalid=true], form [role=alert], [data-unsent]";

// Whether somebody has typed or chosen something there that would be lost with the page.
export function isTyped(root) {
  return root.querySelector(UNSENT) !== null
    || [...root.querySelectorAll("form[method=post] :is(input:not([type=hidden]), textarea, select)")].some(differs);
}

function differs(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
  return field.selectedIndex !== Math.max(0, [...field.options].findIndex((one) => one.defaultSelected));
}

function showable(input) {
  const box = document.createElement("div");
  box.className = "with-button";
  input.replaceWith(box);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet";
  button.textContent = "Show";
  button.setAttribute("aria-label", "Show the password");
  button.addEventListener("click", () => {
    const hidden = input.type === "password";
    input.type = hidden ? "text" : "password";
    button.textContent = hidden ? "Hide" : "Show";
    button.setAttribute("aria-label", hidden ? "Hide the password" : "Show the password");
  });
  box.append(input, button);
}

function copyable(code) {
  if (navigator.clipboard) code.after(copyButton("Copy", () => code.textContent));
}

// A button that copies what `value` says when it is pressed; where there is a clipboard.
export function copyButton(label, value) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small";
  button.textContent = label;
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(value()); button.textContent = "Copied"; } catch { button.textContent = "Not allowed"; }
    setTimeout(() => { button.textContent = label; }, 1_500);
  });
  return button;
}
