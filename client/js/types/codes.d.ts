/**
 * What an error or close code asks the client to do (PROTOCOL section 10). The hundreds say it, so that a code that
 * this client has never heard of is treated by its range.
 *
 * Not here: what each code means (the server's `reason` says it).
 */
export type Action = "retry" | "elsewhere" | "token" | "stop";
/**
 * After a close.
 *
 * @param {number} code
 * @returns {Action}
 */
export declare function actionFor(code: number): Action;
/**
 * After a handshake that was answered otherwise than with 101.
 *
 * @param {number} status
 * @returns {Action}
 */
export declare function actionForStatus(status: number): Action;
/**
 * After an `error` frame.
 *
 * @param {number} code
 * @returns {Action}
 */
export declare function actionForError(code: number): Action;
