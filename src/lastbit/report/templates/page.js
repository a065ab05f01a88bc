"use strict";

// A hexadecimal float, as in the value of <data>.
function hex(text) {
  const m = /^(-?)0x([01])(?:\.([0-9a-f]+))?p([+-]\d+)$/.exec(text);
  if (!m) return Number(text);
  const digits = m[3] || "";
  return (m[1] ? -1 : 1) * parseInt(m[2] + digits, 16) * 2 ** (Number(m[4]) - 4 * digits.length);
}

function key(cell) {
  const data = cell.querySelector("data");
  const number = data ? hex(data.value) : Number(cell.textContent);
  return Number.isNaN(number) ? cell.textContent.trim() : number;
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

for (const table of document.querySelectorAll("table.sorted")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    const numbers = head.classList.contains("number") && column > 0;
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const down = now ? now === "ascending" : numbers;
      const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[column]), row]);
      rows.sort(([a], [b]) => (down ? compare(b, a) : compare(a, b)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  });
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function said(area) {
  return document.getElementById(area.getAttribute("aria-describedby"));
}

for (const area of document.querySelectorAll(".explore.map")) {
  const values = JSON.parse(area.querySelector("script").textContent);
  const here = area.querySelector(".here");
  const block = Number(area.dataset.block);
  let at = [0, 0];
  const show = (row, column) => {
    if (!(values[row] && values[row][column] !== undefined)) return;
    at = [row, column];
    here.setAttribute("x", column);
    here.setAttribute("y", row);
    here.classList.add("on");
    const value = values[row][column];
    said(area).textContent = value === null ? "no pixel"
      : `row ${row * block}, column ${column * block}: ${value}`;
  };
  area.addEventListener("pointermove", (event) => {
    const box = area.querySelector("svg").getBoundingClientRect();
    show(Math.floor((event.clientY - box.top) / box.height * values.length),
      Math.floor((event.clientX - box.left) / box.width * values[0].length));
  });
  area.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    if (here.classList.contains("on")) show(at[0] + step[0], at[1] + step[1]);
    else show(0, 0);
  });
}

for (const area of document.querySelectorAll(".explore.network")) {
  const columns = [...area.querySelectorAll(".column")];
  let at = -1;
  const show = (k) => {
    if (!columns[k]) return;
    if (at >= 0) columns[at].classList.remove("on");
    at = k;
    columns[k].classList.add("on");
    const row = document.getElementById(columns[k].dataset.row);
    const heads = [...row.closest("table").tHead.rows[0].cells];
    said(area).textContent = [...row.cells].map((cell, j) =>
      `${heads[j].textContent.trim()} ${cell.textContent.trim()}`).join(", ");
  };
  columns.forEach((column, k) => {
    column.addEventListener("pointerenter", () => show(k));
    column.addEventListener("click", () => {
      document.getElementById(column.dataset.row).scrollIntoView({ block: "center" });
    });
  });
  area.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || !step[1]) return;
    event.preventDefault();
    show(Math.max(0, at + step[1]));
    columns[at].scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}
