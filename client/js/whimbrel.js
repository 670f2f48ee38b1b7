/**
 * Whimbrel's client for browsers, React Native and Node.js: subscribe, resume, publish.
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

import { actionFor, actionForStatus } from "./codes.js";
import { ClosedError, PublishError, RequestError, SubjectError, SubscribeError, WhimbrelError } from "./errors.js";
import { Message } from "./message.js";
import { endpoint, findWebSocket, listenToPage, randomID, whyNot } from "./platform.js";
import { Clocks } from "./pulse.js";
import { Servers, pauseAsked } from "./servers.js";
import { Session } from "./session.js";
import { checkSubject, isPattern, matches, parseSubject, subjectOf } from "./subjects.js";
import { Outcome, Subscription } from "./subscription.js";
import { toStart } from "./subscriptions.js";

export { ClosedError, Message, PublishError, RequestError, SubjectError, SubscribeError, Subscription, WhimbrelError };
export { isPattern, matches, parseSubject, subjectOf };

/** @typedef {import("./message.js").Headers} Headers */
/** @typedef {import("./message.js").HeaderValues} HeaderValues */
/** @typedef {import("./message.js").HeaderValue} HeaderValue */
/** @typedef {import("./message.js").Kind} Kind */
/** @typedef {import("./message.js").Value} Value */
/** @typedef {import("./place.js").Gap} Gap */
/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./place.js").Position} Position */
/** @typedef {import("./place.js").Positions} Positions */
/** @typedef {import("./subscriptions.js").From} From */
/** @typedef {"latest" | "now" | { from?: From, resume?: undefined } | { resume: Place, from?: undefined }} Start where a subscription starts */
/** @typedef {{ log: string, at: Position | null }} Published where it stands; `at` is null when the server could not read it back in time */
/** @typedef {{ received: number, repeated: number, missing: number }} Stats messages handed over, dropped as repeats, found missing and asked for again */
/** @typedef {"connecting" | "connected" | "reconnecting" | "closed"} State */

/**
 * What happens to the client and its subscriptions, told to `onStatus`.
 *
 * @typedef {{ type: "connected", server: string, node: string, cluster: string }
 *   | { type: "reconnecting", attempt: number, pause_s: number, code: number | null, reason: string }
 *   | { type: "moving", within_s: number }
 *   | { type: "tokenNeeded", code: number | null, reason: string }
 *   | { type: "tokenExpiring", within_s: number }
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
 * @property {string} [token] for the server's authorizer; when the server wants another one the client closes
 * @property {() => string | Promise<string>} [getToken] instead of `token`: asked anew for each connection, and before the token ends
 * @property {(status: Status) => void} [onStatus] called with each status; what it throws is logged
 * @property {string} [name] what the client says it is
 * @property {number} [publishTimeout_s] when to give up a publish (30); at most 300, for as long a retry is recognised
 * @property {number} [queueMax] messages per subscription that may wait for iteration (1000); when there are more, none is asked for
 * @property {boolean} [learnServers] whether the servers that a node names are used beside those given (true)
 * @property {typeof WebSocket} [WebSocket] default: the global one, else that of the package `ws`
 * @property {object} [connectOptions] third argument of `new WebSocket`, where there is one: the package `ws` and React Native take `headers`
 */

/** @typedef {{ headers?: HeaderValues, timeout_s?: number }} PublishOptions `timeout_s`: instead of the client's `publishTimeout_s` */

const SUBPROTOCOL = "whimbrel.v1.json";
const TICK_MS = 500;
const QUEUE_MAX = 1000;
const PUBLISH_TIMEOUT_S = 30;

export class Client {
  /** @type {State} */
  #state = "connecting";
  #reason = "";
  #servers;
  #options;
  #WebSocket;
  #session;
  #clocks = new Clocks();
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
  /** @type {Map<number, { subject: string, resolve: (published: Published) => void, reject: (error: Error) => void }>} */
  #publishes = new Map();
  #closed = new Outcome();
  /** How it was closed. @type {ClosedError} */
  #closedBy = new ClosedError(null, "by the application");

