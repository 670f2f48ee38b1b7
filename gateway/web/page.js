/**
 * The page of a node: a client like any other, with a map, a proof that nothing is missing, and the node's own figures.
 *
 * Not here: drawing (map.js), the node's figures (status.js), the boxes (tryit.js).
 */

import { Client, subjectOf } from "./sdk/whimbrel.js";

import { ClusterView } from "./cluster.js";
import { Console } from "./console.js";
import { Sparkline, byID, clock, count, element, moment, rate, say } from "./dom.js";
import { Fleet } from "./fleet.js";
import { LiveMap } from "./map.js";
import { Proof } from "./proof.js";
import { SignIn, storedToken } from "./signin.js";
import { StatusView } from "./status.js";
import { PublishBox, WatchBox } from "./tryit.js";
import { gapInWords } from "./words.js";

const EVENTS_MAX = 50;
/** Topics that the map shows, as far as the node carries them. */
const MOVING = "flights";
const STANDING = "airports";
const MOVING_PART = "/flights/ATL/*";

const proofs = new Map();
const fleet = new Fleet();
const subscribed = new Set();

let socket = null;
/** The browser's WebSocket, kept at hand so that a visitor can cut it. */
class CuttableWebSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    socket = this;
  }
}

/** The node that this page is or was connected to, and since when it has not been. */
const at = { node: null, lostAt: null };

/**
 * Where clients connect: beside the page, also below a path that a proxy gives it (`https://example.com/push/`). The admin
 * listener, which has the page too, says it in the address.
 */
const named = new URLSearchParams(location.search).get("server");
const server = named ?? "./";
/** The page of the admin listener may ask its own node only: the others say nothing where clients connect. */
const asksOthers = named === null;
const signIn = new SignIn();
const client = new Client(server, { name: "page", token: storedToken(), onStatus, WebSocket: CuttableWebSocket });
const publishBox = new PublishBox(client, subjectOf, (code) => signIn.refused(code));
const map = new LiveMap(byID("map"), fleet, onPoint);
const clusterView = new ClusterView();
const consoleView = new Console(asksOthers);
const statusView = new StatusView({ onSubject: (subject) => watch(subject), onTopics, onAnswer }, clusterView, consoleView);
const watchBox = new WatchBox(client, statusView.placeOf);
const spark = new Sparkline(byID("received-spark"));

setInterval(everySecond, 1000);
byID("cut").addEventListener("click", () => (client.state === "reconnecting" ? client.wake() : socket?.close()));

/** A node answers: whoever looks at this page need not wait for the pause before the next attempt. */
function onAnswer() {
  if (client.state === "reconnecting") client.wake();
}

/** Offer what the node carries, and show the map once the node is known to carry what moves on it. */
function onTopics(topics) {
  const names = topics.map(({ topic }) => topic);
  publishBox.offer(topics);
  watchBox.offer(names.map((name) => `/${name}/*`), names.includes(MOVING) ? MOVING_PART : undefined);
  if (names.includes(MOVING)) showMap();
  if (names.includes(MOVING)) follow(MOVING, (message) => fleet.receive(message, performance.now()));
  if (names.includes(STANDING)) follow(STANDING, (message) => map.setAirport(message));
}

/** It stays: a node that has just started does not know its topics yet. */
function showMap() {
  const section = byID("map-section");
  if (!section.hidden) return;
  section.hidden = false;
  loadLand();
}

function follow(topic, show) {
  if (subscribed.has(topic)) return;
  subscribed.add(topic);
  const proof = new Proof();
  const subscription = client.subscribe(`/${topic}/*`, (message) => {
    proof.message(message);
    consoleView.received(message);
    show(message);
  });
  proofs.set(subscription, proof);
}

function onStatus(status) {
  const { type, subscription } = status;
  const proof = proofs.get(subscription);
  if (proof && (type === "subscribed" || type === "live")) proof.begin(status.at);
  if (proof && type === "gap") proof.gap(status.gaps);
  watchBox.onStatus(status);
  if (type === "connected") showNode(status);
  if (type === "closed") signIn.closed(status.code, status.reason);
  if (type === "refused") signIn.refused(status.code);
  if (type === "reconnecting" || type === "closed") {
    at.lostAt ??= performance.now();
    clusterView.connected(null);
  }
  const words = describe(status);
  if (words !== null) addEvent(type, words);
  showClientState();
}

