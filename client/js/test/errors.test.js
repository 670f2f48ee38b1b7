/** What a newcomer does wrong, and networks do to clients: the SDK says what and why, and never nothing. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket } from "ws";

import { Client, ClosedError, PublishError, RequestError, SubjectError, SubscribeError, WhimbrelError } from "../whimbrel.js";
import { message, open, serve, subscribing, until } from "./server.js";

const NOWHERE = "ws://127.0.0.1:1";

/** Refuses topics that do not exist. */
function refusing(frame, connection) {
  if (frame.op === "subscribe") connection.send({ op: "error", id: frame.id, code: 4311, error: "not_mapped", reason: "no mapping covers it" });
}

/** A program of its own, run to its end: its exit code and what it wrote. */
async function run(url, body) {
  const script = `import { Client, Message } from ${JSON.stringify(new URL("../whimbrel.js", import.meta.url).href)};
    import { WebSocket } from ${JSON.stringify(import.meta.resolve("ws"))};
    const url = ${JSON.stringify(url)};
    ${body}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  const [code] = await once(child, "close");
  return { code, out, err };
}

test("a subscription that is refused, and nobody who asked to hear of it: the program ends and says so", async (t) => {
  const server = await serve(t, refusing);
  const { code, err } = await run(server.url, 'new Client(url, { WebSocket }).subscribe("/nosuch/*", () => {});');
  assert.equal(code, 1);
  assert.match(err, /SubscribeError: subscribe to \/nosuch\/\*: 4311 not_mapped: no mapping covers it/);
});

test("a client that is told not to come back, and nobody who asked to hear of it: the same", async (t) => {
  const server = await serve(t, (frame, connection) => connection.close(4303));
  const { code, err } = await run(server.url, 'new Client(url, { WebSocket }).subscribe("/t/*", () => {});');
  assert.equal(code, 1);
  assert.match(err, /ClosedError: the client is closed: 4303: the connection ended/);
});

test("who asked is told, once: by ready, closed, an iteration or onStatus", async (t) => {
  const server = await serve(t, refusing);
  const { code, out, err } = await run(
    server.url,
    `const by = (name) => (error) => console.log(name, error.name, error.code, error.error);
    const client = new Client(url, { WebSocket });
    await client.subscribe("/t/a", () => {}).ready.catch(by("ready"));
    await client.subscribe("/t/a", () => {}).closed.catch(by("closed"));
    try { for await (const message of client.subscribe("/t/a")); } catch (error) { by("iteration")(error); }
    client.close();
    const other = new Client(url, { WebSocket, onStatus: ({ type, error, code }) => type === "refused" && (by("status")({ name: "", code, error }), other.close()) });
    other.subscribe("/t/a", () => {});`,
  );
  assert.deepEqual([code, err], [0, ""]);
  assert.deepEqual(out.trim().split("\n"), [
    "ready SubscribeError 4311 not_mapped",
    "closed SubscribeError 4311 not_mapped",
    "iteration SubscribeError 4311 not_mapped",
    "status  4311 not_mapped",
  ]);
});

test("a subscription refused when it is resumed: iteration throws after what had come", async (t) => {
  const server = await serve(t, (frame, connection) => (server.connections.length === 1 ? subscribing : refusing)(frame, connection));
  const { client } = open(t, server.url);
  const subscription = client.subscribe("/t/a");
  await subscription.ready;
  server.connections[0].send(message(2));
  await until(() => client.stats.received === 1);
  server.connections[0].close(4000);
  await until(() => server.connections.length === 2);
  const taken = [];
  await assert.rejects(async () => {
    for await (const { at } of subscription) taken.push(at);
  }, SubscribeError);
  assert.deepEqual(taken, [[0, 2]]);
});

test("a callback that throws, or rejects, is logged and goes on: the program does not end", async (t) => {
  const server = await serve(t, (frame, connection) => {
    subscribing(frame, connection);
    if (frame.op === "subscribe") for (const seq of [2, 3, 4]) connection.send(message(seq));
  });
  const { code, out, err } = await run(
    server.url,
    `const client = new Client(url, { WebSocket, onStatus: () => { throw new Error("mine, too"); } });
    client.subscribe("/t/a", async ({ at }) => { console.log(at[1]); throw new Error("mine"); });
    client.subscribe("/t/a", ({ at }) => { if (at[1] === 4) setTimeout(() => client.close(), 20); throw new Error("mine as well"); });`,
  );
  assert.equal(code, 0);
  assert.deepEqual(out.trim().split("\n"), ["2", "3", "4"]);
  assert.match(err, /whimbrel: the callback of \/t\/a failed at l 0,2: Error: mine\n/);
  assert.match(err, /whimbrel: the callback of \/t\/a failed at l 0,4: Error: mine as well\n/);
  assert.match(err, /whimbrel: onStatus failed for connected: Error: mine, too\n/);
});

test("never connected and given up: nothing was sent, and the reason comes along", async (t) => {
  const { client, statuses } = open(t, NOWHERE);
  assert.deepEqual([client.state, client.reason], ["connecting", ""]);
  const reason = "cannot reach ws://127.0.0.1:1/v1/ws (connect ECONNREFUSED 127.0.0.1:1)";
  await until(() => client.state === "reconnecting");
  assert.equal(client.reason, reason);
  assert.deepEqual([statuses[0].type, statuses[0].code, statuses[0].reason], ["reconnecting", null, reason]);
  await assert.rejects(client.publish("/t/a", { json: 1 }, { timeout_s: 0.1 }), (error) => {
    assert.ok(error instanceof PublishError && error instanceof RequestError && error instanceof WhimbrelError);
    assert.equal(error.message, `publish to /t/a: not acknowledged in time; no connection: ${reason}`);
    assert.deepEqual([error.name, error.code, error.error, error.outcomeUnknown], ["PublishError", null, "", false]);
    return true;
  });
  const waiting = client.subscribe("/t/a", () => {}).ready;
  const publishing = client.publish("/t/a", { json: 1 });
  client.close();
  await assert.rejects(waiting, { name: "ClosedError", code: null, message: `the client is closed: by the application; no connection: ${reason}` });
  await assert.rejects(publishing, { name: "PublishError", outcomeUnknown: false });
  assert.throws(() => client.subscribe("/t/a"), ClosedError);
  await client.closed;
});

for (const [status, comesBack] of [[400, false], [403, false], [404, false], [426, false], [503, true]]) {
  test(`a handshake that is refused with ${status}`, async (t) => {
    const web = createServer().listen(0, "127.0.0.1");
    await once(web, "listening");
    t.after(() => web.close());
    let asked = 0;
    web.on("upgrade", (request, socket) => {
      asked += 1;
      socket.end(`HTTP/1.1 ${asked < 3 ? status : 403} No\r\nContent-Length: 0\r\n\r\n`);
    });
    const { client } = open(t, `ws://127.0.0.1:${web.address().port}`);
    await assert.rejects(client.closed, { name: "ClosedError", code: comesBack ? 403 : status, message: new RegExp(`Unexpected server response: ${comesBack ? 403 : status}`) });
    assert.equal(asked, comesBack ? 3 : 1);
  });
}

