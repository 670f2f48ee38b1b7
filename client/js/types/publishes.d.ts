/**
 * Publishes that have no answer yet (PROTOCOL section 8): which to send, which to send again, and what became of them.
 *
 * Invariants:
 * - A publish keeps its `seq` for life, so that the server recognises it when it is sent again.
 * - Never more than the server's limit are on their way at a time.
 * - While a publish waits to be sent again, later ones with the same subject wait behind it.
 *
 * Not here: connections and subscriptions (session.js).
 */
export type HeaderValues = import("./message.js").HeaderValues;
export type Value = import("./message.js").Value;
export type Position = import("./place.js").Position;
export type Published = {
    type: "published";
    seq: number;
    log: string;
    at: Position | null;
};
export type Failed = {
    type: "failed";
    seq: number;
    code: number | null;
    error: string;
    reason: string;
    outcomeUnknown: boolean;
};
export type Refusal = {
    code: number;
    error: string;
    reason: string;
};
export type Entry = {
    seq: number;
    subject: string;
    body: string;
    bytes: number;
    deadline: number;
    refusals: number;
    refusal: Refusal | null;
    state: "queued" | "sent";
    attempts: number;
    notBefore: number;
};
export declare class Publishes {
    #private;
    /**
     * @param {string} publisher 16 to 64 characters `[A-Za-z0-9_-]`, random, one per client
     * @param {() => number} random
     */
    constructor(publisher: string, random: () => number);
    /**
     * Take a publish; its outcome comes from `answered`, `refused` or `expire`.
     *
     * @param {number} deadline when to give up, in the clock of `now`
     * @param {string} subject
     * @param {Value} value
     * @param {HeaderValues} headers
     * @returns {number} its `seq`
     * @throws {Error} If the value cannot be sent or too many publishes are waiting.
     */
    add(deadline: number, subject: string, value: Value, headers: HeaderValues): number;
    /** A server has said `welcome`. */
    connected(): void;
    /** The connection is gone: on the next one all is to be sent, in the order of `seq`. @param {string} why */
    lost(why: string): void;
    /**
     * Frames to send now.
     *
     * @param {number} now
     * @param {{ publishes: number, frame_bytes: number }} limits
     * @param {() => number} nextID
     * @returns {{ frames: string[], failed: Failed[] }}
     */
    take(now: number, limits: {
        publishes: number;
        frame_bytes: number;
    }, nextID: () => number): {
        frames: string[];
        failed: Failed[];
    };
    /**
     * @param {{ id: number, log: string, at?: Position }} frame `published`
     * @returns {Published | null}
     */
    answered(frame: {
        id: number;
        log: string;
        at?: Position;
    }): Published | null;
    /** Whether a publish was sent by this id, and waits for its answer. @param {number} id */
    isSent(id: number): boolean;
    /**
     * The answer was an error: the publish is sent again after a pause, or has failed.
     *
     * @param {number} now
     * @param {{ id: number, code: number, error: string, reason: string }} frame `error`
     * @returns {Failed | null}
     */
    refused(now: number, frame: {
        id: number;
        code: number;
        error: string;
        reason: string;
    }): Failed | null;
    /**
     * Give up those whose deadline has passed.
     *
     * @param {number} now
     * @returns {Failed[]}
     */
    expire(now: number): Failed[];
    /** The client is closed: nothing more will be answered. @param {number | null} code @param {string} reason @returns {Failed[]} */
    close(code: number | null, reason: string): Failed[];
}
