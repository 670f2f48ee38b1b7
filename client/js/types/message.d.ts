/**
 * What the application is handed, and the values and headers of frames in the JSON sub-protocol (PROTOCOL section 6).
 *
 * Not here: whether a message is handed over at all (place.js).
 */
export type Position = import("./place.js").Position;
export type HeaderValue = string | Uint8Array | null;
export type Headers = [name: string, value: HeaderValue][];
export type HeaderValues = Headers | {
    [name: string]: HeaderValue;
};
export type Kind = "json" | "text" | "bytes" | "tombstone";
export type Value = {
    json: unknown;
} | {
    jsonText: string;
} | {
    text: string;
} | {
    bytes: Uint8Array;
} | {
    tombstone: true;
};
/**
 * One message, as it was produced. Shared by all subscriptions that it matches: do not change it.
 *
 * @template [T=any] what its JSON value says
 */
export declare class Message<T = any> {
    #private;
    /** Never a pattern. @type {string} */
    subject: string;
    /** @type {string} */
    log: string;
    /** Where it stands in its log. @type {Position} */
    at: Position;
    /** The subject's previous message in this log; null when the server does not know. @type {Position | null} */
    prev: Position | null;
    /** Milliseconds since 1970; null when the record has none. @type {number | null} */
    time: number | null;
    /** The latest value, sent at the start of a subscription from `latest`. */
    snapshot: boolean;
    /** Which of the values below this message has. @type {Kind} */
    kind: Kind;
    /** The parsed JSON value: integers above 2^53 are inexact there, `jsonText` has them. @type {T} */
    json: T;
    /** @type {string | undefined} */
    text: string | undefined;
    /** @type {Uint8Array | undefined} */
    bytes: Uint8Array | undefined;
    /** The record has no value: the subject's latest value is deleted. */
    tombstone: boolean;
    /** @type {Headers} */
    headers: Headers;
    /** The exact text of the JSON value, for what JSON.parse cannot hold; undefined for other values. */
    get jsonText(): string | undefined;
    /** The Kafka topic. */
    get topic(): string;
    /** The key's bytes; null for a record without a key. */
    get keyBytes(): Uint8Array<ArrayBufferLike> | null;
    /** The key as text, U+FFFD where it is not UTF-8 (`keyBytes` is exact); null for a record without a key. */
    get key(): string | null;
}
/**
 * A value, checked, as what stands in a frame: `"json":{"n":1}`.
 *
 * @param {Value} value
 * @returns {string}
 * @throws {TypeError} If it is none, or one that the server would end the connection for.
 */
export declare function writeValue(value: Value): string;
/**
 * @param {HeaderValues} headers
 * @throws {TypeError} If they are none.
 */
export declare function writeHeaders(headers: HeaderValues): ((string | null)[] | (string | {
    base64: string;
})[])[];