test("a start is a word or a map, and anything else is refused here", async (t) => {
  const server = await serve(t, subscribing);
  const { client } = open(t, server.url);
  for (const start of ["latest", "now", { from: "now" }, {}, { from: { last: 2 }, resume: undefined }]) client.subscribe("/t/a", null, start);
  await until(() => server.connections[0]?.frames.length === 6);
  assert.deepEqual(server.connections[0].frames.slice(1).map(({ from }) => from), ["latest", "now", "now", "latest", { last: 2 }]);
  for (const wrong of ["yesterday", 5, { last: 2 }, { from: "yesterday" }, { from: { last: 0 } }, { from: { last: "2" } }, { from: { time: -1 } }, { from: { at: { l: null } } },
    { from: "now", resume: {} }, { resume: [] }, { resume: { l: [1] } }, { resume: { l: [0, 2 ** 53] } }, { resume: { l: [0, -2] } }, { resume: null }]) {
    assert.throws(() => client.subscribe("/t/a", null, wrong), (error) => error instanceof TypeError && /found/.test(error.message), JSON.stringify(wrong));
  }
  assert.throws(() => client.subscribe("/t/a", { from: "now" }), /the start is the third argument/);
  assert.throws(() => client.subscribe("t/a"), SubjectError);
  assert.throws(() => client.subscribe(5), SubjectError);
});

test("what cannot be sent is refused here, because the server would end the connection for it", async (t) => {
  const server = await serve(t, subscribing);
  const { client } = open(t, server.url);
  for (const value of [{ json: "\ud800" }, { json: { "\udc00": 1 } }, { jsonText: '"\\ud800"' }, { jsonText: "{" }, { text: "\ud800" }, "text", null, { json: 1, text: "" }]) {
    await assert.rejects(client.publish("/t/a", value), TypeError, JSON.stringify(value));
  }
  const deep = JSON.parse("[".repeat(501) + "]".repeat(501));
  await assert.rejects(client.publish("/t/a", { json: deep }), /nested more than 500 deep/);
  for (const json of [NaN, { alt: -Infinity }, [1, JSON.parse("1e999")]]) {
    await assert.rejects(client.publish("/t/a", { json }), /there is no JSON for (NaN|-Infinity [(]alt[)]|Infinity [(]1[)])/);
  }
  for (const headers of [{ a: 5 }, "ab", null, [["a"]], [["a", 5]], [[5, "a"]], [["a", "\ud800"]]]) {
    await assert.rejects(client.publish("/t/a", { text: "" }, { headers }), TypeError, JSON.stringify(headers));
  }
  for (const options of [{ timeout: 5 }, { timeoutMs: 5 }, { timeout_s: "5" }, { timeout_s: NaN }]) {
    await assert.rejects(client.publish("/t/a", { text: "" }, options), /there is no option|a number of seconds/, JSON.stringify(options));
  }
  client.publish("/t/a", { text: "" }, { headers: { h: "v", n: null } }).catch(() => {});
  await until(() => server.connections[0]?.raw?.includes('"headers":[["h","v"],["n",null]]'));
  client.publish("/t/a", { jsonText: ' {"n":12345678901234567890} ' }).catch(() => {});
  await until(() => server.connections[0]?.raw?.includes('"json":{"n":12345678901234567890}'));
});

