/**
 * Whimbrel's client for browsers and Node.js: subscribe, resume, publish.
 *
 *     import { Client } from "whimbrel";
 *     const client = new Client(["ws://localhost:8080"]);
 *     client.subscribe("/flights/*", (message) => console.log(message.subject, message.json));
 *     await client.publish("/notes/1", { text: "hello" });
 *
 * The shell over WebSocket: it does what session.js and servers.js decide. Each message is handed over once and in
 * order within its subject and log, or a status event `gap` has said what will not come.
 *
 * Not here: the protocol's rules (session.js, place.js).
 */
import { Message } from "./message.js";
import { SubjectError, isPattern, matches, parseSubject, subjectOf } from "./subjects.js";
export { Message, SubjectError, isPattern, matches, parseSubject, subjectOf };
export type Headers = import("./message.js").Headers;
export type HeaderValue = import("./message.js").HeaderValue;
export type Kind = import("./message.js").Kind;
export type Value = import("./message.js").Value;
export type Gap = import("./place.js").Gap;
export type Place = import("./place.js").Place;
export type Position = import("./place.js").Position;
export type Positions = import("./place.js").Positions;
export type From = import("./subscriptions.js").From;
export type Published = {
    log: string;
    at: Position | null;
};
export type Status = {
    type: "connected";
    server: string;
    node: string;
    cluster: string;
} | {
    type: "reconnecting";
    attempt: number;
    pause_s: number;
    code: number | null;
    reason: string;
} | {
    type: "moved";
    within_s: number;
} | {
    type: "closed";
    code: number | null;
    reason: string;
} | ({
    subscription: Subscription;
} & ({
    type: "subscribed";
    at: Positions;
    waiting: string[];
} | {
    type: "resumed";
    answer: "full" | "gap";
    at: Positions;
    waiting: string[];
} | {
    type: "gap";
    gaps: Gap[];
} | {
    type: "live";
    at: Positions;
} | {
    type: "ended";
    log: string;
} | {
    type: "waiting";
    why: string;
} | {
    type: "missing";
    subject: string;
    log: string;
    at: Position;
} | {
    type: "refused";
    code: number;
    error: string;
    reason: string;
}));
export type ClientOptions = {
    /**
     * a function is asked anew for each connection
     */
    token?: string | (() => string | Promise<string>);
    onStatus?: (status: Status) => void;
    /**
     * default: the global one, else that of the package `ws`
     */
    WebSocket?: typeof WebSocket;
    /**
     * what the client says it is
     */
    name?: string;
    /**
     * when to give up a publish; at most 300, for as long a retry is recognised
     */
    publishTimeout_s?: number;
};
export type State = "connecting" | "connected" | "reconnecting" | "closed";
/** A publish that was not acknowledged. With `outcome_unknown` it may have reached Kafka all the same. */
export declare class PublishError extends Error {
    code: number;
    error: string;
    reason: string;
    /**
     * @param {number} code PROTOCOL section 10
     * @param {string} error
     * @param {string} reason
     */
    constructor(code: number, error: string, reason: string);
}
/** A subject or pattern that is being received. */
export declare class Subscription {
    #private;
    subject: string;
    callback: (message: Message) => void;
    /**
     * @param {string} subject
     * @param {(message: Message) => void} callback
     * @param {{ place: () => Place, close: () => void }} hooks
     */
    constructor(subject: string, callback: (message: Message) => void, hooks: {
        place: () => Place;
        close: () => void;
    });
    /** What to give as `resume` to go on from here later, in another client. */
    get place(): import("./place.js").Place;
    /** End it: nothing is handed over any more. */
    close(): void;
}
export declare class Client {
    #private;
    /**
     * Connects at once, and stays connected until `close`.
     *
     * @param {string | string[]} servers such as `ws://host:8080`; http and https mean ws and wss
     * @param {ClientOptions} [options]
     * @throws {Error} If there is no WebSocket here: Node.js before 22 without the package `ws`.
     */
    constructor(servers: string | string[], options?: ClientOptions);
    get state(): State;
    /** Messages handed over; repeats that were dropped; losses that were found and asked for again. */
    get stats(): {
        received: number;
        repeated: number;
        missing: number;
    };
    /**
     * Receive a subject (`/topic/key`) or pattern (`/topic/*`).
     *
     * @param {string} subject
     * @param {(message: Message) => void} callback
     * @param {{ from?: From, resume?: Place }} [start] default: from the latest
     * @throws {SubjectError} If it is neither a subject nor a pattern.
     */
    subscribe(subject: string, callback: (message: Message) => void, { from, resume }?: {
        from?: From;
        resume?: Place;
    }): Subscription;
    /**
     * Send a message. Resolves when Kafka has acknowledged it; until then it is sent again as often as needed, and reaches
     * subscribers once.
     *
     * @param {string} subject
     * @param {Value} value exactly one of `{json}`, `{text}`, `{bytes}`, `{tombstone: true}`
     * @param {{ headers?: Headers }} [options]
     * @returns {Promise<Published>} rejected with a `PublishError`
     */
    publish(subject: string, value: Value, { headers }?: {
        headers?: Headers;
    }): Promise<Published>;
    /** End all subscriptions and the connection. Publishes without an answer are rejected. */
    close(): void;
}
