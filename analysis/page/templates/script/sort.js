// A click on a heading sorts its table by that column; what has no value comes last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const order = (row) => row.cells[column].dataset.order;
      const rows = [...table.tBodies[0].rows].sort((left, right) => {
        const [a, b] = [order(left), order(right)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const numbers = !isNaN(a) && !isNaN(b);
        const less = numbers ? a - b : a.localeCompare(b);
        return descending ? -less : less;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
