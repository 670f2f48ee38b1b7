/**
 * What the application is handed, and the values and headers of frames in the JSON sub-protocol (PROTOCOL section 6).
 *
 * Not here: whether a message is handed over at all (place.js).
 */
export type Position = import("./place.js").Position;
export type HeaderValue = string | Uint8Array | null;
export type Headers = [name: string, value: HeaderValue][];
export type Kind = "json" | "text" | "bytes" | "tombstone";
export type Value = {
    json: unknown;
} | {
    text: string;
} | {
    bytes: Uint8Array;
} | {
    tombstone: true;
};
/** One message, as it was produced. Shared by all subscriptions that it matches: do not change it. */
export declare class Message {
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
    /** The parsed JSON value. @type {any} */
    json: any;
    /** @type {string | undefined} */
    text: string | undefined;
    /** @type {Uint8Array | undefined} */
    bytes: Uint8Array | undefined;
    /** The record has no value: the subject's latest value is deleted. */
    tombstone: boolean;
    /** @type {Headers} */
    headers: Headers;
    /** @param {Record<string, any>} frame a `msg` frame */
    constructor(frame: Record<string, any>);
    /** The Kafka topic. */
    get topic(): string;
    /** The key's bytes; null for a record without a key. */
    get keyBytes(): Uint8Array<ArrayBufferLike> | null;
    /** The key as text, U+FFFD where it is not UTF-8 (`keyBytes` is exact); null for a record without a key. */
    get key(): string | null;
}
/**
 * The value's key and value in a frame.
 *
 * @param {Value} value
 * @returns {Record<string, unknown>}
 */
export declare function writeValue(value: Value): Record<string, unknown>;
/** @param {Headers} headers */
export declare function writeHeaders(headers: Headers): (string | {
    base64: string;
} | null)[][];
