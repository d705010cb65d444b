// Names beside marks were placed for a window of usual width: in a narrow one, those that would be cut off, or lie on
// a mark or another name, are not shown.
const Names = (() => {
  const SLACK = 1.5; // Pixels that a line's box is higher than its letters, above and below.

  const overlap = (one, other) =>
    one.left < other.right && other.left < one.right && one.top + SLACK < other.bottom && other.top + SLACK < one.bottom;

  function thin(plot) {
    const area = plot.querySelector(".nsewdrag").getBoundingClientRect();
    const boxes = (selector) => [...plot.querySelectorAll(selector)].map((each) => each.getBoundingClientRect());
    // Rings about marks have no data of their own to tell, and do not count.
    const taken = boxes(".scatterlayer path.point.plotly-customdata");
    for (const name of plot.querySelectorAll(".scatterlayer .textpoint text")) {
      const box = name.getBoundingClientRect();
      const fits = area.left <= box.left && box.right <= area.right && !taken.some((other) => overlap(box, other));
      name.style.visibility = fits ? "" : "hidden";
      if (fits) taken.push(box);
    }
  }

  return { thin };
})();
