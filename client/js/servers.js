/**
 * Which server to try next, and after what pause (PROTOCOL section 11).
 *
 * Not here: connecting (whimbrel.js).
 */

const FIRST_PAUSE_S = 0.25;
const PAUSE_S_MAX = 20;
const AGAIN_PAUSE_S_MIN = 0.1;
/** A cluster that has lost a node takes messages again after about a second. */
const AGAIN_PAUSE_S_MAX = 2;

/**
 * Seconds to wait before attempt 1, 2, ...: random, so that many clients do not come back in one instant.
 *
 * @param {number} attempt
 * @param {() => number} random from 0 (included) to 1 (excluded)
 */
export function pauseBefore(attempt, random) {
  return random() * Math.min(FIRST_PAUSE_S * 2 ** (attempt - 1), PAUSE_S_MAX);
}

/**
 * Seconds before a request that was refused for now is sent again, on a connection that is there (section 10).
 *
 * @param {number} refusals
 * @param {() => number} random
 */
export function pauseAgain(refusals, random) {
  return Math.max(AGAIN_PAUSE_S_MIN, random() * Math.min(FIRST_PAUSE_S * 2 ** (refusals - 1), AGAIN_PAUSE_S_MAX));
}

/**
 * Seconds to wait before a subscription is resumed of which messages are missing time and again (section 7, rule 7).
 *
 * @param {number} losses
 * @param {() => number} random
 */
export function pauseAfterLoss(losses, random) {
  return Math.max(AGAIN_PAUSE_S_MIN, pauseBefore(losses, random));
}

export class Servers {
  #urls;
  /** Servers tried since the last success, the one that succeeded included. @type {Set<string>} */
  #tried = new Set();
  #attempts = 0;

  /** @param {string[]} urls at least one */
  constructor(urls) {
    if (urls.length === 0) throw new Error("a client needs at least one server");
    this.#urls = [...urls];
  }

  /** Attempts since the last success. */
  get attempts() {
    return this.#attempts;
  }

  /**
   * The next server to try: one at random of those not tried since the last success; when all have been, of all.
   *
   * @param {() => number} random
   */
  next(random) {
    let candidates = this.#urls.filter((url) => !this.#tried.has(url));
    if (candidates.length === 0) {
      this.#tried.clear();
      candidates = this.#urls;
    }
    const url = candidates[Math.floor(random() * candidates.length)];
    this.#tried.add(url);
    return url;
  }

  /** Begin an attempt: seconds to wait before it. @param {() => number} random */
  pause(random) {
    this.#attempts += 1;
    return pauseBefore(this.#attempts, random);
  }

  /** @param {string} url the server that has said `welcome` */
  succeeded(url) {
    this.#attempts = 0;
    this.#tried = new Set([url]);
  }

  /** @param {string[]} urls from the server; an empty list changes nothing */
  replace(urls) {
    if (urls.length > 0) this.#urls = [...urls];
  }
}
