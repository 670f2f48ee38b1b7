/**
 * The subscriptions of a client, found by key, by the id that names them on this connection, and by what they cover.
 *
 * Not here: what is said about them (session.js), what each has received (place.js).
 */

import { Track } from "./place.js";
import { isPattern, matches } from "./subjects.js";

/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./place.js").Positions} Positions */
/** @typedef {"latest" | "now" | { last: number } | { time: number } | { at: Positions }} From where a subscription starts; `time` in milliseconds since 1970 */
/** @typedef {{ from: From } | { resume: Place }} Start */

/**
 * What the application says a subscription is to start with, checked: the server would end the connection.
 *
 * @param {unknown} given "latest", "now", `{from}` or `{resume}`; undefined: latest
 * @returns {Start}
 * @throws {TypeError} If it is no start, or holds something of a wrong type; the message says which.
 */
export function toStart(given) {
  if (given === undefined || given === null) return { from: "latest" };
  if (given === "latest" || given === "now") return { from: given };
  const keys = typeof given === "object" ? Object.entries(given).flatMap(([key, value]) => (value === undefined ? [] : key)) : [];
  const start = /** @type {{ from?: any, resume?: any }} */ (given);
  if (keys.length === 1 && keys[0] === "resume") {
    checkPositions("resume", start.resume, true);
    return { resume: start.resume };
  }
  if (keys.length === 1 && keys[0] === "from") {
    checkFrom(start.from);
    return { from: start.from };
  }
  if (keys.length === 0 && typeof given === "object") return { from: "latest" };
  throw new TypeError(
    'a start is "latest", "now", {from: "latest" | "now" | {last: n} | {time: ms} | {at: positions}} or {resume: place}; ' +
      `found ${JSON.stringify(given)}`,
  );
}

/** @param {any} from */
function checkFrom(from) {
  if (from === "latest" || from === "now") return;
  const keys = from !== null && typeof from === "object" ? Object.keys(from) : [];
  if (keys.length === 1 && keys[0] === "at") return checkPositions("from.at", from.at, false);
  const isCount = (/** @type {unknown} */ value, /** @type {number} */ least) => Number.isSafeInteger(value) && Number(value) >= least;
  if (keys.length === 1 && keys[0] === "last" && isCount(from.last, 1)) return;
  if (keys.length === 1 && keys[0] === "time" && isCount(from.time, 0)) return;
  throw new TypeError(
    "`from` is latest, now, {last: n}, n at least 1, {time: ms} with whole milliseconds since 1970, or {at: positions}; " +
      `found ${JSON.stringify(from)}`,
  );
}

/**
 * @param {string} name
 * @param {any} positions
 * @param {boolean} orNull
 */
function checkPositions(name, positions, orNull) {
  if (positions === null || typeof positions !== "object" || Array.isArray(positions)) {
    throw new TypeError(`${name}: a map from log to position is expected, found ${JSON.stringify(positions)}`);
  }
  for (const [log, position] of Object.entries(positions)) {
    if (position === null && orNull) continue;
    const [epoch, seq] = Array.isArray(position) && position.length === 2 ? position : [];
    if (!(Number.isSafeInteger(epoch) && epoch >= 0 && Number.isSafeInteger(seq) && seq >= -1)) {
      throw new TypeError(`${name}: log ${log}: a position [epoch, seq] is expected, found ${JSON.stringify(position)}`);
    }
  }
}

export class Held {
  track = new Track();
  /** Of its `subscribe` on this connection; null while there is none. @type {number | null} */
  id = null;
  hasPlace = false;
  wasLive = false;
  /** The application cannot take more for now: nothing is asked for. */
  suspended = false;
  /** Refused for now, since it was last answered. */
  refusals = 0;
  /** Losses found one soon after the other. */
  losses = 0;
  lostAt = -Infinity;
  /** When it may be sent again. */
  retryAt = 0;

  /**
   * @param {number} key the same for life
   * @param {string} subject
   * @param {Start} start
   */
  constructor(key, subject, start) {
    this.key = key;
    this.subject = subject;
    this.start = start;
    if ("resume" in start) {
      this.track.startAt(start.resume);
      this.hasPlace = true;
    }
  }

  /** Whether it goes on from its place rather than as it was: `latest` begins anew until it was live once. */
  get resumes() {
    const isLatest = "from" in this.start && this.start.from === "latest";
    return this.hasPlace && (this.wasLive || !isLatest);
  }

  /** What to ask for. @returns {Start} */
  get request() {
    return this.resumes ? { resume: this.track.place } : this.start;
  }
}

export class Subscriptions {
  /** @type {Map<number, Held>} */
  #held = new Map();
  /** @type {Map<number, Held>} */
  #byID = new Map();
  /** Those that are not patterns. @type {Map<string, Set<Held>>} */
  #bySubject = new Map();
  /** @type {Set<Held>} */
  #patterns = new Set();
  #keys = 0;

  [Symbol.iterator]() {
    return this.#held.values();
  }

  /**
   * @param {string} subject
   * @param {Start} start
   */
  add(subject, start) {
    const held = new Held(++this.#keys, subject, start);
    this.#held.set(held.key, held);
    if (isPattern(subject)) {
      this.#patterns.add(held);
    } else {
      const same = this.#bySubject.get(subject);
      if (same) same.add(held);
      else this.#bySubject.set(subject, new Set([held]));
    }
    return held;
  }

  /** @param {Held} held */
  remove(held) {
    this.unname(held);
    this.#held.delete(held.key);
    this.#patterns.delete(held);
    const same = this.#bySubject.get(held.subject);
    same?.delete(held);
    if (same?.size === 0) this.#bySubject.delete(held.subject);
  }

  /** @param {number} key */
  get(key) {
    return this.#held.get(key);
  }

  /** @param {number} id */
  named(id) {
    return this.#byID.get(id);
  }

  /**
   * @param {Held} held
   * @param {number} id
   */
  name(held, id) {
    held.id = id;
    this.#byID.set(id, held);
  }

  /** What still comes for its id is not for it. @param {Held} held */
  unname(held) {
    if (held.id !== null) this.#byID.delete(held.id);
    held.id = null;
    held.track.interrupted();
  }

  /** In the order in which they were made. @param {string} subject @returns {Held[]} */
  covering(subject) {
    const covering = [...(this.#bySubject.get(subject) ?? [])];
    for (const held of this.#patterns) if (matches(held.subject, subject)) covering.push(held);
    return covering.length > 1 ? covering.sort((a, b) => a.key - b.key) : covering;
  }
}
