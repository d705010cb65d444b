// A page that is written anew while its sweep runs: it reloads itself, and looks as it did before.
// After RELOAD_SECONDS; 0: this is the last one. What a reader did lies in the history entry, which a file on disk keeps through a reload.
(() => {
  const IDLE_SECONDS = 2;
  const root = document.documentElement;
  const began = performance.now();
  const places = (list) => [...list].map((one, index) => [one.id || `${one.closest("section, figure")?.id ?? ""}/${index}`, one]);
  const details = () => places(document.querySelectorAll("details"));
  const inputs = () => [...document.querySelectorAll("input[id], select[id]")].map((one) => [one.id, one]);
  const headings = () => places(document.querySelectorAll("table.sortable th"));
  const keys = () => [...document.querySelectorAll(".legend button[data-curve]")]
    .map((key) => [`${key.closest(".chart").id}/${key.dataset.curve}`, key]);

  function seen() {
    return {
      x: scrollX,
      y: scrollY,
      theme: Theme.chosen(),
      open: details().filter(([, one]) => one.open).map(([name]) => name),
      inputs: Object.fromEntries(inputs().map(([name, one]) => [name, one.type === "checkbox" ? one.checked : one.value])),
      sorted: headings().map(([name, one]) => [name, one.getAttribute("aria-sort")]).filter(([, order]) => order),
      lit: Figures.state.lit,
      hidden: keys().filter(([, key]) => key.getAttribute("aria-pressed") === "false").map(([name]) => name),
    };
  }

  function restore({ x, y, theme, lit, open, inputs: values, sorted, hidden }) {
    for (const [name, one] of details()) one.open = open.includes(name);
    for (const [name, one] of inputs()) {
      if (!(name in values)) continue;
      if (one.type === "checkbox") one.checked = values[name];
      else one.value = values[name];
      for (const kind of ["input", "change"]) one.dispatchEvent(new Event(kind, { bubbles: true }));
    }
    for (const [name, order] of sorted) {
      const button = headings().find(([other]) => other === name)?.[1].querySelector("button");
      for (let click = 0; click < (order === "descending" ? 2 : 1); click += 1) button?.click();
    }
    for (const [name, key] of keys()) if (hidden.includes(name)) key.click();
    if (theme !== Theme.chosen()) Theme.choose(theme);
    if (lit in SETTINGS) Highlight.set(lit);
    scrollTo({ left: x, top: y, behavior: "instant" });
  }

  let touched = -Infinity;
  let held = false;
  for (const kind of ["pointermove", "wheel", "keydown", "scroll", "input"]) {
    addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
  }
  addEventListener("pointerdown", () => { held = true; });
  for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => { held = false; });

  function reload() {
    history.replaceState({ ...history.state, seen: seen() }, "");
    location.reload();
  }

  // Not while somebody works with the page; and a page that takes long to draw is read longer.
  function wait(seconds) {
    const idle = performance.now() - touched > 1000 * IDLE_SECONDS;
    const selecting = !getSelection().isCollapsed;
    if (seconds <= 0 && idle && !held && !selecting) return reload();
    setTimeout(wait, 250, seconds - 0.25);
  }

  history.scrollRestoration = "manual";
  function start() {
    if (history.state?.seen) restore(history.state.seen);
    if (RELOAD_SECONDS === 0) return;
    root.dataset.reloads = String(RELOAD_SECONDS);
    wait(Math.max(RELOAD_SECONDS, (4 * (performance.now() - began)) / 1000));
  }
  new MutationObserver((_, observer) => {
    if (root.dataset.drawn !== "yes") return;
    observer.disconnect();
    start();
  }).observe(root, { attributes: true, attributeFilter: ["data-drawn"] });
})();
