/**
 * Whimbrel's client for browsers, React Native and Node.js: subscribe, resume, publish.
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
import { ClosedError, PublishError, RequestError, SubjectError, SubscribeError, WhimbrelError } from "./errors.js";
import { Message } from "./message.js";
import { isPattern, matches, parseSubject, subjectOf } from "./subjects.js";
import { Subscription } from "./subscription.js";
export { ClosedError, Message, PublishError, RequestError, SubjectError, SubscribeError, Subscription, WhimbrelError };
export { isPattern, matches, parseSubject, subjectOf };
export type Headers = import("./message.js").Headers;
export type HeaderValues = import("./message.js").HeaderValues;
export type HeaderValue = import("./message.js").HeaderValue;
export type Kind = import("./message.js").Kind;
export type Value = import("./message.js").Value;
export type Gap = import("./place.js").Gap;
export type Place = import("./place.js").Place;
export type Position = import("./place.js").Position;
export type Positions = import("./place.js").Positions;
export type From = import("./subscriptions.js").From;
export type Start = "latest" | "now" | {
    from?: From;
    resume?: undefined;
} | {
    resume: Place;
    from?: undefined;
};
export type Published = {
    log: string;
    at: Position | null;
};
export type Stats = {
    received: number;
    repeated: number;
    missing: number;
};
export type State = "connecting" | "connected" | "reconnecting" | "closed";
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
    type: "moving";
    within_s: number;
} | {
    type: "tokenNeeded";
    code: number | null;
    reason: string;
} | {
    type: "tokenExpiring";
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
     * for the server's authorizer; when the server wants another one the client closes
     */
    token?: string;
    /**
     * instead of `token`: asked anew for each connection, and before the token ends
     */
    getToken?: () => string | Promise<string>;
    /**
     * called with each status; what it throws is logged
     */
    onStatus?: (status: Status) => void;
    /**
     * what the client says it is
     */
    name?: string;
    /**
     * when to give up a publish (30); at most 300, for as long a retry is recognised
     */
    publishTimeout_s?: number;
    /**
     * messages per subscription that may wait for iteration (1000); when there are more, none is asked for
     */
    queueMax?: number;
    /**
     * whether the servers that a node names are used beside those given (true)
     */
    learnServers?: boolean;
    /**
     * default: the global one, else that of the package `ws`
     */
    WebSocket?: typeof WebSocket;
    /**
     * third argument of `new WebSocket`, where there is one: the package `ws` and React Native take `headers`
     */
    connectOptions?: object;
};
export type PublishOptions = {
    headers?: HeaderValues;
    timeout_s?: number;
};
export declare class Client {
    #private;
    /**
     * Connects at once, and stays connected until `close`.
     *
     * @param {string | string[]} servers such as `ws://host:8080` or, behind a proxy, `https://example.com/push/`
     * @param {ClientOptions} [options]
     * @throws {Error} If there is no WebSocket here: Node.js before 22 without the package `ws`.
     * @throws {TypeError} If a server is no address, or an option is not known.
     */
    constructor(servers: string | string[], options?: ClientOptions);
    /** Where the connection stands: `connecting` until the first attempt has failed or succeeded. */
    get state(): State;
    /** Why there is no connection: how the last one, or the last attempt, ended. Empty while there is one. */
    get reason(): string;
    /** @returns {Stats} */
    get stats(): Stats;
    /** Resolves after `close`; rejects with a `ClosedError` when the server said not to come back. */
    get closed(): Promise<void>;
    /**
     * Receive a subject (`/topic/key`) or pattern (`/topic/*`).
     *
     * With a callback, it is called with each message; what it throws is logged, and the next message follows. Without, iterate:
     * `for await (const message of client.subscribe("/flights/*"))`.
     *
     * @template [T=any] what the messages' JSON values say
     * @param {string} subject
     * @param {((message: Message<T>) => unknown) | null} [callback]
     * @param {Start} [start] default: from the latest
     * @returns {Subscription<T>}
     * @throws {SubjectError} If it is neither a subject nor a pattern.
     * @throws {TypeError} If `callback` is not a function or `start` no start.
     * @throws {ClosedError} If the client is closed.
     */
    subscribe<T = any>(subject: string, callback?: ((message: Message<T>) => unknown) | null, start?: Start): Subscription<T>;
    /**
     * Send a message. Resolves when Kafka (or, in a namespace, the cluster) has acknowledged it; until then it is sent again as often
     * as needed, and reaches subscribers once.
     *
     * @param {string} subject
     * @param {Value} value exactly one of `{json}`, `{jsonText}`, `{text}`, `{bytes}`, `{tombstone: true}`
     * @param {PublishOptions} [options]
     * @returns {Promise<Published>} rejected with a `PublishError`; a `SubjectError`, `TypeError` or `ClosedError` where nothing was sent
     */
    publish(subject: string, value: Value, options?: PublishOptions): Promise<Published>;
    /** End all subscriptions and the connection. Publishes without an answer are rejected. */
    close(): void;
    /**
     * Look at the connection now. While there is none, the pause before the next attempt ends; else the server is asked for a
     * sign of life. In a browser it happens by itself when the page is seen again or the network comes back.
     */
    wake(): void;
}
