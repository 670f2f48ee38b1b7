/** Where the SDK runs: addresses, React Native, what the platform lacks. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Message } from "../message.js";
import { endpoint, whyNot } from "../platform.js";
import { Clocks } from "../pulse.js";
import { fromBase64, toBase64 } from "../utf8.js";
import { serve } from "./server.js";

test("addresses: schemes, paths that a proxy has in front of a node, and whole paths", () => {
  for (const [written, address] of [
    ["ws://a:8080", "ws://a:8080/v1/ws"],
    ["a:8080", "ws://a:8080/v1/ws"],
    ["http://a/", "ws://a/v1/ws"],
    ["HTTPS://A.example:443", "wss://a.example:443/v1/ws"],
    ["https://example.com/push/", "wss://example.com/push/v1/ws"],
    ["wss://a/own/path?x=1", "wss://a/own/path?x=1"],
    ["wss://me:secret@a/", "wss://me:secret@a/v1/ws"],
    ["ws://[::1]:80", "ws://[::1]:80/v1/ws"],
  ]) {
    assert.equal(endpoint(written), address);
  }
});

test("addresses: relative to the page", (t) => {
  globalThis.location = { href: "https://example.com/push/index.html?x#y" };
  t.after(() => delete globalThis.location);
  assert.equal(endpoint("./"), "wss://example.com/push/v1/ws");
  assert.equal(endpoint("/"), "wss://example.com/v1/ws");
});

test("why a connection failed, by what each platform says", () => {
  assert.deepEqual(whyNot({ message: "Unexpected server response: 403" }), { status: 403, reason: "Unexpected server response: 403" });
  const tls = "write EPROTO 80FC:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../record.c:350:\n";
  assert.match(whyNot({ error: new Error(tls) }).reason, /does not speak TLS: ws:\/\/ or http:\/\//);
  const native = "Expected HTTP 101 response but was '404 Not Found'";
  assert.deepEqual(whyNot({ message: native }), { status: 404, reason: native });
  assert.equal(whyNot({ error: new AggregateError([new Error("connect ECONNREFUSED ::1:1"), new Error("other")]) }).reason, "connect ECONNREFUSED ::1:1");
  assert.equal(whyNot({ message: "Received network error or non-101 status code.", error: Object.assign(new Error("x"), { cause: new Error("self-signed certificate") }) }).reason, "self-signed certificate");
  assert.equal(whyNot(new Event("error")).reason, "the connection could not be made; no reason is given");
});

test("clocks: sleep is found, a clock that is set back is not sleep", () => {
  const clocks = new Clocks();
  const slept = [[0, 100], [1, 101], [2, 60], [3, 61], [4, 4000], [5, 4001]].map(([now, wall]) => clocks.slept(now, wall));
  assert.deepEqual(slept, [false, false, false, false, true, false]);
});

test("base64 without what browsers have", (t) => {
  const { atob } = globalThis;
  t.after(() => (globalThis.atob = atob));
  for (let length = 0; length < 70; length++) {
    const bytes = Uint8Array.from({ length }, (_, n) => (n * 37 + length * 11) % 256);
    const text = Buffer.from(bytes).toString("base64");
    assert.equal(toBase64(bytes), text);
    globalThis.atob = undefined;
    assert.deepEqual(fromBase64(text), bytes);
    globalThis.atob = atob;
    assert.deepEqual(fromBase64(text), bytes);
  }
});

test("a message with a key and headers that are not UTF-8", () => {
  const frame = { op: "msg", subject: "/t/%FFé", log: "l", at: [0, 1], base64: "/w==", headers: [["h", { base64: "/w==" }], ["n", null]] };
  const message = new Message(frame, JSON.stringify(frame));
  assert.equal(message.key, "\ufffdé");
  assert.deepEqual([...message.keyBytes], [0xff, 0xc3, 0xa9]);
  assert.deepEqual(message.headers, [["h", new Uint8Array([255])], ["n", null]]);
  assert.equal(message.jsonText, undefined);
});

test("React Native: with nothing but what it has, and its own headers", async (t) => {
  let subscribed;
  const server = await serve(t, (frame, connection) => {
    if (frame.op === "subscribe") {
      subscribed = frame.id;
      connection.send({ op: "subscribed", id: frame.id, answer: "fresh", at: { l: [0, 1] } });
      connection.send({ op: "live", sub: frame.id, at: { l: [0, 1] } });
    } else if (frame.op === "publish") {
      const { id, subject, base64, headers } = frame;
      connection.send({ op: "published", id, log: "l", at: [0, 3] });
      connection.send({ op: "msg", sub: subscribed, subject: "/t/%FFx", log: "l", at: [0, 2], base64 });
      connection.send({ op: "msg", sub: subscribed, subject, log: "l", at: [0, 3], base64, headers });
    }
  });
  const program = fileURLToPath(new URL("native.mjs", import.meta.url));
  const child = spawn(process.execPath, ["--experimental-vm-modules", "--no-warnings", program, server.url], { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  const [code] = await once(child, "close");
  assert.deepEqual([code, err], [0, ""]);
  assert.deepEqual(out.trim().split("\n"), [
    '["\ufffdx",[0,255,16,1,2],"/t/%FFx"]',
    '["Zürich 😀",[0,255,16,1,2],"/t/Zürich 😀"]',
    "/t/é%FF%2A%E2%82 255,195,169",
  ]);
  assert.equal(server.connections[0].request.headers["x-app"], "mine");
  assert.match(server.connections[0].frames.at(-1).publisher, /^[0-9a-f]{32}$/);
});
