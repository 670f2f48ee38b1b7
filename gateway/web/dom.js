/** Elements, numbers and small charts. Text goes into the page as text only, whatever it holds. */

export const byID = (id) => document.getElementById(id);

/** An element with properties and children; strings become text. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Set an element's text if it is another than it was. */
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Make a table's body or a list show `rows` of texts, reusing what is there. */
export function fillTable(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  while (body.rows.length < rows.length) body.insertRow();
  rows.forEach((cells, n) => {
    const row = body.rows[n];
    while (row.cells.length < cells.length) row.insertCell();
    cells.forEach((text, m) => say(row.cells[m], text));
  });
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (n) => (n === null || n === undefined ? "–" : whole.format(n));
export const rate = (n) => (n >= 100_000 ? compact.format(n) : n > 0 && n < 9.95 ? n.toFixed(1) : whole.format(n ?? 0));

export function bytes(n) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) [n, unit] = [n / 1024, unit + 1];
  return `${n < 10 && unit > 0 ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

/** A short time, in words. */
export function moment(ms) {
  return ms < 950 ? `${Math.max(Math.round(ms), 1)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function duration(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const clock = (date = new Date()) => date.toTimeString().slice(0, 8);

const SVG = "http://www.w3.org/2000/svg";

/** A line of the last minute's values, and the area below it. */
export class Sparkline {
  #values = [];
  #line = document.createElementNS(SVG, "path");
  #area = document.createElementNS(SVG, "path");

  constructor(target, points = 60) {
    this.points = points;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${points - 1} 20`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    this.#area.setAttribute("class", "area");
    this.#line.setAttribute("class", "line");
    svg.append(this.#area, this.#line);
    target.append(svg);
  }

  push(value) {
    this.#values.push(value);
    if (this.#values.length > this.points) this.#values.shift();
    const top = Math.max(...this.#values, 1) * 1.15;
    const first = this.points - this.#values.length;
    const path = this.#values.map((v, n) => `${n === 0 ? "M" : "L"}${first + n} ${(20 - (v / top) * 20).toFixed(2)}`).join("");
    this.#line.setAttribute("d", path);
    this.#area.setAttribute("d", `${path}L${this.points - 1} 20L${first} 20Z`);
  }
}