  /**
   * Connects at once, and stays connected until `close`.
   *
   * @param {string | string[]} servers such as `ws://host:8080` or, behind a proxy, `https://example.com/push/`
   * @param {ClientOptions} [options]
   * @throws {Error} If there is no WebSocket here: Node.js before 22 without the package `ws`.
   * @throws {TypeError} If a server is no address, or an option is not known.
   */
  constructor(servers, options = {}) {
    checkOptions(options);
    this.#servers = new Servers([servers].flat().map(endpoint), options.learnServers);
    this.#options = options;
    this.#WebSocket = options.WebSocket ?? findWebSocket();
    this.#session = new Session({
      name: options.name ?? "whimbrel-js/0.1.0",
      publisher: randomID(),
      random: Math.random,
    });
    this.#ticker = setInterval(() => {
      if (this.#clocks.slept(now(), Date.now() / 1000)) this.wake();
      this.#session.tick(now());
      this.#flush();
    }, TICK_MS);
    listenToPage(this.#listening.signal, {
      wake: () => this.wake(),
      putAway: () => this.#hangUp("the page was put away"),
      takenBack: () => this.#lose("retry", null, "the page was put away"),
    });
    this.#dial();
  }

  /** Where the connection stands: `connecting` until the first attempt has failed or succeeded. */
  get state() {
    return this.#state;
  }

  /** Why there is no connection: how the last one, or the last attempt, ended. Empty while there is one. */
  get reason() {
    return this.#reason;
  }

  /** @returns {Stats} */
  get stats() {
    return { ...this.#session.stats };
  }

  /** Resolves after `close`; rejects with a `ClosedError` when the server said not to come back. */
  get closed() {
    return this.#closed.promise;
  }

  /**
   * Receive a subject (`/topic/key`) or pattern (`/topic/*`).
   *
   * With a callback, it is called with each message; what it throws is logged, and the next message follows. Without, iterate:
   * `for await (const message of client.subscribe("/flights/*"))`.
   *
   * @template [T=any] what the messages' JSON values say
   * @param {string} subject
   * @param {((message: Message<T>) => unknown) | null} [callback]
   * @param {Start} [start] default: from the latest
   * @returns {Subscription<T>}
   * @throws {SubjectError} If it is neither a subject nor a pattern.
   * @throws {TypeError} If `callback` is not a function or `start` no start.
   * @throws {ClosedError} If the client is closed.
   */
  subscribe(subject, callback = null, start = "latest") {
    checkSubject(subject);
    if (callback !== null && typeof callback !== "function") {
      throw new TypeError(`a callback is a function, or null; the start is the third argument: found ${JSON.stringify(callback)}`);
    }
    const checked = toStart(start);
    this.#checkOpen();
    const key = this.#session.subscribe(subject, checked);
    /** @type {Subscription<T>} */
    const subscription = new Subscription(subject, callback, {
      call,
      tell: ({ key: _, ...status }, source) => this.#tell(/** @type {Status} */ ({ ...status, subscription: source })),
      took: () => {
        if (subscription.waiting <= this.#queueMax / 2) this.#resume(key);
      },
      end: () => {
        if (!this.#subscriptions.delete(key)) return;
        this.#session.unsubscribe(key);
        subscription.finish(null, new ClosedError(null, "the subscription was ended by the application"), false);
        this.#flush();
      },
    });
    this.#subscriptions.set(key, subscription);
    this.#flush();
    return subscription;
  }

  /**
   * Send a message. Resolves when Kafka (or, in a namespace, the cluster) has acknowledged it; until then it is sent again as often
   * as needed, and reaches subscribers once.
   *
   * @param {string} subject
   * @param {Value} value exactly one of `{json}`, `{jsonText}`, `{text}`, `{bytes}`, `{tombstone: true}`
   * @param {PublishOptions} [options]
   * @returns {Promise<Published>} rejected with a `PublishError`; a `SubjectError`, `TypeError` or `ClosedError` where nothing was sent
   */
  async publish(subject, value, options = {}) {
    parseSubject(subject);
    checkNames(options, PUBLISH_OPTIONS);
    const { headers = [], timeout_s = this.#options.publishTimeout_s ?? PUBLISH_TIMEOUT_S } = options;
    checkSeconds("timeout_s", timeout_s);
    this.#checkOpen();
    const seq = this.#session.publish(now(), timeout_s, subject, value, headers);
    return new Promise((resolve, reject) => {
      this.#publishes.set(seq, { subject, resolve, reject });
      this.#flush();
    });
  }

  /** End all subscriptions and the connection. Publishes without an answer are rejected. */
  close() {
    if (this.#state !== "closed") this.#finish(null, "by the application");
  }

  // Connections.

  async #dial() {
    const dial = ++this.#dials;
    this.#server = this.#servers.next(Math.random);
    this.#session.dial(now());
    try {
      const token = await this.#token();
      if (dial === this.#dials) this.#open(this.#connect(), token);
    } catch (error) {
      if (dial === this.#dials) this.#lose("retry", null, error instanceof Error ? error.message : String(error));
    }
  }

  /** @returns {Promise<string | null>} */
  async #token() {
    const { token = null, getToken } = this.#options;
    if (getToken === undefined) return token;
    const fresh = await getToken();
    if (typeof fresh !== "string") throw new TypeError(`getToken is to give a string, and gave ${String(fresh)}`);
    return fresh;
  }

  async #renew() {
    if (!this.#options.getToken) return;
    const dial = this.#dials;
    try {
      const token = await this.#token();
      if (dial === this.#dials) this.#session.renew(/** @type {string} */ (token));
    } catch (error) {
      console.error("whimbrel: getToken failed:", error);
      if (dial === this.#dials) this.#session.renewFailed(now());
    }
    this.#flush();
  }

  #connect() {
    const { connectOptions } = this.#options;
    if (connectOptions === undefined) return new this.#WebSocket(this.#server, SUBPROTOCOL);
    return new /** @type {any} */ (this.#WebSocket)(this.#server, SUBPROTOCOL, connectOptions);
  }

  /**
   * @param {WebSocket} socket
   * @param {string | null} token
   */
  #open(socket, token) {
    this.#socket = socket;
    let isOpen = false;
    /** @type {{ status: number | null, reason: string }} */
    let failed = { status: null, reason: "" };
    socket.onopen = () => {
      isOpen = true;
      this.#session.opened(token);
      this.#flush();
    };
    socket.onmessage = ({ data }) => {
      this.#session.receive(now(), data);
      this.#flush();
    };
    socket.onerror = (event) => {
      failed = whyNot(event);
    };
    socket.onclose = ({ code, reason }) => {
      if (isOpen) return this.#lose(actionFor(code), code, reason || "the connection ended");
      const { status, reason: why } = failed;
      const action = status === null ? "retry" : actionForStatus(status);
      this.#lose(action, status, `cannot reach ${this.#server} (${why || reason || "no reason is given"})`);
    };
  }

  /**
   * @param {import("./codes.js").Action} action
   * @param {number | null} code
   * @param {string} reason
   */
  #lose(action, code, reason) {
    if (action === "stop" || (action === "token" && !this.#options.getToken)) {
      this.#finish(code, reason);
      return;
    }
    this.#hangUp(code === null ? reason : `${code}: ${reason}`);
    this.#state = "reconnecting";
    const pause_s = pauseAsked(reason) + this.#servers.pause(Math.random);
    this.#pause = setTimeout(() => this.#redial(), pause_s * 1000);
    if (action === "token") this.#tell({ type: "tokenNeeded", code, reason });
    this.#tell({ type: "reconnecting", attempt: this.#servers.attempts, pause_s, code, reason });
  }

  #redial() {
    this.#pause = undefined;
    this.#dial();
  }

  /** @param {string} why */
  #hangUp(why) {
    this.#reason = why;
    this.#dials += 1;
    clearTimeout(this.#pause);
    this.#pause = undefined;
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.onerror = () => {};
      socket.close(1000);
    }
    this.#session.lost(why);
  }

  /**
   * @param {number | null} code
   * @param {string} reason
   */
  #finish(code, reason) {
    const why = code === null && this.#reason !== "" ? `${reason}; no connection: ${this.#reason}` : reason;
    const error = (this.#closedBy = new ClosedError(code, why));
    const byServer = code !== null;
    this.#state = "closed";
    this.#hangUp(byServer ? `${code}: ${why}` : why);
    clearInterval(this.#ticker);
    this.#listening.abort();
    let isTold = this.#options.onStatus !== undefined || this.#closed.isWatched || this.#publishes.size > 0;
    this.#session.close(code, why);
    this.#flush();
    for (const subscription of this.#subscriptions.values()) {
      isTold = subscription.finish(byServer ? error : null, error, isTold) || isTold;
    }
    this.#subscriptions.clear();
    if (byServer) this.#closed.reject(error, this.#options.onStatus !== undefined);
    else this.#closed.resolve();
    this.#tell({ type: "closed", code, reason: why });
    if (byServer && !isTold) unheard(error);
  }

  /**
   * Look at the connection now. While there is none, the pause before the next attempt ends; else the server is asked for a
   * sign of life. In a browser it happens by itself when the page is seen again or the network comes back.
   */
  wake() {
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
      case "connected": {
        const { node, cluster, servers } = event;
        this.#learn(servers);
        this.#servers.succeeded(this.#server);
        this.#state = "connected";
        this.#reason = "";
        return this.#tell({ type: "connected", server: this.#server, node, cluster });
      }
      case "tokenExpiring":
        this.#tell(event);
        this.#renew();
        return;
      case "move":
        this.#learn(event.servers);
        return this.#tell({ type: "moving", within_s: event.within_s });
      case "drop":
        if (this.#state !== "closed") this.#lose(event.action, event.code, event.reason);
        return;
      case "published":
        this.#publishes.get(event.seq)?.resolve({ log: event.log, at: event.at });
        this.#publishes.delete(event.seq);
        return;
      case "failed": {
        const { seq, code, error, reason, outcomeUnknown } = event;
        const publish = this.#publishes.get(seq);
        publish?.reject(new PublishError(`publish to ${publish.subject}`, code, error, reason, outcomeUnknown));
        this.#publishes.delete(seq);
        return;
      }
      default: {
        const subscription = this.#subscriptions.get(event.key);
        if (subscription === undefined) return;
        subscription.put(event);
        if (event.type === "refused") {
          this.#refused(event, subscription);
        } else if (subscription.waiting >= this.#queueMax) {
          this.#session.suspend(event.key);
        }
      }
    }
  }

  /**
   * @param {{ key: number, code: number, error: string, reason: string }} event
   * @param {Subscription} subscription
   */
  #refused({ key, code, error, reason }, subscription) {
    this.#subscriptions.delete(key);
    const refusal = new SubscribeError(`subscribe to ${subscription.subject}`, code, error, reason);
    if (!subscription.finish(refusal, refusal, this.#options.onStatus !== undefined)) unheard(refusal);
  }

  /** @param {number} key */
  #resume(key) {
    this.#session.resume(key);
    this.#flush();
  }

  /** @param {string[]} servers */
  #learn(servers) {
    const urls = servers.flatMap((server) => {
      try {
        return endpoint(server);
      } catch {
        return [];
      }
    });
    this.#servers.told(urls, this.#server);
  }

  get #queueMax() {
    return this.#options.queueMax ?? QUEUE_MAX;
  }

  /** @param {Status} status */
  #tell(status) {
    if (this.#options.onStatus) call(this.#options.onStatus, status, `onStatus failed for ${status.type}`);
  }

  #checkOpen() {
    if (this.#state === "closed") throw this.#closedBy;
  }
}

/** Seconds, of a clock that never goes back. */
function now() {
  return performance.now() / 1000;
}

const OPTIONS = new Set(["token", "getToken", "onStatus", "name", "publishTimeout_s", "queueMax", "learnServers", "WebSocket", "connectOptions"]);
const PUBLISH_OPTIONS = new Set(["headers", "timeout_s"]);

/**
 * @param {object} options
 * @param {Set<string>} names
 */
function checkNames(options, names) {
  for (const key of Object.keys(options)) {
    if (!names.has(key)) throw new TypeError(`there is no option ${key}; there are ${[...names].join(", ")}`);
  }
}

/**
 * @param {string} name
 * @param {unknown} seconds
 */
function checkSeconds(name, seconds) {
  if (typeof seconds !== "number" || Number.isNaN(seconds)) {
    throw new TypeError(`\`${name}\` is a number of seconds, found ${JSON.stringify(seconds)}`);
  }
}

/** @param {object} options */
function checkOptions(options) {
  checkNames(options, OPTIONS);
  const { token, getToken, publishTimeout_s } = /** @type {any} */ (options);
  if (publishTimeout_s !== undefined) checkSeconds("publishTimeout_s", publishTimeout_s);
  if (token !== undefined && typeof token !== "string") throw new TypeError("`token` is a string; a function that gives one is `getToken`");
  if (getToken !== undefined && (typeof getToken !== "function" || token !== undefined)) {
    throw new TypeError("`getToken` is a function that gives a token, instead of `token`");
  }
}

/**
 * An application's mistake is its own: it is logged and disturbs nothing here.
 *
 * @param {(argument: any) => unknown} callback
 * @param {unknown} argument
 * @param {string} what failed if it does
 */
function call(callback, argument, what) {
  const log = (/** @type {unknown} */ error) => console.error(`whimbrel: ${what}:`, error);
  try {
    const result = /** @type {any} */ (callback(argument));
    if (typeof result?.then === "function") result.then(undefined, log);
  } catch (error) {
    log(error);
  }
}

/** An error that no part of the application listens for becomes an unhandled rejection: runtimes report it, and Node.js ends. @param {Error} error */
function unheard(error) {
  Promise.reject(error);
}
