"use strict";
// A click on a column's head sorts its table; numbers by value, words by the alphabet, empty cells last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, row = head.parentElement, body = row.closest("table").tBodies[0];
    const column = [...row.children].indexOf(head), up = head.getAttribute("aria-sort") !== "ascending";
    const number = head.classList.contains("number");
    const key = (line) => line.children[column].dataset.key;
    const compare = (a, b) => (number ? Number(a) - Number(b) : a.localeCompare(b)) * (up ? 1 : -1);
    const order = (a, b) => (key(a) === "") - (key(b) === "") || (key(a) === "" ? 0 : compare(key(a), key(b)));
    for (const other of row.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...[...body.rows].sort(order));
  });
}
