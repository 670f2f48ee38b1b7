/**
 * A new token for the connection that there is, before the old one ends (PROTOCOL section 4).
 *
 * A core of the session's (session.js). Not here: having the token (whimbrel.js).
 */

/** After a renewal for which no token could be had, or that the server could not decide. */
const AGAIN_S = 2;

export class Renewal {
  #random;
  #expiresAt = 0;
  /** When to want a token. */
  #dueAt = Infinity;
  #isWanted = false;
  /** Of the `renew` that is not answered. @type {number | null} */
  #id = null;

  /** @param {() => number} random from 0 (included) to 1 (excluded) */
  constructor(random) {
    this.#random = random;
  }

  /** The connection is gone: the next one begins with a token of its own. */
  lost() {
    this.#dueAt = Infinity;
    this.#isWanted = false;
    this.#id = null;
  }

  /** The server says when the token ends. Not all its clients ask for theirs in one instant. @param {number} now @param {number} within_s */
  expiring(now, within_s) {
    this.#expiresAt = now + within_s;
    this.#dueAt = now + (this.#random() * within_s) / 3;
  }

  /** Whether a token is wanted now, and for how long it will be of use; once. @param {number} now @returns {number | null} */
  check(now) {
    if (now < this.#dueAt) return null;
    this.#dueAt = Infinity;
    this.#isWanted = true;
    return Math.max(this.#expiresAt - now, 0);
  }

  /** Whether a token is to be sent; once. */
  take() {
    const isWanted = this.#isWanted;
    this.#isWanted = false;
    return isWanted;
  }

  /** @param {number} id of the `renew` that was sent */
  sent(id) {
    this.#id = id;
  }

  /** No token could be had. @param {number} now */
  failed(now) {
    if (this.take()) this.#dueAt = now + AGAIN_S;
  }

  /** Whether this answers the `renew` that was sent. @param {number} id */
  answered(id) {
    if (id !== this.#id) return false;
    this.#id = null;
    return true;
  }

  /** Try again: the server could not decide. @param {number} now */
  again(now) {
    this.#dueAt = now + AGAIN_S;
  }
}
