// Draws the figures that come near the window, anew when the theme changes; all of them before the page is printed.
const Figures = (() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];
  const near = new Set();
  const state = { lit: "", chosen: [], rivals: [], cap: null };
  let version = 0, running = null;

  // Figures name colours by role; the style sheet says what a role looks like in this theme.
  function spec(plot) {
    const style = getComputedStyle(root);
    const text = document.getElementById(plot.dataset.spec).textContent;
    return JSON.parse(text.replace(/"var\((--[\w-]+)\)"/g, (_, name) => JSON.stringify(style.getPropertyValue(name).trim())));
  }

  // A spec with what the reader did to it: curves hidden, a setting highlighted or chosen, a cap.
  function dressed(plot) {
    const { data, layout } = spec(plot);
    const hidden = new Set(
      [...plot.closest(".chart").querySelectorAll('[aria-pressed="false"]')].map((key) => key.dataset.curve),
    );
    for (const trace of data) {
      Marks.unpacked(trace);
      if (hidden.has(trace.legendgroup)) trace.visible = false;
      if (trace.meta?.settings && trace.opacity != null) trace.meta.opacity = trace.opacity;
      if (trace.mode?.includes("markers")) {
        trace.unselected ??= { marker: { opacity: 0.15 }, textfont: { color: "rgba(128,128,128,0.25)" } };
      }
    }
    layout.annotations = layout.annotations?.filter((note) => !hidden.has(note.name));
    if (layout.meta?.plane) mark(data, layout);
    if (data.some(Marks.isMerged)) data.push({ type: "scatter", mode: "lines", hoverinfo: "skip", meta: { spotlight: true } });
    const { opacity, selectedpoints } = Marks.look(data, state.lit);
    data.forEach((trace, index) => {
      trace.opacity = opacity[index];
      if (selectedpoints[index]) trace.selectedpoints = selectedpoints[index];
      if (trace.meta?.spotlight) Object.assign(trace, Marks.spotlight(data, state.lit));
    });
    return { data, layout };
  }

  // In the plane: a ring about each setting that is recommended, a thin one about those that are not excluded as the
  // best, and the cap on forgetting.
  function mark(data, layout) {
    const accent = getComputedStyle(root).getPropertyValue("--accent").trim();
    const places = Marks.places(data);
    for (const [names, size, width] of [[state.rivals, 22, 1], [state.chosen, 27, 2.6]]) {
      const spots = names.map((name) => places.get(name)).filter(Boolean);
      data.push({
        type: "scatter", mode: "markers", hoverinfo: "skip", cliponaxis: false,
        x: spots.map((spot) => data[spot.curveNumber].x[spot.pointNumber]),
        y: spots.map((spot) => data[spot.curveNumber].y[spot.pointNumber]),
        marker: { symbol: "circle-open", size, color: accent, line: { width, color: accent } },
      });
    }
    if (state.cap == null) return;
    layout.shapes = [...(layout.shapes ?? []), {
      type: "line", xref: "x", yref: "paper", x0: state.cap, x1: state.cap, y0: 0, y1: 1,
      line: { color: accent, width: 1.6, dash: "dot" },
    }];
    layout.annotations = [...(layout.annotations ?? []), {
      x: state.cap, y: 1, yref: "paper", yanchor: "bottom", showarrow: false, text: "cap", font: { color: accent, size: 12 },
    }];
    layout.margin = { ...layout.margin, t: 26 };
  }

  async function draw(plot) {
    const first = plot.version === undefined;
    plot.version = version;
    plot.lit = state.lit;
    const { data, layout } = dressed(plot);
    await Plotly.react(plot, data, layout, CONFIG);
    if (first && layout.meta?.plane) {
      Names.thin(plot);
      plot.on("plotly_afterplot", () => Names.thin(plot));
    }
    if (first) plot.dispatchEvent(new Event("rewarm:drawn", { bubbles: true }));
  }

  // Highlights in a figure that is drawn: no more is computed anew than has to be.
  async function relight(plot) {
    plot.lit = state.lit;
    const data = plot.data, indices = data.map((_, index) => index);
    const look = Marks.look(data, state.lit);
    if (!look.selectedpoints.some(Boolean) && data.every((trace) => !trace.selectedpoints)) delete look.selectedpoints;
    await Plotly.restyle(plot, look, indices);
    const spot = data.findIndex((trace) => trace.meta?.spotlight);
    if (spot < 0) return;
    const { x, y, line } = Marks.spotlight(data, state.lit);
    await Plotly.restyle(plot, { x: [x], y: [y], line: [line] }, [spot]);
  }

  const isStale = (plot) => plot.version !== version || plot.lit !== state.lit;
  const update = (plot) => (plot.version !== version ? draw(plot) : relight(plot));

  // One figure after another, so that the page answers in between; a figure that is far waits until it comes near.
  function settle() {
    const next = () => plots.find((one) => near.has(one) && isStale(one));
    if (next()) root.dataset.drawn = "no";
    running ??= (async () => {
      await null; // So that `running` is set before it may be cleared.
      try {
        for (let plot; (plot = next()); ) {
          await update(plot);
          await new Promise((done) => setTimeout(done));
        }
        root.dataset.drawn = "yes";
      } finally {
        running = null;
      }
    })();
    return running;
  }

  async function drawAll() {
    await running;
    for (const plot of plots.filter(isStale)) await update(plot);
  }

  function highlight(lit) {
    state.lit = lit;
    return settle();
  }

  for (const key of document.querySelectorAll(".legend button")) {
    key.addEventListener("click", () => {
      key.setAttribute("aria-pressed", String(key.getAttribute("aria-pressed") !== "true"));
      key.closest(".chart").querySelectorAll(".plot").forEach((plot) => { plot.version = -1; });
      settle();
    });
  }
  document.addEventListener("rewarm:chosen", ({ detail }) => {
    state.chosen = detail.settings;
    state.rivals = (detail.rivals ?? []).filter((name) => !detail.settings.includes(name));
    state.cap = detail.cap;
    const planes = plots.filter((plot) => plot.layout?.meta?.plane);
    planes.forEach((plot) => { plot.version = -1; });
    settle();
  });
  Theme.onChange(() => { version += 1; settle(); });

  const opened = [];
  addEventListener("beforeprint", () => {
    document.body.style.width = "273mm";
    for (const folded of document.querySelectorAll("details:not([open]):has(.plot)")) {
      folded.open = true;
      opened.push(folded);
    }
    root.dataset.theme = "light";
    version += 1;
    // Nothing is awaited: the browser prints when this returns.
    plots.forEach((plot) => { draw(plot); });
  });
  addEventListener("afterprint", () => {
    document.body.style.width = "";
    opened.splice(0).forEach((folded) => { folded.open = false; });
    Theme.apply();
  });

  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) near[isIntersecting ? "add" : "delete"](target);
    settle();
  }, { rootMargin: "600px" });
  plots.forEach((plot) => watch.observe(plot));
  if (!plots.length) settle();
  return { drawAll, highlight, state };
})();
