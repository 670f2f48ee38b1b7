/** The cores of the page. Run by test_page_cores.py, beside copies of the page's files. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Fleet } from "./fleet.js";
import { placeLabels } from "./labels.js";
import { facts, forgotten, overview, partitionsInWords, positions, ranges } from "./mesh.js";
import { isArrow, nearest } from "./nearest.js";
import { direction, fit, project } from "./projection.js";
import { Proof } from "./proof.js";
import { Sources, originOf } from "./sources.js";
import { behind, percentile, ratesOf } from "./trends.js";
import { gapInWords, logsInWords } from "./words.js";

const message = (seq, rest = {}) => ({ subject: "/t/a", log: "l", at: [0, seq], prev: null, snapshot: false, ...rest });
const counts = ({ received, missed, repeated }) => [received, missed, repeated];

function proofOf(messages, at = { l: [0, 10] }) {
  const proof = new Proof();
  proof.begin(at);
  for (const one of messages) proof.message(one);
  return counts(proof);
}

test("proof: a whole chain, from the snapshot on and from nothing", () => {
  assert.deepEqual(proofOf([message(5, { snapshot: true }), message(12, { prev: [0, 5] }), message(13, { prev: [0, 12] })]), [3, 0, 0]);
  assert.deepEqual(proofOf([message(12, { prev: [0, 9] }), message(15, { prev: [0, 12] })]), [2, 0, 0]);
  assert.deepEqual(proofOf([message(12), message(13), message(14, { subject: "/t/b", prev: [0, 8] })]), [3, 0, 0]);
});

test("proof: what is missed is counted, at the beginning, in the middle, and across epochs", () => {
  assert.deepEqual(proofOf([message(12, { prev: [0, 11] })]), [1, 1, 0]);
  assert.deepEqual(proofOf([message(12, { prev: [0, 9] }), message(20, { prev: [0, 15] })]), [2, 1, 0]);
  assert.deepEqual(proofOf([message(5, { snapshot: true }), message(20, { prev: [0, 15] })]), [2, 1, 0]);
  assert.deepEqual(proofOf([message(12), message(0, { at: [1, 3], prev: [1, 0] })]), [2, 1, 0]);
});

test("proof: what comes twice is counted, also as a snapshot", () => {
  assert.deepEqual(proofOf([message(12), message(12)]), [2, 0, 1]);
  assert.deepEqual(proofOf([message(12), message(13, { prev: [0, 12] }), message(12)]), [3, 0, 1]);
  assert.deepEqual(proofOf([message(12), message(12, { snapshot: true })]), [2, 0, 1]);
});

test("proof: what a gap has stated is not missed, what follows it is held to it", () => {
  const proof = new Proof();
  proof.begin({ l: [0, 10] });
  proof.message(message(12));
  proof.gap([{ log: "l", from: [0, 12], to: [0, 50], why: "retention" }]);
  proof.begin({ l: [0, 50] });
  proof.message(message(55, { prev: [0, 40] }));
  assert.deepEqual(counts(proof), [2, 0, 0]);
  proof.message(message(60, { prev: [0, 57] }));
  assert.deepEqual(counts(proof), [3, 1, 0]);
});

test("proof: remembers a bounded number of subjects, without false alarms for the forgotten ones", () => {
  const proof = new Proof();
  proof.begin({ l: [0, -1] });
  for (let n = 0; n < 30_000; n++) proof.message(message(n, { subject: `/t/${n}` }));
  for (let n = 0; n < 30_000; n++) proof.message(message(30_000 + n, { subject: `/t/${n}`, prev: [0, n] }));
  assert.deepEqual(counts(proof), [60_000, 0, 0]);
  proof.message(message(60_001, { subject: "/t/29999", prev: [0, 60_000] }));
  assert.deepEqual(counts(proof), [60_001, 1, 0]);
});

const placed = (rest, json = {}) => ({ subject: "/flights/1", tombstone: false, json: { lat: 40, lon: -100, heading: 90, delay_min: 0, state: "airborne", ...json }, ...rest });

test("fleet: things glide from where they were to where they are, and leave on a tombstone", () => {
  const fleet = new Fleet();
  fleet.receive(placed(), 0);
  fleet.receive(placed({}, { lon: -98, delay_min: 20 }), 1000);
  const thing = fleet.things.get("/flights/1");
  const [from, to] = [project(40, -100), project(40, -98)];
  fleet.move(1500);
  assert.ok(Math.abs(thing.x - (from[0] + to[0]) / 2) < 1e-12);
  fleet.move(9000);
  assert.deepEqual([thing.x, thing.y], to);
  assert.deepEqual(fleet.count(), { moving: 1, late: 1 });
  fleet.receive(placed({}, { state: "landed" }), 9000);
  assert.deepEqual(fleet.count(), { moving: 0, late: 0 });
  fleet.receive({ subject: "/flights/1", tombstone: true }, 9500);
  assert.equal(fleet.things.size, 0);
});

test("fleet: what has no place on a map is left out, whatever it is", () => {
  const fleet = new Fleet();
  for (const json of [null, 5, "x", [], {}, { lat: "40", lon: -100 }, { lat: 1e9, lon: 0 }, { lat: 40 }]) {
    fleet.receive({ subject: "/flights/1", tombstone: false, json }, 0);
    assert.equal(fleet.things.size, 0);
  }
});

test("projection: agrees with Snyder's worked example, and keeps all in the picture", () => {
  // Map Projections: A Working Manual, p. 291, with its own origin of 23 degrees north: x 0.2952720, y 0.2416774.
  const [x, y] = project(35, -75);
  const [, atOrigin] = project(23, -96);
  assert.ok(Math.abs(x - 0.295272) < 1e-6 && Math.abs(atOrigin - y - 0.2416774) < 1e-6, `${x} ${atOrigin - y}`);
  const points = [project(49, -124), project(25, -81), project(47, -67)];
  for (const [px, py] of points.map(fit(points, 400, 300, 10))) assert.ok(px >= 9.99 && px <= 390.01 && py >= 9.99 && py <= 290.01);
});

test("projection: a course is drawn the way that a small step takes", () => {
  for (const [lat, lon, heading] of [[40, -120, 0], [40, -75, 0], [35, -96, 90], [45, -70, 225]]) {
    const [dLat, dLon] = [Math.cos((heading * Math.PI) / 180) * 0.01, (Math.sin((heading * Math.PI) / 180) * 0.01) / Math.cos((lat * Math.PI) / 180)];
    const [a, b] = [project(lat, lon), project(lat + dLat, lon + dLon)];
    const drawn = Math.atan2(b[0] - a[0], a[1] - b[1]);
    assert.ok(Math.abs(Math.sin(drawn - direction(heading, lon))) < 0.01, `${lat} ${lon} ${heading}`);
  }
});

test("sources: addresses of a node are where its pages are", () => {
  assert.equal(originOf("ws://127.0.0.1:8081/v1/ws"), "http://127.0.0.1:8081");
  assert.equal(originOf("wss://A.example"), "https://a.example");
  assert.equal(originOf("http://[::1]:8080/"), "http://[::1]:8080");
  for (const wrong of ["", "8081", "javascript:alert(1)", "ftp://a.example", "ws://"]) assert.equal(originOf(wrong), null);
});

test("sources: asks the node that the page is connected to, and goes round when it does not answer", () => {
  const sources = new Sources("http://a");
  assert.deepEqual([sources.current, sources.count], ["http://a", 1]);
  sources.failed();
  assert.equal(sources.current, "http://a");
  sources.learn(["ws://a", "ws://b/v1/ws", "", "ws://c"]);
  assert.deepEqual([sources.current, sources.count], ["http://a", 3]);
  sources.failed();
  assert.equal(sources.current, "http://b");
  sources.failed();
  sources.failed();
  assert.equal(sources.current, "http://a");
  sources.prefer("ws://c/v1/ws");
  assert.equal(sources.current, "http://c");
  sources.prefer("nonsense");
  assert.equal(sources.current, "http://c");
  sources.prefer("ws://d/v1/ws");
  assert.deepEqual([sources.current, sources.count], ["http://d", 4]);
});

test("sources: a page below a path of a proxy's asks below that path", () => {
  const sources = new Sources("https://example.com/push");
  sources.prefer("wss://example.com/push/v1/ws");
  assert.deepEqual([sources.current, sources.count], ["https://example.com/push", 1]);
  sources.learn(["wss://example.com", "wss://b.example.com"]);
  sources.failed();
  assert.deepEqual([sources.current, sources.count], ["https://b.example.com", 2]);
});

const member = (name, rest = {}) => ({ name, state: "alive", url: `ws://${name}`, is_voter: true, ...rest });

test("mesh: members in order of their names, each with its work and a colour, and the links between them", () => {
  const shown = overview({
    name: "x",
    state: "ok",
    voters: ["a", "b", "c"],
    commit_quorum: 2,
    members: [member("c", { state: "dead" }), member("a"), member("b", { state: "suspect", url: null }), member("d", { is_voter: false })],
    slots: [{ slot: 0, coordinator: "a" }, { slot: 1, coordinator: null }, { slot: 2, coordinator: "a" }],
    feeds: [{ topic: "t", partition: 1, feeder: "b" }, { topic: "t", partition: 0, feeder: "gone" }],
  });
  assert.deepEqual(shown.members.map(({ name, colour, origin }) => [name, colour, origin]), [["a", 0, "http://a"], ["b", 1, null], ["c", 2, "http://c"], ["d", 3, "http://d"]]);
  assert.deepEqual(shown.members[0].slots, [0, 2]);
  assert.deepEqual(shown.slots.map(({ colour }) => colour), [0, null, 0]);
  assert.deepEqual(shown.feeds.map(({ colour }) => colour), [1, null]);
  assert.deepEqual(shown.links.map(({ from, to, state }) => `${from}${to} ${state}`), ["ab doubtful", "ac down", "ad up", "bc down", "bd doubtful", "cd down"]);
  assert.equal(shown.words, "1 of 3 voters are there · a message is acknowledged when 2 of 3 have it");
  assert.equal(shown.controls, false);
});

test("mesh: who has left has no links, and is there for no one", () => {
  const shown = overview({ name: "x", state: "ok", voters: ["a", "b"], commit_quorum: 2, members: [member("a"), member("b"), member("c", { state: "left" }), member("d", { state: "left" })] });
  assert.deepEqual(shown.links.map(({ from, to, state }) => `${from}${to} ${state}`), ["ab up"]);
  assert.deepEqual(shown.members.map(({ name }) => name), ["a", "b", "c", "d"]);
});

test("mesh: a delay is told only of a node that is alive and has caught up", () => {
  const of = (rest) => facts(member("a", { synced: true, delay_ms: 0.84, ...rest })).join(" · ");
  assert.equal(of({}), "voter · has all · 0.8 ms behind");
  assert.equal(of({ delay_ms: null, is_voter: false }), "observer · has all");
  assert.equal(of({ synced: false }), "voter · catching up");
  assert.equal(of({ state: "suspect" }), "voter · has all");
  assert.equal(of({ state: "dead" }), "voter");
  assert.equal(of({ state: "left" }), "voter");
});

test("mesh: a document of which parts are missing is shown as far as it goes", () => {
  const shown = overview({ name: "x", state: "alone", voters: ["a"], commit_quorum: 1 });
  assert.deepEqual([shown.members, shown.links, shown.slots, shown.feeds, shown.words], [[], [], [], [], "one node, alone"]);
});

test("mesh: any number of nodes stands inside of the picture, no two in one place", () => {
  for (const count of [1, 2, 3, 5, 9]) {
    const places = positions(count, 240, 168, 26);
    assert.equal(new Set(places.map(([x, y]) => `${Math.round(x)} ${Math.round(y)}`)).size, count);
    for (const [x, y] of places) assert.ok(x >= 25.9 && x <= 214.1 && y >= 25.9 && y <= 142.1, `${count}: ${x} ${y}`);
  }
});

test("mesh: numbers and partitions in words", () => {
  assert.equal(ranges([]), "");
  assert.equal(ranges([7, 0, 2, 1, 3, 10]), "0–3, 7, 10");
  assert.equal(partitionsInWords([{ topic: "b", partition: 3 }, { topic: "a", partition: 0 }, { topic: "b", partition: 2 }]), "b 2–3; a 0");
});

test("mesh: when no node answers, nothing is said to be alive, and nobody is said to do anything", () => {
  const shown = forgotten(
    overview({ name: "x", state: "ok", voters: ["a", "b"], commit_quorum: 2, members: [member("a"), member("b")], slots: [{ slot: 0, coordinator: "a" }], feeds: [{ topic: "t", partition: 0, feeder: "b" }] }),
  );
  assert.deepEqual([shown.state, shown.words, shown.links], ["unknown", "no node answers", []]);
  assert.deepEqual(shown.members.map(({ name, state, slots, partitions }) => [name, state, slots, partitions]), [["a", "unknown", [], []], ["b", "unknown", [], []]]);
  assert.deepEqual([shown.slots[0].colour, shown.feeds[0].feeder], [null, null]);
});

const placeOf = (log) => (log.startsWith("?") ? null : { topic: log.slice(1), partition: Number(log[0]) });

test("words: a gap is said by topic, partition and reason, not by the names of logs", () => {
  const gap = (log, why = "retention") => ({ log, why });
  assert.equal(gapInWords([gap("3flights")], placeOf), "messages of flights 3 are missing: Kafka has deleted them");
  assert.equal(
    gapInWords([gap("3flights"), gap("1flights"), gap("0notes", "truncated"), gap("?", "strange")], placeOf),
    "messages of flights 1, 3 are missing: Kafka has deleted them; messages of notes 0 are missing: Kafka has lost them; messages of a log are missing: strange",
  );
  assert.equal(logsInWords([..."0123456"].map((n) => `${n}t`).concat("?1", "?2"), placeOf), "t 0, 1, 2 and 4 more and 2 logs");
});

test("labels: none covers another, as far as there is room", () => {
  const [lga, ewr] = placeLabels([{ x: 100, y: 100, width: 24 }, { x: 108, y: 102, width: 24 }], 12, 5, { width: 400, height: 300 });
  const apart = lga.x + lga.width <= ewr.x || ewr.x + ewr.width <= lga.x || lga.y + lga.height <= ewr.y || ewr.y + ewr.height <= lga.y;
  assert.ok(apart, JSON.stringify([lga, ewr]));
  const [corner] = placeLabels([{ x: 398, y: 2, width: 24 }], 12, 5, { width: 400, height: 300 });
  assert.ok(corner.x + corner.width <= 400 && corner.y >= 0, JSON.stringify(corner));
});

test("nearest: an arrow key leads to what lies its way", () => {
  const places = [["left", [50, 100]], ["far left", [10, 100]], ["up", [100, 40]], ["aside", [90, 200]]];
  assert.equal(nearest("ArrowLeft", [100, 100], places), "left");
  assert.equal(nearest("ArrowUp", [100, 100], places), "up");
  assert.equal(nearest("ArrowDown", [100, 100], places), "aside");
  assert.equal(nearest("ArrowRight", [100, 100], places), null);
  assert.deepEqual([isArrow("ArrowUp"), isArrow("Enter")], [true, false]);
});

test("trends: rates, percentiles and who is behind", () => {
  const status = {
    node: "a",
    rates: { in_per_s: 5, out_per_s: 7 },
    workers: [{ index: 0, slow_clients: 2, waiting_bytes: 4096, loop_delay_s: 0.2 }, { index: 1, slow_clients: 0, waiting_bytes: 0, loop_delay_s: 0.001 }],
    kafka: { topics: [{ topic: "t", partitions: [{ partition: 0, messages_per_s: 2, lag: 3, state: "live" }, { partition: 1, messages_per_s: 3, lag: 400, state: "live" }, { partition: 2, lag: null, state: "unavailable" }] }] },
    cluster: { members: [{ name: "b", state: "suspect" }, { name: "c", state: "alive", synced: true, delay_ms: 1500 }] },
  };
  assert.deepEqual(ratesOf(status), { in: 5, out: 7, topics: new Map([["t", 5]]) });
  assert.deepEqual(ratesOf(undefined), { in: 0, out: 0, topics: new Map() });
  assert.deepEqual([percentile([], 0.5), percentile([1, 2, 3, 4], 0.5), percentile([1, 2, 3, 4], 0.99)], [null, 2, 4]);
  assert.deepEqual(behind([status, { node: "z" }]), [
    ["a, worker 0", "2 slow clients", "4 KB wait"],
    ["a, worker 0", "its loop is late", "200 ms"],
    ["a", "t 1", "400 records behind"],
    ["a", "t 2", "has no leader"],
    ["a", "node b", "does not answer"],
    ["a", "node c", "1500 ms behind"],
  ]);
});
