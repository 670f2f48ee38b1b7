/**
 * Shows what a node says of itself and of its cluster: `/v1/status`, once a second while the page is seen. Asked is the
 * node that this page is connected to; if it does not answer, another one.
 *
 * Not here: asking (asking.js), what this page receives as a client (page.js), the part about the cluster (cluster.js).
 */

import { fetchStatus } from "./asking.js";
import { Sparkline, byID, bytes, count, duration, element, fillTable, rate, say } from "./dom.js";
import { RawLinks } from "./rawlinks.js";
import { Sources } from "./sources.js";

const EVERY_MS = 1000;

export class StatusView {
  #onSubject;
  #onTopics;
  #cluster;
  #console;
  #onAnswer;
  #sources = new Sources(new URL(".", location.href).href.replace(/\/$/, ""));
  #rawLinks = new RawLinks(this.#sources.current);
  #places = new Map();
  #sparks = new Map();
  #tiles = new Map();
  #isAsking = false;

  /**
   * @param {{ onSubject: (subject: string) => void, onTopics: (topics: object[]) => void, onAnswer: () => void }} callbacks
   *   one of the busiest was chosen; what the node carries; a node has answered
   * @param {{ show: (status: object) => void, unknown: () => void }} cluster shows the part about the cluster
   * @param {{ show: (status: object) => void, unknown: () => void }} console shows the last minutes
   */
  constructor({ onSubject, onTopics, onAnswer }, cluster, console) {
    this.#onSubject = onSubject;
    this.#onTopics = onTopics;
    this.#onAnswer = onAnswer;
    this.#cluster = cluster;
    this.#console = console;
    this.#poll();
    setInterval(() => this.#poll(), EVERY_MS);
  }

  /** The page is connected to the node at this address. */
  connected(server) {
    this.#sources.prefer(server);
    this.#poll();
  }

  async #poll() {
    if (document.hidden || this.#isAsking) return;
    this.#isAsking = true;
    const status = await this.#ask();
    this.#isAsking = false;
    if (status === null) return this.#showUnknown();
    this.#show(status);
    this.#onAnswer();
  }

  /** What a node says, or null when none does. */
  async #ask() {
    for (let asked = 0; asked < this.#sources.count; asked++) {
      const origin = this.#sources.current;
      const status = await fetchStatus(origin);
      if (status !== null) {
        this.#sources.learn((status.cluster?.members ?? []).map(({ url }) => url ?? ""));
        this.#rawLinks.pointTo(origin);
        return status;
      }
      if (this.#sources.current === origin) this.#sources.failed();
    }
    this.#rawLinks.pointTo(this.#sources.current);
    return null;
  }

  /** No node answers: what they last said may be so no more, and is not shown as if it were. */
  #showUnknown() {
    this.#showState("unknown", "Node: no answer");
    this.#showProblems(["no node answers: the figures below are the last ones"]);
    say(byID("kafka-summary"), "");
    for (const { lastChild } of byID("partitions").tBodies[0].rows) {
      lastChild.dataset.state = "unknown";
      say(lastChild, "unknown");
    }
    this.#cluster.unknown();
    this.#console.unknown();
  }

  /** The topic and partition of a log; null when the node has not said it. */
  placeOf = (log) => this.#places.get(log) ?? null;

