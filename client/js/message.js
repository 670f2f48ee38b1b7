/**
 * What the application is handed, and the values and headers of frames in the JSON sub-protocol (PROTOCOL section 6).
 *
 * Not here: whether a message is handed over at all (place.js).
 */

import { parseSubject } from "./subjects.js";

/** @typedef {import("./place.js").Position} Position */
/** @typedef {string | Uint8Array | null} HeaderValue a string; the bytes where they are not UTF-8; null */
/** @typedef {[name: string, value: HeaderValue][]} Headers in the record's order */
/** @typedef {"json" | "text" | "bytes" | "tombstone"} Kind */
/** @typedef {{ json: unknown } | { text: string } | { bytes: Uint8Array } | { tombstone: true }} Value exactly one of them */

const decoder = new TextDecoder();

/** One message, as it was produced. Shared by all subscriptions that it matches: do not change it. */
export class Message {
  /** @type {{ topic: string, key: Uint8Array | null } | undefined} */
  #parsed;

  /** @param {Record<string, any>} frame a `msg` frame */
  constructor(frame) {
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
    /** The parsed JSON value. @type {any} */
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
    return bytes === null ? null : decoder.decode(bytes);
  }

  #parts() {
    return (this.#parsed ??= parseSubject(this.subject));
  }
}

/**
 * The value's key and value in a frame.
 *
 * @param {Value} value
 * @returns {Record<string, unknown>}
 */
export function writeValue(value) {
  const keys = Object.keys(value);
  if (keys.length === 1) {
    if ("json" in value && JSON.stringify(value.json) !== undefined) return { json: value.json };
    if ("text" in value && typeof value.text === "string") return { text: value.text };
    if ("bytes" in value && value.bytes instanceof Uint8Array) return { base64: toBase64(value.bytes) };
    if ("tombstone" in value && value.tombstone === true) return { tombstone: true };
  }
  throw new TypeError(
    `a value is exactly one of {json}, {text: string}, {bytes: Uint8Array}, {tombstone: true}; found keys: ${keys.join(", ") || "none"}`,
  );
}

/** @param {Headers} headers */
export function writeHeaders(headers) {
  return headers.map(([name, value]) => [name, value instanceof Uint8Array ? { base64: toBase64(value) } : value]);
}

/**
 * @param {[string, any]} header
 * @returns {[string, HeaderValue]}
 */
function readHeader([name, value]) {
  return [name, value !== null && typeof value === "object" ? fromBase64(value.base64) : value];
}

/** @param {string} text */
function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
