// What a user's TypeScript sees: compiled, never run (tests/client/test_js_sdk.py).

import {
  Client,
  ClosedError,
  type ClientOptions,
  type Message,
  type Place,
  PublishError,
  type Start,
  type Status,
  SubjectError,
  SubscribeError,
  type Subscription,
  type Value,
} from "whimbrel";

const options: ClientOptions = {
  getToken: async () => "secret",
  learnServers: false,
  onStatus(status: Status) {
    if (status.type === "gap") for (const gap of status.gaps) console.log(status.subscription.subject, gap.log, gap.why);
    if (status.type === "reconnecting") console.log(status.pause_s.toFixed(1), status.reason);
  },
};
const client = new Client(["wss://a.example", "wss://b.example"], options);
const show = (message: Message) => {
  const key: string | null = message.key;
  const bytes: Uint8Array | undefined = message.bytes;
  const time: number | null = message.time;
  const exact: string | undefined = message.jsonText;
  console.log(key, bytes, time, exact, message.json.anything, message.at[1]);
};
const subscription = client.subscribe("/flights/*", show, { from: { last: 10 } });
const place: Place = subscription.place;
for (const [log, position] of Object.entries(place)) console.log(log, position?.[1] ?? "nothing of it yet");
const start: Start = { resume: place };
client.subscribe("/flights/*", show, start).unsubscribe();
client.subscribe("/flights/*", show, { resume: { log: null } });
client.subscribe("/flights/*", show, "now");
// @ts-expect-error: null says that a log was waiting, which only a place can
client.subscribe("/flights/*", show, { from: { at: { log: null } } });
// @ts-expect-error: not a start
client.subscribe("/flights/*", show, { from: "yesterday" });
// @ts-expect-error: not a start
client.subscribe("/flights/*", show, "yesterday");

interface Flight {
  alt: number;
}
const flights: Subscription<Flight> = client.subscribe<Flight>("/flights/*");
async function iterate() {
  await flights.ready.catch((error: unknown) => console.log(error instanceof SubscribeError && error.code));
  for await (const message of flights) {
    const alt: number = message.json.alt;
    // @ts-expect-error: a flight has no such thing
    console.log(alt, message.json.speed);
  }
  await client.closed.catch((error: unknown) => console.log(error instanceof ClosedError && error.code));
}
iterate();
client.subscribe("/flights/*", ({ json }: Message<Flight>) => json.alt.toFixed());
client.subscribe<Flight>("/flights/*", ({ json }) => json.alt.toFixed());
const value: Value = { bytes: new Uint8Array([1]) };
client.publish("/notes/1", value, { headers: [["name", null]], timeout_s: 5 }).then(
  ({ log, at }) => console.log(log, at?.[0]),
  (error: unknown) => console.log(error instanceof PublishError && error.outcomeUnknown, error instanceof SubjectError),
);
client.publish("/notes/1", { jsonText: "12345678901234567890" });
// @ts-expect-error: a value is an object that says its kind
client.publish("/notes/1", "text");
client.close();
