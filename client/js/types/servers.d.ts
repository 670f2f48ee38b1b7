/**
 * Which server to try next, and after what pause (PROTOCOL section 11).
 *
 * Not here: connecting (whimbrel.js).
 */
/**
 * Seconds to wait before attempt 1, 2, ...: random, so that many clients do not come back in one instant.
 *
 * @param {number} attempt
 * @param {() => number} random from 0 (included) to 1 (excluded)
 */
export declare function pauseBefore(attempt: number, random: () => number): number;
/**
 * The N of a reason with `retry after N s` in it; 0 without (section 10).
 *
 * @param {string} reason
 */
export declare function pauseAsked(reason: string): number;
/**
 * Seconds before a request that was refused for now is sent again, on a connection that is there (section 10).
 *
 * @param {number} refusals
 * @param {() => number} random
 */
export declare function pauseAgain(refusals: number, random: () => number): number;
/**
 * Seconds to wait before a subscription is resumed of which messages are missing time and again (section 7, rule 7).
 *
 * @param {number} losses
 * @param {() => number} random
 */
export declare function pauseAfterLoss(losses: number, random: () => number): number;
/**
 * Whether an address that a node told may be used by a client that has reached the node at the address `via`.
 *
 * A node behind a proxy knows only what it is called inside. An address of the own machine or a private network means something
 * else here, unless the client is there itself; and who came encrypted never goes on in the clear.
 *
 * @param {string} server
 * @param {string} via
 */
export declare function mayLearn(server: string, via: string): boolean;
export declare class Servers {
    #private;
    /**
     * @param {string[]} configured at least one, as `endpoint` makes them
     * @param {boolean} [learn] whether servers that a node names are used beside these
     */
    constructor(configured: string[], learn?: boolean);
    /** All that may be tried. */
    get urls(): string[];
    /** Attempts since the last success. */
    get attempts(): number;
    /**
     * The next server to try: one at random of those not tried since the last success; when all have been, of all.
     *
     * @param {() => number} random
     */
    next(random: () => number): string;
    /** Begin an attempt: seconds to wait before it. @param {() => number} random */
    pause(random: () => number): number;
    /** @param {string} url the server that has said `welcome` */
    succeeded(url: string): void;
    /**
     * A node that was reached at `via` named the servers that there are. Those configured always stay.
     *
     * @param {string[]} urls as `endpoint` makes them; an empty list changes nothing
     * @param {string} via
     */
    told(urls: string[], via: string): void;
}
