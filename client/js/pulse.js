/**
 * Whether the connection is still there: silence, unanswered pings, requests to move (PROTOCOL sections 9 and 11).
 *
 * Not here: sending the ping, ending the connection (session.js).
 */

/** From dialling to `welcome`. */
const WELCOME_S = 10;
/** For the answer to a `ping`. */
const PONG_S = 5;
/** A check that comes this late says that the whole program slept: what arrived meanwhile is still to be read. */
const LATE_S = 5;

/** @typedef {"fine" | "ask" | "silent" | "move"} Finding */

export class Pulse {
  #silence_s = WELCOME_S;
  #heard = 0;
  #checked = 0;
  /** @type {number | null} */
  #answerDue = null;
  /** @type {number | null} */
  #moveAt = null;

  /** A connection is being made. @param {number} now */
  dialled(now) {
    this.#heard = now;
    this.#silence_s = WELCOME_S;
    this.#answerDue = null;
    this.#moveAt = null;
  }

  /** Something was received. @param {number} now */
  heard(now) {
    this.#heard = now;
    this.#answerDue = null;
  }

  /** @param {number} heartbeat_s as the server said */
  welcomed(heartbeat_s) {
    this.#silence_s = 2 * heartbeat_s;
  }

  /** A `ping` has been sent. @param {number} now */
  asked(now) {
    this.#answerDue ??= now + PONG_S;
  }

  /** The server asks to move. @param {number} at when to do so */
  moveAt(at) {
    this.#moveAt = at;
  }

  /** @param {number} now @returns {Finding} */
  check(now) {
    const isLate = now - this.#checked > LATE_S;
    this.#checked = now;
    if (this.#moveAt !== null && now >= this.#moveAt) return "move";
    if (this.#answerDue !== null) return now > this.#answerDue ? "silent" : "fine";
    if (now - this.#heard <= this.#silence_s) return "fine";
    return isLate ? "ask" : "silent";
  }
}

/**
 * Finds out that the machine slept: the clock of `now` may stand still meanwhile, the wall clock does not.
 */
export class Clocks {
  /** How far the wall clock is ahead. @type {number | null} */
  #ahead_s = null;

  /**
   * Compare them; to be called about twice a second. Whether the machine slept since the last time.
   *
   * @param {number} now
   * @param {number} wall_s seconds
   */
  slept(now, wall_s) {
    const before = this.#ahead_s;
    this.#ahead_s = wall_s - now;
    return before !== null && this.#ahead_s - before > LATE_S;
  }
}
