/**
 * What one subscription remembers, and what it does with each message: PROTOCOL section 7, rule by rule.
 *
 * Invariants:
 * - A message is handed over at most once, and only when nothing before it in its subject and log is missing.
 * - `place` never covers a message that was neither handed over nor stated to be missing.
 *
 * Not here: frames to send, connections (session.js).
 */

/** @typedef {[epoch: number, seq: number]} Position Compare positions of one log only. */
/** @typedef {Record<string, Position>} Positions by log */
/**
 * log -> position: everything up to and including it has been received; null: nothing of the log yet, it could not be read
 * when the subscription began.
 *
 * @typedef {Record<string, Position | null>} Place
 */
/** @typedef {{ log: string, from: Position | null, to: Position | null, why: string }} Gap */
/** @typedef {"deliver" | "repeat" | "missing"} Verdict */

/** As many subjects are remembered per log before rule 8 forgets them. */
const CHAIN_MAX = 20_000;

/**
 * Whether `a` is after `b`.
 *
 * @param {Position} a
 * @param {Position} b
 */
export function isAfter(a, b) {
  return a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
}

/**
 * @param {Position | undefined} a
 * @param {Position | undefined} b
 */
function later(a, b) {
  return a === undefined ? b : b === undefined || isAfter(a, b) ? a : b;
}

export class Track {
  /** For resuming. @type {Map<string, Position | null>} */
  #place = new Map();
  /** Where the proof of completeness begins. @type {Map<string, Position>} */
  #since = new Map();
  /** Per log and subject, the last message handed over. @type {Map<string, Map<string, Position>>} */
  #chain = new Map();
  /** Per log, the latest position in the chain. @type {Map<string, Position>} */
  #newest = new Map();
  /** @type {Set<string>} */
  #live = new Set();

  /** @returns {Place} */
  get place() {
    return Object.fromEntries(this.#place);
  }

  /** @param {string} log */
  isLive(log) {
    return this.#live.has(log);
  }

  /** Go on from a place of an earlier subscription. @param {Place} place */
  startAt(place) {
    this.#place = new Map(Object.entries(place));
  }

  /**
   * Rule 1.
   *
   * @param {"fresh" | "full" | "gap"} answer
   * @param {Positions} at
   * @param {string[]} [waiting] logs that cannot be read just now
   */
  subscribed(answer, at, waiting = []) {
    this.startAt({ ...Object.fromEntries(waiting.map((log) => [log, null])), ...at });
    this.#live.clear();
    if (answer === "fresh") this.#since.clear();
    for (const [log, position] of Object.entries(at)) this.#sinceIfAbsent(log, position);
  }

  /** It is no longer subscribed: it is live in a log again when the server has said so again. */
  interrupted() {
    this.#live.clear();
  }

  /**
   * Rules 2 and 3: what to do with a message. `missing` has set the place back to where to resume from (rule 7).
   *
   * @param {{ subject: string, log: string, at: Position, prev?: Position, snapshot?: boolean }} message
   * @returns {Verdict}
   */
  receive({ subject, log, at, prev, snapshot }) {
    const handed = this.#chain.get(log)?.get(subject);
    if (snapshot) {
      if (handed !== undefined && !isAfter(at, handed)) return "repeat";
      this.#remember(log, subject, at);
      return "deliver";
    }
    const seen = later(handed, this.#since.get(log));
    if (seen !== undefined) {
      if (!isAfter(at, seen)) return "repeat";
      if (prev !== undefined && isAfter(prev, seen)) {
        this.#place.set(log, seen);
        return "missing";
      }
    }
    this.#remember(log, subject, at);
    this.#advance(log, at);
    return "deliver";
  }

  /** Rule 4. @param {Positions} at */
  live(at) {
    for (const [log, position] of Object.entries(at)) {
      this.#live.add(log);
      this.#advance(log, position);
      this.#sinceIfAbsent(log, position);
    }
  }

  /** Rule 5: whether the place has moved. @param {Positions} at */
  heartbeat(at) {
    let moved = false;
    for (const log of this.#live) if (log in at) moved = this.#advance(log, at[log]) || moved;
    return moved;
  }

  /** Rule 6. @param {Gap[]} gaps */
  gap(gaps) {
    for (const { log, to } of gaps) {
      this.#forgetChain(log);
      if (to === null) {
        this.ended(log);
      } else {
        this.#place.set(log, to);
        this.#since.set(log, to);
      }
    }
  }

  /** Rule 6. @param {string} log */
  ended(log) {
    this.#forgetChain(log);
    this.#place.delete(log);
    this.#since.delete(log);
    this.#live.delete(log);
  }

  /**
   * Rule 8, when much is remembered of a log. Not while snapshots may come again: only the chain knows them.
   *
   * A message after the place may have been handed over (when another subject's was found missing): then the chain is
   * still needed to recognise it.
   *
   * @param {string} log
   */
  trim(log) {
    const place = this.#place.get(log);
    const newest = this.#newest.get(log);
    if ((this.#chain.get(log)?.size ?? 0) < CHAIN_MAX || !place || !newest || isAfter(newest, place)) return;
    this.#since.set(log, place);
    this.#forgetChain(log);
  }

  /**
   * @param {string} log
   * @param {Position} position
   */
  #advance(log, position) {
    const place = this.#place.get(log);
    if (place && !isAfter(position, place)) return false;
    this.#place.set(log, position);
    return true;
  }

  /**
   * @param {string} log
   * @param {Position} position
   */
  #sinceIfAbsent(log, position) {
    if (!this.#since.has(log)) this.#since.set(log, position);
  }

  /**
   * @param {string} log
   * @param {string} subject
   * @param {Position} at
   */
  #remember(log, subject, at) {
    let chain = this.#chain.get(log);
    if (chain === undefined) this.#chain.set(log, (chain = new Map()));
    chain.set(subject, at);
    const newest = this.#newest.get(log);
    if (newest === undefined || isAfter(at, newest)) this.#newest.set(log, at);
  }

  /** @param {string} log */
  #forgetChain(log) {
    this.#chain.delete(log);
    this.#newest.delete(log);
  }
}
