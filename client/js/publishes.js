/**
 * Publishes that have no answer yet (PROTOCOL section 8): which to send, which to send again, and what became of them.
 *
 * Invariants:
 * - A publish keeps its `seq` for life, so that the server recognises it when it is sent again.
 * - Never more than the server's limit are on their way at a time.
 * - While a publish waits to be sent again, later ones with the same subject wait behind it.
 *
 * Not here: connections and subscriptions (session.js).
 */

import { actionForError } from "./codes.js";
import { writeHeaders, writeValue } from "./message.js";
import { pauseAgain, pauseAsked } from "./servers.js";
import { encode } from "./utf8.js";

/** @typedef {import("./message.js").HeaderValues} HeaderValues */
/** @typedef {import("./message.js").Value} Value */
/** @typedef {import("./place.js").Position} Position */
/** @typedef {{ type: "published", seq: number, log: string, at: Position | null }} Published `at` is null when the server could not read it back in time */
/** @typedef {{ type: "failed", seq: number, code: number | null, error: string, reason: string, outcomeUnknown: boolean }} Failed `code` is null when no server has said anything */
/** @typedef {{ code: number, error: string, reason: string }} Refusal */
/** @typedef {{ seq: number, subject: string, body: string, bytes: number, deadline: number, refusals: number, refusal: Refusal | null, state: "queued" | "sent", attempts: number, notBefore: number }} Entry `attempts`: how often it was sent; each but the last had no answer, or one that leaves open whether it is in the log */

/** Publishes held at a time, sent or not. */
const HELD_MAX = 10_000;
/** The frame around the body: `{"op":"publish","id":9007199254740991,`. */
const ENVELOPE_BYTES = 48;

export class Publishes {
  #publisher;
  #random;
  /** In the order of `seq`. @type {Map<number, Entry>} */
  #entries = new Map();
  /** By the id of the frame, on this connection. @type {Map<number, Entry>} */
  #sent = new Map();
  #seq = 0;
  /** Why there is no connection; empty while there is one. */
  #noConnection = "none has been made yet";

  /**
   * @param {string} publisher 16 to 64 characters `[A-Za-z0-9_-]`, random, one per client
   * @param {() => number} random
   */
  constructor(publisher, random) {
    this.#publisher = publisher;
    this.#random = random;
  }

  /**
   * Take a publish; its outcome comes from `answered`, `refused` or `expire`.
   *
   * @param {number} deadline when to give up, in the clock of `now`
   * @param {string} subject
   * @param {Value} value
   * @param {HeaderValues} headers
   * @returns {number} its `seq`
   * @throws {Error} If the value cannot be sent or too many publishes are waiting.
   */
  add(deadline, subject, value, headers) {
    if (this.#entries.size >= HELD_MAX) throw new Error(`${HELD_MAX} publishes are waiting to be acknowledged`);
    const seq = this.#seq + 1;
    const shown = writeHeaders(headers);
    const head = JSON.stringify({
      subject,
      publisher: this.#publisher,
      seq,
      ...(shown.length > 0 ? { headers: shown } : {}),
    });
    const body = `${head.slice(0, -1)},${writeValue(value)}}`;
    const bytes = encode(body).length + ENVELOPE_BYTES;
    this.#seq = seq;
    /** @type {Entry} */
    const entry = { seq, subject, body, bytes, deadline, refusals: 0, refusal: null, state: "queued", attempts: 0, notBefore: 0 };
    this.#entries.set(seq, entry);
    return seq;
  }

  /** A server has said `welcome`. */
  connected() {
    this.#noConnection = "";
  }

  /** The connection is gone: on the next one all is to be sent, in the order of `seq`. @param {string} why */
  lost(why) {
    this.#noConnection = why;
    this.#sent.clear();
    for (const entry of this.#entries.values()) [entry.state, entry.notBefore] = ["queued", 0];
  }

  /**
   * Frames to send now.
   *
   * @param {number} now
   * @param {{ publishes: number, frame_bytes: number }} limits
   * @param {() => number} nextID
   * @returns {{ frames: string[], failed: Failed[] }}
   */
  take(now, limits, nextID) {
    const frames = [];
    const failed = [];
    const held = new Set();
    for (const entry of this.#entries.values()) {
      if (this.#sent.size >= limits.publishes) break;
      if (entry.state === "sent" || held.has(entry.subject)) continue;
      if (entry.bytes > limits.frame_bytes) {
        const reason = `the frame would be longer than the server's limit of ${limits.frame_bytes} bytes`;
        failed.push(this.#fail(entry, 4314, "message_too_large", reason, entry.attempts > 0));
      } else if (entry.notBefore > now) {
        held.add(entry.subject);
      } else {
        const id = nextID();
        entry.state = "sent";
        entry.attempts += 1;
        this.#sent.set(id, entry);
        frames.push(`{"op":"publish","id":${id},${entry.body.slice(1)}`);
      }
    }
    return { frames, failed };
  }

  /**
   * @param {{ id: number, log: string, at?: Position }} frame `published`
   * @returns {Published | null}
   */
  answered(frame) {
    const entry = this.#sent.get(frame.id);
    if (entry === undefined) return null;
    this.#sent.delete(frame.id);
    this.#entries.delete(entry.seq);
    return { type: "published", seq: entry.seq, log: frame.log, at: frame.at ?? null };
  }

  /** Whether a publish was sent by this id, and waits for its answer. @param {number} id */
  isSent(id) {
    return this.#sent.has(id);
  }

  /**
   * The answer was an error: the publish is sent again after a pause, or has failed.
   *
   * @param {number} now
   * @param {{ id: number, code: number, error: string, reason: string }} frame `error`
   * @returns {Failed | null}
   */
  refused(now, frame) {
    const entry = this.#sent.get(frame.id);
    if (entry === undefined) return null;
    this.#sent.delete(frame.id);
    if (actionForError(frame.code) === "stop") return this.#fail(entry, frame.code, frame.error, frame.reason, entry.attempts > 1);
    entry.state = "queued";
    entry.refusal = frame;
    entry.refusals += 1;
    entry.notBefore = now + pauseAsked(frame.reason) + pauseAgain(entry.refusals, this.#random);
    return null;
  }

  /**
   * Give up those whose deadline has passed.
   *
   * @param {number} now
   * @returns {Failed[]}
   */
  expire(now) {
    const expired = [...this.#entries.values()].filter((entry) => entry.deadline <= now);
    for (const [id, entry] of this.#sent) if (entry.deadline <= now) this.#sent.delete(id);
    return expired.map((entry) => {
      const { code, error, reason } = entry.refusal ?? { code: null, error: "", reason: "not acknowledged in time" };
      const why = this.#noConnection === "" ? reason : `${reason}; no connection: ${this.#noConnection}`;
      return this.#fail(entry, code, error, why, entry.attempts > 0);
    });
  }

  /** The client is closed: nothing more will be answered. @param {number | null} code @param {string} reason @returns {Failed[]} */
  close(code, reason) {
    this.#sent.clear();
    const why = `the client is closed: ${reason}`;
    return [...this.#entries.values()].map((entry) => this.#fail(entry, code, "", why, entry.attempts > 0));
  }

  /**
   * @param {Entry} entry
   * @param {number | null} code
   * @param {string} error
   * @param {string} reason
   * @param {boolean} outcomeUnknown
   * @returns {Failed}
   */
  #fail(entry, code, error, reason, outcomeUnknown) {
    this.#entries.delete(entry.seq);
    return { type: "failed", seq: entry.seq, code, error, reason, outcomeUnknown };
  }
}
