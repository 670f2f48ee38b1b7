// What a user's TypeScript sees: compiled, never run (tests/client/test_js_sdk.py).

import { Client, type Message, type Place, PublishError, type Status, SubjectError, type Value } from "whimbrel";

const client = new Client(["wss://a.example", "wss://b.example"], {
  token: async () => "secret",
  onStatus(status: Status) {
    if (status.type === "gap") for (const gap of status.gaps) console.log(status.subscription.subject, gap.log, gap.why);
    if (status.type === "reconnecting") console.log(status.pause_s.toFixed(1), status.reason);
  },
});
const show = (message: Message) => {
  const key: string | null = message.key;
  const bytes: Uint8Array | undefined = message.bytes;
  const time: number | null = message.time;
  console.log(key, bytes, time, message.json.anything, message.at[1]);
};
const subscription = client.subscribe("/flights/*", show, { from: { last: 10 } });
const place: Place = subscription.place;
for (const [log, position] of Object.entries(place)) console.log(log, position?.[1] ?? "nothing of it yet");
client.subscribe("/flights/*", show, { resume: place });
client.subscribe("/flights/*", show, { resume: { log: null } });
// @ts-expect-error: null says that a log was waiting, which only a place can
client.subscribe("/flights/*", show, { from: { at: { log: null } } });
// @ts-expect-error: not a start
client.subscribe("/flights/*", show, { from: "yesterday" });
const value: Value = { bytes: new Uint8Array([1]) };
client.publish("/notes/1", value, { headers: [["name", null]] }).then(
  ({ log, at }) => console.log(log, at?.[0]),
  (error: unknown) => console.log(error instanceof PublishError && error.code, error instanceof SubjectError),
);
// @ts-expect-error: a value is an object that says its kind
client.publish("/notes/1", "text");
client.close();
