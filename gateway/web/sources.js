/**
 * Which node to ask for the status: the one that this page is connected to, while it answers; else any other.
 *
 * Not here: asking (asking.js).
 */

const SCHEMES = { "ws:": "http:", "wss:": "https:", "http:": "http:", "https:": "https:" };

/** Where the pages of a node are, `http://host:port`, given any of its addresses; null if it is none. */
export function originOf(address) {
  try {
    const { protocol, host } = new URL(address);
    return SCHEMES[protocol] && host ? `${SCHEMES[protocol]}//${host}` : null;
  } catch {
    return null;
  }
}

export class Sources {
  #home;
  #origins;
  #current;

  /** @param {string} home where this page comes from, with the path below which a proxy may have put it */
  constructor(home) {
    this.#home = home;
    this.#origins = [home];
    this.#current = home;
  }

  /** Whom to ask now. */
  get current() {
    return this.#current;
  }

  /** How many there are to ask. */
  get count() {
    return this.#origins.length;
  }

  /** Addresses of the cluster's nodes, as one of them says. Nobody is forgotten: who is away may come back. */
  learn(addresses) {
    for (const origin of addresses.map((address) => this.#placeOf(address))) if (origin !== null && !this.#origins.includes(origin)) this.#origins.push(origin);
  }

  /** The page is connected to this node. */
  prefer(address) {
    const origin = this.#placeOf(address);
    if (origin === null) return;
    this.learn([origin]);
    this.#current = origin;
  }

  /** The origin of an address; with the path of this page's, if it is that. */
  #placeOf(address) {
    const origin = originOf(address);
    return origin === originOf(this.#home) ? this.#home : origin;
  }

  /** No answer: ask the next one. */
  failed() {
    this.#current = this.#origins[(this.#origins.indexOf(this.#current) + 1) % this.#origins.length];
  }
}
