/**
 * Draws the land, the airports and the fleet on a canvas, and finds what lies under the pointer.
 *
 * What stands still is drawn once, on a canvas of its own; each frame copies it and draws what moves, a path for each colour.
 * With `prefers-reduced-motion` it is one frame a second and no trails.
 *
 * Not here: where things are (fleet.js, projection.js).
 */

import { placeLabels } from "./labels.js";
import { isArrow, nearest } from "./nearest.js";
import { fit, project } from "./projection.js";

const FRAME_MS = 33;
const CALM_FRAME_MS = 1000;
const REACH_PX = 14;
/** Corners of the land of the contiguous United States, for when there is no outline. */
const CORNERS = [[49, -124.7], [49, -95], [25.1, -81], [25.9, -97.3], [32.5, -117.1], [44.8, -67]];

export class LiveMap {
  #canvas;
  #context;
  #ground = document.createElement("canvas");
  #fleet;
  #airports = new Map();
  #land = { land: [], borders: [] };
  #toPixel = (point) => point;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #colours = {};
  #isGroundStale = true;
  #isSeen = true;
  #drawn = 0;
  /** The subject that is pointed at. */
  pointed = null;

  constructor(canvas, fleet, onPoint) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#fleet = fleet;
    new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
    new IntersectionObserver(([entry]) => (this.#isSeen = entry.isIntersecting)).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.#isGroundStale = true));
    canvas.addEventListener("pointermove", (event) => onPoint(this.#under(event), false));
    canvas.addEventListener("pointerleave", () => onPoint(null, false));
    canvas.addEventListener("click", (event) => onPoint(this.#under(event), true));
    canvas.addEventListener("keydown", (event) => this.#onKey(event, onPoint));
    this.#resize();
    requestAnimationFrame((now) => this.#frame(now));
  }

  setLand(land) {
    this.#land = land;
    this.#resize();
  }

  /** A message of an airport. */
  setAirport(message) {
    const { iata, lat, lon } = message.json ?? {};
    if (message.tombstone) this.#airports.delete(message.subject);
    else if (Number.isFinite(lat) && Number.isFinite(lon)) {
      const before = this.#airports.get(message.subject);
      this.#airports.set(message.subject, { iata: String(iata ?? ""), point: project(lat, lon) });
      if (before === undefined) this.#isGroundStale = true;
    }
  }

  /** Where a thing is on the canvas, in CSS pixels. */
  pixelOf({ x, y }) {
    return this.#toPixel([x, y]);
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#canvas.parentElement;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    for (const canvas of [this.#canvas, this.#ground]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const points = this.#land.land.length > 0 ? this.#land.land.flat().map(([lon, lat]) => project(lat, lon)) : CORNERS.map(([lat, lon]) => project(lat, lon));
    this.#toPixel = fit(points, width, height, width < 500 ? 8 : 20);
    this.#isGroundStale = true;
    this.#drawn = 0;
  }

  #frame(now) {
    requestAnimationFrame((next) => this.#frame(next));
    if (!this.#isSeen || this.#canvas.width === 0 || now - this.#drawn < (this.#calm.matches ? CALM_FRAME_MS : FRAME_MS)) return;
    this.#drawn = now;
    this.#fleet.move(performance.now());
    if (this.#isGroundStale) this.#drawGround();
    const context = this.#context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.drawImage(this.#ground, 0, 0);
    const ratio = this.#canvas.width / this.#canvas.clientWidth || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.#fleet.things.has(this.pointed)) this.#drawWay(this.#fleet.things.get(this.pointed));
    for (const delay of [0, 1, 2]) this.#drawThings(delay);
  }

  #drawThings(delay) {
    const context = this.#context;
    const size = this.#canvas.clientWidth < 500 ? 3 : 4.4;
    const moving = [];
    for (const thing of this.#fleet.things.values()) if (thing.delay === delay && !thing.landed) moving.push([thing, this.pixelOf(thing)]);
    if (!this.#calm.matches) {
      context.beginPath();
      for (const [thing, [x, y]] of moving) {
        for (const [n, point] of thing.trail.entries()) {
          const [tx, ty] = this.#toPixel(point);
          if (n === 0) context.moveTo(tx, ty);
          else context.lineTo(tx, ty);
        }
        context.lineTo(x, y);
      }
      context.strokeStyle = this.#colours.delay[delay];
      context.globalAlpha = 0.28;
      context.lineWidth = 1;
      context.stroke();
      context.globalAlpha = 1;
    }
    context.beginPath();
    for (const [thing, [x, y]] of moving) {
      const scale = thing.subject === this.pointed ? size * 1.9 : size;
      const sin = Math.sin(thing.turn) * scale;
      const cos = Math.cos(thing.turn) * scale;
      context.moveTo(x + sin * 1.25, y - cos * 1.25);
      context.lineTo(x - sin * 0.85 + cos * 0.75, y + cos * 0.85 + sin * 0.75);
      context.lineTo(x - sin * 0.4, y + cos * 0.4);
      context.lineTo(x - sin * 0.85 - cos * 0.75, y + cos * 0.85 - sin * 0.75);
      context.closePath();
    }
    context.fillStyle = this.#colours.delay[delay];
    context.fill();
  }

  /** From where to where the pointed one flies. */
  #drawWay(thing) {
    const ends = [...this.#airports.values()].filter(({ iata }) => iata === thing.value.from || iata === thing.value.to);
    const context = this.#context;
    context.beginPath();
    for (const { point } of ends) {
      context.moveTo(...this.pixelOf(thing));
      context.lineTo(...this.#toPixel(point));
    }
    context.strokeStyle = this.#colours.ink;
    context.lineWidth = 1;
    context.setLineDash([3, 4]);
    context.stroke();
    context.setLineDash([]);
  }

  #drawGround() {
    this.#isGroundStale = false;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.#colours = { ink: colour("--ink"), delay: [colour("--delay-0"), colour("--delay-1"), colour("--delay-2")] };
    const context = this.#ground.getContext("2d");
    const ratio = this.#ground.width / this.#canvas.clientWidth || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.#ground.width, this.#ground.height);
    const trace = (line) => line.forEach(([lon, lat], n) => context[n === 0 ? "moveTo" : "lineTo"](...this.#toPixel(project(lat, lon))));
    context.beginPath();
    for (const ring of this.#land.land) {
      trace(ring);
      context.closePath();
    }
    context.fillStyle = colour("--land");
    context.fill();
    context.strokeStyle = colour("--coast");
    context.lineWidth = 1;
    context.stroke();
    context.beginPath();
    this.#land.borders.forEach(trace);
    context.strokeStyle = colour("--border");
    context.lineWidth = 0.75;
    context.stroke();
    this.#drawAirports(context, style);
  }

  #drawAirports(context, style) {
    const isSmall = this.#canvas.clientWidth < 500;
    context.font = `500 ${isSmall ? 9 : 11}px ${style.getPropertyValue("--sans")}`;
    context.textBaseline = "middle";
    const airports = [...this.#airports.values()].map(({ iata, point }) => {
      const [x, y] = this.#toPixel(point);
      const label = iata.slice(0, 4);
      return { label, x, y, width: context.measureText(label).width };
    });
    const picture = { width: this.#canvas.clientWidth, height: this.#canvas.clientHeight };
    const boxes = placeLabels(airports, isSmall ? 9 : 12, isSmall ? 4 : 5, picture);
    for (const [n, { label, x, y }] of airports.entries()) {
      context.beginPath();
      context.arc(x, y, isSmall ? 2 : 2.75, 0, 2 * Math.PI);
      context.fillStyle = style.getPropertyValue("--paper");
      context.fill();
      context.strokeStyle = style.getPropertyValue("--quiet");
      context.lineWidth = 1.25;
      context.stroke();
      context.fillStyle = style.getPropertyValue("--quiet");
      context.fillText(label, boxes[n].x, boxes[n].y + boxes[n].height / 2);
    }
  }

  /** Arrow keys go from thing to thing, Enter chooses, Escape leaves. */
  #onKey(event, onPoint) {
    const { key } = event;
    const pointed = this.#fleet.things.get(this.pointed) ?? null;
    if (key === "Escape") onPoint(null, false);
    else if (key === "Enter" && pointed !== null) onPoint(pointed, true);
    else if (isArrow(key)) {
      const { clientWidth: width, clientHeight: height } = this.#canvas;
      const from = pointed === null ? [width / 2, height / 2] : this.pixelOf(pointed);
      const places = [...this.#fleet.things.values()].filter((thing) => !thing.landed && thing !== pointed).map((thing) => [thing, this.pixelOf(thing)]);
      const found = nearest(key, from, places);
      if (found !== null) onPoint(found, false);
    } else return;
    event.preventDefault();
  }

  /** The thing nearest to the pointer, within reach. */
  #under(event) {
    const box = this.#canvas.getBoundingClientRect();
    let [found, distance] = [null, REACH_PX];
    for (const thing of this.#fleet.things.values()) {
      if (thing.landed) continue;
      const [x, y] = this.pixelOf(thing);
      const away = Math.hypot(x - event.clientX + box.left, y - event.clientY + box.top);
      if (away < distance) [found, distance] = [thing, away];
    }
    return found;
  }
}
