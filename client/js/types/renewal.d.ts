/**
 * A new token for the connection that there is, before the old one ends (PROTOCOL section 4).
 *
 * A core of the session's (session.js). Not here: having the token (whimbrel.js).
 */
export declare class Renewal {
    #private;
    /** @param {() => number} random from 0 (included) to 1 (excluded) */
    constructor(random: () => number);
    /** The connection is gone: the next one begins with a token of its own. */
    lost(): void;
    /** The server says when the token ends. Not all its clients ask for theirs in one instant. @param {number} now @param {number} within_s */
    expiring(now: number, within_s: number): void;
    /** Whether a token is wanted now, and for how long it will be of use; once. @param {number} now @returns {number | null} */
    check(now: number): number | null;
    /** Whether a token is to be sent; once. */
    take(): boolean;
    /** @param {number} id of the `renew` that was sent */
    sent(id: number): void;
    /** No token could be had. @param {number} now */
    failed(now: number): void;
    /** Whether this answers the `renew` that was sent. @param {number} id */
    answered(id: number): boolean;
    /** Try again: the server could not decide. @param {number} now */
    again(now: number): void;
}
