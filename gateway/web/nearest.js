/**
 * Which thing on the map an arrow key leads to.
 *
 * Not here: keys and drawing (map.js).
 */

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Whether a key is one of these. */
export const isArrow = (key) => key in DIRECTIONS;

/**
 * The nearest of `places` that lies the way of the key: what lies to the side counts as twice as far.
 *
 * @template T
 * @param {string} key such as `ArrowLeft`
 * @param {[number, number]} from
 * @param {Iterable<[T, [number, number]]>} places
 * @returns {T | null}
 */
export function nearest(key, [x, y], places) {
  const [dx, dy] = DIRECTIONS[key];
  let [found, shortest] = [null, Infinity];
  for (const [thing, [px, py]] of places) {
    const ahead = (px - x) * dx + (py - y) * dy;
    const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    if (ahead <= 1 || aside > 2 * ahead) continue;
    const length = ahead + 2 * aside;
    if (length < shortest) [found, shortest] = [thing, length];
  }
  return found;
}
