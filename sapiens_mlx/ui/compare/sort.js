// The table of a comparison sorts by the heading that was pressed: the best first, then the other way round.
// `element` is the component's; its content is made anew with every result, and is then put into the same order.

let column = -1;
let descending = false;

function sort() {
  const body = element.querySelector("tbody");
  if (!body || column < 0) return;
  const value = (row) => (row.cells[column] || { dataset: {} }).dataset.value || "";
  const number = (text) => (text === "inf" ? Infinity : Number(text));
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === ""); // what failed or is not known comes last either way
    const [m, n] = [number(x), number(y)];
    const order = Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m < n ? -1 : m > n ? 1 : 0;
    return descending ? -order : order;
  };
  body.append(...[...body.rows].sort(compare));
  element.querySelectorAll("thead th").forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

element.addEventListener("click", (event) => {
  const head = event.target.closest("thead th");
  if (!head) return;
  descending = head.cellIndex === column ? !descending : head.dataset.better === "higher";
  column = head.cellIndex;
  sort();
});
watch("value", sort);
