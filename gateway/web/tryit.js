/**
 * The boxes to watch any subject and to publish: the SDK as anybody would use it.
 *
 * Not here: the map's own subscriptions (page.js).
 */

import { byID, clock, count, element, rate, say } from "./dom.js";
import { gapInWords, logsInWords } from "./words.js";

const SHOWN_MAX = 100;
const RENDER_MS = 250;
const TEXT_MAX = 2000;

const NOTHING = "Nothing is watched: type a subject, or choose something above.";

const STARTS = {
  latest: () => ({ from: "latest" }),
  now: () => ({ from: "now" }),
  last: () => ({ from: { last: 20 } }),
  time: () => ({ from: { time: Date.now() - 60_000 } }),
};

export class WatchBox {
  #client;
  #subscription = null;
  /** Newest last. */
  #fresh = [];
  #received = 0;
  #second = { began: 0, received: 0, rate: 0 };
  #isHeld = false;
  /** What the field was filled with, if not by the visitor. */
  #suggested = "";
  #placeOf;

  /** `placeOf(log)`: the topic and partition of a log, or null. */
  constructor(client, placeOf) {
    this.#client = client;
    this.#placeOf = placeOf;
    byID("watch").addEventListener("submit", (event) => {
      event.preventDefault();
      this.watch(byID("watch-subject").value.trim());
    });
    byID("watch-hold").addEventListener("click", () => {
      this.#isHeld = !this.#isHeld;
      byID("watch-hold").setAttribute("aria-pressed", String(this.#isHeld));
    });
    setInterval(() => this.#render(), RENDER_MS);
  }

  /** What can be watched; `first`, or the first of them, is in the field until the visitor has chosen. */
  offer(patterns, first = patterns[0] ?? "") {
    const list = byID("subjects");
    if ([...list.children].map(({ value }) => value).join("\n") !== patterns.join("\n")) {
      list.replaceChildren(...patterns.map((value) => element("option", { value })));
    }
    const field = byID("watch-subject");
    if (field.value !== this.#suggested || this.#subscription !== null || document.activeElement === field) return;
    field.value = this.#suggested = first;
  }

  /** Show this subject's messages instead of what was shown. */
  watch(subject) {
    byID("watch-subject").value = subject;
    this.#subscription?.close();
    this.#subscription = null;
    this.#fresh = [];
    this.#received = 0;
    this.#second = { began: performance.now(), received: 0, rate: 0 };
    byID("messages").replaceChildren();
    say(byID("watch-error"), "");
    say(byID("messages-none"), `Asking for ${subject} …`);
    try {
      this.#subscription = this.#client.subscribe(subject, (message) => this.#receive(message), STARTS[byID("watch-from").value]());
    } catch (error) {
      say(byID("watch-error"), error.message);
      say(byID("messages-none"), NOTHING);
    }
    byID("watch-hold").disabled = this.#subscription === null;
  }

  /** News of a subscription; true if it is this box's. */
  onStatus(status) {
    if (status.subscription === undefined || status.subscription !== this.#subscription) return false;
    if (status.type === "refused") {
      this.#subscription = null;
      byID("watch-hold").disabled = true;
      say(byID("watch-error"), `${status.error}: ${status.reason}`);
      say(byID("messages-none"), NOTHING);
    }
    const words = this.#progress(status);
    if (words !== null) say(byID("messages-none"), words);
    if (status.type === "gap") say(byID("watch-error"), gapInWords(status.gaps, this.#placeOf));
    return true;
  }

  /** What the box waits for, said where the messages will be; null when this status does not change it. */
  #progress({ type, subscription, why, waiting }) {
    switch (type) {
      case "waiting":
        return `Waiting: ${why}`;
      case "subscribed":
      case "resumed":
        return waiting.length > 0 ? `Waiting for ${logsInWords(waiting, this.#placeOf)} to be read …` : `No message of ${subscription.subject} yet.`;
      case "live":
        return `No message of ${subscription.subject} yet.`;
      default:
        return null;
    }
  }

  #receive(message) {
    this.#received += 1;
    this.#fresh.push(message);
    if (this.#fresh.length > SHOWN_MAX) this.#fresh.shift();
  }

  #render() {
    const now = performance.now();
    if (now - this.#second.began >= 1000) {
      const per_s = ((this.#received - this.#second.received) * 1000) / (now - this.#second.began);
      this.#second = { began: now, received: this.#received, rate: per_s };
    }
    const summary = this.#subscription === null ? "" : `${count(this.#received)} received · ${rate(this.#second.rate)} per second`;
    say(byID("watch-summary"), summary);
    byID("messages-none").hidden = this.#received > 0;
    if (this.#isHeld || this.#fresh.length === 0) return;
    const list = byID("messages");
    list.prepend(...this.#fresh.splice(0).reverse().map(row));
    while (list.children.length > SHOWN_MAX) list.lastChild.remove();
  }
}

function row(message) {
  const time = message.time === null ? "" : clock(new Date(message.time));
  return element(
    "li",
    { className: message.kind },
    element("span", { className: "when", textContent: time }),
    element("span", { className: "subject", textContent: message.subject, title: `${message.log} [${message.at.join(", ")}]` }),
    element("span", { className: "value", textContent: valueOf(message) }),
  );
}

function valueOf(message) {
  if (message.kind === "tombstone") return "deleted";
  if (message.kind === "bytes") return `${count(message.bytes.length)} bytes`;
  const text = message.kind === "json" ? JSON.stringify(message.json) : message.text;
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}

export class PublishBox {
  #client;
  #subjectOf;
  #onRefused;
  /** topic or namespace -> what is known of it */
  #open = new Map();

  /** `onRefused` is called with the code when a publish is refused. */
  constructor(client, subjectOf, onRefused) {
    this.#client = client;
    this.#subjectOf = subjectOf;
    this.#onRefused = onRefused;
    byID("publish").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#publish();
    });
  }

  /** The topics and namespaces of the node; those that allow publishing are offered. */
  offer(topics) {
    const open = topics.filter(({ publish }) => publish);
    byID("publish-section").hidden = open.length === 0;
    const select = byID("publish-topic");
    if (open.map(({ topic }) => topic).join() !== [...this.#open.keys()].join()) {
      select.replaceChildren(...open.map(({ topic }) => element("option", { value: topic, textContent: topic })));
    }
    this.#open = new Map(open.map((one) => [one.topic, one]));
  }

  async #publish() {
    const topic = byID("publish-topic").value;
    const text = byID("publish-value").value;
    const outcome = byID("publish-outcome");
    const began = performance.now();
    outcome.className = "quiet";
    say(outcome, "on its way …");
    try {
      const value = this.#open.get(topic)?.value === "json" ? { json: JSON.parse(text) } : { text };
      const { log, at } = await this.#client.publish(this.#subjectOf(topic, byID("publish-key").value || null), value);
      const where = at === null ? `in log ${log}` : `at ${at[1]} of log ${log}`;
      say(outcome, `acknowledged by ${this.#open.get(topic)?.isNative ? "the cluster" : "Kafka"} ${where}, after ${Math.round(performance.now() - began)} ms`);
    } catch (error) {
      outcome.className = "error";
      say(outcome, error.message);
      this.#onRefused(error.code);
    }
  }
}
