/**
 * Shows the cluster: its members and the links between them, who does what, and to which of them this page is connected.
 * In a demo each member has buttons that kill it or cut it off from the others.
 *
 * Not here: what the status means (mesh.js), asking for it (asking.js).
 */

import { byID, count, duration, element, moment, say } from "./dom.js";
import { facts, forgotten, overview, partitionsInWords, positions, ranges } from "./mesh.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, MARGIN] = [240, 168, 26];
const CUT_S = 15;
const TIMEOUT_MS = 4000;
const MOVED_SHOWN_MS = 8000;

export class ClusterView {
  #members = new Map();
  #connected = null;
  #shown = null;
  #moved;

  /** Show a status document's part about the cluster; what is no cluster is not shown. */
  show({ cluster, node }) {
    const isCluster = cluster !== null && typeof cluster === "object" && (cluster.members ?? []).length > 1;
    byID("cluster-section").hidden = !isCluster;
    if (!isCluster) return;
    say(byID("cluster-view"), `as node ${node} sees it`);
    this.#render(overview(cluster));
  }

  #render(shown) {
    this.#shown = shown;
    const state = byID("cluster-state");
    state.dataset.state = this.#shown.state;
    say(state, this.#shown.state);
    say(byID("cluster-title"), `Cluster ${this.#shown.name}`);
    say(byID("cluster-words"), this.#shown.words);
    this.#showMembers();
    this.#draw();
    this.#showStrip(byID("slots"), this.#shown.slots, ({ coordinator }) => coordinator, slotInWords);
    this.#showStrip(byID("feeds"), this.#shown.feeds, ({ feeder }) => feeder, feedInWords);
    this.#showWork();
  }

  /** No node answers: what is shown is what was. */
  unknown() {
    if (this.#shown === null || this.#shown.state === "unknown") return;
    say(byID("cluster-view"), "");
    this.#render(forgotten(this.#shown));
  }

  /** The page is connected to this node; null: to none. */
  connected(name) {
    this.#connected = name;
    if (this.#shown === null) return;
    this.#showMembers();
    this.#draw();
  }

  /** Say for a moment that the page goes on at another node. */
  moved(from, to, afterMs) {
    const words = byID("moved");
    say(words, `connected to ${to}, ${moment(afterMs)} after ${from} was lost`);
    words.classList.add("shown");
    clearTimeout(this.#moved);
    this.#moved = setTimeout(() => words.classList.remove("shown"), MOVED_SHOWN_MS);
  }

  // Members.

  #showMembers() {
    const { members, slots, feeds, controls } = this.#shown;
    for (const [name, card] of this.#members) {
      if (members.some((member) => member.name === name)) continue;
      card.root.remove();
      this.#members.delete(name);
    }
    members.forEach((member, n) => {
      let card = this.#members.get(member.name);
      if (card === undefined) {
        card = new Card();
        this.#members.set(member.name, card);
      }
      if (byID("members").children[n] !== card.root) byID("members").insertBefore(card.root, byID("members").children[n] ?? null);
      card.show(member, { slots: slots.length, feeds: feeds.length, isConnected: member.name === this.#connected, controls });
    });
  }

  /** Members around the page, a line for each link, and one from the page to its node. */
  #draw() {
    const picture = byID("cluster-picture");
    const { members, links } = this.#shown;
    const places = positions(members.length, WIDTH, HEIGHT, MARGIN);
    const placeOf = new Map(members.map(({ name }, n) => [name, places[n]]));
    const middle = [WIDTH / 2, HEIGHT / 2];
    const state = JSON.stringify([members.map(({ name, state }) => [name, state]), links, this.#connected]);
    if (picture.dataset.drawn === state) return;
    picture.dataset.drawn = state;
    picture.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    const parts = links.map((link) => line(placeOf.get(link.from), placeOf.get(link.to), `link ${link.state}`));
    if (placeOf.has(this.#connected)) parts.push(line(middle, placeOf.get(this.#connected), "flow"));
    parts.push(drawn("rect", { x: middle[0] - 24, y: middle[1] - 12, width: 48, height: 24, rx: 4, class: "page" }));
    parts.push(word(middle, "page", "page-word"));
    for (const { name, state, colour } of members) {
      const [cx, cy] = placeOf.get(name);
      parts.push(drawn("circle", { cx, cy, r: 19, class: `member ${state}`, "data-colour": colour }));
      parts.push(word([cx, cy], name, `member-word ${state}`));
    }
    picture.replaceChildren(...parts);
    const told = members.map(({ name, state }) => `${name} ${state}`).join(", ");
    picture.setAttribute("aria-label", `Nodes: ${told}. This page is connected to ${this.#connected ?? "none"}.`);
  }

  // Work.

  /** A cell for each piece of work, in the colour of who does it. */
  #showStrip(strip, pieces, doer, words) {
    const cells = strip.children;
    while (cells.length > pieces.length) strip.lastChild.remove();
    while (cells.length < pieces.length) strip.append(element("span"));
    pieces.forEach((piece, n) => {
      const colour = piece.colour === null ? "none" : `${piece.colour}`;
      if (cells[n].dataset.colour !== colour) cells[n].dataset.colour = colour;
      const title = words(piece);
      if (cells[n].title !== title) cells[n].title = title;
    });
    strip.parentElement.hidden = pieces.length === 0;
    const idle = pieces.filter((piece) => doer(piece) === null).length;
    strip.setAttribute("aria-label", `${count(pieces.length)}, ${count(idle)} of them without a node`);
  }

  #showWork() {
    const rows = this.#shown.members.map(({ name, cluster_address: address, slots, partitions }) => [
      name,
      address,
      slots.length > 0 ? ranges(slots) : "none",
      partitions.length > 0 ? partitionsInWords(partitions) : "none",
    ]);
    const body = byID("work").tBodies[0];
    while (body.rows.length > rows.length) body.deleteRow(-1);
    while (body.rows.length < rows.length) for (const row = body.insertRow(); row.cells.length < 4; ) row.insertCell();
    rows.forEach((cells, n) => cells.forEach((text, m) => say(body.rows[n].cells[m], text)));
  }
}

class Card {
  #name = element("strong");
  #state = element("span", { className: "state" });
  #here = element("span", { className: "here", textContent: "this page", hidden: true });
  #facts = element("p", { className: "facts quiet" });
  #shares = new Map();
  #controls = element("span", { className: "controls", hidden: true });
  #outcome = element("p", { className: "error", role: "alert" });
  #origin = null;
  #cutUntil = 0;

  constructor() {
    this.kill = this.#button("Kill", "End its process at once, as kill -9 does", () => this.#order(this.kill, "kill"));
    this.cut = this.#button(`Cut off ${CUT_S} s`, "It runs, but hears nothing of the other nodes", () => this.#cutOff());
    const head = element("div", { className: "member-head" }, element("span", { className: "swatch" }), this.#name, this.#state, this.#here);
    const shares = element("dl", { className: "shares" }, this.#share("coordinates"), this.#share("feeds"));
    this.root = element("li", { className: "member-card" }, head, shares, this.#facts, this.#controls, this.#outcome);
  }

  show(member, { slots, feeds, isConnected, controls }) {
    this.#origin = member.origin;
    const { dataset } = this.root;
    if (dataset.state !== member.state) say(this.#outcome, "");
    [dataset.name, dataset.state, dataset.colour, dataset.connected] = [member.name, member.state, member.colour, isConnected];
    say(this.#name, member.name);
    this.#state.dataset.state = member.state;
    say(this.#state, member.state === "unknown" ? "no answer" : `${member.state} for ${duration(member.for_s ?? 0)}`);
    this.#here.hidden = !isConnected;
    this.#showShare("coordinates", member.slots.length, slots, "slots");
    this.#showShare("feeds", member.partitions.length, feeds, "partitions");
    const isHere = member.state === "alive" || member.state === "suspect";
    say(this.#facts, facts(member).join(" · "));
    this.#controls.hidden = !controls || this.#origin === null;
    this.kill.disabled = !isHere;
    this.kill.ariaLabel = `Kill node ${member.name}`;
    this.#showCut();
  }

  #button(text, title, onClick) {
    const button = element("button", { type: "button", textContent: text, title });
    button.addEventListener("click", onClick);
    this.#controls.append(button);
    return button;
  }

  #share(name) {
    const share = { text: element("dd"), bar: element("dd", { className: "share" }) };
    this.#shares.set(name, share);
    return element("div", {}, element("dt", { textContent: name }), share.text, share.bar);
  }

  #showShare(name, part, all, unit) {
    const { text, bar } = this.#shares.get(name);
    say(text, `${count(part)} ${unit}`);
    bar.style.setProperty("--share", `${all > 0 ? (100 * part) / all : 0}%`);
  }

  async #cutOff() {
    if (await this.#order(this.cut, `cut?seconds=${CUT_S}`)) this.#cutUntil = performance.now() + CUT_S * 1000;
    this.#showCut();
  }

  #showCut() {
    const left = Math.ceil((this.#cutUntil - performance.now()) / 1000);
    const { state, name } = this.root.dataset;
    const isHere = state !== "left" && state !== "unknown" && (state !== "dead" || left > 0);
    this.cut.disabled = left > 0 || !isHere;
    say(this.cut, left > 0 ? `Cut off for ${left} s` : `Cut off ${CUT_S} s`);
    this.cut.ariaLabel = `${this.cut.textContent}: node ${name}`;
  }

  /** Tell this very node; whether it will do it. */
  async #order(button, what) {
    button.disabled = true;
    say(this.#outcome, "");
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const answer = await fetch(`${this.#origin}/v1/demo/${what}`, { method: "POST", headers: { "X-Whimbrel-Demo": "1" }, signal });
      if (!answer.ok) say(this.#outcome, (await answer.text()).trim());
      return answer.ok;
    } catch {
      if (what !== "kill") say(this.#outcome, "the node does not answer"); // who is dead cannot
      return false;
    }
  }
}

function slotInWords({ slot, coordinator, epoch, commit }) {
  const upTo = commit ? `, committed up to ${commit.join(" / ")}` : "";
  return `slot ${slot}: ${coordinator ?? "no coordinator"}, epoch ${epoch}${upTo}`;
}

function feedInWords({ topic, partition, feeder }) {
  return `${topic} ${partition}: ${feeder === null ? "nobody feeds it" : `fed by ${feeder}`}`;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function line([x1, y1], [x2, y2], className) {
  return drawn("line", { x1, y1, x2, y2, class: className });
}

function word([x, y], text, className) {
  const made = drawn("text", { x, y, class: className, "text-anchor": "middle", "dominant-baseline": "central" });
  made.textContent = text;
  return made;
}
