// One setting at a time is highlighted, in every figure and table: by a click on a mark, a curve or a row.
const Highlight = (() => {
  const bar = document.getElementById("highlight");
  const rows = {};
  for (const row of document.querySelectorAll("tr[data-setting]")) (rows[row.dataset.setting] ??= []).push(row);

  function set(name) {
    for (const row of rows[Figures.state.lit] ?? []) {
      row.classList.remove("lit");
      row.removeAttribute("aria-current");
    }
    for (const row of rows[name] ?? []) {
      row.classList.add("lit");
      row.setAttribute("aria-current", "true");
    }
    bar.replaceChildren();
    if (name) {
      const [title, line] = SETTINGS[name] ?? [name, ""];
      const text = document.createElement("span"), strong = document.createElement("strong");
      const small = document.createElement("small"), end = document.createElement("button");
      strong.textContent = `Highlighted: ${title}`;
      small.textContent = line;
      end.type = "button";
      end.textContent = "Clear (Esc)";
      end.addEventListener("click", () => set(""));
      text.append(strong, small);
      bar.append(text, end);
    }
    return Figures.highlight(name);
  }
  const toggle = (name) => set(name === Figures.state.lit ? "" : name);

  document.addEventListener("rewarm:drawn", ({ target }) => {
    target.on("plotly_click", ({ points: [point] }) => {
      const name = Marks.settingAt(target.data[point.curveNumber], point.pointNumber);
      if (name) toggle(name);
    });
  });
  document.addEventListener("click", ({ target }) => {
    const row = target.closest("tr[data-setting]");
    if (row && !target.closest("a, button, summary") && getSelection().isCollapsed) toggle(row.dataset.setting);
  });
  document.addEventListener("keydown", ({ key }) => { if (key === "Escape" && Figures.state.lit) set(""); });
  return { set, toggle };
})();