test("options and servers are checked", () => {
  assert.throws(() => new Client(NOWHERE, { WebSocket, onstatus: () => {} }), /there is no option onstatus; there are token, getToken, onStatus/);
  assert.throws(() => new Client(NOWHERE, { WebSocket, publishTimeout_s: "5" }), /`publishTimeout_s` is a number of seconds, found "5"/);
  for (const wrong of ["ftp://a", "", "a b", "ws://", "ws://a:0", "ws://a:65536", [], "http:a"]) assert.throws(() => new Client(wrong, { WebSocket }), TypeError, String(wrong));
});

test("a token function that gives no string is told", async (t) => {
  const { client } = open(t, NOWHERE, { getToken: () => 5 });
  await until(() => client.reason === "getToken is to give a string, and gave 5");
});

test("iteration: what waits is bounded, nothing is lost, and the place is what was taken", async (t) => {
  const server = await serve(t, (frame, connection) => {
    if (frame.op !== "subscribe") return;
    const from = frame.resume ? frame.resume.l[1] : 0;
    connection.send({ op: "subscribed", id: frame.id, answer: frame.resume ? "full" : "fresh", at: { l: [0, from] } });
    for (let seq = from + 1; seq <= 500; seq++) connection.send(message(seq, { sub: frame.id, prev: [0, seq - 1] }));
    connection.send({ op: "live", sub: frame.id, at: { l: [0, 500] } });
  });
  const { client, statuses } = open(t, server.url, { queueMax: 20 });
  const subscription = client.subscribe("/t/a", null, "now");
  await until(() => server.connections[0]?.frames.some(({ op }) => op === "unsubscribe"));
  const taken = [];
  for await (const { at } of subscription) {
    taken.push(at[1]);
    assert.deepEqual(subscription.place, { l: at });
    assert.ok(subscription.waiting <= 20);
    if (taken.length === 250) break;
  }
  for await (const { at } of subscription) {
    taken.push(at[1]);
    if (at[1] === 500) subscription.unsubscribe();
  }
  assert.deepEqual(taken, Array.from({ length: 500 }, (_, n) => n + 1));
  assert.equal(client.stats.repeated, 0);
  assert.ok(statuses.filter(({ type }) => type === "resumed").length >= 2);
  await subscription.closed;
  assert.throws(() => client.subscribe("/t/a", () => {})[Symbol.asyncIterator](), /with a callback/);
});

test("a token that has expired is told, and another one asked for", async (t) => {
  const server = await serve(t, (frame, connection) => server.connections.length === 1 && connection.close(4200));
  const { client, statuses } = open(t, server.url, { getToken: () => "token" });
  await until(() => client.state === "connected" && server.connections.length === 2);
  assert.deepEqual(statuses.map(({ type }) => type).filter((type) => type !== "connected"), ["tokenNeeded", "reconnecting"]);
});

test("a machine that slept while its clock stood still asks whether the server is there", async (t) => {
  const server = await serve(t, subscribing);
  const { client } = open(t, server.url);
  await until(() => client.state === "connected");
  await new Promise((resolve) => setTimeout(resolve, 600)); // one look at the clocks
  const wall = Date.now;
  t.mock.method(Date, "now", () => wall() + 3_600_000);
  await until(() => server.connections[0].frames.at(-1).op === "ping");
});

const HARD = {
  "a number of 5,000 digits": "9".repeat(5000),
  "one inside": `{"n":${"9".repeat(5000)}}`,
  "nested 400 deep": "[".repeat(400) + "]".repeat(400),
  "nested 100,000 deep": "[".repeat(100_000) + "]".repeat(100_000),
  "half a surrogate": '"\\ud800"',
  "64 bits, order and white space": ' {"b": 18446744073709551617, "1": 0.10000000000000000555, "b": "\\"}"} ',
};

test("any JSON reaches the application, with its exact text", async (t) => {
  const server = await serve(t, subscribing);
  const { client, statuses } = open(t, server.url);
  const received = [];
  client.subscribe("/t/a", (m) => received.push(m));
  await until(() => statuses.at(-1)?.type === "live");
  let seq = 2;
  for (const text of Object.values(HARD)) {
    server.connections[0].socket.send(`{"json":"not this","x":{"json":[${text}]},"op":"msg","subject":"/t/a","log":"l","at":[0,${seq++}],"j\\u0073on":${text},"new":${text}}`);
  }
  await until(() => received.length === Object.keys(HARD).length);
  for (const [n, [name, text]] of Object.entries(HARD).entries()) assert.equal(received[n].jsonText, text, name);
  assert.equal(server.connections.length, 1);
});
