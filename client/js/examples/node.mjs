/** Print what comes, and go on where it was after an interruption: `node node.mjs ws://localhost:8080 "/flights/*"`. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Client, WhimbrelError } from "whimbrel";

const [, , server, subject] = process.argv;
const PLACE = "place.json";

const client = new Client(server, {
  onStatus: (status) => {
    if (status.type === "gap") console.error("gap:", status.gaps);
    if (status.type === "reconnecting") console.error("reconnecting:", status.reason);
  },
});
process.on("SIGINT", () => client.close());

try {
  const start = existsSync(PLACE) ? { resume: JSON.parse(readFileSync(PLACE, "utf8")) } : "latest";
  const subscription = client.subscribe(subject, null, start);
  for await (const message of subscription) {
    console.log(message.subject, message.jsonText ?? message.text);
    writeFileSync(PLACE, JSON.stringify(subscription.place)); // it covers what has been taken, not what is queued
  }
} catch (error) {
  if (!(error instanceof WhimbrelError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
