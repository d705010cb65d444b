// A page that is written anew while its sweep runs: it reloads itself, and looks as it did before.
// After RELOAD_SECONDS; 0: this is the last one. What a reader did lies in the history entry, which a file on disk keeps through a reload.
(() => {
  const IDLE_SECONDS = 2;
  const root = document.documentElement;
  const began = performance.now();
  // Named by its place in its section, since another section may have grown.
  function places(list) {
    const counts = {};
    return [...list].map((one) => {
      const within = one.closest("figure[id], section[id]")?.id ?? "";
      counts[within] = (counts[within] ?? 0) + 1;
      return [`${within}/${counts[within]}`, one];
    });
  }
  const details = () => places(document.querySelectorAll("details"));
  const headings = () => places(document.querySelectorAll("table.sortable th"));
  const keys = () => [...document.querySelectorAll(".legend button[data-curve]")]
    .map((key) => [`${key.closest(".chart").id}/${key.dataset.curve}`, key]);

  // What is read, not how far down it lies: what is above may have grown.
  function place() {
    const shown = [...document.querySelectorAll("section[id], figure[id]")].filter((one) => one.getClientRects().length);
    const parts = shown.map((one) => ({ id: one.id, top: one.getBoundingClientRect().top }));
    return parts.filter(({ top }) => top <= innerHeight / 2).pop() ?? { id: "", top: -scrollY };
  }

  function seen() {
    return {
      x: scrollX,
      place: place(),
      theme: Theme.chosen(),
      open: details().filter(([, one]) => one.open).map(([name]) => name),
      sorted: headings().map(([name, one]) => [name, one.getAttribute("aria-sort")]).filter(([, order]) => order),
      lit: Figures.state.lit,
      hidden: keys().filter(([, key]) => key.getAttribute("aria-pressed") === "false").map(([name]) => name),
    };
  }

  function restore({ x, place, theme, open, sorted, hidden, lit }) {
    for (const [name, one] of details()) one.open = open.includes(name);
    for (const [name, order] of sorted) {
      const button = headings().find(([other]) => other === name)?.[1].querySelector("button");
      for (let click = 0; click < (order === "descending" ? 2 : 1); click += 1) button?.click();
    }
    for (const [name, key] of keys()) if (hidden.includes(name)) key.click();
    if (theme !== Theme.chosen()) Theme.choose(theme);
    if (lit in SETTINGS) Highlight.set(lit);
    // Again while figures settle, which takes as long as drawing did, unless the reader moves on.
    const put = () => {
      if (touched > -Infinity) return observer.disconnect();
      const top = scrollY + (document.getElementById(place.id)?.getBoundingClientRect().top ?? -scrollY) - place.top;
      scrollTo({ left: x, top, behavior: "instant" });
    };
    const observer = new ResizeObserver(put);
    put();
    document.querySelectorAll("body, section").forEach((one) => observer.observe(one));
    setTimeout(() => observer.disconnect(), Math.max(1000 * IDLE_SECONDS, 4 * (performance.now() - began)));
  }

  let touched = -Infinity;
  let held = false;
  for (const kind of ["pointermove", "wheel", "touchmove", "keydown"]) {
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
