/**
 * Subjects: how they stand for a Kafka topic and key, and which patterns match them (PROTOCOL section 1).
 *
 * Every key has exactly one subject; a subject written another way is refused with its right form.
 *
 * Not here: which subjects a node accepts.
 */

import { SubjectError } from "./errors.js";
import { characterLength, decode, encode, percent, wellFormed } from "./utf8.js";

const TOPIC = /^(?!\.\.?$)[a-zA-Z0-9._-]{1,249}$/;

/**
 * The one subject of a record with this topic and key (null: a record without a key).
 *
 * @param {string} topic
 * @param {string | Uint8Array | null} key
 * @returns {string}
 * @throws {SubjectError} If the topic is not the name of a topic or namespace.
 */
export function subjectOf(topic, key) {
  if (!TOPIC.test(topic)) {
    throw new SubjectError(`not a topic or namespace (1 to 249 of a-z A-Z 0-9 . _ -): ${topic}`);
  }
  if (key === null) return `/${topic}`;
  const bytes = typeof key === "string" ? encode(key) : key;
  let text = "";
  let plain = 0;
  for (let i = 0; i < bytes.length; ) {
    const length = plainLength(bytes, i);
    if (length > 0) {
      i += length;
      continue;
    }
    text += decode(bytes.subarray(plain, i)) + percent(bytes[i]);
    plain = ++i;
  }
  return `/${topic}/${text}${decode(bytes.subarray(plain))}`;
}

/**
 * The topic and key of a subject.
 *
 * @param {string} subject
 * @returns {{ topic: string, key: Uint8Array | null }}
 * @throws {SubjectError} If it is not a subject in its one right form.
 */
export function parseSubject(subject) {
  const { topic, rest } = split(subject);
  if (rest === null) return { topic, key: null };
  if (rest.includes("*")) {
    throw new SubjectError(`a \`*\` in a key is written %2A, and a pattern cannot be used here: ${subject}`);
  }
  if (!wellFormed(rest)) throw new SubjectError(`not valid Unicode: ${subject}`);
  const key = unescapeKey(rest, subject);
  const right = subjectOf(topic, key);
  if (right !== subject) throw new SubjectError(`written another way than its one right form ${right}: ${subject}`);
  return { topic, key };
}

/**
 * Check a subject or pattern, and return it.
 *
 * @param {string} subject
 * @returns {string}
 * @throws {SubjectError} If it is neither.
 */
export function checkSubject(subject) {
  if (typeof subject !== "string" || !isPattern(subject)) {
    parseSubject(subject);
  } else if (split(subject.slice(0, -2)).rest !== null) {
    parseSubject(subject.slice(0, -2));
  }
  return subject;
}

/**
 * Whether this is `/topic/*` or `/topic/prefix/*` rather than a subject.
 *
 * @param {string} subject
 */
export function isPattern(subject) {
  return subject.endsWith("/*") && subject !== "/*";
}

/**
 * Whether a subject or pattern covers a subject.
 *
 * @param {string} pattern
 * @param {string} subject
 */
export function matches(pattern, subject) {
  return isPattern(pattern) ? subject.startsWith(pattern.slice(0, -1)) : pattern === subject;
}

/** @param {string} subject */
function split(subject) {
  if (typeof subject !== "string") throw new SubjectError(`a subject is a string, found ${String(subject)}`);
  if (!subject.startsWith("/")) throw new SubjectError(`a subject begins with \`/\`: ${subject}`);
  const slash = subject.indexOf("/", 1);
  const topic = slash < 0 ? subject.slice(1) : subject.slice(1, slash);
  if (!TOPIC.test(topic)) {
    throw new SubjectError(
      `the first segment of a subject is a topic or namespace (1 to 249 of a-z A-Z 0-9 . _ -): ${subject}`,
    );
  }
  return { topic, rest: slash < 0 ? null : subject.slice(slash + 1) };
}

/**
 * @param {string} rest
 * @param {string} subject
 */
function unescapeKey(rest, subject) {
  const bytes = encode(rest);
  const key = new Uint8Array(bytes.length);
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== 0x25) {
      key[length++] = bytes[i];
      continue;
    }
    const digits = String.fromCharCode(bytes[i + 1], bytes[i + 2]);
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) {
      throw new SubjectError(
        `\`%\` is followed by two hexadecimal digits; a \`%\` in a key is written %25: ${subject}`,
      );
    }
    key[length++] = parseInt(digits, 16);
    i += 2;
  }
  return key.slice(0, length);
}

/**
 * The bytes of the character at `i` if it stands as it is; 0 if its first byte is to be escaped.
 *
 * @param {Uint8Array} bytes
 * @param {number} i
 */
function plainLength(bytes, i) {
  const first = bytes[i];
  return first < 0x20 || first === 0x7f || first === 0x25 || first === 0x2a ? 0 : characterLength(bytes, i);
}
