// What fields and pieces of code get by the script: a password can be shown, a command can be copied.

export function tools(root = document) {
  for (const input of root.querySelectorAll('input[type="password"]')) showable(input);
  for (const code of root.querySelectorAll("[data-copy-from]")) copyable(code);
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
  if (!navigator.clipboard) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; } catch { button.textContent = "Not allowed"; }
    setTimeout(() => { button.textContent = "Copy"; }, 1_500);
  });
  code.after(button);
}
