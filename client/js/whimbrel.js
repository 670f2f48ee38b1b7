/**
 * Whimbrel's client for browsers and Node.js: subscribe, resume, publish.
 *
 *     import { Client } from "whimbrel";
 *     const client = new Client(["ws://localhost:8080"]);
 *     client.subscribe("/flights/*", (message) => console.log(message.subject, message.json));
 *     await client.publish("/notes/1", { text: "hello" });
 *
 * The shell over WebSocket: it does what session.js and servers.js decide. Each message is handed over once and in
 * order within its subject and log, or a status event `gap` has said what will not come.
 *
 * Not here: the protocol's rules (session.js, place.js).
 */

import { actionFor } from "./codes.js";
import { Message } from "./message.js";
import { endpoint, findWebSocket, listenToPage, randomID } from "./platform.js";
import { Servers } from "./servers.js";
import { Session } from "./session.js";
import { SubjectError, checkSubject, isPattern, matches, parseSubject, subjectOf } from "./subjects.js";

export { Message, SubjectError, isPattern, matches, parseSubject, subjectOf };

/** @typedef {import("./message.js").Headers} Headers */
/** @typedef {import("./message.js").HeaderValue} HeaderValue */
/** @typedef {import("./message.js").Kind} Kind */
/** @typedef {import("./message.js").Value} Value */
/** @typedef {import("./place.js").Gap} Gap */
/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./place.js").Position} Position */
/** @typedef {import("./place.js").Positions} Positions */
/** @typedef {import("./subscriptions.js").From} From */
/** @typedef {{ log: string, at: Position | null }} Published where it stands; `at` is null when the server could not read it back in time */

/**
 * What happens to the client and its subscriptions, told to `onStatus`.
 *
 * @typedef {{ type: "connected", server: string, node: string, cluster: string }
 *   | { type: "reconnecting", attempt: number, pause_s: number, code: number | null, reason: string }
 *   | { type: "moved", within_s: number }
 *   | { type: "closed", code: number | null, reason: string }
 *   | ({ subscription: Subscription } & (
 *     | { type: "subscribed", at: Positions, waiting: string[] }
 *     | { type: "resumed", answer: "full" | "gap", at: Positions, waiting: string[] }
 *     | { type: "gap", gaps: Gap[] }
 *     | { type: "live", at: Positions }
 *     | { type: "ended", log: string }
 *     | { type: "waiting", why: string }
 *     | { type: "missing", subject: string, log: string, at: Position }
 *     | { type: "refused", code: number, error: string, reason: string }
 *   ))
 * } Status
 */

/**
 * @typedef {object} ClientOptions
 * @property {string | (() => string | Promise<string>)} [token] a function is asked anew for each connection
 * @property {(status: Status) => void} [onStatus]
 * @property {typeof WebSocket} [WebSocket] default: the global one, else that of the package `ws`
 * @property {string} [name] what the client says it is
 * @property {number} [publishTimeout_s] when to give up a publish; at most 300, for as long a retry is recognised
 */

/** @typedef {"connecting" | "connected" | "reconnecting" | "closed"} State */

const SUBPROTOCOL = "whimbrel.v1.json";
const TICK_MS = 500;

/** A publish that was not acknowledged. With `outcome_unknown` it may have reached Kafka all the same. */
export class PublishError extends Error {
  /**
   * @param {number} code PROTOCOL section 10
   * @param {string} error
   * @param {string} reason
   */
  constructor(code, error, reason) {
    super(`${error}: ${reason}`);
    this.name = "PublishError";
    this.code = code;
    this.error = error;
    this.reason = reason;
  }
}

/** A subject or pattern that is being received. */
export class Subscription {
  #place;
  #close;

  /**
   * @param {string} subject
   * @param {(message: Message) => void} callback
   * @param {{ place: () => Place, close: () => void }} hooks
   */
  constructor(subject, callback, hooks) {
    this.subject = subject;
    this.callback = callback;
    this.#place = hooks.place;
    this.#close = hooks.close;
  }

  /** What to give as `resume` to go on from here later, in another client. */
  get place() {
    return this.#place();
  }

  /** End it: nothing is handed over any more. */
  close() {
    this.#close();
  }
}

