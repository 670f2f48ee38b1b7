/**
 * Frames from the server, checked, so that the session never sees a key that is missing or has a value that it cannot have.
 *
 * Keys and ops that are not known are ignored.
 *
 * Not here: values and headers of messages (message.js).
 */
export type Check = (value: unknown) => boolean;
/**
 * @param {any} frame parsed JSON
 * @throws {TypeError} If it is not a frame.
 */
export declare function check(frame: any): void;
