/** A server that says what each test tells it to, over real WebSockets, and a client of it. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";

import { Client } from "../whimbrel.js";

const WELCOME = { op: "welcome", node: "a", cluster: "c", heartbeat_s: 20, servers: [], limits: { frame_bytes: 1 << 20, publishes: 8 } };

/** A server whose `connections` are its accepted ones, each with the frames it was sent. */
export async function serve(t, answer) {
  const wss = new WebSocketServer({ port: 0, host: "127.0.0.1", path: "/v1/ws" });
  await once(wss, "listening");
  const connections = [];
  wss.on("connection", (socket, request) => {
    const connection = { socket, request, frames: [], protocol: socket.protocol, close: (code) => socket.close(code), send: (frame) => socket.send(JSON.stringify(frame)) };
    connections.push(connection);
    socket.on("message", (data) => {
      const frame = JSON.parse(data);
      connection.raw = String(data);
      connection.frames.push(frame);
      if (frame.op === "hello") connection.send({ ...WELCOME, id: frame.id });
      answer?.(frame, connection);
    });
  });
  t.after(() => {
    for (const socket of wss.clients) socket.terminate();
    wss.close();
  });
  return { url: `ws://127.0.0.1:${wss.address().port}`, connections };
}

export async function until(condition) {
  for (let n = 0; n < 4000; n++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.fail(`never true: ${condition}`);
}

export function open(t, servers, options = {}) {
  const statuses = [];
  const client = new Client(servers, { WebSocket, ...options, onStatus: (status) => statuses.push(status) });
  t.after(() => client.close());
  return { client, statuses };
}

/** Answers a subscribe from `latest` with nothing, and goes live. */
export function subscribing(frame, connection) {
  if (frame.op !== "subscribe") return;
  const at = frame.resume ?? { l: [0, 1] };
  connection.send({ op: "subscribed", id: frame.id, answer: frame.resume ? "full" : "fresh", at });
  connection.send({ op: "live", sub: frame.id, at });
}

export const message = (seq, rest = {}) => ({ op: "msg", subject: "/t/a", log: "l", at: [0, seq], json: { n: seq }, ...rest });
