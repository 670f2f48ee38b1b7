/**
 * A client's session with its servers, over any number of connections: subscriptions that resume, publishes that are
 * sent until they are answered, silence that ends a connection (PROTOCOL sections 4, 5, 7, 8, 9).
 *
 * A core: the shell tells it what happened (`dial`, `opened`, `receive`, `lost`, `wake`, `tick`), then takes
 * `takeSends` and `takeEvents`. `now` is in seconds, of a clock that never goes back. The event `place` is no status: the place is
 * now that, by something else than a message handed over.
 *
 * Not here: sockets and servers (whimbrel.js, servers.js), what a message is checked against (place.js), when a
 * connection counts as lost (pulse.js).
 */

import { actionForError } from "./codes.js";
import { check } from "./frames.js";
import { Message } from "./message.js";
import { Publishes } from "./publishes.js";
import { Pulse } from "./pulse.js";
import { Renewal } from "./renewal.js";
import { pauseAfterLoss, pauseAgain, pauseAsked } from "./servers.js";
import { Subscriptions } from "./subscriptions.js";

/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./place.js").Positions} Positions */
/** @typedef {import("./place.js").Gap} Gap */
/** @typedef {import("./subscriptions.js").Start} Start */
/** @typedef {import("./subscriptions.js").Held} Held */

/**
 * What the application is told of a subscription.
 *
 * @typedef {{ key: number } & (
 *   | { type: "message", message: Message }
 *   | { type: "subscribed", at: Positions, waiting: string[] }
 *   | { type: "resumed", answer: "full" | "gap", at: Positions, waiting: string[] }
 *   | { type: "gap", gaps: Gap[] }
 *   | { type: "live", at: Positions }
 *   | { type: "ended", log: string }
 *   | { type: "waiting", why: string }
 *   | { type: "missing", subject: string, log: string, at: import("./place.js").Position }
 *   | { type: "refused", code: number, error: string, reason: string }
 *   | { type: "place", place: Place }
 * )} SubscriptionEvent
 */

/**
 * `drop`: the shell is to end this connection and, if `action` is not `stop`, make another.
 *
 * @typedef {SubscriptionEvent
 *   | { type: "connected", node: string, cluster: string, servers: string[] }
 *   | { type: "tokenExpiring", within_s: number }
 *   | { type: "move", within_s: number, servers: string[] }
 *   | { type: "drop", action: import("./codes.js").Action, code: number | null, reason: string }
 *   | import("./publishes.js").Published
 *   | import("./publishes.js").Failed
 * } SessionEvent
 */

/** Losses this far apart have nothing to do with each other. */
const LOSS_MEMORY_S = 30;

export class Session {
  /** Messages handed over; dropped because they had been; found missing (and asked for again). */
  stats = { received: 0, repeated: 0, missing: 0 };

  #name;
  #random;
  #publishes;
  #subscriptions = new Subscriptions();
  #pulse = new Pulse();
  #renewal;
  #ids = 0;

  /** @type {"away" | "dialling" | "open" | "welcome"} */
  #state = "away";
  #limits = { frame_bytes: 1 << 20, publishes: 1 };

  /** @type {string[]} */
  #sends = [];
  /** @type {SessionEvent[]} */
  #events = [];

  /**
   * @param {object} options
   * @param {string} options.name what the client says it is
   * @param {string} options.publisher 16 to 64 characters `[A-Za-z0-9_-]`, random, one per client
   * @param {() => number} options.random from 0 (included) to 1 (excluded)
   */
  constructor({ name, publisher, random }) {
    this.#name = name;
    this.#random = random;
    this.#publishes = new Publishes(publisher, random);
    this.#renewal = new Renewal(random);
  }

  // What the application wants.

