/**
 * What one subscription remembers, and what it does with each message: PROTOCOL section 7, rule by rule.
 *
 * Invariants:
 * - A message is handed over at most once, and only when nothing before it in its subject and log is missing.
 * - `place` never covers a message that was neither handed over nor stated to be missing.
 *
 * Not here: frames to send, connections (session.js).
 */
export type Position = [epoch: number, seq: number];
export type Positions = Record<string, Position>;
export type Place = Record<string, Position | null>;
export type Gap = {
    log: string;
    from: Position | null;
    to: Position | null;
    why: string;
};
export type Verdict = "deliver" | "repeat" | "missing";
/**
 * Whether `a` is after `b`.
 *
 * @param {Position} a
 * @param {Position} b
 */
export declare function isAfter(a: Position, b: Position): boolean;
export declare class Track {
    #private;
    /** @returns {Place} */
    get place(): Place;
    /** @param {string} log */
    isLive(log: string): boolean;
    /** Go on from a place of an earlier subscription. @param {Place} place */
    startAt(place: Place): void;
    /**
     * Rule 1.
     *
     * @param {"fresh" | "full" | "gap"} answer
     * @param {Positions} at
     * @param {string[]} [waiting] logs that cannot be read just now
     */
    subscribed(answer: "fresh" | "full" | "gap", at: Positions, waiting?: string[]): void;
    /** It is no longer subscribed: it is live in a log again when the server has said so again. */
    interrupted(): void;
    /**
     * Rules 2 and 3: what to do with a message. `missing` has set the place back to where to resume from (rule 7).
     *
     * @param {{ subject: string, log: string, at: Position, prev?: Position, snapshot?: boolean }} message
     * @returns {Verdict}
     */
    receive({ subject, log, at, prev, snapshot }: {
        subject: string;
        log: string;
        at: Position;
        prev?: Position;
        snapshot?: boolean;
    }): Verdict;
    /** Rule 4. @param {Positions} at */
    live(at: Positions): void;
    /** Rule 5: whether the place has moved. @param {Positions} at */
    heartbeat(at: Positions): boolean;
    /** Rule 6. @param {Gap[]} gaps */
    gap(gaps: Gap[]): void;
    /** Rule 6. @param {string} log */
    ended(log: string): void;
    /**
     * Rule 8, when much is remembered of a log. Not while snapshots may come again: only the chain knows them.
     *
     * A message after the place may have been handed over (when another subject's was found missing): then the chain is
     * still needed to recognise it.
     *
     * @param {string} log
     */
    trim(log: string): void;
}
