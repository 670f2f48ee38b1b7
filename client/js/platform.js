/**
 * What browsers and Node.js each do in their own way: addresses, WebSocket, a page's life.
 *
 * Not here: what the client does about it (whimbrel.js).
 */

/** Where a server is reached: http and https mean ws and wss, and the path is the protocol's unless one is given. @param {string} server */
export function endpoint(server) {
  const url = new URL(server, globalThis.location?.href);
  url.protocol = url.protocol.replace("http", "ws");
  if (url.pathname === "/") url.pathname = "/v1/ws";
  return url.href;
}

/**
 * Node.js before 22 has no WebSocket of its own: the package `ws` has one, beside this file or where the program was started.
 *
 * @returns {typeof WebSocket}
 * @throws {Error} If there is none.
 */
export function findWebSocket() {
  if (globalThis.WebSocket) return globalThis.WebSocket;
  const module = globalThis.process?.getBuiltinModule?.("node:module"); // unlike an import, nothing that a bundler follows
  for (const from of module ? [import.meta.url, `${process.cwd()}/`] : []) {
    try {
      return module.createRequire(from)("ws");
    } catch (error) {
      if (/** @type {{ code?: string }} */ (error).code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new Error("this Node.js has no WebSocket: `npm install ws`, use Node.js 22, or pass the option `WebSocket`");
}

/**
 * A page may sleep, change networks, or be kept in the back/forward cache, which an open WebSocket would prevent.
 * Elsewhere nothing of this happens.
 *
 * @param {AbortSignal} signal ends the listening
 * @param {{ wake: () => void, putAway: () => void, takenBack: () => void }} callbacks
 */
export function listenToPage(signal, { wake, putAway, takenBack }) {
  if (typeof window === "undefined" || typeof document === "undefined") return;
  window.addEventListener("online", wake, { signal });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake(), { signal });
  window.addEventListener("pagehide", putAway, { signal });
  window.addEventListener("pageshow", ({ persisted }) => persisted && takenBack(), { signal });
}

/** @returns {string} 32 random characters */
export function randomID() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
