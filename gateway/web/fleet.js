/**
 * What moves on the map: everything whose JSON has `lat` and `lon`, by subject. Between two messages a thing glides from
 * where it was seen to where it is now said to be. Times are milliseconds.
 *
 * Not here: pixels (map.js).
 */

import { direction, project } from "./projection.js";

const GLIDE_MS_MIN = 200;
const GLIDE_MS_MAX = 2500;
const TRAIL_POINTS = 9;
const LATE_MIN = 15;
const VERY_LATE_MIN = 60;

export class Fleet {
  /** subject -> thing: `value`, where it is (`x`, `y` on the plane), `turn`, `delay` (0, 1, 2), `trail` */
  things = new Map();

  receive(message, now) {
    const value = message.json;
    if (message.tombstone || !isPlaced(value)) {
      this.things.delete(message.subject);
      return;
    }
    const to = project(value.lat, value.lon);
    const thing = this.things.get(message.subject) ?? { subject: message.subject, x: to[0], y: to[1], trail: [], seen: now };
    thing.value = value;
    thing.from = [thing.x, thing.y];
    thing.to = to;
    thing.start = now;
    thing.glide = Math.min(Math.max(now - thing.seen, GLIDE_MS_MIN), GLIDE_MS_MAX);
    thing.seen = now;
    thing.turn = direction(Number(value.heading) || 0, value.lon);
    const late = Number(value.delay_min) || 0;
    thing.delay = late >= VERY_LATE_MIN ? 2 : late >= LATE_MIN ? 1 : 0;
    thing.landed = value.state === "landed";
    thing.trail.push(thing.from);
    if (thing.trail.length > TRAIL_POINTS) thing.trail.shift();
    this.things.set(message.subject, thing);
  }

  /** Put everything where it is at this moment. */
  move(now) {
    for (const thing of this.things.values()) {
      const share = Math.min((now - thing.start) / thing.glide, 1);
      thing.x = thing.from[0] + (thing.to[0] - thing.from[0]) * share;
      thing.y = thing.from[1] + (thing.to[1] - thing.from[1]) * share;
    }
  }

  /** How many are in the air, and how many of them are late. */
  count() {
    let moving = 0;
    let late = 0;
    for (const { landed, delay } of this.things.values()) {
      if (landed) continue;
      moving += 1;
      if (delay > 0) late += 1;
    }
    return { moving, late };
  }
}

function isPlaced(value) {
  return (
    value !== null && typeof value === "object" && Number.isFinite(value.lat) && Number.isFinite(value.lon) && Math.abs(value.lat) < 90
  );
}
