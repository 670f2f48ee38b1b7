/**
 * What browsers and Node.js each do in their own way: addresses, WebSocket, a page's life.
 *
 * Not here: what the client does about it (whimbrel.js).
 */
/** Where a server is reached: http and https mean ws and wss, and the path is the protocol's unless one is given. @param {string} server */
export declare function endpoint(server: string): string;
/**
 * Node.js before 22 has no WebSocket of its own: the package `ws` has one, beside this file or where the program was started.
 *
 * @returns {typeof WebSocket}
 * @throws {Error} If there is none.
 */
export declare function findWebSocket(): typeof WebSocket;
/**
 * A page may sleep, change networks, or be kept in the back/forward cache, which an open WebSocket would prevent.
 * Elsewhere nothing of this happens.
 *
 * @param {AbortSignal} signal ends the listening
 * @param {{ wake: () => void, putAway: () => void, takenBack: () => void }} callbacks
 */
export declare function listenToPage(signal: AbortSignal, { wake, putAway, takenBack }: {
    wake: () => void;
    putAway: () => void;
    takenBack: () => void;
}): void;
/** @returns {string} 32 random characters */
export declare function randomID(): string;