/** The page has a connection: say so if it is to another node than before. */
function showNode({ node, server }) {
  if (asksOthers) statusView.connected(server);
  clusterView.connected(node);
  if (at.node !== null && at.node !== node) clusterView.moved(at.node, node, performance.now() - at.lostAt);
  at.node = node;
  at.lostAt = null;
}

function describe(status) {
  const subject = status.subscription?.subject;
  switch (status.type) {
    case "connected":
      return `connected to node ${status.node}`;
    case "reconnecting":
      return `no connection: ${status.reason}; trying again in ${moment(status.pause_s * 1000)}`;
    case "moving":
      return `the node asks to move within ${status.within_s} s`;
    case "closed":
      return `closed: ${status.reason}`;
    case "subscribed":
      return `${subject} subscribed`;
    case "resumed":
      return `${subject} resumed: ${status.answer === "full" ? "everything missed follows" : "not all can be had"}`;
    case "gap":
      return `${subject} gap: ${gapInWords(status.gaps, statusView.placeOf)}`;
    case "ended":
      return `${subject} log ${status.log} has ended`;
    case "waiting":
      return `${subject} waits: ${status.why}`;
    case "missing":
      return `${status.subject} a message was missing; asked for again`;
    case "refused":
      return `${subject} refused: ${status.reason}`;
    default:
      return null;
  }
}

function addEvent(type, words) {
  const list = byID("events");
  const isAtTop = list.scrollTop < 5;
  const row = element("li", {}, element("span", { className: "when", textContent: clock() }), element("span", { textContent: words }));
  row.dataset.type = type;
  list.prepend(row);
  if (isAtTop) list.scrollTop = 0;
  while (list.children.length > EVENTS_MAX) list.lastChild.remove();
}

function showClientState() {
  const target = byID("client-state");
  target.dataset.state = client.state;
  say(target, client.state === "connected" ? `This page: connected to ${at.node}` : `This page: ${client.state}`);
  say(byID("cut"), client.state === "reconnecting" ? "Connect now" : "Cut the connection");
}

const shown = { received: 0 };

function everySecond() {
  const sum = (name) => [...proofs.values()].reduce((total, proof) => total + proof[name], 0);
  const received = sum("received");
  const perSecond = received - shown.received;
  shown.received = received;
  say(byID("received-rate"), rate(perSecond));
  spark.push(perSecond);
  say(byID("received"), count(received));
  for (const name of ["missed", "repeated"]) {
    say(byID(name), count(sum(name)));
    byID(`${name}-box`).classList.toggle("wrong", sum(name) > 0);
  }
  showFleet();
}

function showFleet() {
  const { moving, late } = fleet.count();
  const words = moving === 0 ? "waiting for data" : `${count(moving)} flights in the air, ${Math.round((100 * late) / moving)} % late`;
  say(byID("map-summary"), words);
  byID("map").setAttribute("aria-label", `Map of the United States: ${words}`);
  placeCard();
}

function onPoint(thing, isChosen) {
  map.pointed = thing?.subject ?? null;
  byID("map").classList.toggle("pointing", thing !== null);
  placeCard();
  if (thing !== null && isChosen) watch(thing.subject);
}

function placeCard() {
  const card = byID("card");
  const thing = fleet.things.get(map.pointed);
  card.hidden = thing === undefined;
  if (thing === undefined) return;
  const { from, to, delay_min: delay, progress } = thing.value;
  const late = delay > 0 ? `${delay} min late` : delay < 0 ? `${-delay} min early` : "on time";
  card.replaceChildren(
    element("strong", { textContent: `${from} → ${to}` }),
    element("span", { textContent: Number.isFinite(progress) ? `${late} · ${Math.round(100 * progress)} % of the way` : late }),
    element("span", { className: "mono", textContent: thing.subject }),
  );
  const [x, y] = map.pixelOf(thing);
  const stage = byID("stage");
  card.style.left = `${Math.min(Math.max(x + 14, 4), stage.clientWidth - card.offsetWidth - 4)}px`;
  card.style.top = `${y > stage.clientHeight / 2 ? y - card.offsetHeight - 12 : y + 14}px`;
}

function watch(subject) {
  watchBox.watch(subject);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const box = byID("try-title").closest("section");
  const { top, bottom } = box.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) box.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  box.classList.remove("chosen");
  requestAnimationFrame(() => box.classList.add("chosen"));
}

async function loadLand() {
  const answer = await fetch("land.json");
  if (!answer.ok) return;
  const land = await answer.json();
  map.setLand(land);
  say(byID("source"), `Outline: ${land.source.split(";")[0]}`);
}
