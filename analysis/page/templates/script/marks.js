// Whose a mark is, and how a figure looks while one setting is highlighted or chosen: functions of data alone.
//
// A trace says whose it is in meta.settings: one name for the trace, or one a point, or with meta.starts one a run of
// points. Whole traces are dimmed by their opacity, points beside a highlighted one by the selection of plotly; of a line
// that holds several settings the highlighted run is drawn once more on top (the spotlight, the last trace).
const Marks = (() => {
  const FAINT = 0.15;

  const NUMBERS = {
    f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array, i1: Int8Array, u1: Uint8Array,
  };

  // Plotly's Python side packs numbers as text; unpacked, they can be looked up.
  function unpacked(trace) {
    for (const axis of ["x", "y"]) {
      const packed = trace[axis];
      if (packed?.bdata === undefined) continue;
      const bytes = Uint8Array.from(atob(packed.bdata), (letter) => letter.charCodeAt(0));
      trace[axis] = new NUMBERS[packed.dtype](bytes.buffer);
    }
    return trace;
  }

  const owners = (trace) => trace.meta?.settings ?? [];
  const isPoints = (trace) => (trace.mode ?? "").includes("markers");
  const isMerged = (trace) => owners(trace).length > 1 && !isPoints(trace);

  const isThere = (value) => value != null && !Number.isNaN(value);

  function run(trace, index) {
    const starts = trace.meta.starts;
    if (owners(trace).length === 1) return [0, trace.x.length];
    return starts ? [starts[index], starts[index + 1] ?? trace.x.length] : [index, index + 1];
  }

  // The setting that a point belongs to.
  function settingAt(trace, point) {
    const names = owners(trace);
    if (names.length < 2) return names[0];
    const starts = trace.meta.starts;
    if (!starts) return names[point];
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= point) low = middle; else high = middle - 1;
    }
    return names[low];
  }

  // Where each setting of a figure can be pointed at: its name to a trace and a point of it, its last with a value.
  function places(data) {
    const found = new Map();
    data.forEach((trace, curveNumber) => {
      if (trace.visible === false || trace.hoverinfo === "skip" || trace.hoverinfo === "none") return;
      owners(trace).forEach((name, index) => {
        if (!name || found.has(name)) return;
        const [from, to] = run(trace, index);
        for (let point = to - 1; point >= from; point--) {
          if (isThere(trace.x[point]) && isThere(trace.y[point])) {
            found.set(name, { curveNumber, pointNumber: point });
            break;
          }
        }
      });
    });
    return found;
  }

  // How traces look while `lit` is highlighted ("" for none): arrays for Plotly.restyle, one entry a trace.
  function look(data, lit) {
    const drawn = lit !== "" && data.some((trace) => owners(trace).includes(lit));
    return {
      opacity: data.map((trace) => {
        const dimmed = owners(trace).length > 0 && (isMerged(trace) || !owners(trace).includes(lit));
        return drawn && dimmed ? FAINT : trace.meta?.opacity ?? 1;
      }),
      selectedpoints: data.map((trace) => {
        if (!drawn || !isPoints(trace) || !owners(trace).includes(lit)) return null;
        const points = [];
        owners(trace).forEach((name, index) => {
          if (name === lit) for (let [point, to] = run(trace, index); point < to; point++) points.push(point);
        });
        return points;
      }),
    };
  }

  // The runs of a setting within merged lines, with gaps between them.
  function spotlight(data, lit) {
    const x = [], y = [];
    let line = {};
    for (const trace of data.filter((one) => isMerged(one) && one.visible !== false)) {
      owners(trace).forEach((name, index) => {
        if (name !== lit) return;
        const [from, to] = run(trace, index);
        x.push(...trace.x.slice(from, to), null);
        y.push(...trace.y.slice(from, to), null);
        line = trace.line;
      });
    }
    return { x, y, line: { ...line, width: 3.2 } };
  }

  return { unpacked, isMerged, settingAt, places, look, spotlight };
})();
