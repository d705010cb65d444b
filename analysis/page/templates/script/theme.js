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
  function next() {
    chosen = NAMES[(NAMES.indexOf(chosen) + 1) % NAMES.length];
    try { localStorage.setItem("rewarm-theme", chosen); } catch { /* As above. */ }
    apply();
    return chosen;
  }
  dark.addEventListener("change", () => apply());
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => { button.textContent = `Theme: ${chosen}`; };
    button.addEventListener("click", () => { next(); name(); });
    name();
  });
  return { apply, onChange: (hear) => heard.push(hear) };
})();
