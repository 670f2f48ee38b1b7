/**
 * Frames from the server, checked, so that the session never sees a key that is missing or has a value that it cannot have.
 *
 * Keys and ops that are not known are ignored.
 *
 * Not here: values and headers of messages (message.js).
 */

/** @typedef {(value: unknown) => boolean} Check */

/** @type {Check} */
const isInteger = (value) => Number.isSafeInteger(value);
/** @type {Check} */
const isText = (value) => typeof value === "string";
/** @type {Check} */
const isSeconds = (value) => typeof value === "number" && value >= 0;
/** @type {Check} */
const isPosition = (value) => Array.isArray(value) && value.length === 2 && isInteger(value[0]) && isInteger(value[1]);
/** @type {Check} */
const isPositions = (value) => isMap(value) && Object.values(/** @type {object} */ (value)).every(isPosition);
/** @type {Check} */
const isGap = (value) => isMap(value) && failing(/** @type {Record<string, unknown>} */ (value), GAP) === undefined;
/** @type {Check} */
const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
/** @type {Check} */
const isAnswer = (value) => value === "fresh" || value === "full" || value === "gap";
/** @param {Check} check @returns {Check} */
const maybe = (check) => (value) => value === undefined || value === null || check(value);
/** @param {Check} check @returns {Check} */
const listOf = (check) => (value) => Array.isArray(value) && value.every(check);

/** @type {Record<string, Check>} */
const GAP = { log: isText, from: maybe(isPosition), to: maybe(isPosition), why: isText };

/** @type {Record<string, Record<string, Check>>} */
const FRAMES = {
  msg: { subject: isText, log: isText, at: isPosition, prev: maybe(isPosition), sub: maybe(isInteger), headers: maybe(listOf(Array.isArray)) },
  welcome: { node: isText, cluster: isText, heartbeat_s: isSeconds, servers: maybe(listOf(isText)), limits: maybe(isMap) },
  subscribed: { id: isInteger, answer: isAnswer, at: isPositions, gaps: maybe(listOf(isGap)), waiting: maybe(listOf(isText)) },
  live: { sub: isInteger, at: isPositions },
  gap: { sub: isInteger, gaps: listOf(isGap) },
  ended: { sub: isInteger, log: isText },
  waiting: { sub: isInteger, why: maybe(isText) },
  published: { id: isInteger, log: isText, at: maybe(isPosition) },
  error: { id: isInteger, code: isInteger, error: maybe(isText), reason: maybe(isText) },
  heartbeat: { at: maybe(isPositions) },
  move: { within_s: isSeconds, servers: maybe(listOf(isText)) },
};

/**
 * @param {any} frame parsed JSON
 * @throws {TypeError} If it is not a frame.
 */
export function check(frame) {
  if (!isMap(frame) || !isText(frame.op)) throw new TypeError("not a map with `op`");
  const checks = Object.hasOwn(FRAMES, frame.op) ? FRAMES[frame.op] : {};
  const wrong = failing(frame, checks);
  if (wrong !== undefined) throw new TypeError(`\`${frame.op}\` with a wrong \`${wrong}\`, or without one`);
}

/** @param {Record<string, unknown>} map @param {Record<string, Check>} checks */
function failing(map, checks) {
  for (const key in checks) if (!checks[key](map[key])) return key;
  return undefined;
}