  /**
   * @param {string} subject a subject or pattern that has been checked
   * @param {Start} start
   * @returns {number} the subscription's key
   */
  subscribe(subject, start) {
    const held = this.#subscriptions.add(subject, start);
    if (this.#isOpen()) this.#sendSubscribe(held);
    return held.key;
  }

  /** @param {number} key */
  unsubscribe(key) {
    const held = this.#subscriptions.get(key);
    if (held === undefined) return;
    this.#sendUnsubscribe(held);
    this.#subscriptions.remove(held);
  }

  /** Have nothing sent for it until `resume`: the application is far behind. @param {number} key */
  suspend(key) {
    const held = this.#subscriptions.get(key);
    if (held === undefined || held.suspended) return;
    held.suspended = true;
    this.#sendUnsubscribe(held);
  }

  /** The application can take more again. @param {number} key */
  resume(key) {
    const held = this.#subscriptions.get(key);
    if (held === undefined || !held.suspended) return;
    held.suspended = false;
    if (this.#isOpen()) this.#sendSubscribe(held);
  }

  /**
   * @param {number} now
   * @param {number} timeout_s when to give up
   * @param {string} subject
   * @param {import("./message.js").Value} value
   * @param {import("./message.js").HeaderValues} headers
   * @returns {number} its `seq`, which the event `published` or `failed` repeats
   */
  publish(now, timeout_s, subject, value, headers) {
    const seq = this.#publishes.add(now + timeout_s, subject, value, headers);
    this.#sendPublishes(now);
    return seq;
  }

  /** @param {number} key @returns {Place} */
  placeOf(key) {
    return this.#subscriptions.get(key)?.track.place ?? {};
  }

  /** A token, after `tokenExpiring`: for the connection that there is, if it still wants one. @param {string} token */
  renew(token) {
    if (this.#renewal.take()) this.#renewal.sent(this.#send({ op: "renew", token }));
  }

  /** No token could be had. @param {number} now */
  renewFailed(now) {
    this.#renewal.failed(now);
  }

  // What happens to connections.

  /** A connection is being made. @param {number} now */
  dial(now) {
    this.#state = "dialling";
    this.#pulse.dialled(now);
  }

  /** The connection is there: say all that is to be said on it. @param {string | null} token */
  opened(token) {
    this.#state = "open";
    this.#ids = 0;
    this.#send({ op: "hello", client: this.#name, ...(token === null ? {} : { token }) });
    for (const held of this.#subscriptions) if (!held.suspended) this.#sendSubscribe(held);
  }

  /** The connection is gone, or given up. @param {string} why */
  lost(why) {
    this.#state = "away";
    this.#sends = [];
    for (const held of this.#subscriptions) this.#subscriptions.unname(held);
    this.#publishes.lost(why);
    this.#renewal.lost();
  }

  /** It is over: what is not answered yet fails. @param {number | null} code @param {string} reason */
  close(code, reason) {
    this.lost(reason);
    this.#events.push(...this.#publishes.close(code, reason));
  }

  /** The program may have slept or changed networks: ask whether the server is there. @param {number} now */
  wake(now) {
    if (this.#state !== "welcome") return;
    this.#send({ op: "ping" });
    this.#pulse.asked(now);
  }

  /** Let time pass; to be called about twice a second. @param {number} now */
  tick(now) {
    this.#events.push(...this.#publishes.expire(now));
    if (this.#state === "away") return;
    const finding = this.#pulse.check(now);
    if (finding === "move") return this.#drop("elsewhere", null, "the server asked to move");
    if (finding === "silent") return this.#drop("retry", null, "the server is silent");
    if (finding === "ask") this.wake(now);
    if (!this.#isOpen()) return;
    const within_s = this.#renewal.check(now);
    if (within_s !== null) this.#tell({ type: "tokenExpiring", within_s });
    for (const held of this.#subscriptions) {
      if (held.id === null && !held.suspended && now >= held.retryAt) this.#sendSubscribe(held);
    }
    this.#sendPublishes(now);
  }

  /**
   * @param {number} now
   * @param {string} text a frame
   */
  receive(now, text) {
    this.#pulse.heard(now);
    try {
      const frame = JSON.parse(text);
      check(frame);
      this.#onFrame(now, frame, text);
    } catch (error) {
      this.#drop("retry", null, `the server sent what is not a frame: ${/** @type {Error} */ (error).message}`);
    }
  }

  // Outputs. Take both after every input.

  takeSends() {
    const sends = this.#sends;
    this.#sends = [];
    return sends;
  }

  takeEvents() {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  // Frames that came.

  /**
   * @param {number} now
   * @param {any} frame
   * @param {string} text the same, as it came
   */
  #onFrame(now, frame, text) {
    switch (frame.op) {
      case "msg":
        return this.#onMessage(now, frame, new Message(frame, text));
      case "heartbeat":
        for (const held of this.#subscriptions) if (held.track.heartbeat(frame.at ?? {})) this.#tellPlace(held);
        return;
      case "welcome":
        return this.#onWelcome(now, frame);
      case "subscribed":
      case "live":
      case "gap":
      case "ended":
      case "waiting":
        return this.#onNews(frame);
      case "published":
        this.#tell(this.#publishes.answered(frame));
        return this.#sendPublishes(now);
      case "error":
        return this.#onError(now, frame);
      case "expiring":
        return this.#renewal.expiring(now, frame.within_s);
      case "renewed":
        this.#renewal.answered(frame.id);
        return;
      case "move":
        this.#pulse.moveAt(now + this.#random() * frame.within_s);
        this.#tell({ type: "move", within_s: frame.within_s, servers: frame.servers ?? [] });
    }
  }

  /**
   * @param {number} now
   * @param {any} frame
   */
  #onWelcome(now, frame) {
    this.#state = "welcome";
    this.#publishes.connected();
    this.#pulse.welcomed(frame.heartbeat_s);
    this.#limits = { ...this.#limits, ...frame.limits };
    this.#tell({ type: "connected", node: frame.node, cluster: frame.cluster, servers: frame.servers ?? [] });
    this.#sendPublishes(now);
  }

  /**
   * @param {number} now
   * @param {any} frame
   * @param {Message} message
   */
  #onMessage(now, frame, message) {
    if (frame.sub !== undefined) {
      const held = this.#subscriptions.named(frame.sub);
      if (held) this.#judge(now, held, frame, message);
      return;
    }
    for (const held of this.#subscriptions.covering(frame.subject)) {
      if (held.track.isLive(frame.log)) this.#judge(now, held, frame, message);
    }
  }

  /**
   * @param {number} now
   * @param {Held} held
   * @param {any} frame
   * @param {Message} message
   */
  #judge(now, held, frame, message) {
    const verdict = held.track.receive(frame);
    if (verdict === "deliver") {
      this.stats.received += 1;
      if (held.resumes) held.track.trim(frame.log);
      this.#tell({ type: "message", key: held.key, message });
    } else if (verdict === "repeat") {
      this.stats.repeated += 1;
    } else {
      this.stats.missing += 1;
      this.#tell({ type: "missing", key: held.key, subject: frame.subject, log: frame.log, at: frame.at });
      this.#tellPlace(held);
      this.#sendUnsubscribe(held);
      // At once the first time; a server that leaves something out again and again is not asked in a tight loop.
      held.losses = now - held.lostAt < LOSS_MEMORY_S ? held.losses + 1 : 0;
      held.lostAt = now;
      held.retryAt = held.losses === 0 ? now : now + pauseAfterLoss(held.losses, this.#random);
      if (held.retryAt <= now) this.#sendSubscribe(held);
    }
  }

  /** @param {any} frame `subscribed`, `live`, `gap`, `ended` or `waiting` */
  #onNews(frame) {
    const held = this.#subscriptions.named(frame.op === "subscribed" ? frame.id : frame.sub);
    if (held === undefined) return;
    const { key, track } = held;
    switch (frame.op) {
      case "subscribed": {
        const { answer, at } = frame;
        const [gaps, waiting] = [frame.gaps ?? [], frame.waiting ?? []];
        track.subscribed(answer, at, waiting);
        track.gap(gaps);
        held.hasPlace = true;
        held.refusals = 0;
        this.#tell(
          answer === "fresh"
            ? { type: "subscribed", key, at, waiting }
            : { type: "resumed", key, answer, at, waiting },
        );
        if (gaps.length > 0) this.#tell({ type: "gap", key, gaps });
        return this.#tellPlace(held);
      }
      case "live":
        track.live(frame.at);
        held.wasLive = true;
        this.#tellPlace(held);
        return this.#tell({ type: "live", key, at: frame.at });
      case "gap":
        track.gap(frame.gaps);
        this.#tell({ type: "gap", key, gaps: frame.gaps });
        return this.#tellPlace(held);
      case "ended":
        track.ended(frame.log);
        this.#tell({ type: "ended", key, log: frame.log });
        return this.#tellPlace(held);
      case "waiting":
        return this.#tell({ type: "waiting", key, why: frame.why ?? "" });
    }
  }

  /**
   * @param {number} now
   * @param {any} frame
   */
  #onError(now, frame) {
    const { id, code, error = "", reason = "" } = frame;
    const action = actionForError(code);
    const held = this.#subscriptions.named(id);
    const isRenewal = this.#renewal.answered(id);
    if (isRenewal && action === "retry") this.#renewal.again(now);
    if (held === undefined && !isRenewal && !this.#publishes.isSent(id)) return;
    this.#tell(this.#publishes.refused(now, { id, code, error, reason }));
    if (action === "elsewhere" || action === "token") {
      this.#drop(action, code, reason);
    } else if (held !== undefined && action === "stop") {
      this.#subscriptions.remove(held);
      this.#tell({ type: "refused", key: held.key, code, error, reason });
    } else if (held !== undefined) {
      this.#subscriptions.unname(held);
      held.refusals += 1;
      held.retryAt = now + pauseAsked(reason) + pauseAgain(held.refusals, this.#random);
      this.#tell({ type: "waiting", key: held.key, why: reason });
    }
  }

  // Frames to send.

  /** @param {Held} held */
  #sendSubscribe(held) {
    this.#subscriptions.name(held, this.#send({ op: "subscribe", subject: held.subject, ...held.request }));
  }

  /** @param {Held} held */
  #sendUnsubscribe(held) {
    if (held.id === null) return;
    this.#send({ op: "unsubscribe", sub: held.id });
    this.#subscriptions.unname(held);
  }

  /** Only after `welcome`, which states the limits. @param {number} now */
  #sendPublishes(now) {
    if (this.#state !== "welcome") return;
    const { frames, failed } = this.#publishes.take(now, this.#limits, () => ++this.#ids);
    this.#sends.push(...frames);
    this.#events.push(...failed);
  }

  /**
   * @param {{ op: string, [key: string]: unknown }} frame
   * @returns {number} its id
   */
  #send({ op, ...rest }) {
    const id = ++this.#ids;
    this.#sends.push(JSON.stringify({ op, id, ...rest }));
    return id;
  }

  #isOpen() {
    return this.#state === "open" || this.#state === "welcome";
  }

  /** @param {Held} held */
  #tellPlace(held) {
    this.#tell({ type: "place", key: held.key, place: held.track.place });
  }

  /** @param {SessionEvent | null} event */
  #tell(event) {
    if (event !== null) this.#events.push(event);
  }

  /**
   * @param {import("./codes.js").Action} action
   * @param {number | null} code
   * @param {string} reason
   */
  #drop(action, code, reason) {
    this.#tell({ type: "drop", action, code, reason });
  }
}