  #show(status) {
    this.#places = new Map(status.kafka.topics.flatMap(({ topic, partitions }) => partitions.map(({ log, partition }) => [log, { topic, partition }])));
    document.title = `Whimbrel · ${status.node}`;
    say(byID("node"), `node ${status.node}`);
    say(byID("uptime"), `up ${duration(status.uptime_s)} · version ${status.version}`);
    this.#showState(status.state, `Node: ${status.state}`);
    this.#showProblems(status.problems);
    this.#showTiles(status);
    fillTable(
      byID("workers").tBodies[0],
      status.workers.map((w) => [
        `${w.index}`,
        count(w.connections),
        count(w.subscriptions),
        rate(w.messages_out_per_s),
        count(w.slow_clients ?? 0),
        `${((w.loop_delay_s ?? 0) * 1000).toFixed(1)} ms`,
        count(w.restarts),
      ]),
    );
    this.#showBusiest(status.busiest);
    this.#showKafka(status.kafka, status.cluster?.feeds);
    this.#cluster.show(status);
    this.#console.show(status);
    this.#onTopics([...status.kafka.topics, ...(status.namespaces ?? []).map(({ name, ...rest }) => ({ topic: name, isNative: true, ...rest }))]);
  }

  #showState(state, text) {
    const target = byID("node-state");
    target.dataset.state = state;
    say(target, text);
  }

  #showProblems(problems) {
    const list = byID("problems");
    list.hidden = problems.length === 0;
    const shown = [...list.children].map(({ textContent }) => textContent);
    if (shown.join("\n") !== problems.join("\n")) list.replaceChildren(...problems.map((text) => element("li", { textContent: text })));
  }

  #showTiles({ clients, rates, cache, publishes, kafka }) {
    this.#tile("clients", count(clients.connections), `${count(clients.subscriptions)} subscriptions`, clients.connections);
    if (kafka.used !== false) this.#tile("from Kafka, per second", rate(rates.in_per_s), "", rates.in_per_s);
    this.#tile("to clients, per second", rate(rates.out_per_s), "", rates.out_per_s);
    this.#tile("cache", bytes(cache.bytes), `of ${bytes(cache.bytes_max)} · keeps ${duration(cache.ttl_s)}`, cache.bytes);
    this.#tile("messages in the cache", count(cache.messages), `${count(cache.subjects)} subjects`, cache.messages);
    this.#tile("published", count(publishes.accepted), `${count(publishes.in_flight)} on their way, ${count(publishes.failed)} failed`);
  }

  #tile(name, value, more, charted) {
    let tile = this.#tiles.get(name);
    if (tile === undefined) {
      tile = { value: element("dd"), more: element("dd", { className: "quiet" }) };
      const box = element("div", {}, element("dt", { textContent: name }), tile.value, tile.more);
      if (charted !== undefined) {
        const chart = element("dd", { className: "spark" });
        this.#sparks.set(name, new Sparkline(chart));
        box.append(chart);
      }
      this.#tiles.set(name, tile);
      byID("tiles").append(box);
    }
    say(tile.value, value);
    say(tile.more, more);
    this.#sparks.get(name)?.push(charted);
  }

  #showBusiest(busiest) {
    const list = byID("busiest");
    const most = Math.max(...busiest.map(({ per_s }) => per_s), 1e-9);
    while (list.children.length > busiest.length) list.lastChild.remove();
    while (list.children.length < busiest.length) {
      const button = element("button", { type: "button", title: "Watch it" }, element("span"), element("span"));
      button.addEventListener("click", () => this.#onSubject(button.firstChild.textContent));
      list.append(element("li", {}, button));
    }
    busiest.forEach(({ subject, per_s }, n) => {
      const button = list.children[n].firstChild;
      say(button.firstChild, subject);
      say(button.lastChild, rate(per_s));
      button.ariaLabel = `Watch ${subject}, ${rate(per_s)} per second`;
      button.style.setProperty("--share", `${(100 * per_s) / most}%`);
    });
  }

  #showKafka({ used, connected, brokers, topics }, feeds) {
    byID("kafka-section").hidden = used === false;
    const feeders = new Map((feeds ?? []).map(({ topic, partition, feeder }) => [`${topic} ${partition}`, feeder ?? "nobody"]));
    const partitions = topics.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, ...partition })));
    const lag = partitions.reduce((sum, partition) => sum + (partition.lag ?? 0), 0);
    say(byID("kafka-summary"), `${connected ? brokers.join(", ") : "away"} · ${count(partitions.length)} partitions · lag ${count(lag)}`);
    const body = byID("partitions").tBodies[0];
    fillTable(
      body,
      partitions.map((p) => [p.topic, `${p.partition}`, p.end?.[1] === -1 ? "empty" : count(p.end?.[1]), count(p.lag), rate(p.messages_per_s), feeders.get(`${p.topic} ${p.partition}`) ?? "–", p.state]),
    );
    byID("partitions").toggleAttribute("data-fed", feeders.size > 0);
    partitions.forEach((partition, n) => (body.rows[n].lastChild.dataset.state = partition.state));
  }
}
