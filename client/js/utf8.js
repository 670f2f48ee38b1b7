/**
 * UTF-8 and base64, also where the platform has no TextEncoder, TextDecoder, atob or btoa (React Native, by version).
 *
 * Not here: subjects (subjects.js), values (message.js).
 */

const encoder = typeof TextEncoder === "undefined" ? null : new TextEncoder();
const decoder = typeof TextDecoder === "undefined" ? null : new TextDecoder("utf-8", { ignoreBOM: true });
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/**
 * Whether it is valid Unicode, without half of a surrogate pair.
 *
 * @param {string} text
 */
export function wellFormed(text) {
  return !/[\ud800-\udfff]/u.test(text); // in this mode a pair is one character
}

/** @param {string} text valid Unicode */
export function encode(text) {
  if (encoder) return encoder.encode(text);
  return binary(encodeURIComponent(text).replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))));
}

/**
 * As text, U+FFFD where it is not UTF-8.
 *
 * @param {Uint8Array} bytes
 */
export function decode(bytes) {
  if (decoder) return decoder.decode(bytes);
  let text = "";
  for (let i = 0; i < bytes.length; ) {
    const length = characterLength(bytes, i);
    const character = bytes.subarray(i, i + length);
    text += length === 0 ? "\ufffd" : decodeURIComponent(Array.from(character, percent).join(""));
    i += length || 1;
  }
  return text;
}

/**
 * The bytes of the character at `i`; 0 if it is not one (RFC 3629, section 4).
 *
 * @param {Uint8Array} bytes
 * @param {number} i
 */
export function characterLength(bytes, i) {
  const first = bytes[i];
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  // The second byte's range excludes overlong forms, surrogates and what is above U+10FFFF.
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  for (let n = 1; n < length; n++) {
    const byte = bytes[i + n];
    if (!(byte >= (n === 1 ? low : 0x80) && byte <= (n === 1 ? high : 0xbf))) return 0;
  }
  return length;
}

/** `%XX` of a byte. @param {number} byte */
export function percent(byte) {
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

/** @param {string} text */
export function fromBase64(text) {
  if (typeof atob === "function") return binary(atob(text));
  const digits = text.replace(/=+$/, "");
  const bytes = new Uint8Array((digits.length * 6) >> 3);
  for (let i = 0, bits = 0, held = 0, n = 0; i < digits.length; i++) {
    held = ((held << 6) | DIGITS.indexOf(digits[i])) & 0xfff;
    bits += 6;
    if (bits >= 8) bytes[n++] = (held >> (bits -= 8)) & 0xff;
  }
  return bytes;
}

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const three = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += DIGITS[three >> 18] + DIGITS[(three >> 12) & 63] + DIGITS[(three >> 6) & 63] + DIGITS[three & 63];
  }
  const missing = (3 - (bytes.length % 3)) % 3;
  return missing === 0 ? text : text.slice(0, -missing) + "=".repeat(missing);
}

/** Whether it is bytes, also of another realm (a frame, a test's). @param {unknown} value @returns {value is Uint8Array} */
export function isBytes(value) {
  return Object.prototype.toString.call(value) === "[object Uint8Array]";
}

/** @param {string} text of characters up to U+00FF */
function binary(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
