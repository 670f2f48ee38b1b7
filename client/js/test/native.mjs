/**
 * The SDK where there is no more than in React Native: no window, no document, no process, no crypto, no TextDecoder, a URL
 * without parts that can be set, a WebSocket that takes headers. Run by platform.test.js with --experimental-vm-modules.
 */

import { readFileSync } from "node:fs";
import { createContext, SourceTextModule } from "node:vm";
import { WebSocket } from "ws";

const [, , url] = process.argv;

class NativeURL {
  constructor(text) {
    this.href = text;
  }
  get pathname() {
    throw new Error("not implemented");
  }
  get protocol() {
    throw new Error("not implemented");
  }
}

class NativeWebSocket extends WebSocket {
  constructor(url, protocols, options) {
    super(url, protocols, { origin: new URL(url).origin, ...options });
  }
}

const context = createContext({
  WebSocket: NativeWebSocket,
  URL: NativeURL,
  console,
  performance: { now: () => performance.now() },
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
  AbortController,
  Promise,
});
const modules = new Map();

async function load(address) {
  if (!modules.has(address.href)) {
    const source = readFileSync(address, "utf8");
    if (source.includes("import.meta")) throw new Error(`${address}: Hermes has no import.meta`);
    modules.set(address.href, new SourceTextModule(source, { context, identifier: address.href }));
  }
  return modules.get(address.href);
}

const sdk = await load(new URL("../whimbrel.js", import.meta.url));
await sdk.link((specifier, parent) => load(new URL(specifier, parent.identifier)));
await sdk.evaluate();
const { Client, parseSubject, subjectOf } = sdk.namespace;
const client = new Client(url, { connectOptions: { headers: { "X-App": "mine" } } });
const subscription = client.subscribe("/t/*");
await client.publish("/t/Zürich 😀", { bytes: new Uint8Array([0, 255, 16, 1, 2]) }, { headers: [["h", "é"]] });
for await (const message of subscription) {
  console.log(JSON.stringify([message.key, [...(message.bytes ?? [])], message.subject]));
  if (message.key === "Zürich 😀") break;
}
console.log(subjectOf("t", new Uint8Array([0xc3, 0xa9, 0xff, 0x2a, 0xe2, 0x82])), [...parseSubject("/t/%FFé").key].join());
client.close();
