/**
 * A client's session with its servers, over any number of connections: subscriptions that resume, publishes that are
 * sent until they are answered, silence that ends a connection (PROTOCOL sections 4, 5, 7, 8, 9).
 *
 * A core: the shell tells it what happened (`dial`, `opened`, `receive`, `lost`, `wake`, `tick`), then takes
 * `takeSends` and `takeEvents`. `now` is in seconds, of a clock that never goes back. The event `place` is no status: the place is
 * now that, by something else than a message handed over.
 *
 * Not here: sockets and servers (whimbrel.js, servers.js), what a message is checked against (place.js), when a
 * connection counts as lost (pulse.js).
 */
import { Message } from "./message.js";
export type Place = import("./place.js").Place;
export type Positions = import("./place.js").Positions;
export type Gap = import("./place.js").Gap;
export type Start = import("./subscriptions.js").Start;
export type Held = import("./subscriptions.js").Held;
export type SubscriptionEvent = {
    key: number;
} & ({
    type: "message";
    message: Message;
} | {
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
    at: import("./place.js").Position;
} | {
    type: "refused";
    code: number;
    error: string;
    reason: string;
} | {
    type: "place";
    place: Place;
});
export type SessionEvent = SubscriptionEvent | {
    type: "connected";
    node: string;
    cluster: string;
    servers: string[];
} | {
    type: "tokenExpiring";
    within_s: number;
} | {
    type: "move";
    within_s: number;
    servers: string[];
} | {
    type: "drop";
    action: import("./codes.js").Action;
    code: number | null;
    reason: string;
} | import("./publishes.js").Published | import("./publishes.js").Failed;
export declare class Session {
    #private;
    /** Messages handed over; dropped because they had been; found missing (and asked for again). */
    stats: {
        received: number;
        repeated: number;
        missing: number;
    };
    /**
     * @param {object} options
     * @param {string} options.name what the client says it is
     * @param {string} options.publisher 16 to 64 characters `[A-Za-z0-9_-]`, random, one per client
     * @param {() => number} options.random from 0 (included) to 1 (excluded)
     */
    constructor({ name, publisher, random }: {
        name: string;
        publisher: string;
        random: () => number;
    });
    /**
     * @param {string} subject a subject or pattern that has been checked
     * @param {Start} start
     * @returns {number} the subscription's key
     */
    subscribe(subject: string, start: Start): number;
    /** @param {number} key */
    unsubscribe(key: number): void;
    /** Have nothing sent for it until `resume`: the application is far behind. @param {number} key */
    suspend(key: number): void;
    /** The application can take more again. @param {number} key */
    resume(key: number): void;
    /**
     * @param {number} now
     * @param {number} timeout_s when to give up
     * @param {string} subject
     * @param {import("./message.js").Value} value
     * @param {import("./message.js").HeaderValues} headers
     * @returns {number} its `seq`, which the event `published` or `failed` repeats
     */
    publish(now: number, timeout_s: number, subject: string, value: import("./message.js").Value, headers: import("./message.js").HeaderValues): number;
    /** @param {number} key @returns {Place} */
    placeOf(key: number): Place;
    /** A token, after `tokenExpiring`: for the connection that there is, if it still wants one. @param {string} token */
    renew(token: string): void;
    /** No token could be had. @param {number} now */
    renewFailed(now: number): void;
    /** A connection is being made. @param {number} now */
    dial(now: number): void;
    /** The connection is there: say all that is to be said on it. @param {string | null} token */
    opened(token: string | null): void;
    /** The connection is gone, or given up. @param {string} why */
    lost(why: string): void;
    /** It is over: what is not answered yet fails. @param {number | null} code @param {string} reason */
    close(code: number | null, reason: string): void;
    /** The program may have slept or changed networks: ask whether the server is there. @param {number} now */
    wake(now: number): void;
    /** Let time pass; to be called about twice a second. @param {number} now */
    tick(now: number): void;
    /**
     * @param {number} now
     * @param {string} text a frame
     */
    receive(now: number, text: string): void;
    takeSends(): string[];
    takeEvents(): SessionEvent[];
}
