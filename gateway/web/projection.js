/**
 * Albers' equal-area conic projection for the contiguous United States (Snyder, Map Projections, 1987, p. 100).
 *
 * Not here: drawing (map.js).
 */

const RADIANS = Math.PI / 180;
const [SOUTH, NORTH, ORIGIN_LAT, ORIGIN_LON] = [29.5, 45.5, 38, -96].map((degrees) => degrees * RADIANS);
const N = (Math.sin(SOUTH) + Math.sin(NORTH)) / 2;
const C = Math.cos(SOUTH) ** 2 + 2 * N * Math.sin(SOUTH);
const RHO_0 = Math.sqrt(C - 2 * N * Math.sin(ORIGIN_LAT)) / N;

/** Where a point lies on the plane, y downwards, in radii of the earth. */
export function project(lat, lon) {
  const rho = Math.sqrt(C - 2 * N * Math.sin(lat * RADIANS)) / N;
  const theta = N * (lon * RADIANS - ORIGIN_LON);
  return [rho * Math.sin(theta), rho * Math.cos(theta) - RHO_0];
}

/** The direction of a course on the plane: radians clockwise from up. North leans as the meridians converge. */
export function direction(heading, lon) {
  return heading * RADIANS - N * (lon * RADIANS - ORIGIN_LON);
}

/** `point -> pixel` such that all `points` (on the plane) lie in the middle of a canvas with a margin. */
export function fit(points, width, height, margin) {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of points) {
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  const scale = Math.min((width - 2 * margin) / (right - left), (height - 2 * margin) / (bottom - top));
  const dx = (width - scale * (left + right)) / 2;
  const dy = (height - scale * (top + bottom)) / 2;
  return ([x, y]) => [x * scale + dx, y * scale + dy];
}
