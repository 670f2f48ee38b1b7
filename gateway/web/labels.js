/**
 * Where labels stand beside their points, so that none covers another label or a point where that can be had.
 *
 * Not here: drawing (map.js).
 */

/** Sides of the point, in the order in which they are tried: [dx, dy] in shares of the label's box. */
const SIDES = [[0, -1], [0, 0], [-1, -1], [-1, 0], [-0.5, -1], [-0.5, 0]];

const overlap = (a, b) => Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)) * Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));

/**
 * @param {{ x: number, y: number, width: number }[]} points each with the width of its label, in pixels
 * @param {number} height of a label
 * @param {number} gap between a point's middle and its label
 * @param {{ width: number, height: number }} picture
 * @returns {{ x: number, y: number, width: number, height: number }[]} a box for each label, in the points' order
 */
export function placeLabels(points, height, gap, picture) {
  const dots = points.map(({ x, y }) => ({ x: x - gap / 2, y: y - gap / 2, width: gap, height: gap }));
  const placed = [];
  for (const { x, y, width } of points) {
    let best = null;
    for (const [dx, dy] of SIDES) {
      const box = { x: x + (dx === 0 ? gap : dx === -1 ? -width - gap : -width / 2), y: dy === 0 ? y + gap / 2 : y - height - gap / 2, width, height };
      const outside = width * height - overlap(box, { x: 0, y: 0, ...picture });
      const cost = outside * 4 + placed.reduce((sum, other) => sum + overlap(box, other), 0) + dots.reduce((sum, dot) => sum + overlap(box, dot), 0);
      if (best === null || cost < best.cost) best = { box, cost };
      if (best.cost === 0) break;
    }
    placed.push(best.box);
  }
  return placed;
}
