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
export function endpoint(server) {
  const page = globalThis.location?.href;
  let written = String(server);
  if (/^[\w.-]+:\d+(\/|$)/.test(written)) written = `ws://${written}`;
  else if (!/^[a-z]+:/i.test(written) && page !== undefined) written = new URL(written, page).href;
  // Not by URL's setters and parts, which React Native does not have.
  const parts = /^(ws|http)(s?):\/\/([^/?#\s@]*@)?([^/?#\s@]+)([^?#\s]*)(\?[^#\s]*)?(#.*)?$/i.exec(written);
  const host = parts && /^(\[[0-9a-f:.%]+\]|[^:[\]]+)(:0*[1-9]\d{0,4})?$/i.exec(parts[4]);
  if (!parts || !host || Number(host[2]?.slice(1) ?? 1) > 65535) {
    throw new TypeError(`not a server's address (such as ws://host:8080): ${server}`);
  }
  const path = parts[5] || "/";
  return `ws${parts[2].toLowerCase()}://${parts[3] ?? ""}${parts[4].toLowerCase()}${path.endsWith("/") ? `${path}v1/ws` : path}${parts[6] ?? ""}`;
}

/**
 * Node.js before 22 has no WebSocket of its own: the package `ws` has one, beside the program or where it was started.
 *
 * @returns {typeof WebSocket}
 * @throws {Error} If there is none.
 */
export function findWebSocket() {
  if (globalThis.WebSocket) return globalThis.WebSocket;
  const process = globalThis.process;
  const module = process?.getBuiltinModule?.("node:module"); // unlike an import, nothing that a bundler follows
  for (const from of module ? [process.argv[1], `${process.cwd()}/`] : []) {
    try {
      if (from) return module.createRequire(from)("ws");
    } catch (error) {
      if (/** @type {{ code?: string }} */ (error).code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new Error("this Node.js has no WebSocket: `npm install ws`, use Node.js 22, or pass the option `WebSocket`");
}

/** What OpenSSL and Node.js call an answer that is not TLS. */
const NOT_TLS = /wrong version number|packet length too long|http request|record layer failure/i;

/**
 * Why a connection failed, and the HTTP status of its handshake if that was refused. Browsers expose neither.
 *
 * @param {any} event `error`
 * @returns {{ status: number | null, reason: string }}
 */
export function whyNot(event) {
  const cause = event?.error?.cause ?? event?.error;
  const several = cause?.errors ?? []; // one for each address that was tried
  const said = several[0]?.message || cause?.message || event?.message || "";
  const reason = NOT_TLS.test(said) ? "what listens there does not speak TLS: ws:// or http:// may be meant" : said.trim();
  const status = /(?:Unexpected server response: |HTTP 101 response but was ')(\d{3})/.exec(reason);
  return { status: status && Number(status[1]), reason: reason || "the connection could not be made; no reason is given" };
}

/**
 * A page may sleep, change networks, or be kept in the back/forward cache, which an open WebSocket would prevent.
 * Elsewhere nothing of this happens.
 *
 * @param {AbortSignal} signal ends the listening
 * @param {{ wake: () => void, putAway: () => void, takenBack: () => void }} callbacks
 */
export function listenToPage(signal, { wake, putAway, takenBack }) {
  if (typeof window === "undefined" || typeof document === "undefined") return; // React Native has the first, or not
  window.addEventListener("online", wake, { signal });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake(), { signal });
  window.addEventListener("pagehide", putAway, { signal });
  window.addEventListener("pageshow", ({ persisted }) => persisted && takenBack(), { signal });
}

/** @returns {string} 32 random characters */
export function randomID() {
  // React Native has no crypto. Good enough there: an id must be nobody else's, and is no secret from whoever may publish.
  const bytes = new Uint8Array(16).map(() => Math.random() * 256);
  globalThis.crypto?.getRandomValues?.(bytes);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
