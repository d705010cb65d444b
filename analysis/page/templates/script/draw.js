// Draws every figure of the page, anew when the theme changes or the page is printed.
const Figures = (() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];

  // Figures name colours by role; the style sheet says what a role looks like in this theme.
  function spec(plot) {
    const style = getComputedStyle(root);
    const text = document.getElementById(plot.dataset.spec).textContent;
    return JSON.parse(text.replace(/"var\((--[\w-]+)\)"/g, (_, name) => JSON.stringify(style.getPropertyValue(name).trim())));
  }

  function draw(plot) {
    const { data, layout } = spec(plot);
    const hidden = new Set(
      [...plot.closest(".chart").querySelectorAll('[aria-pressed="false"]')].map((key) => key.dataset.curve),
    );
    for (const trace of data) if (hidden.has(trace.legendgroup)) trace.visible = false;
    return Plotly.react(plot, data, layout, CONFIG);
  }

  function drawAll(theme) {
    root.dataset.theme = theme;
    return Promise.all(plots.map(draw));
  }

  for (const key of document.querySelectorAll(".legend button")) {
    key.addEventListener("click", () => {
      key.setAttribute("aria-pressed", String(key.getAttribute("aria-pressed") !== "true"));
      key.closest(".chart").querySelectorAll(".plot").forEach(draw);
    });
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => (dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => drawAll(wanted()));
  addEventListener("beforeprint", () => {
    document.body.style.width = "273mm";
    drawAll("light");
  });
  addEventListener("afterprint", () => {
    document.body.style.width = "";
    drawAll(wanted());
  });
  drawAll(wanted()).then(() => { root.dataset.drawn = "yes"; });
  return { draw };
})();
