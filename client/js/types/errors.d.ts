/**
 * What this package throws and rejects with. Everything derives from `WhimbrelError`, but for a `TypeError` or `RangeError`
 * for arguments that cannot be sent.
 *
 * Not here: what a code asks the client to do (codes.js).
 */
/** Base of all errors of this package. */
export declare class WhimbrelError extends Error {
    /** @param {string} message */
    constructor(message: string);
}
/** Not a subject or pattern; nothing was sent. The message says why and, where there is one, the right form. */
export declare class SubjectError extends WhimbrelError {
}
/** The server refused a request, or did not answer it in time. */
export declare class RequestError extends WhimbrelError {
    code: number | null;
    error: string;
    reason: string;
    /**
     * @param {string} what the request
     * @param {number | null} code PROTOCOL section 10; null when no server has said anything
     * @param {string} error the code's name
     * @param {string} reason for people
     */
    constructor(what: string, code: number | null, error: string, reason: string);
}
/** The subscription was refused for good, at first or when it was resumed. It is over; others go on. */
export declare class SubscribeError extends RequestError {
}
/** The message was refused for good, or not acknowledged in time. */
export declare class PublishError extends RequestError {
    outcomeUnknown: boolean;
    /**
     * @param {string} what the request
     * @param {number | null} code PROTOCOL section 10; null when no server has said anything
     * @param {string} error the code's name
     * @param {string} reason for people
     * @param {boolean} outcomeUnknown whether it may be in the log all the same: an attempt to send it is not known to have failed
     */
    constructor(what: string, code: number | null, error: string, reason: string, outcomeUnknown: boolean);
}
/** The client is closed: by `close()`, or because the server said not to come back. */
export declare class ClosedError extends WhimbrelError {
    code: number | null;
    reason: string;
    /**
     * @param {number | null} code the close code, or the HTTP status of a refused handshake; null after `close()`
     * @param {string} reason for people
     */
    constructor(code: number | null, reason: string);
}
