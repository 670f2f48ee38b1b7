/**
 * One subscription as an application sees it: a callback, or a queue and iteration over it.
 *
 * Invariant: `place` covers only messages that the application has taken, so it may be kept and resumed from at any time.
 *
 * Not here: what is sent about it (session.js), when a queue is full (whimbrel.js).
 */
export type Place = import("./place.js").Place;
export type SubscriptionEvent = import("./session.js").SubscriptionEvent;
export type Message<T = any> = import("./message.js").Message<T>;
export type Owner = {
    tell: (event: SubscriptionEvent, subscription: Subscription) => void;
    /**
     * the queue has become shorter
     */
    took: () => void;
    /**
     * the application's own function
     */
    call: (callback: (argument: any) => unknown, argument: unknown, what: string) => void;
    end: () => void;
};
/** @typedef {import("./place.js").Place} Place */
/** @typedef {import("./session.js").SubscriptionEvent} SubscriptionEvent */
/**
 * @template [T=any]
 * @typedef {import("./message.js").Message<T>} Message
 */
/**
 * The client, as its subscriptions need it.
 *
 * @typedef {object} Owner
 * @property {(event: SubscriptionEvent, subscription: Subscription) => void} tell
 * @property {() => void} took the queue has become shorter
 * @property {(callback: (argument: any) => unknown, argument: unknown, what: string) => void} call the application's own function
 * @property {() => void} end
 */
/**
 * A subject or pattern that is being received.
 *
 * Without a callback it is an asynchronous iterable of messages. To leave an iteration does not end the subscription; it may be
 * iterated again.
 *
 * @template [T=any] what the messages' JSON values say
 */
export declare class Subscription<T = any> {
    #private;
    /** What is subscribed to. */
    subject: string;
    /**
     * What to give as `resume` to go on later, in another client, too. It covers what the application has taken.
     *
     * @returns {Place}
     */
    get place(): Place;
    /** Resolves when the server has answered; rejects with a `SubscribeError` if it refuses, `ClosedError` if the client closes. */
    get ready(): Promise<void>;
    /** Resolves when it has been ended here; rejects with a `SubscribeError` or `ClosedError` if it was ended otherwise. */
    get closed(): Promise<void>;
    /** End it: nothing is handed over any more. */
    unsubscribe(): void;
    /** The same as `unsubscribe`. */
    close(): void;
    /** @returns {AsyncIterator<Message<T>, undefined>} */
    [Symbol.asyncIterator](): AsyncIterator<Message<T>, undefined>;
}
/** A promise that is created on first use, so that an error for which no code waits is neither silent nor reported twice. */
export declare class Outcome {
    #private;
    isOver: boolean;
    /** @type {Error | null} */
    error: Error | null;
    get isWatched(): boolean;
    /** @returns {Promise<void>} */
    get promise(): Promise<void>;
    resolve(): void;
    /** @param {Error} error @param {boolean} quietly whether it may go unhandled */
    reject(error: Error, quietly: boolean): void;
}
