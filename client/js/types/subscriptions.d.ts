/**
 * The subscriptions of a client, found by key, by the id that names them on this connection, and by what they cover.
 *
 * Not here: what is said about them (session.js), what each has received (place.js).
 */
import { Track } from "./place.js";
export type Place = import("./place.js").Place;
export type Positions = import("./place.js").Positions;
export type From = "latest" | "now" | {
    last: number;
} | {
    time: number;
} | {
    at: Positions;
};
export type Start = {
    from: From;
} | {
    resume: Place;
};
/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./place.js").Positions} Positions */
/** @typedef {"latest" | "now" | { last: number } | { time: number } | { at: Positions }} From where a subscription starts; `time` in milliseconds since 1970 */
/** @typedef {{ from: From } | { resume: Place }} Start */
/**
 * What the application says a subscription is to start with, checked: the server would end the connection.
 *
 * @param {unknown} given "latest", "now", `{from}` or `{resume}`; undefined: latest
 * @returns {Start}
 * @throws {TypeError} If it is no start, or holds something of a wrong type; the message says which.
 */
export declare function toStart(given: unknown): Start;
export declare class Held {
    key: number;
    subject: string;
    start: Start;
    track: Track;
    /** Of its `subscribe` on this connection; null while there is none. @type {number | null} */
    id: number | null;
    hasPlace: boolean;
    wasLive: boolean;
    /** The application cannot take more for now: nothing is asked for. */
    suspended: boolean;
    /** Refused for now, since it was last answered. */
    refusals: number;
    /** Losses found one soon after the other. */
    losses: number;
    lostAt: number;
    /** When it may be sent again. */
    retryAt: number;
    /**
     * @param {number} key the same for life
     * @param {string} subject
     * @param {Start} start
     */
    constructor(key: number, subject: string, start: Start);
    /** Whether it goes on from its place rather than as it was: `latest` begins anew until it was live once. */
    get resumes(): boolean;
    /** What to ask for. @returns {Start} */
    get request(): Start;
}
export declare class Subscriptions {
    #private;
    [Symbol.iterator](): MapIterator<Held>;
    /**
     * @param {string} subject
     * @param {Start} start
     */
    add(subject: string, start: Start): Held;
    /** @param {Held} held */
    remove(held: Held): void;
    /** @param {number} key */
    get(key: number): Held | undefined;
    /** @param {number} id */
    named(id: number): Held | undefined;
    /**
     * @param {Held} held
     * @param {number} id
     */
    name(held: Held, id: number): void;
    /** What still comes for its id is not for it. @param {Held} held */
    unname(held: Held): void;
    /** In the order in which they were made. @param {string} subject @returns {Held[]} */
    covering(subject: string): Held[];
}
