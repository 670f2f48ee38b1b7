/**
 * What the application is handed, and the values and headers of frames in the JSON sub-protocol (PROTOCOL section 6).
 *
 * Not here: whether a message is handed over at all (place.js).
 */

import { isDeeper, memberText } from "./exact.js";
import { parseSubject } from "./subjects.js";
import { decode, fromBase64, isBytes, toBase64, wellFormed } from "./utf8.js";

/** @typedef {import("./place.js").Position} Position */
/** @typedef {string | Uint8Array | null} HeaderValue a string; the bytes where they are not UTF-8; null */
/** @typedef {[name: string, value: HeaderValue][]} Headers in the record's order */
/** @typedef {Headers | { [name: string]: HeaderValue }} HeaderValues what may be published */
/** @typedef {"json" | "text" | "bytes" | "tombstone"} Kind */
/** @typedef {{ json: unknown } | { jsonText: string } | { text: string } | { bytes: Uint8Array } | { tombstone: true }} Value exactly one of them */

/** A server may refuse deeper JSON by ending the connection. */
const DEPTH_MAX = 500;

/**
 * One message, as it was produced. Shared by all subscriptions that it matches: do not change it.
 *
 * @template [T=any] what its JSON value says
 */
export class Message {
  /** @type {{ topic: string, key: Uint8Array | null } | undefined} */
  #parsed;
  #frame;

  /**
   * @internal
   * @param {Record<string, any>} frame a `msg` frame
   * @param {string} text the same, as it came
   */
  constructor(frame, text) {
    this.#frame = text;
    /** Never a pattern. @type {string} */
    this.subject = frame.subject;
    /** @type {string} */
    this.log = frame.log;
    /** Where it stands in its log. @type {Position} */
    this.at = frame.at;
    /** The subject's previous message in this log; null when the server does not know. @type {Position | null} */
    this.prev = frame.prev ?? null;
    /** Milliseconds since 1970; null when the record has none. @type {number | null} */
    this.time = frame.time ?? null;
    /** The latest value, sent at the start of a subscription from `latest`. */
    this.snapshot = frame.snapshot === true;
    /** Which of the values below this message has. @type {Kind} */
    this.kind = "tombstone" in frame ? "tombstone" : "text" in frame ? "text" : "base64" in frame ? "bytes" : "json";
    /** The parsed JSON value: integers above 2^53 are inexact there, `jsonText` has them. @type {T} */
    this.json = frame.json;
    /** @type {string | undefined} */
    this.text = frame.text;
    /** @type {Uint8Array | undefined} */
    this.bytes = this.kind === "bytes" ? fromBase64(frame.base64) : undefined;
    /** The record has no value: the subject's latest value is deleted. */
    this.tombstone = this.kind === "tombstone";
    /** @type {Headers} */
    this.headers = (frame.headers ?? []).map(readHeader);
  }

  /** The exact text of the JSON value, for what JSON.parse cannot hold; undefined for other values. */
  get jsonText() {
    return this.kind === "json" ? memberText(this.#frame, "json") : undefined;
  }

  /** The Kafka topic. */
  get topic() {
    return this.#parts().topic;
  }

  /** The key's bytes; null for a record without a key. */
  get keyBytes() {
    return this.#parts().key;
  }

  /** The key as text, U+FFFD where it is not UTF-8 (`keyBytes` is exact); null for a record without a key. */
  get key() {
    const bytes = this.keyBytes;
    return bytes === null ? null : decode(bytes);
  }

  #parts() {
    return (this.#parsed ??= parseSubject(this.subject));
  }
}

/**
 * A value, checked, as what stands in a frame: `"json":{"n":1}`.
 *
 * @param {Value} value
 * @returns {string}
 * @throws {TypeError} If it is none, or one that the server would end the connection for.
 */
export function writeValue(value) {
  const keys = value !== null && typeof value === "object" ? Object.keys(value) : [];
  if (keys.length === 1) {
    if ("json" in value) {
      const text = JSON.stringify(value.json, refuseNonFinite);
      if (text !== undefined) return `"json":${checkJson(text)}`;
    }
    if ("jsonText" in value && typeof value.jsonText === "string") {
      checkJson(JSON.stringify(parse(value.jsonText)));
      return `"json":${value.jsonText.trim()}`;
    }
    if ("text" in value && typeof value.text === "string") return `"text":${JSON.stringify(checkText(value.text))}`;
    if ("bytes" in value && isBytes(value.bytes)) return `"base64":"${toBase64(value.bytes)}"`;
    if ("tombstone" in value && value.tombstone === true) return '"tombstone":true';
  }
  throw new TypeError(
    "a value is exactly one of {json}, {jsonText: string}, {text: string}, {bytes: Uint8Array}, {tombstone: true}; " +
      `found ${keys.length > 0 ? `keys: ${keys.join(", ")}` : JSON.stringify(value)}`,
  );
}

/**
 * @param {HeaderValues} headers
 * @throws {TypeError} If they are none.
 */
export function writeHeaders(headers) {
  if (headers === null || typeof headers !== "object") throw new TypeError("headers are an object, or a list of [name, value]");
  return (Array.isArray(headers) ? headers : Object.entries(headers)).map((header) => {
    const [name, value] = Array.isArray(header) && header.length === 2 ? header : [undefined, undefined];
    if (typeof name !== "string") throw new TypeError(`a header is [name, value], found ${JSON.stringify(header)}`);
    checkText(name);
    if (isBytes(value)) return [name, { base64: toBase64(value) }];
    if (value === null) return [name, null];
    if (typeof value !== "string") throw new TypeError(`the header ${name} is a string, a Uint8Array or null`);
    return [name, checkText(value)];
  });
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TypeError(`jsonText is not JSON: ${/** @type {Error} */ (error).message}`);
  }
}

/**
 * JSON.stringify would write null, and nobody would know that there was a number.
 *
 * @param {string} key
 * @param {unknown} value
 */
function refuseNonFinite(key, value) {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new TypeError(`there is no JSON for ${value}${key && ` (${key})`}`);
  }
  return value;
}

/** @param {string} text as JSON.stringify writes it */
function checkJson(text) {
  // It writes half of a pair, and nothing else, as an escape that begins so.
  if (/(?:^|[^\\])(?:\\\\)*\\ud[89a-f]/.test(text)) {
    throw new TypeError("not valid Unicode: half of a surrogate pair in a string");
  }
  if (isDeeper(text, DEPTH_MAX)) throw new TypeError(`the JSON value is nested more than ${DEPTH_MAX} deep`);
  return text;
}

/** @param {string} text */
function checkText(text) {
  if (!wellFormed(text)) throw new TypeError("not valid Unicode: half of a surrogate pair in a string");
  return text;
}

/**
 * @param {[string, any]} header
 * @returns {[string, HeaderValue]}
 */
function readHeader([name, value]) {
  return [name, value !== null && typeof value === "object" ? fromBase64(value.base64) : value];
}
