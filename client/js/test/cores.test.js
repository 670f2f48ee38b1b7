/** What the cores decide beyond the conversations of the test vectors. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Track } from "../place.js";
import { Publishes } from "../publishes.js";
import { Pulse } from "../pulse.js";
import { Servers, pauseAfterLoss, pauseAgain, pauseBefore } from "../servers.js";
import { Session } from "../session.js";

const LIMITS = { publishes: 256, frame_bytes: 1000 };
const half = () => 0.5;

function publishes() {
  const core = new Publishes("publisher-0123456789", half);
  let id = 0;
  return { core, take: (now, limits = LIMITS) => core.take(now, limits, () => ++id) };
}

const seqs = ({ frames }) => frames.map((frame) => JSON.parse(frame).seq);

/** As a session does: what is remembered of a log is looked at after each message. */
function take(track, message) {
  const verdict = track.receive(message);
  track.trim(message.log);
  return verdict;
}

test("place: a chain that grows too long is forgotten, and what comes twice or not at all is still noticed", () => {
  const track = new Track();
  track.subscribed("fresh", { l: [0, 0] });
  track.live({ l: [0, 0] });
  for (let n = 1; n <= 50_000; n++) {
    assert.equal(take(track, { subject: `/t/${n}`, log: "l", at: [0, n] }), "deliver");
  }
  assert.equal(track.receive({ subject: "/t/7", log: "l", at: [0, 7] }), "repeat");
  assert.equal(track.receive({ subject: "/t/7", log: "l", at: [0, 50_002], prev: [0, 50_001] }), "missing");
  assert.deepEqual(track.place, { l: [0, 40_000] }, "as far as it is proven for this subject");
});

test("place: a chain that grows too long is kept while it holds a message after the place", () => {
  const track = new Track();
  track.subscribed("fresh", { l: [0, 0] });
  track.live({ l: [0, 0] });
  for (let n = 2; n <= 20_000; n++) assert.equal(take(track, { subject: `/t/${n}`, log: "l", at: [0, 2 * n] }), "deliver");
  assert.equal(take(track, { subject: "/t/1", log: "l", at: [0, 40_002], prev: [0, 1] }), "missing");
  track.subscribed("full", { l: [0, 0] });
  assert.equal(take(track, { subject: "/t/1", log: "l", at: [0, 1] }), "deliver");
  track.live({ l: [0, 1] }); // of a server that has not read as far as the one before it
  assert.equal(take(track, { subject: "/t/new", log: "l", at: [0, 3] }), "deliver");
  assert.equal(take(track, { subject: "/t/2", log: "l", at: [0, 4] }), "repeat");
  assert.equal(take(track, { subject: "/t/1", log: "l", at: [0, 40_002], prev: [0, 1] }), "deliver");
  assert.equal(take(track, { subject: "/t/2", log: "l", at: [0, 40_004], prev: [0, 40_003] }), "missing");
  assert.deepEqual(track.place, { l: [0, 40_002] }, "once the place covered all of it, it was forgotten");
});

test("session: snapshots that come again are known, however many there are", () => {
  const session = new Session({ name: "t", publisher: "publisher-0123456789", random: half });
  session.subscribe("/t/*", { from: "latest" });
  for (let round = 0; round < 2; round++) {
    session.dial(0);
    session.opened(null);
    session.receive(0, '{"op":"subscribed","id":2,"answer":"fresh","at":{"l":[0,30000]}}');
    for (let n = 1; n <= 20_001; n++) {
      session.receive(0, `{"op":"msg","sub":2,"snapshot":true,"subject":"/t/${n}","log":"l","at":[0,${n}],"text":""}`);
    }
    session.lost();
  }
  assert.deepEqual(session.stats, { received: 20_001, repeated: 20_001, missing: 0 });
});

test("session: a long chain is forgotten while all is well, so a loss is made up for from there", () => {
  const session = new Session({ name: "t", publisher: "publisher-0123456789", random: half });
  const key = session.subscribe("/t/*", { from: "now" });
  session.dial(0);
  session.opened(null);
  session.receive(0, '{"op":"subscribed","id":2,"answer":"fresh","at":{"l":[0,0]}}');
  session.receive(0, '{"op":"live","sub":2,"at":{"l":[0,0]}}');
  for (let n = 1; n <= 20_000; n++) session.receive(0, `{"op":"msg","subject":"/t/${n}","log":"l","at":[0,${n}],"text":""}`);
  session.receive(0, '{"op":"msg","subject":"/t/1","log":"l","at":[0,20002],"prev":[0,20001],"text":""}');
  assert.equal(session.stats.missing, 1);
  assert.deepEqual(session.placeOf(key), { l: [0, 20_000] });
});

