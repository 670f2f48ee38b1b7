"""`python -m loadtest peer`: Whimbrel and Centrifugo, one after the other, with the same load and the same clients.

The clients of both are the fleet's, and differ only in what the protocols ask for. History and recovery are on in both.
A row has Whimbrel's figure, and Centrifugo's as the goal. What one of them cannot do is said in place of its figure.

Not here: the steps of a load (bench.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtest.bench import (
    KEYS,
    TRACKED_EVERY,
    Bench,
    Children,
    Server,
    cpu_of,
    expected,
    ms,
    raw_latency,
    resumed,
    steady,
    subjects,
)
from loadtest.payload import key_name
from loadtest.peer.centrifugo import CHANNELS_HEADER, Centrifugo
from loadtest.peer.subscriber import PeerSubscriber
from loadtest.plots import Samples, plot_latency
from loadtest.process import Failed, Shares, resident_kb
from loadtest.report import Row, percentile
from loadtest.scattered import CLIENTS, FULL

FEWER = 10_000
FIRST = 200
"""Clients that pay for what is loaded and allocated once."""
HOT_CLIENTS = 100
BACK_S = 60


@dataclass(slots=True)
class Figures:
    """Those of one server, by name: value, unit, and whether less is better."""

    name: str
    found: dict[str, tuple[float, str, bool]] = field(default_factory=dict)
    curves: dict[str, Samples] = field(default_factory=dict)

    def less(self, name: str, value: float | None, unit: str) -> None:
        if value is not None:
            self.found[name] = (value, unit, True)

    def more(self, name: str, value: float, unit: str) -> None:
        self.found[name] = (value, unit, False)


def peer(bench: Bench) -> Iterator[Row]:
    """Connecting, scattered load at 10,000 and 30,000 out, a storm, one hot key: both servers, one after the other."""
    topic, hot = bench.topic("peer"), bench.topic("peer-hot")
    with bench.children() as load:
        bench.say("a raw consumer, so that Kafka's JVM has compiled what it needs before the first is measured")
        raw_latency(bench, load.producer, bench.topic("peer-warm"), rate=FULL * bench.scale)
    with bench.children() as load, bench.node(f"{topic},{hot}") as node:
        ours = _measured(bench, "Whimbrel", node, load, topic, hot)
    topic, hot = bench.topic("peer-other"), bench.topic("peer-other-hot")
    log = bench.artifacts / "bench-centrifugo.log"
    with (
        bench.children(PeerSubscriber, CHANNELS_HEADER) as load,
        Centrifugo(log, bench.kafka.bootstrap, [topic, hot]) as server,
    ):
        theirs = _measured(bench, "Centrifugo", server, load, topic, hot)
    for title in ours.curves:
        curves = {one.name: one.curves[title] for one in (ours, theirs) if title in one.curves}
        plot_latency(bench.artifacts / f"latency-peer-{title}.png", f"{title}: both servers", curves)
    for name, (value, unit, less) in ours.found.items():
        goal = theirs.found[name][0] if name in theirs.found else None
        yield Row(f"peer.{name}", value, unit, None, goal, None, less_is_better=less)


def _measured(bench: Bench, name: str, server: Server, load: Children, topic: str, hot: str) -> Figures:
    figures, chosen, rate = Figures(name), subjects(topic, CLIENTS), 10_000 * bench.scale
    _connect(bench, figures, server, load, chosen[:FEWER])
    _steady(bench, figures, "scattered", server, load, chosen[:FEWER], KEYS, rate)
    load.fleet.call("connect", port=server.port, subjects=chosen[FEWER:], tracked_every=TRACKED_EVERY)
    _steady(bench, figures, "full", server, load, chosen, KEYS, FULL * bench.scale)
    load.fleet.call("disconnect")
    try:
        figures.less("storm_p99_s", _storm(bench, name, server, load, chosen[:FEWER]), "s")
    except Failed as failed:
        bench.miss(f"{name}, storm: {failed}")
    load.fleet.call("disconnect")
    chosen = [f"/{hot}/{key_name(0).decode()}"] * HOT_CLIENTS
    load.fleet.call("connect", port=server.port, subjects=chosen, tracked_every=TRACKED_EVERY)
    _steady(bench, figures, "hot", server, load, chosen, 1, rate)
    return figures


def _storm(bench: Bench, name: str, server: Server, load: Children, chosen: list[str]) -> float:
    """All connections are cut at once, under load. Returns the seconds until 99 of 100 had all that they missed."""
    fleet, rate = load.fleet, 5_000 * bench.scale
    fleet.call("connect", port=server.port, subjects=chosen, tracked_every=1)
    bench.say(f"{name}: {len(chosen):,} connections cut at {rate:,.0f} msg/s")
    load.producer.begin("run", topic=chosen[0].split("/")[1], keys=KEYS, rate=rate, seconds=12)
    time.sleep(2)
    fleet.call("forget_joins")
    fleet.call("cut")
    joins = fleet.call("rejoined", count=len(chosen), timeout_s=BACK_S)
    counts = load.producer.result()
    if len(joins) < len(chosen):
        raise Failed(f"only {len(joins)} of {len(chosen)} clients came back: {fleet.call('seen')}")
    resumed(fleet, expected(counts, chosen))
    return percentile(joins, [1] * len(joins), 0.99) / 1e6


def _connect(bench: Bench, figures: Figures, server: Server, load: Children, chosen: list[str]) -> None:
    fleet = load.fleet
    fleet.call("connect", port=server.port, subjects=chosen[:FIRST], tracked_every=TRACKED_EVERY)
    time.sleep(1)
    kb, shares = resident_kb(server.pid), Shares({"server": server.pid})
    took_s = fleet.call("connect", port=server.port, subjects=chosen[FIRST:], tracked_every=TRACKED_EVERY)
    used, count = cpu_of(shares), len(chosen) - FIRST
    bench.say(f"{figures.name}: {count:,} clients in {took_s:.1f} s")
    time.sleep(1)
    figures.more("connects_per_cpu_s", count / used, "1/s")
    figures.less("kb_per_client", (resident_kb(server.pid) - kb) / count, "KB")


def _steady(
    bench: Bench,
    figures: Figures,
    title: str,
    server: Server,
    load: Children,
    chosen: list[str],
    keys: int,
    rate: float,
) -> None:
    bench.say(f"{figures.name}, {title}: {len(chosen):,} clients, {rate:,.0f} msg/s in")
    try:
        found = steady(bench, server, load, chosen, keys, rate)
    except Failed as failed:
        bench.miss(f"{figures.name}, {title}: {failed}")
        return
    figures.curves[title] = found.samples
    figures.less(f"{title}_p50_ms", ms(found.samples, 0.5), "ms")
    figures.less(f"{title}_p99_ms", ms(found.samples, 0.99), "ms")
    figures.more(f"{title}_msgs_per_cpu_s", found.messages / found.cpu_s, "1/s")
    figures.more(f"{title}_share_delivered", found.messages / found.due, "")
