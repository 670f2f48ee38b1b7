/**
 * The console: the last minutes as small plots (each node, each topic, the delay of what this page receives), who is
 * slow, which partitions lag, and what has happened in the cluster.
 *
 * Not here: the node's figures of this moment (status.js), summing up (trends.js).
 */

import { fetchStatus } from "./asking.js";
import { Sparkline, byID, clock, count, element, fillTable, rate, say } from "./dom.js";
import { originOf } from "./sources.js";
import { behind, percentile, ratesOf } from "./trends.js";

const POINTS = 300;
const PEERS_EVERY_MS = 2000;
const DELAYS_MAX = 20_000;

export class Console {
  #plots = new Map();
  #statuses = new Map();
  #delays = [];
  #origins = new Map();
  #wasAsked = 0;
  #asksOthers;

  /** Whether the other nodes can be asked, too. */
  constructor(asksOthers) {
    this.#asksOthers = asksOthers;
  }

  /** A message was received by this page; what has no time, and what was kept for it, says nothing of delay. */
  received(message) {
    if (message.snapshot || message.time === null || this.#delays.length >= DELAYS_MAX) return;
    this.#delays.push(Date.now() - new Date(message.time).getTime());
  }

  /** What a node says, once a second. */
  show(status) {
    this.#statuses.set(status.node, status);
    const members = this.#asksOthers ? (status.cluster?.members ?? []) : [];
    this.#origins = new Map(members.filter(({ name }) => name !== status.node).map(({ name, url, state }) => [name, { url, state }]));
    if (performance.now() - this.#wasAsked > PEERS_EVERY_MS) this.#askPeers();
    const nodes = [status.node, ...this.#origins.keys()].sort();
    for (const node of nodes) {
      const { out } = ratesOf(this.#statuses.get(node));
      this.#plot("trend-nodes", node, out, `${rate(out)} /s`);
    }
    for (const [topic, perSecond] of ratesOf(status).topics) this.#plot("trend-topics", topic, perSecond, `${rate(perSecond)} /s`);
    this.#forget("trend-nodes", nodes);
    this.#showDelay();
    this.#showBehind(behind([...this.#statuses.values()]));
    this.#showRecent(status.recent ?? []);
  }

  /** No node answers: nothing is known of any. */
  unknown() {
    this.#statuses.clear();
    this.#showBehind([]);
  }

  async #askPeers() {
    this.#wasAsked = performance.now();
    await Promise.all(
      [...this.#origins].map(async ([name, { url, state }]) => {
        const origin = state === "alive" ? originOf(url ?? "") : null;
        const status = origin === null ? null : await fetchStatus(origin);
        if (status === null) this.#statuses.delete(name);
        else this.#statuses.set(name, status);
      }),
    );
  }

  #plot(place, name, value, words) {
    const key = `${place} ${name}`;
    let plot = this.#plots.get(key);
    if (plot === undefined) {
      const chart = element("dd", { className: "spark" });
      plot = { value: element("dd"), line: new Sparkline(chart, POINTS), root: element("div", {}, element("dt", { textContent: name })) };
      plot.root.append(plot.value, chart);
      this.#plots.set(key, plot);
      byID(place).append(plot.root);
    }
    say(plot.value, words);
    plot.line.push(value);
  }

  /** Nodes that are not known any more have no plots. */
  #forget(place, names) {
    for (const [key, { root }] of this.#plots) {
      if (!key.startsWith(`${place} `) || names.includes(key.slice(place.length + 1))) continue;
      root.remove();
      this.#plots.delete(key);
    }
  }

  #showDelay() {
    const delays = this.#delays.splice(0).sort((a, b) => a - b);
    byID("trend-delay").hidden = delays.length === 0 && !this.#plots.has("trend-delay half of them within");
    if (byID("trend-delay").hidden) return;
    for (const [name, share] of [["half of them within", 0.5], ["99 of 100 within", 0.99]]) {
      const value = percentile(delays, share);
      this.#plot("trend-delay", name, value ?? 0, value === null ? "–" : `${count(Math.max(value, 0))} ms`);
    }
  }

  #showBehind(rows) {
    byID("behind-none").hidden = rows.length > 0;
    byID("behind").hidden = rows.length === 0;
    fillTable(byID("behind").tBodies[0], rows);
  }

  #showRecent(recent) {
    const list = byID("recent");
    const last = recent.at(-1);
    const shown = last === undefined ? "" : `${recent.length} ${last.time} ${last.text}`;
    if (list.dataset.shown === shown) return;
    list.dataset.shown = shown;
    const rows = recent.toReversed().map(({ time, text }) => element("li", {}, element("span", { className: "when", textContent: clock(new Date(time)) }), element("span", { textContent: text })));
    list.replaceChildren(...rows);
  }
}