export class Client {
  /** @type {State} */
  #state = "connecting";
  #servers;
  #options;
  #WebSocket;
  #session;
  /** @type {WebSocket | null} */
  #socket = null;
  /** Of this connection, or of the attempt at one. */
  #server = "";
  /** Counts attempts to connect, so that an attempt that was given up knows. */
  #dials = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pause;
  #ticker;
  #listening = new AbortController();
  #isDispatching = false;
  /** @type {Map<number, Subscription>} */
  #subscriptions = new Map();
  /** @type {Map<number, { resolve: (published: Published) => void, reject: (error: Error) => void }>} */
  #publishes = new Map();

  /**
   * Connects at once, and stays connected until `close`.
   *
   * @param {string | string[]} servers such as `ws://host:8080`; http and https mean ws and wss
   * @param {ClientOptions} [options]
   * @throws {Error} If there is no WebSocket here: Node.js before 22 without the package `ws`.
   */
  constructor(servers, options = {}) {
    this.#servers = new Servers([servers].flat().map(endpoint));
    this.#options = options;
    this.#WebSocket = options.WebSocket ?? findWebSocket();
    this.#session = new Session({
      name: options.name ?? "whimbrel-js/0.1.0",
      publisher: randomID(),
      random: Math.random,
    });
    this.#ticker = setInterval(() => {
      this.#session.tick(now());
      this.#flush();
    }, TICK_MS);
    listenToPage(this.#listening.signal, {
      wake: () => this.#wake(),
      putAway: () => this.#hangUp(),
      takenBack: () => this.#lose("retry", null, "the page was put away"),
    });
    this.#dial();
  }

  get state() {
    return this.#state;
  }

  /** Messages handed over; repeats that were dropped; losses that were found and asked for again. */
  get stats() {
    return { ...this.#session.stats };
  }

  /**
   * Receive a subject (`/topic/key`) or pattern (`/topic/*`).
   *
   * @param {string} subject
   * @param {(message: Message) => void} callback
   * @param {{ from?: From, resume?: Place }} [start] default: from the latest
   * @throws {SubjectError} If it is neither a subject nor a pattern.
   */
  subscribe(subject, callback, { from = "latest", resume } = {}) {
    this.#checkOpen();
    const key = this.#session.subscribe(checkSubject(subject), resume ? { resume } : { from });
    const subscription = new Subscription(subject, callback, {
      place: () => this.#session.placeOf(key),
      close: () => {
        this.#subscriptions.delete(key);
        this.#session.unsubscribe(key);
        this.#flush();
      },
    });
    this.#subscriptions.set(key, subscription);
    this.#flush();
    return subscription;
  }

  /**
   * Send a message. Resolves when Kafka has acknowledged it; until then it is sent again as often as needed, and reaches
   * subscribers once.
   *
   * @param {string} subject
   * @param {Value} value exactly one of `{json}`, `{text}`, `{bytes}`, `{tombstone: true}`
   * @param {{ headers?: Headers }} [options]
   * @returns {Promise<Published>} rejected with a `PublishError`
   */
  async publish(subject, value, { headers = [] } = {}) {
    this.#checkOpen();
    parseSubject(subject);
    const seq = this.#session.publish(now(), this.#options.publishTimeout_s ?? 60, subject, value, headers);
    return new Promise((resolve, reject) => {
      this.#publishes.set(seq, { resolve, reject });
      this.#flush();
    });
  }

  /** End all subscriptions and the connection. Publishes without an answer are rejected. */
  close() {
    if (this.#state !== "closed") this.#finish(null, "closed by the application");
  }

  // Connections.

  async #dial() {
    const dial = ++this.#dials;
    this.#server = this.#servers.next(Math.random);
    this.#session.dial(now());
    try {
      const { token } = this.#options;
      const fresh = typeof token === "function" ? await token() : (token ?? null);
      if (dial === this.#dials) this.#open(new this.#WebSocket(this.#server, SUBPROTOCOL), fresh);
    } catch (error) {
      if (dial === this.#dials) this.#lose("retry", null, String(error));
    }
  }

  /**
   * @param {WebSocket} socket
   * @param {string | null} token
   */
  #open(socket, token) {
    this.#socket = socket;
    socket.onopen = () => {
      this.#session.opened(token);
      this.#flush();
    };
    socket.onmessage = ({ data }) => {
      this.#session.receive(now(), data);
      this.#flush();
    };
    socket.onerror = () => {}; // `close` follows, and says as much as there is to know
    socket.onclose = ({ code, reason }) => this.#lose(actionFor(code), code, reason || "the connection ended");
  }

  /**
   * @param {import("./codes.js").Action} action
   * @param {number | null} code
   * @param {string} reason
   */
  #lose(action, code, reason) {
    this.#hangUp();
    if (action === "stop" || (action === "token" && typeof this.#options.token !== "function")) {
      this.#finish(code, reason);
      return;
    }
    this.#state = "reconnecting";
    const pause_s = this.#servers.pause(Math.random);
    this.#pause = setTimeout(() => this.#redial(), pause_s * 1000);
    this.#tell({ type: "reconnecting", attempt: this.#servers.attempts, pause_s, code, reason });
  }

  #redial() {
    this.#pause = undefined;
    this.#dial();
  }

  #hangUp() {
    this.#dials += 1;
    clearTimeout(this.#pause);
    this.#pause = undefined;
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    }
    this.#session.lost();
  }

  /**
   * @param {number | null} code
   * @param {string} reason
   */
  #finish(code, reason) {
    this.#state = "closed";
    this.#hangUp();
    clearInterval(this.#ticker);
    this.#listening.abort();
    this.#subscriptions.clear();
    const unanswered = [...this.#publishes.values()];
    this.#publishes.clear();
    for (const { reject } of unanswered) reject(new PublishError(4012, "outcome_unknown", reason));
    this.#tell({ type: "closed", code, reason });
  }

  #wake() {
    if (this.#pause !== undefined) {
      clearTimeout(this.#pause);
      this.#redial();
    } else {
      this.#session.wake(now());
      this.#flush();
    }
  }

  // What the session says.

  #flush() {
    for (const text of this.#session.takeSends()) this.#socket?.send(text);
    if (this.#isDispatching) return; // a callback called us: what it caused comes after what it was called for
    this.#isDispatching = true;
    for (let events = this.#session.takeEvents(); events.length > 0; events = this.#session.takeEvents()) {
      for (const event of events) this.#dispatch(event);
    }
    this.#isDispatching = false;
  }

  /** @param {import("./session.js").SessionEvent} event */
  #dispatch(event) {
    switch (event.type) {
      case "message": {
        const subscription = this.#subscriptions.get(event.key);
        if (subscription) call(subscription.callback, event.message);
        return;
      }
      case "connected": {
        const { node, cluster, servers } = event;
        this.#servers.replace(servers);
        this.#servers.succeeded(this.#server);
        this.#state = "connected";
        return this.#tell({ type: "connected", server: this.#server, node, cluster });
      }
      case "move":
        this.#servers.replace(event.servers);
        return this.#tell({ type: "moved", within_s: event.within_s });
      case "drop":
        if (this.#state !== "closed") this.#lose(event.action, event.code, event.reason);
        return;
      case "published":
        this.#publishes.get(event.seq)?.resolve({ log: event.log, at: event.at });
        this.#publishes.delete(event.seq);
        return;
      case "failed":
        this.#publishes.get(event.seq)?.reject(new PublishError(event.code, event.error, event.reason));
        this.#publishes.delete(event.seq);
        return;
      default: {
        const { key, ...rest } = event;
        const subscription = this.#subscriptions.get(key);
        if (subscription === undefined) return;
        if (event.type === "refused") this.#subscriptions.delete(key);
        this.#tell(/** @type {Status} */ ({ ...rest, subscription }));
      }
    }
  }

  /** @param {Status} status */
  #tell(status) {
    if (this.#options.onStatus) call(this.#options.onStatus, status);
  }

  #checkOpen() {
    if (this.#state === "closed") throw new Error("the client is closed");
  }
}

/** Seconds, of a clock that never goes back. */
function now() {
  return performance.now() / 1000;
}

/**
 * An application's mistake is its own: it is reported as an uncaught error and disturbs nothing here.
 *
 * @template T
 * @param {(argument: T) => void} callback
 * @param {T} argument
 */
function call(callback, argument) {
  try {
    callback(argument);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
