/** The examples do what they say: React rendered into a document, the program for Node.js resumed, the page's script. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { Window } from "happy-dom";

import { serve, until } from "./server.js";

const HERE = fileURLToPath(new URL("..", import.meta.url));

function folder(t) {
  const made = mkdtempSync(join(tmpdir(), "whimbrel-js-"));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

/** Two flights, and one that is deleted again. */
function flying(frame, connection) {
  if (frame.op !== "subscribe") return;
  const from = frame.resume?.l[1] ?? 0;
  connection.send({ op: "subscribed", id: frame.id, answer: frame.resume ? "full" : "fresh", at: { l: [0, from] } });
  const flights = [{ json: { alt: 31000 } }, { json: { alt: 500 } }, { json: { alt: 12000 } }, { tombstone: true }];
  flights.forEach((value, n) => {
    if (n + 1 > from) connection.send({ op: "msg", sub: frame.id, subject: `/flights/${["A", "B", "A", "B"][n]}`, log: "l", at: [0, n + 1], ...value });
  });
  connection.send({ op: "live", sub: frame.id, at: { l: [0, 4] } });
}

test("React: the hook shows what is there, and the error that ended it", async (t) => {
  const contents = `
    import { createElement } from "react";
    import { createRoot } from "react-dom/client";
    import { Flights, Whimbrel } from "./examples/react.jsx";
    export function show(element, servers) {
      const root = createRoot(element);
      root.render(createElement(Whimbrel, { servers }, createElement(Flights)));
      return root;
    }`;
  const outfile = join(folder(t), "bundle.mjs");
  await build({ stdin: { contents, resolveDir: HERE }, outfile, bundle: true, format: "esm", jsx: "automatic", define: { "process.env.NODE_ENV": '"production"' } });
  const window = new Window();
  const names = { window, document: window.document, HTMLElement: window.HTMLElement, HTMLIFrameElement: window.HTMLIFrameElement };
  Object.assign(globalThis, names);
  t.after(async () => {
    for (const name of Object.keys(names)) delete globalThis[name];
    await window.happyDOM.close();
  });
  const { show } = await import(pathToFileURL(outfile).href);
  const server = await serve(t, flying);
  const element = window.document.createElement("div");
  const root = show(element, [server.url]);
  await until(() => element.textContent === "A: 12000");
  root.unmount();
  await until(() => server.connections[0].socket.readyState === 3);
  const refusing = await serve(t, (frame, connection) => frame.op === "subscribe" && connection.send({ op: "error", id: frame.id, code: 4311, error: "not_mapped", reason: "no" }));
  const other = show(element, [refusing.url]);
  await until(() => element.textContent === "subscribe to /flights/*: 4311 not_mapped: no");
  other.unmount();
});

test("Node.js: goes on where it was", async (t) => {
  const server = await serve(t, flying);
  const cwd = folder(t);
  const program = () => spawn(process.execPath, [join(HERE, "examples", "node.mjs"), server.url, "/flights/*"], { cwd, stdio: ["ignore", "pipe", "inherit"] });
  const lines = async (child, count) => {
    let out = "";
    child.stdout.on("data", (data) => (out += data));
    await until(() => out.split("\n").length > count);
    child.kill("SIGINT");
    await once(child, "close");
    return out.trim().split("\n");
  };
  assert.deepEqual(await lines(program(), 4), ['/flights/A {"alt":31000}', '/flights/B {"alt":500}', '/flights/A {"alt":12000}', "/flights/B undefined"]);
  writeFileSync(join(cwd, "place.json"), '{"l":[0,2]}');
  assert.deepEqual(await lines(program(), 2), ['/flights/A {"alt":12000}', "/flights/B undefined"]);
});

test("the page's script uses what there is", async (t) => {
  const server = await serve(t, flying);
  const html = readFileSync(join(HERE, "examples", "plain.html"), "utf8");
  const script = /<script type="module">([^]*?)<\/script>/.exec(html)[1];
  const file = join(folder(t), "page.mjs");
  writeFileSync(file, `let client;${script.replace("http://localhost:8080/sdk/whimbrel.js", pathToFileURL(join(HERE, "whimbrel.js")).href).replace("ws://localhost:8080", server.url).replace("const client", "client")}\nexport { client };`);
  const window = new Window();
  window.document.write(html.replace(/<script[^]*<\/script>/, ""));
  Object.assign(globalThis, { window, document: window.document });
  const { client } = await import(pathToFileURL(file).href);
  t.after(async () => {
    client.close();
    delete globalThis.window;
    delete globalThis.document;
    await window.happyDOM.close();
  });
  await until(() => window.document.getElementById("flights").textContent.trim() === 'A: {"alt":12000}');
  assert.equal(window.document.getElementById("state").textContent, "connected");
});
