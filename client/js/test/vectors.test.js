/** The test vectors of PROTOCOL section 12, as `client/vectors/README.md` says, run against the cores. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { actionFor } from "../codes.js";
import { SubjectError } from "../errors.js";
import { Message, writeHeaders, writeValue } from "../message.js";
import { Session } from "../session.js";
import { endpoint } from "../platform.js";
import { Servers } from "../servers.js";
import { checkSubject, isPattern, matches, parseSubject, subjectOf } from "../subjects.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), "utf8"));
const bytesOf = (base64) => (base64 === null ? null : new Uint8Array(Buffer.from(base64, "base64")));
const PUBLISHER = "publisher-0123456789";

test("subjects", () => {
  const { subjects, not_subjects, patterns, not_patterns, matches: pairs } = read("subjects.json");
  for (const { topic, key, subject } of subjects) {
    assert.equal(subjectOf(topic, bytesOf(key)), subject);
    assert.deepEqual(parseSubject(subject), { topic, key: bytesOf(key) });
    assert.equal(checkSubject(subject), subject);
  }
  for (const { text, right } of not_subjects) {
    assert.throws(() => parseSubject(text), (error) => error instanceof SubjectError && error.message.includes(right ?? ""), text);
  }
  for (const { pattern } of patterns) assert.ok(isPattern(checkSubject(pattern)), pattern);
  for (const { text } of not_patterns) assert.throws(() => checkSubject(text), SubjectError, text);
  for (const { pattern, subject, matches: expected } of pairs) assert.equal(matches(pattern, subject), expected, `${pattern} ${subject}`);
});

test("codes: the range says what to do", () => {
  for (const { code } of read("codes.json")) {
    const expected = { 40: "retry", 41: "elsewhere", 42: "token", 43: "stop" }[Math.floor(code / 100)];
    assert.equal(actionFor(code), expected, String(code));
  }
});

test("frames to the client: messages carry the value and headers that were produced", () => {
  const messages = read("frames.json").frames.filter(({ to, frame }) => to === "client" && frame.op === "msg");
  assert.ok(messages.length > 5);
  for (const { name, frame, json } of messages) {
    const text = Buffer.from(json, "base64").toString("utf8");
    const message = new Message(JSON.parse(text), text);
    const value = Buffer.from(frame.value.base64 ?? "", "base64");
    assert.equal(message.kind, frame.value.kind, name);
    if (message.kind === "json") assert.deepEqual(message.json, JSON.parse(value.toString("utf8")), name);
    assert.equal(message.jsonText, message.kind === "json" ? value.toString("utf8") : undefined, name);
    if (message.kind === "text") assert.equal(message.text, value.toString("utf8"), name);
    if (message.kind === "bytes") assert.deepEqual(message.bytes, new Uint8Array(value), name);
    assert.equal(message.tombstone, message.kind === "tombstone", name);
    const headers = message.headers.map(([key, value]) => [key, value === null ? null : Buffer.from(value).toString("base64")]);
    assert.deepEqual(headers, frame.headers ?? [], name);
    for (const key of ["subject", "log", "at"]) assert.deepEqual(message[key], frame[key], name);
    assert.deepEqual(message.prev, frame.prev ?? null, name);
    assert.deepEqual(message.time, frame.time ?? null, name);
    assert.equal(message.snapshot, frame.snapshot ?? false, name);
  }
});

test("frames to the server: publishes are written as the vectors say", () => {
  const publishes = read("frames.json").frames.filter(({ frame, decode_only }) => frame.op === "publish" && !decode_only);
  assert.ok(publishes.length > 2);
  for (const { name, frame, json } of publishes) {
    const expected = JSON.parse(Buffer.from(json, "base64").toString("utf8"));
    const { kind, base64 } = frame.value;
    const bytes = bytesOf(base64);
    const text = kind === "tombstone" ? "" : Buffer.from(bytes).toString("utf8");
    const value = { json: () => ({ json: JSON.parse(text) }), text: () => ({ text }), bytes: () => ({ bytes }), tombstone: () => ({ tombstone: true }) };
    const headers = (frame.headers ?? []).map(([key, header]) => [key, headerValue(header)]);
    const isExact = kind !== "json" || !/\d{300}/.test(text);
    const written = { ...JSON.parse(`{${writeValue(isExact ? value[kind]() : { jsonText: text })}}`), ...(headers.length ? { headers: writeHeaders(headers) } : {}) };
    if (kind === "json") assert.equal(writeValue({ jsonText: text }), `"json":${text}`, name);
    for (const key of ["json", "text", "base64", "tombstone", "headers"]) assert.deepEqual(written[key], key === "headers" && expected.headers?.length === 0 ? undefined : expected[key], name);
  }
});

test("servers that were told are used beside those configured", () => {
  for (const { name, configured, learn, via, told, used } of read("servers.json")) {
    const servers = new Servers(configured.map(endpoint), learn);
    for (const urls of told) servers.told(urls.flatMap(address), endpoint(via));
    assert.deepEqual(servers.urls, used, name);
  }
});

function address(url) {
  try {
    return [endpoint(url)];
  } catch {
    return [];
  }
}

for (const { title, steps } of read("client.json")) test(`conversation: ${title}`, () => converse(steps));

function headerValue(base64) {
  const bytes = bytesOf(base64);
  if (bytes === null) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bytes;
  }
}

function converse(steps) {
  const session = new Session({ name: "test", publisher: PUBLISHER, random: () => 0.5 });
  const names = { subscriptions: new Map(), publishes: new Map() };
  const keys = {};
  let now = 1000;
  session.tick(now);
  for (const [index, step] of steps.entries()) {
    const where = `step ${index}: ${JSON.stringify(step)}`;
    const events = [];
    const sends = [];
    let then;
    const take = () => {
      sends.push(...session.takeSends());
      const taken = session.takeEvents();
      events.push(...taken);
      const drop = taken.find(({ type }) => type === "drop");
      if (drop === undefined) return undefined;
      session.lost("dropped");
      return ending(drop.action);
    };
    if (step.subscribe) {
      const { as, subject, from = "latest", resume } = step.subscribe;
      keys[as] = session.subscribe(checkSubject(subject), resume ? { resume } : { from });
      names.subscriptions.set(keys[as], as);
    } else if (step.unsubscribe) {
      session.unsubscribe(keys[step.unsubscribe]);
    } else if (step.publish) {
      const { as, subject, headers = [], base64, ...value } = step.publish;
      const given = base64 === undefined ? value : { bytes: bytesOf(base64) };
      names.publishes.set(session.publish(now, 60, subject, given, headers), as);
    } else if (step.open) {
      session.dial(now);
      session.opened(null);
    } else if (step.receive) {
      session.receive(now, JSON.stringify(step.receive));
    } else if ("lost" in step) {
      then = ending(actionFor(step.lost ?? 1006));
      session.lost("lost");
    } else {
      assert.ok("wait_s" in step || "token" in step, where);
      for (const end = now + (step.wait_s ?? 10); now < end && then === undefined; ) {
        now = Math.min(now + 0.5, end);
        session.tick(now);
        then = take();
      }
      if (step.token) session.renew(step.token);
    }
    then = take() ?? then;
    assert.deepEqual(sends.map(comparable), (step.sends ?? []).map(comparable), where);
    assert.deepEqual(events.flatMap((event) => told(event, names)), step.tells ?? [], where);
    for (const [as, place] of Object.entries(step.places ?? {})) assert.deepEqual(session.placeOf(keys[as]), place, where);
    assert.equal(then, step.then, where);
  }
}

const ending = (action) => ({ retry: "reconnect", elsewhere: "reconnect", token: "token", stop: "stop" })[action];

function comparable(frame) {
  const { client, ...rest } = typeof frame === "string" ? JSON.parse(frame.replaceAll(PUBLISHER, "$publisher")) : frame;
  return rest;
}

/** An event as the vectors list it; [] for what they do not list. */
function told(event, { subscriptions, publishes }) {
  const sub = subscriptions.get(event.key);
  switch (event.type) {
    case "message": {
      const { subject, log, at, snapshot } = event.message;
      return [{ sub, message: { subject, log, at, ...(snapshot ? { snapshot } : {}) } }];
    }
    case "gap":
      return event.gaps.map((gap) => ({ sub, gap }));
    case "refused":
      return [{ sub, failed: event.code }];
    case "published":
      return [{ publish: publishes.get(event.seq), published: { log: event.log, at: event.at } }];
    case "failed":
      return [{ publish: publishes.get(event.seq), failed: event.code }];
    default:
      return [];
  }
}
