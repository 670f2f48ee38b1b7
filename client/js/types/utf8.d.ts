/**
 * UTF-8 and base64, also where the platform has no TextEncoder, TextDecoder, atob or btoa (React Native, by version).
 *
 * Not here: subjects (subjects.js), values (message.js).
 */
/**
 * Whether it is valid Unicode, without half of a surrogate pair.
 *
 * @param {string} text
 */
export declare function wellFormed(text: string): boolean;
/** @param {string} text valid Unicode */
export declare function encode(text: string): Uint8Array<ArrayBuffer>;
/**
 * As text, U+FFFD where it is not UTF-8.
 *
 * @param {Uint8Array} bytes
 */
export declare function decode(bytes: Uint8Array): string;
/**
 * The bytes of the character at `i`; 0 if it is not one (RFC 3629, section 4).
 *
 * @param {Uint8Array} bytes
 * @param {number} i
 */
export declare function characterLength(bytes: Uint8Array, i: number): 0 | 1 | 2 | 3 | 4;
/** `%XX` of a byte. @param {number} byte */
export declare function percent(byte: number): string;
/** @param {string} text */
export declare function fromBase64(text: string): Uint8Array<ArrayBuffer>;
/** @param {Uint8Array} bytes */
export declare function toBase64(bytes: Uint8Array): string;
/** Whether it is bytes, also of another realm (a frame, a test's). @param {unknown} value @returns {value is Uint8Array} */
export declare function isBytes(value: unknown): value is Uint8Array;
