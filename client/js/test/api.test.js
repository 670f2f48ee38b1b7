/** API.md against the package: every name, option, parameter, member, event, field and type, and no others. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Message } from "../message.js";
import * as sdk from "../whimbrel.js";

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
const PAGE = read("API.md");
const TYPES = read("types/whimbrel.d.ts");
const INTERNAL = new Set(["constructor", "waiting", "put", "finish"]);
const ERROR_FIELDS = { RequestError: ["code", "error", "reason"], PublishError: ["outcomeUnknown"], ClosedError: ["code", "reason"] };

function section(title) {
  const found = PAGE.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
  assert.ok(found, title);
  return found;
}

/** First and second cells of all tables. */
const rows = (text) => new Map([...text.matchAll(/^\| `([^`]+)` \| (.*) \|$/gm)].map(([, name, said]) => [name, said]));
const sorted = (names) => [...names].sort();

function signature(name, fn) {
  const source = fn.toString();
  let depth = 1;
  let parameters = "";
  for (const character of source.slice(source.indexOf("(") + 1)) {
    if (")}".includes(character)) depth -= 1;
    if (depth === 0) break;
    if (depth === 1) parameters += character === "{" ? "options" : character;
    if ("({".includes(character)) depth += 1;
  }
  const names = parameters.split(",").map((one) => one.trim().split(/[ }=]/)[0]).filter(Boolean);
  return `${name}(${names.join(", ")})`;
}

function membersOf(prototype) {
  return Object.entries(Object.getOwnPropertyDescriptors(prototype))
    .filter(([name]) => !INTERNAL.has(name))
    .map(([name, { value }]) => (typeof value === "function" ? signature(name, value) : name));
}

test("members of classes", () => {
  const [options, members] = section("`Client`").split("| Member |");
  assert.deepEqual(sorted(rows(members).keys()), sorted(membersOf(sdk.Client.prototype)));
  const [, known] = /there are (.*)$/.exec(thrown(() => new sdk.Client("ws://a", { nothing: 1 })).message);
  assert.deepEqual(sorted(rows(options).keys()), sorted(known.split(", ")));
  const subscription = new sdk.Subscription("/t/a", null, {});
  assert.deepEqual(sorted(rows(section("`Subscription`")).keys()), sorted([...membersOf(sdk.Subscription.prototype), ...Object.keys(subscription)]));
  const message = new Message({ subject: "/t/a", log: "l", at: [0, 1], json: 1 }, "");
  assert.deepEqual(sorted(rows(section("`Message`")).keys()), sorted([...membersOf(Message.prototype), ...Object.keys(message)]));
});

test("errors and their fields", () => {
  const errors = Object.keys(sdk).filter((name) => name.endsWith("Error"));
  const fields = Object.entries(ERROR_FIELDS).flatMap(([name, fields]) => fields.map((field) => `${name}.${field}`));
  assert.deepEqual(sorted(rows(section("Errors")).keys()), sorted([...errors, ...fields]));
  assert.deepEqual(Object.keys(new sdk.PublishError("", 1, "", "", true)).filter((key) => key !== "name"), [...ERROR_FIELDS.RequestError, ...ERROR_FIELDS.PublishError]);
  assert.deepEqual(Object.keys(new sdk.ClosedError(1, "")).filter((key) => key !== "name"), ERROR_FIELDS.ClosedError);
});

test("functions and their parameters", () => {
  const functions = Object.entries(sdk).filter(([name]) => /^[a-z]/.test(name));
  assert.deepEqual(sorted(rows(section("Subjects")).keys()), sorted(functions.map(([name, fn]) => signature(name, fn))));
});

test("every name that is exported is documented, and no other", () => {
  const documented = [...rows(section("Errors")).keys(), ...rows(section("Subjects")).keys()].filter((name) => !name.includes("."));
  const names = documented.map((name) => name.split("(")[0]);
  assert.deepEqual(sorted([...names, "Client", "Subscription", "Message"]), sorted(Object.keys(sdk)));
});

test("types", () => {
  const types = [...TYPES.matchAll(/^export type (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(sorted(rows(section("Types")).keys()), sorted(types));
});

test("events and their fields", () => {
  const [, status] = /^export type Status = ([^]*?)^export type/m.exec(TYPES);
  const events = new Map([...status.matchAll(/type: "(\w+)";([^}]*)/g)].map(([, type, rest]) => [type, [...rest.matchAll(/(\w+):/g)].map(([, field]) => field)]));
  const documented = rows(section("Events"));
  assert.deepEqual(sorted(documented.keys()), sorted(events.keys()));
  for (const [type, said] of documented) {
    const fields = [...said.split(": ")[0].matchAll(/`(\w+)`/g)].map(([, field]) => field);
    assert.deepEqual(sorted(fields), sorted(events.get(type)), type);
  }
});

function thrown(fn) {
  try {
    fn();
  } catch (error) {
    return error;
  }
  assert.fail("nothing was thrown");
}
