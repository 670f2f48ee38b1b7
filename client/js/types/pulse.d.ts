/**
 * Whether the connection is still there: silence, unanswered pings, requests to move (PROTOCOL sections 9 and 11).
 *
 * Not here: sending the ping, ending the connection (session.js).
 */
export type Finding = "fine" | "ask" | "silent" | "move";
/** @typedef {"fine" | "ask" | "silent" | "move"} Finding */
export declare class Pulse {
    #private;
    /** A connection is being made. @param {number} now */
    dialled(now: number): void;
    /** Something was received. @param {number} now */
    heard(now: number): void;
    /** @param {number} heartbeat_s as the server said */
    welcomed(heartbeat_s: number): void;
    /** A `ping` has been sent. @param {number} now */
    asked(now: number): void;
    /** The server asks to move. @param {number} at when to do so */
    moveAt(at: number): void;
    /** @param {number} now @returns {Finding} */
    check(now: number): Finding;
}
/**
 * Finds out that the machine slept: the clock of `now` may stand still meanwhile, the wall clock does not.
 */
export declare class Clocks {
    #private;
    /**
     * Compare them; to be called about twice a second. Whether the machine slept since the last time.
     *
     * @param {number} now
     * @param {number} wall_s seconds
     */
    slept(now: number, wall_s: number): boolean;
}
