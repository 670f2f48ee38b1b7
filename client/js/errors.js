/**
 * What this package throws and rejects with. Everything derives from `WhimbrelError`, but for a `TypeError` or `RangeError`
 * for arguments that cannot be sent.
 *
 * Not here: what a code asks the client to do (codes.js).
 */

/** Base of all errors of this package. */
export class WhimbrelError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** Not a subject or pattern; nothing was sent. The message says why and, where there is one, the right form. */
export class SubjectError extends WhimbrelError {}

/** The server refused a request, or did not answer it in time. */
export class RequestError extends WhimbrelError {
  /**
   * @param {string} what the request
   * @param {number | null} code PROTOCOL section 10; null when no server has said anything
   * @param {string} error the code's name
   * @param {string} reason for people
   */
  constructor(what, code, error, reason) {
    const said = [code, error].filter(Boolean).join(" ");
    super(`${what}: ${said ? `${said}: ` : ""}${reason}`);
    this.code = code;
    this.error = error;
    this.reason = reason;
  }
}

/** The subscription was refused for good, at first or when it was resumed. It is over; others go on. */
export class SubscribeError extends RequestError {}

/** The message was refused for good, or not acknowledged in time. */
export class PublishError extends RequestError {
  /**
   * @param {string} what the request
   * @param {number | null} code PROTOCOL section 10; null when no server has said anything
   * @param {string} error the code's name
   * @param {string} reason for people
   * @param {boolean} outcomeUnknown whether it may be in the log all the same: an attempt to send it is not known to have failed
   */
  constructor(what, code, error, reason, outcomeUnknown) {
    super(what, code, error, reason);
    this.outcomeUnknown = outcomeUnknown;
  }
}

/** The client is closed: by `close()`, or because the server said not to come back. */
export class ClosedError extends WhimbrelError {
  /**
   * @param {number | null} code the close code, or the HTTP status of a refused handshake; null after `close()`
   * @param {string} reason for people
   */
  constructor(code, reason) {
    super(`the client is closed: ${code === null ? "" : `${code}: `}${reason}`);
    this.code = code;
    this.reason = reason;
  }
}
