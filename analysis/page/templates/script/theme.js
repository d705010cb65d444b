// Which theme the page has: the reader's choice, remembered where the browser lets a page remember, else the system's.
const Theme = (() => {
  const NAMES = ["auto", "light", "dark"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const heard = [];
  let chosen = "auto";
  try {
    const kept = localStorage.getItem("rewarm-theme");
    if (NAMES.includes(kept)) chosen = kept;
  } catch { /* A page opened as a file may have no storage. */ }

  const wanted = () => (chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen);
  function apply(theme = wanted()) {
    document.documentElement.dataset.theme = theme;
    heard.forEach((hear) => hear());
  }
  function choose(name) {
    chosen = name;
    try { localStorage.setItem("rewarm-theme", chosen); } catch { /* As above. */ }
    document.getElementById("theme").textContent = `Theme: ${chosen}`;
    apply();
  }
  dark.addEventListener("change", () => apply());
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.textContent = `Theme: ${chosen}`;
    button.addEventListener("click", () => choose(NAMES[(NAMES.indexOf(chosen) + 1) % NAMES.length]));
  });
  return { apply, choose, chosen: () => chosen, onChange: (hear) => heard.push(hear) };
})();
