"use strict";
const all = (what, within = document) => [...within.querySelectorAll(what)];
const textOf = (cell) => cell.textContent.trim();

// A click on a column's head sorts its table; numbers by value, words by the alphabet, empty cells last.
const valueOf = (cell) => (textOf(cell) === "∞" ? Infinity : Number.parseFloat(textOf(cell)));
function sort(head) {
  const row = head.parentElement, body = row.closest("table").tBodies[0], column = [...row.children].indexOf(head);
  const up = head.getAttribute("aria-sort") !== "ascending", number = head.classList.contains("number");
  const compare = (a, b) => (number ? valueOf(a) - valueOf(b) : textOf(a).localeCompare(textOf(b))) * (up ? 1 : -1);
  const empty = (cell) => (textOf(cell) === "" ? 1 : 0);
  for (const other of row.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...[...body.rows].sort(({ cells: a }, { cells: b }) =>
    empty(a[column]) - empty(b[column]) || (empty(a[column]) ? 0 : compare(a[column], b[column]))));
}

// What can be taken away is made here, of what is on the page.
function take(name, blob) {
  const link = Object.assign(document.createElement("a"), { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// A table as CSV: a number and its error are two columns.
function csv(table) {
  const rows = all("tr", table).map((row) => [...row.cells].map(textOf));
  const paired = rows[0].map((_, i) => rows.some((row) => row[i].includes(" ± ")));
  const cells = (row, first) => row.flatMap((cell, i) =>
    paired[i] ? (first ? [cell, `${cell}, error`] : [...cell.split(" ± "), ""].slice(0, 2)) : [cell]);
  const quote = (word) => (/[",\n]/.test(word) ? `"${word.replaceAll('"', '""')}"` : word);
  return rows.map((row, i) => cells(row, i === 0).map(quote).join(",")).join("\n") + "\n";
}

// The names of all that an element refers to, and of what that refers to.
function needed(element, used) {
  for (const { value } of [element, ...all("*", element)].flatMap((one) => [...one.attributes]))
    for (const [, name] of value.matchAll(/(?:^|url\()#(g\d+)/g))
      if (!used.has(name)) needed(document.getElementById(name), used.add(name));
}

// A drawing that stands alone: with the letters and styles that it shares with the others on the page.
function alone(svg) {
  const copy = svg.cloneNode(true), space = "http://www.w3.org/2000/svg";
  const [, , width, height] = svg.getAttribute("viewBox").split(" ");
  const used = new Set();
  needed(svg, used);
  const defs = document.createElementNS(space, "defs");
  defs.append(...[...used].map((name) => document.getElementById(name).cloneNode(true)));
  const style = document.createElementNS(space, "style");
  style.textContent = document.querySelector("#drawn").textContent;
  copy.prepend(style, defs);
  for (const [key, value] of Object.entries({ xmlns: space, width, height })) copy.setAttribute(key, value);
  return new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
}

async function png(svg) {
  const image = new Image(), canvas = document.createElement("canvas");
  image.src = URL.createObjectURL(alone(svg));
  await image.decode();
  [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  return new Promise((resolve) => canvas.toBlob(resolve));
}

// The browser prints to PDF: one figure alone on its page.
function print(figure) {
  figure.classList.add("alone");
  document.body.classList.add("one");
  globalThis.print();
  figure.classList.remove("alone");
  document.body.classList.remove("one");
}

async function answer(button) {
  const figure = button.closest("figure"), name = figure.id, svg = figure.querySelector(".drawing svg");
  if (button.value === "csv") take(`${name}.csv`, new Blob([csv(figure.querySelector("table"))], { type: "text/csv" }));
  if (button.value === "svg") take(`${name}.svg`, alone(svg));
  if (button.value === "png") take(`${name}.png`, await png(svg));
  if (button.value === "pdf") print(figure);
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.closest("th")) sort(button.closest("th"));
  if (button?.closest(".take")) answer(button);
  if (target.closest('a[href^="#"]')) setTimeout(arrive);
});

// Sections are folded: a link into one opens it, and paper has them all.
const sections = all("details.section");
const unfold = () => sections.forEach((one) => { one.open = true; });
function arrive() {
  const aim = location.hash && document.getElementById(location.hash.slice(1));
  const folded = aim && (aim.closest("details.section") ?? aim.querySelector("details.section"));
  if (!folded) return;
  folded.open = true;
  aim.scrollIntoView();
}
addEventListener("hashchange", arrive);
addEventListener("beforeprint", () => document.body.classList.contains("one") || unfold());
document.querySelector("#unfold").addEventListener("click", unfold);
arrive();
