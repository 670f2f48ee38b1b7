/**
 * Which server to try next, and after what pause (PROTOCOL section 11).
 *
 * Not here: connecting (whimbrel.js).
 */

const FIRST_PAUSE_S = 0.25;
const ASKED_PAUSE_S_MAX = 60;
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
 * The N of a reason with `retry after N s` in it; 0 without (section 10).
 *
 * @param {string} reason
 */
export function pauseAsked(reason) {
  const found = /retry after ([0-9]{1,6}(?:[.][0-9]{1,6})?) s/.exec(reason);
  return found === null ? 0 : Math.min(Number(found[1]), ASKED_PAUSE_S_MAX);
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

/** From where a host can be reached: from nowhere, the own machine, a private network, anywhere. */
const [NOWHERE, MACHINE, NETWORK, ANYWHERE] = [0, 1, 2, 3];

/**
 * Whether an address that a node told may be used by a client that has reached the node at the address `via`.
 *
 * A node behind a proxy knows only what it is called inside. An address of the own machine or a private network means something
 * else here, unless the client is there itself; and who came encrypted never goes on in the clear.
 *
 * @param {string} server
 * @param {string} via
 */
export function mayLearn(server, via) {
  if (via.startsWith("wss:") && !server.startsWith("wss:")) return false;
  const named = hostOf(server);
  const came = hostOf(via);
  return named === came || (reach(named) !== NOWHERE && reach(named) >= reach(came));
}

/** @param {string} url as `endpoint` makes them */
function hostOf(url) {
  return /^wss?:\/\/(?:[^/?@]*@)?(\[[^\]]*\]|[^/:?]*)/.exec(url)?.[1] ?? "";
}

/** @param {string} host */
function reach(host) {
  const name = host.replace(/\.$/, "");
  if (name === "localhost" || name.endsWith(".localhost")) return MACHINE;
  if (name.startsWith("[")) return reach6(name.slice(1, -1).split("%")[0]);
  return /^\d+\.\d+\.\d+\.\d+$/.test(name) ? reach4(name.split(".").map(Number)) : ANYWHERE;
}

/** @param {number[]} bytes */
function reach4([a, b, c, d]) {
  if ((a | b | c | d) === 0) return NOWHERE;
  if (a === 127) return MACHINE;
  const isPrivate = a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168);
  const isLocal = (a === 169 && b === 254) || (a === 100 && b >= 64 && b < 128);
  return isPrivate || isLocal ? NETWORK : ANYWHERE;
}

/** @param {string} text */
function reach6(text) {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (mapped) return reach4(mapped[1].split(".").map(Number));
  if (/^[0:]+$/.test(text)) return NOWHERE;
  if (/^[0:]+:0*1$/.test(text)) return MACHINE;
  return /^(f[cd]|fe[89ab])/.test(text.padStart(4, "0")) ? NETWORK : ANYWHERE;
}

export class Servers {
  #configured;
  #learn;
  #urls;
  /** Servers tried since the last success, the one that succeeded included. @type {Set<string>} */
  #tried = new Set();
  #attempts = 0;

  /**
   * @param {string[]} configured at least one, as `endpoint` makes them
   * @param {boolean} [learn] whether servers that a node names are used beside these
   */
  constructor(configured, learn = true) {
    if (configured.length === 0) throw new TypeError("a client needs at least one server");
    this.#configured = [...new Set(configured)];
    this.#learn = learn;
    this.#urls = this.#configured;
  }

  /** All that may be tried. */
  get urls() {
    return [...this.#urls];
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

  /**
   * A node that was reached at `via` named the servers that there are. Those configured always stay.
   *
   * @param {string[]} urls as `endpoint` makes them; an empty list changes nothing
   * @param {string} via
   */
  told(urls, via) {
    if (urls.length === 0 || !this.#learn) return;
    this.#urls = [...new Set([...this.#configured, ...urls.filter((url) => mayLearn(url, via))])];
  }
}
