/**
 * What the status says of the cluster, made ready to be shown: each member's share of the work, the links between
 * members, where each stands in the picture.
 *
 * Not here: elements (cluster.js).
 */

import { originOf } from "./sources.js";

export const COLOURS = 5;

/** @param {object} cluster the status document's `cluster` */
export function overview(cluster) {
  const members = [...(cluster.members ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1)).map((member, n) => ({
    ...member,
    colour: n % COLOURS,
    origin: originOf(member.url ?? ""),
    slots: (cluster.slots ?? []).filter(({ coordinator }) => coordinator === member.name).map(({ slot }) => slot),
    partitions: (cluster.feeds ?? []).filter(({ feeder }) => feeder === member.name),
  }));
  const colours = new Map(members.map(({ name, colour }) => [name, colour]));
  const voters = members.filter(({ is_voter }) => is_voter);
  const present = voters.filter(({ state }) => state === "alive").length;
  return {
    name: cluster.name,
    state: cluster.state,
    words: describe(cluster, present),
    members,
    links: links(members),
    slots: (cluster.slots ?? []).map((slot) => ({ ...slot, colour: colours.get(slot.coordinator) ?? null })),
    feeds: (cluster.feeds ?? []).map((feed) => ({ ...feed, colour: colours.get(feed.feeder) ?? null })),
    controls: cluster.controls === true,
  };
}

/** What is left to show of an overview when no node answers any more: names, and that nothing is known. */
export function forgotten(shown) {
  return {
    ...shown,
    state: "unknown",
    words: "no node answers",
    members: shown.members.map((member) => ({ ...member, state: "unknown", slots: [], partitions: [] })),
    links: [],
    slots: shown.slots.map((slot) => ({ ...slot, coordinator: null, colour: null })),
    feeds: shown.feeds.map((feed) => ({ ...feed, feeder: null, colour: null })),
  };
}

function describe({ state, voters, commit_quorum: quorum }, present) {
  if (state === "alone") return "one node, alone";
  const copies = `a message is acknowledged when ${quorum} of ${voters.length} have it`;
  return `${present} of ${voters.length} voters are there · ${copies}`;
}

/** What a member's card says of it in small print. A delay is told only of who takes part: what is old says nothing. */
export function facts({ state, synced, delay_ms: delay, is_voter: isVoter }) {
  const isHere = state === "alive" || state === "suspect";
  const isBehind = state === "alive" && synced && delay !== null && delay !== undefined;
  return [
    isVoter ? "voter" : "observer",
    ...(isHere ? [synced ? "has all" : "catching up"] : []),
    ...(isBehind ? [`${delay.toFixed(1)} ms behind`] : []),
  ];
}

/** A link for each two members, as the node sees them that says so; to who has left there is none. */
function links(members) {
  const found = [];
  const linked = members.filter(({ state }) => state !== "left");
  linked.forEach((a, n) => {
    for (const b of linked.slice(n + 1)) {
      const states = [a.state, b.state];
      const state = states.every((one) => one === "alive") ? "up" : states.includes("dead") ? "down" : "doubtful";
      found.push({ from: a.name, to: b.name, state });
    }
  });
  return found;
}

/**
 * Where `count` members stand around the middle of a picture: the first on the left, the others clockwise, so that
 * three make a triangle with its point up.
 */
export function positions(count, width, height, margin) {
  const [x, y] = [width / 2, height / 2];
  if (count === 1) return [[x, margin]];
  const first = count === 2 ? Math.PI : (5 * Math.PI) / 6;
  return Array.from({ length: count }, (_, n) => {
    const angle = first + (2 * Math.PI * n) / count;
    return [x + Math.cos(angle) * (x - margin), y + Math.sin(angle) * (y - margin)];
  });
}

/** `0–3, 7` of [0, 1, 2, 3, 7]. */
export function ranges(numbers) {
  const runs = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
}

/** `flights 0–3, 7; notes 0` of partitions. */
export function partitionsInWords(partitions) {
  const topics = [...new Set(partitions.map(({ topic }) => topic))];
  return topics.map((name) => `${name} ${ranges(partitions.filter(({ topic }) => topic === name).map(({ partition }) => partition))}`).join("; ");
}
