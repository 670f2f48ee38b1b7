/**
 * What browsers and Node.js each do in their own way: addresses, WebSocket, a page's life.
 *
 * Not here: what the client does about it (whimbrel.js).
 */
/**
 * Where a server is reached: http and https mean ws and wss. A path that ends with `/` is what a proxy has in front of the node; any
 * other path is taken as it is. In a page, an address may be relative to it.
 *
 * @param {string} server
 * @throws {TypeError} If it is no address of a server.
 */
export declare function endpoint(server: string): string;
/**
 * Node.js before 22 has no WebSocket of its own: the package `ws` has one, beside the program or where it was started.
 *
 * @returns {typeof WebSocket}
 * @throws {Error} If there is none.
 */
export declare function findWebSocket(): typeof WebSocket;
/**
 * Why a connection failed, and the HTTP status of its handshake if that was refused. Browsers expose neither.
 *
 * @param {any} event `error`
 * @returns {{ status: number | null, reason: string }}
 */
export declare function whyNot(event: any): {
    status: number | null;
    reason: string;
};
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