test("servers: another one after a loss, each once before any again", () => {
  const servers = new Servers(["a", "b", "c"]);
  servers.succeeded("b");
  const tried = [servers.next(half), servers.next(half)];
  assert.deepEqual(tried.toSorted(), ["a", "c"]);
  assert.equal(servers.next(() => 0.99), "c");
  servers.told([], "a");
  servers.told(["d"], "a");
  assert.deepEqual(servers.urls, ["a", "b", "c", "d"]);
});

test("servers: pauses grow to a bound, are random, and begin again after a success", () => {
  const servers = new Servers(["a"]);
  const pauses = Array.from({ length: 9 }, () => servers.pause(() => 1));
  assert.deepEqual(pauses, [0.25, 0.5, 1, 2, 4, 8, 16, 20, 20]);
  assert.equal(pauseBefore(1, () => 0), 0);
  assert.equal(pauseAgain(1, () => 0), 0.1);
  assert.deepEqual([1, 2, 3, 4, 5, 5000].map((n) => pauseAgain(n, () => 1)), [0.25, 0.5, 1, 2, 2, 2]);
  assert.deepEqual([1, 2, 9].map((n) => pauseAfterLoss(n, () => 1)), [0.25, 0.5, 20]);
  assert.equal(pauseAfterLoss(1, () => 0), 0.1);
  servers.succeeded("a");
  assert.equal(servers.pause(half), 0.125);
});

test("publishes: later ones of the same subject wait behind one that is to be sent again, others do not", () => {
  const { core, take } = publishes();
  core.add(60, "/t/a", { text: "1" }, []);
  assert.deepEqual(seqs(take(0)), [1]);
  assert.equal(core.refused(0, { id: 1, code: 4011, error: "queue_full", reason: "" }), null);
  core.add(60, "/t/a", { text: "2" }, []);
  core.add(60, "/t/b", { text: "3" }, []);
  assert.deepEqual(seqs(take(0)), [3]);
  assert.deepEqual(seqs(take(1)), [1, 2]);
});

test("publishes: the pause counts the refusals of this publish, and ends with the connection", () => {
  const { core, take } = publishes();
  const refuse = (now, id) => core.refused(now, { id, code: 4014, error: "no_coordinator", reason: "" });
  core.add(1000, "/t/a", { text: "1" }, []);
  let now = 0;
  for (let id = 1; id <= 9; id++, now += 1) {
    assert.deepEqual(seqs(take(now)), [1]);
    refuse(now, id);
    assert.deepEqual(seqs(take(now + Math.min(0.25 * 2 ** (id - 1), 2) / 2 - 0.01)), []);
  }
  core.add(1000, "/t/b", { text: "2" }, []);
  assert.deepEqual(seqs(take(now)), [1, 2]);
  refuse(now, 11);
  assert.deepEqual(seqs(take(now + 0.125)), [2]);
  refuse(now, 10);
  core.lost("cut");
  assert.deepEqual(seqs(take(now)), [1, 2]);
});

test("publishes: one that is too large fails here, rather than that the server ends the connection", () => {
  const { core, take } = publishes();
  core.add(60, "/t/a", { text: "ä".repeat(500) }, []);
  const { frames, failed } = take(0);
  assert.deepEqual(frames, []);
  assert.deepEqual(failed.map(({ seq, code }) => [seq, code]), [[1, 4314]]);
});

test("publishes: given up at the deadline, sent or not, and never sent again", () => {
  const { core, take } = publishes();
  core.add(5, "/t/a", { json: null }, []);
  take(0);
  core.add(5, "/t/b", { tombstone: true }, []);
  core.add(9, "/t/c", { bytes: new Uint8Array([255]) }, [["h", new Uint8Array([0, 254])]]);
  const reason = "not acknowledged in time; no connection: none has been made yet";
  assert.deepEqual(core.expire(5), [
    { type: "failed", seq: 1, code: null, error: "", reason, outcomeUnknown: true },
    { type: "failed", seq: 2, code: null, error: "", reason, outcomeUnknown: false },
  ]);
  core.lost("cut");
  const { frames } = take(6);
  const { base64, headers, seq } = JSON.parse(frames[0]);
  assert.deepEqual([frames.length, seq, base64, headers], [1, 3, "/w==", [["h", { base64: "AP4=" }]]]);
  assert.equal(core.answered({ id: 1, log: "l", at: [0, 1] }), null);
});

