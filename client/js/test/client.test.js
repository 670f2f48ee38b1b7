/** The client over real WebSockets, against a server that says what each test tells it to. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { PublishError, SubjectError } from "../whimbrel.js";
import { message, open, serve, subscribing, until } from "./server.js";

test("subscribes, and goes on at another server where it was", async (t) => {
  const servers = [await serve(t, subscribing), await serve(t, subscribing)];
  const { client, statuses } = open(t, servers.map(({ url }) => url));
  const received = [];
  const subscription = client.subscribe("/t/*", (m) => received.push(m));
  await until(() => statuses.some(({ type }) => type === "live"));
  const first = servers.findIndex(({ connections }) => connections.length > 0);
  const [connection] = servers[first].connections;
  assert.equal(connection.protocol, "whimbrel.v1.json");
  connection.send(message(2));
  await until(() => received.length === 1);
  assert.deepEqual([received[0].key, received[0].topic, received[0].json], ["a", "t", { n: 2 }]);
  connection.close(4100);
  const other = servers[1 - first];
  await until(() => other.connections[0]?.frames.length === 2);
  assert.deepEqual(other.connections[0].frames[1].resume, { l: [0, 2] });
  await until(() => client.state === "connected" && statuses.at(-1).type === "live");
  other.connections[0].send(message(2));
  other.connections[0].send(message(3, { prev: [0, 2] }));
  await until(() => received.length === 2);
  assert.deepEqual(client.stats, { received: 2, repeated: 1, missing: 0 });
  assert.deepEqual(subscription.place, { l: [0, 3] });
  assert.deepEqual(
    statuses.map(({ type }) => type),
    ["connected", "subscribed", "live", "reconnecting", "connected", "resumed", "live"],
  );
});

test("a publish whose answer was lost is sent again, with the same publisher and seq", async (t) => {
  const server = await serve(t, (frame, connection) => {
    if (frame.op !== "publish") return;
    if (server.connections.length === 1) connection.close(1011);
    else connection.send({ op: "published", id: frame.id, log: "l", at: [0, 5] });
  });
  const { client } = open(t, server.url);
  assert.deepEqual(await client.publish("/t/a", { text: "hi" }, { headers: [["h", "v"]] }), { log: "l", at: [0, 5] });
  const [first, second] = server.connections.map(({ frames }) => frames[1]);
  assert.deepEqual({ ...first, id: 0 }, { ...second, id: 0 });
  assert.match(first.publisher, /^[A-Za-z0-9_-]{16,64}$/);
  assert.deepEqual([first.seq, first.text, first.headers], [1, "hi", [["h", "v"]]]);
});

test("a publish that is refused, or without an answer at the end, is rejected", async (t) => {
  const server = await serve(t, (frame, connection) => {
    if (frame.subject === "/t/no") connection.send({ op: "error", id: frame.id, code: 4313, error: "publish_disabled", reason: "no" });
  });
  const { client } = open(t, server.url);
  await assert.rejects(client.publish("/t/no", { json: 1 }), (error) => error instanceof PublishError && error.code === 4313);
  await assert.rejects(client.publish("/t/*", { json: 1 }), SubjectError);
  const pending = client.publish("/t/a", { json: 1 });
  await until(() => server.connections[0].frames.length === 3);
  client.close();
  await assert.rejects(pending, { code: null, outcomeUnknown: true, message: "publish to /t/a: the client is closed: by the application" });
  assert.throws(() => client.subscribe("/t/a", () => {}), /closed/);
});

test("a code that says do not come back ends the client", async (t) => {
  const server = await serve(t, (frame, connection) => connection.close(4303));
  const { client, statuses } = open(t, server.url);
  await until(() => client.state === "closed");
  assert.deepEqual(statuses.at(-1), { type: "closed", code: 4303, reason: "the connection ended" });
});

test("a token is asked anew for each connection", async (t) => {
  const server = await serve(t, (frame, connection) => server.connections.length === 1 && connection.close(4200));
  let tokens = 0;
  open(t, server.url, { getToken: async () => `token ${++tokens}` });
  await until(() => server.connections.length === 2 && server.connections[1].frames.length === 1);
  assert.deepEqual(server.connections.map(({ frames }) => frames[0].token), ["token 1", "token 2"]);
});

test("before a token ends another one is sent on the living connection; one that cannot be had is asked for again", async (t) => {
  const server = await serve(t, (frame, connection) => {
    if (frame.op === "hello") connection.send({ op: "expiring", within_s: 0.1 });
    if (frame.op === "renew") connection.send({ op: "renewed", id: frame.id });
  });
  const tokens = ["first", new Error("away"), "second"];
  t.mock.method(console, "error", () => {});
  const { statuses } = open(t, server.url, {
    getToken: () => {
      const token = tokens.shift();
      if (token instanceof Error) throw token;
      return token;
    },
  });
  await until(() => server.connections[0]?.frames.length === 2);
  assert.deepEqual(server.connections[0].frames.map(({ op, token }) => [op, token]), [["hello", "first"], ["renew", "second"]]);
  assert.equal(server.connections.length, 1);
  assert.deepEqual(statuses.map(({ type }) => type), ["connected", "tokenExpiring", "tokenExpiring"]);
  assert.equal(console.error.mock.callCount(), 1);
});

test("a subscription that was closed in a callback is handed nothing more, and a callback that fails disturbs nobody", async (t) => {
  const server = await serve(t, subscribing);
  const { client, statuses } = open(t, server.url);
  const received = [];
  const uncaught = [];
  t.mock.method(console, "error", (...said) => uncaught.push(said));
  const closing = client.subscribe("/t/a", (m) => {
    received.push(["closing", m.at[1]]);
    closing.close();
    later.close();
  });
  const later = client.subscribe("/t/a", () => received.push("closed by the one before it, for the same message"));
  client.subscribe("/t/a", () => {
    throw new Error("mine");
  });
  client.subscribe("/t/*", (m) => received.push(["other", m.at[1]]));
  await until(() => statuses.filter(({ type }) => type === "live").length === 4);
  server.connections[0].send(message(2));
  server.connections[0].send(message(3, { prev: [0, 2] }));
  await until(() => received.length === 3);
  assert.deepEqual(received, [["closing", 2], ["other", 2], ["other", 3]]);
  assert.equal(uncaught.length, 2);
  assert.equal(uncaught[0][0], "whimbrel: the callback of /t/a failed at l 0,2:");
  assert.match(String(uncaught[0][1]), /mine/);
  await until(() => server.connections[0].frames.some(({ op }) => op === "unsubscribe"));
});

test("without a WebSocket of its own, Node.js uses the package ws", async (t) => {
  const server = await serve(t);
  const { client } = open(t, server.url, { WebSocket: undefined });
  await until(() => client.state === "connected");
});

test("a page that is put away lets go of its connection, goes on when it is taken back, and asks when it wakes", async (t) => {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  Object.assign(globalThis, { window, document });
  t.after(() => {
    delete globalThis.window;
    delete globalThis.document;
  });
  const server = await serve(t, subscribing);
  const { client, statuses } = open(t, server.url);
  client.subscribe("/t/a", () => {});
  await until(() => statuses.at(-1)?.type === "live");
  const ended = once(server.connections[0].socket, "close");
  window.dispatchEvent(new Event("pagehide"));
  await ended;
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(server.connections.length, 1);
  window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await until(() => server.connections.length === 2 && statuses.at(-1).type === "live");
  assert.deepEqual(server.connections[1].frames[1].resume, { l: [0, 1] });
  window.dispatchEvent(new Event("online"));
  await until(() => server.connections[1].frames.at(-1).op === "ping");
  client.close();
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(client.state, "closed");
});

test("wake asks a server that is there for a sign of life", async (t) => {
  const server = await serve(t, subscribing);
  const { client } = open(t, server.url);
  await until(() => client.state === "connected");
  client.wake();
  await until(() => server.connections[0].frames.some(({ op }) => op === "ping"));
});

test("wake ends the pause before the next attempt", async (t) => {
  const { client, statuses } = open(t, "ws://127.0.0.1:1");
  const attempts = () => statuses.filter(({ type }) => type === "reconnecting");
  for (let n = 1; n < 12; n++) {
    await until(() => attempts().length >= n);
    client.wake();
  }
  assert.ok(attempts().reduce((sum, { pause_s }) => sum + pause_s, 0) > 20, "it would have waited for long");
});
