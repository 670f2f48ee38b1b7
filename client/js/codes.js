/**
 * What an error or close code asks the client to do (PROTOCOL section 10). The hundreds say it, so that a code that
 * this client has never heard of is treated by its range.
 *
 * Not here: what each code means (the server's `reason` says it).
 */

/** @typedef {"retry" | "elsewhere" | "token" | "stop"} Action retry here, reconnect elsewhere, refresh the token, do not come back */

/** Standard close codes (RFC 6455, section 7.4.1) that say that this client and this server cannot talk. */
const STANDARD_STOP = new Set([1002, 1003, 1007, 1008, 1009, 1010]);

/**
 * After a close.
 *
 * @param {number} code
 * @returns {Action}
 */
export function actionFor(code) {
  if (code >= 4100 && code < 4200) return "elsewhere";
  if (code >= 4200 && code < 4300) return "token";
  if ((code >= 4300 && code < 4400) || STANDARD_STOP.has(code)) return "stop";
  return "retry";
}

/** HTTP statuses of a handshake that say the same. */
const HTTP_STOP = new Set([400, 403, 404, 426]);

/**
 * After a handshake that was answered otherwise than with 101.
 *
 * @param {number} status
 * @returns {Action}
 */
export function actionForStatus(status) {
  return HTTP_STOP.has(status) ? "stop" : "retry";
}

/**
 * After an `error` frame.
 *
 * @param {number} code
 * @returns {Action}
 */
export function actionForError(code) {
  return code < 4000 ? "retry" : code >= 4400 ? "stop" : actionFor(code);
}
