// The keyboard: arrows go through the settings of a figure or the rows of a table, Enter highlights.
const Keys = (() => {
  const spoken = document.getElementById("spoken");
  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

  function say(name) {
    const [title, line] = SETTINGS[name] ?? [name, ""];
    spoken.textContent = `${title}. ${line}`;
  }

  for (const plot of document.querySelectorAll(".plot")) {
    let at = null;
    plot.addEventListener("keydown", (event) => {
      if (!plot.data || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Enter" || event.key === " ") {
        if (at === null) return;
        Highlight.toggle(at);
      } else if (event.key === "Escape") {
        at = null;
        Plotly.Fx.unhover(plot);
        return;
      } else if (event.key in STEPS || event.key === "Home" || event.key === "End") {
        const places = Marks.places(plot.data), names = [...places.keys()];
        if (!names.length) return;
        const step = STEPS[event.key], now = names.indexOf(at);
        const next = event.key === "Home" ? 0 : event.key === "End" ? -1 : now < 0 && step < 0 ? -1 : now + step;
        at = names.at(next % names.length);
        Plotly.Fx.hover(plot, [places.get(at)]);
        say(at);
      } else {
        return;
      }
      event.preventDefault();
    });
    plot.addEventListener("blur", () => { if (plot.data) Plotly.Fx.unhover(plot); });
  }

  // In a table one row at a time is a stop of the Tab key.
  for (const body of document.querySelectorAll("tbody:has(> tr[data-setting])")) {
    body.querySelector("tr[data-setting]").tabIndex = 0;
    body.addEventListener("keydown", (event) => {
      const row = event.target.closest("tr[data-setting]");
      if (row !== event.target) return;
      if (event.key === "Enter" || event.key === " ") {
        Highlight.toggle(row.dataset.setting);
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        const other = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
        if (!other?.dataset.setting) return;
        row.tabIndex = -1;
        other.tabIndex = 0;
        other.focus();
      } else {
        return;
      }
      event.preventDefault();
    });
  }
  return { say };
})();
