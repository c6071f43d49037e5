"use strict";
// Sorts the table of scans by the column whose heading is pressed, the other way round when it is pressed again.
(() => {
  const table = document.getElementById("scans");
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];

  function key(row, column) {
    const cell = row.cells[column];
    const number = Number(cell.dataset.value);
    return cell.dataset.value !== undefined && Number.isFinite(number) ? number : cell.textContent.trim();
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function sort(column) {
    const heading = headings[column];
    const falling = heading.getAttribute("aria-sort") !== "descending";
    headings.forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const rows = [...body.rows].sort((a, b) => (falling ? -1 : 1) * compare(key(a, column), key(b, column)));
    body.append(...rows);
    document.getElementById("said").textContent = `Sorted by ${heading.textContent.trim()}, ${falling ? "falling" : "rising"}`;
  }

  headings.forEach((heading, column) => heading.querySelector("button")?.addEventListener("click", () => sort(column)));
  document.documentElement.dataset.ready = "yes";
})();