test("publishes: a refusal for good says nothing of an earlier attempt without an answer", () => {
  const { core, take } = publishes();
  core.add(60, "/t/a", { text: "1" }, []);
  core.add(60, "/t/b", { text: "2" }, []);
  take(0);
  const refusal = { code: 4312, error: "forbidden", reason: "no" };
  assert.deepEqual(core.refused(0, { id: 2, ...refusal }), { type: "failed", seq: 2, ...refusal, outcomeUnknown: false });
  core.lost("cut");
  take(0);
  assert.deepEqual(core.refused(0, { id: 3, ...refusal }), { type: "failed", seq: 1, ...refusal, outcomeUnknown: true });
});

test("publishes: a value that is none, or two, is refused and takes no seq", () => {
  const { core, take } = publishes();
  for (const value of [{}, { text: 5 }, { text: "a", json: 1 }, { json: undefined }, { bytes: "x" }, { tombstone: false }]) {
    assert.throws(() => core.add(60, "/t/a", value, []), TypeError);
  }
  core.add(60, "/t/a", { text: "" }, []);
  assert.deepEqual(seqs(take(0)), [1]);
});

test("pulse: silence is a loss, but a program that slept asks first", () => {
  const pulse = new Pulse();
  pulse.dialled(0);
  pulse.welcomed(20);
  for (let now = 0; now <= 40; now++) assert.equal(pulse.check(now), "fine");
  assert.equal(pulse.check(41), "silent");
  pulse.heard(41);
  assert.equal(pulse.check(1000), "ask");
  pulse.asked(1000);
  assert.equal(pulse.check(1004), "fine");
  pulse.heard(1004);
  assert.equal(pulse.check(1005), "fine");
  pulse.asked(1005);
  assert.equal(pulse.check(1011), "silent");
});

test("pulse: a server that never says welcome is given up", () => {
  const pulse = new Pulse();
  pulse.dialled(0);
  for (let now = 0; now <= 10; now++) assert.equal(pulse.check(now), "fine");
  assert.equal(pulse.check(11), "silent");
});

test("session: a server that leaves something out again and again is not asked in a tight loop", () => {
  const session = new Session({ name: "t", publisher: "publisher-0123456789", random: half });
  const key = session.subscribe("/t/a", { from: "now" });
  session.dial(0);
  session.opened(null);
  session.receive(0, '{"op":"welcome","id":1,"node":"a","cluster":"c","heartbeat_s":20,"servers":[],"limits":{}}');
  const subscribes = () => session.takeSends().map((text) => JSON.parse(text)).filter(({ op }) => op === "subscribe");
  let [{ id }] = subscribes();
  for (let round = 0; round < 2; round++) {
    session.receive(0, `{"op":"subscribed","id":${id},"answer":"${round ? "full" : "fresh"}","at":{"l":[0,1]}}`);
    session.receive(0, `{"op":"msg","sub":${id},"subject":"/t/a","log":"l","at":[0,9],"prev":[0,8],"text":""}`);
    if (round === 0) [{ id }] = subscribes();
  }
  assert.deepEqual(subscribes(), []);
  session.tick(0.5);
  assert.deepEqual(subscribes().map(({ resume }) => resume), [{ l: [0, 1] }]);
  assert.equal(session.stats.missing, 2);
  assert.deepEqual(session.placeOf(key), { l: [0, 1] });
});

test("session: what is no frame ends the connection, nothing else", () => {
  const session = new Session({ name: "t", publisher: "publisher-0123456789", random: half });
  session.dial(0);
  session.opened(null);
  for (const text of ["", "null", "[1", '{"op":"msg","headers":5}']) {
    session.takeEvents();
    session.receive(0, text);
    assert.deepEqual(session.takeEvents().map(({ type }) => type), ["drop"], text);
  }
});
