"""What is measured of one node: each scenario starts its own, loads it, checks that nothing was lost, and gives rows.

Goals are those of this version (`goal`) and of the design (`design`). The floor of each row is measured beside it,
with the same fleet. A scenario that cannot be measured raises `Failed`; what was lost or late is never reported as
a figure.

Not here: several nodes (mesh_scenarios.py), the load (fleet.py, kafka_load.py), the floor's server (bare.py), output
(report.py, plots.py).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol

from loadtest.bare import Bare
from loadtest.fleet import Fleet, Seen, now_us
from loadtest.kafka_load import PARTITIONS, Producing, Reading
from loadtest.node import Node
from loadtest.payload import key_name
from loadtest.plots import Samples, plot_latency
from loadtest.process import Child, Failed, Shares, cpu_s, resident_kb
from loadtest.report import Row, percentile

KEYS = 10_000
WARM_S = 3.0
FLOOR_S = 5.0
TRACKED_EVERY = 100


class Broker(Protocol):
    """What the benchmark needs of a running Kafka."""

    bootstrap: str

    def create_topic(self, topic: str, partitions: int = 1) -> None: ...

    def pid(self, broker: int = 1) -> int: ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What every scenario is given."""

    kafka: Broker
    seconds: float
    """How long each steady load is measured."""
    artifacts: Path
    say: Callable[[str], None]
    """Shows progress."""

    def node(self, topic: str, settings: dict[str, str] | None = None) -> Node:
        log = self.artifacts / "bench-node.log"
        return Node(log, "--kafka", self.kafka.bootstrap, "--topics", topic, settings=settings)

    @contextmanager
    def children(self) -> Iterator[tuple[Child, Child, Child]]:
        """The fleet, the producer and the floor's server."""
        with (
            Child("fleet", partial(Fleet, 1)) as fleet,
            Child("producer", partial(Producing, self.kafka.bootstrap, 2)) as producer,
            Child("bare server", partial(Bare, 3)) as bare,
        ):
            yield fleet, producer, bare


@dataclass(frozen=True, slots=True)
class Steady:
    """A steady load, as measured."""

    messages: int
    reads: int
    cpu_s: float
    """Of all of Whimbrel's processes."""
    samples: Samples
    on_time: float
    """How many messages were due in that time."""

    @property
    def keeps_up(self) -> bool:
        return self.messages >= 0.95 * self.on_time

    def per_cpu_s(self, floor: float) -> float:
        """Messages per CPU-second.

        Raises:
            Failed: Whimbrel did not keep up, so that this is not the figure of the load that was asked for.
        """
        rate = self.messages / self.cpu_s
        if not self.keeps_up:
            raise Failed(
                f"did not keep up: {self.messages:,} messages arrived of {self.on_time:,.0f} due; "
                f"{rate:,.0f} per CPU-second, the floor at the same time {floor:,.0f}"
            )
        return rate


def subjects(topic: str, count: int) -> list[str]:
    """One random key of the topic for each client."""
    random = Random(4)
    return [f"/{topic}/{key_name(random.randrange(KEYS)).decode()}" for _ in range(count)]


def warm_up(bench: Bench) -> None:
    """Let Kafka's JVM compile what the scenarios use: else the first floor would be the worst."""
    bench.kafka.create_topic("warm", PARTITIONS)
    bench.say("warming up")
    with Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer:
        try:
            raw_latency(bench, producer, "warm")
        except Failed as failed:  # the scenarios will show whether that matters
            bench.say(f"not as warm as it should be: {failed}")


def scattered(bench: Bench) -> Iterator[Row]:
    """10,000 keys; 10,000 clients for latency, then 15,000 for throughput."""
    topic = "scattered"
    bench.kafka.create_topic(topic, PARTITIONS)
    with bench.children() as (fleet, producer, bare):
        bench.say("raw consumer at 10,000 msg/s")
        raw = raw_latency(bench, producer, topic)
        chosen = subjects(topic, 15_000)
        with bench.node(topic) as node:
            bench.say("10,000 clients, 10,000 msg/s")
            fleet.call("connect", port=node.port, subjects=chosen[:10_000], tracked_every=TRACKED_EVERY)
            slow = steady(bench, node, fleet, producer, chosen[:10_000], KEYS, 10_000)
            title = "Scattered: 10,000 clients, 10,000 keys, 10,000 msg/s"
            plot(bench, "scattered", title, slow, raw)
            yield from latency_rows("scattered", slow, raw, ((0.5, 2, 1), (0.99, 15, 8)))
            bench.say("15,000 clients, 20,000 msg/s in, 30,000 out")
            fleet.call("connect", port=node.port, subjects=chosen[10_000:], tracked_every=TRACKED_EVERY)
            fast = steady(bench, node, fleet, producer, chosen, KEYS, 20_000)
        fleet.call("disconnect")
        bench.say("bare sends to 15,000 sockets")
        fleet.call("connect", port=bare.call("port"), subjects=chosen, tracked_every=TRACKED_EVERY)
        work = bare.call("scatter", topic=topic, keys=KEYS, rate=20_000, seconds=FLOOR_S)
        clean(fleet, work["writes"])
    floor = work["writes"] / work["send_cpu_s"]
    yield Row("scattered.msgs_per_cpu_s", fast.per_cpu_s(floor), "1/s", floor, 40_000, 60_000)


def connect(bench: Bench) -> Iterator[Row]:
    """10,000 clients connect, say hello and subscribe until live; what they cost then."""
    topic, count, first = "connect", 10_000, 200
    bench.kafka.create_topic(topic, PARTITIONS)
    with bench.children() as (fleet, producer, bare):
        producer.call("fill", topic=topic, keys=KEYS, count=KEYS)
        chosen = subjects(topic, first + count)

        def joined(port: int, pid: int) -> tuple[float, float]:
            # The first few pay for what is loaded and allocated once.
            fleet.call("connect", port=port, subjects=chosen[:first], tracked_every=TRACKED_EVERY)
            time.sleep(1)
            kb, shares = resident_kb(pid), Shares({"whimbrel": pid, "fleet": fleet.pid})
            took = fleet.call("connect", port=port, subjects=chosen[first:], tracked_every=TRACKED_EVERY)
            words, used = shares.words(), cpu_of(shares)
            bench.say(f"{count:,} clients in {took:.1f} s; shares of a core: {words}")
            time.sleep(1)
            result = count / used, (resident_kb(pid) - kb) / count
            fleet.call("disconnect")
            return result

        with bench.node(topic) as node:
            bench.say("connecting to Whimbrel")
            rate, kb = joined(node.port, node.pid)
        bench.say("connecting to the bare server")
        bare_rate, bare_kb = joined(bare.call("port"), bare.pid)
    yield Row("connect.per_cpu_s", rate, "1/s", bare_rate, 4_000, 8_000)
    yield Row("memory.kb_per_client", kb, "KB", bare_kb, 4, 3, less_is_better=True)


def hot(bench: Bench) -> Iterator[Row]:
    """One key with 100 clients at 10,000 msg/s: a million messages per second, coalesced."""
    topic, clients, rate = "hot", 100, 10_000
    bench.kafka.create_topic(topic, PARTITIONS)
    chosen = [f"/{topic}/{key_name(0).decode()}"] * clients
    with bench.children() as (fleet, producer, bare):
        bench.say("raw consumer at 10,000 msg/s")
        raw = raw_latency(bench, producer, topic, keys=1)
        with bench.node(topic) as node:
            bench.say(f"{clients} clients, {rate:,} msg/s in, {clients * rate:,} out")
            fleet.call("connect", port=node.port, subjects=chosen, tracked_every=TRACKED_EVERY)
            load = steady(bench, node, fleet, producer, chosen, 1, rate)
        fleet.call("disconnect")
        together = max(1, load.messages // load.reads)
        bench.say(f"bare sends, {together} messages in each")
        fleet.call("connect", port=bare.call("port"), subjects=chosen, tracked_every=TRACKED_EVERY)
        work = bare.call("hot", subject=chosen[0], rate=rate, seconds=FLOOR_S, together=together)
        sent = int(rate * FLOOR_S) * clients
        clean(fleet, sent)
    title = "Hot: 100 clients of one subject, 10,000 msg/s in, 1,000,000 out"
    plot(bench, "hot", title, load, raw)
    floor = sent / work["send_cpu_s"]
    yield Row("hot.msgs_per_cpu_s", load.per_cpu_s(floor), "1/s", floor, 2_000_000, 3_000_000)
    yield Row("hot.p50_ms", ms(load.samples, 0.5), "ms", ms(raw, 0.5), None, 3, less_is_better=True)
    yield Row("hot.p99_ms", ms(load.samples, 0.99), "ms", ms(raw, 0.99), None, 15, less_is_better=True)


def fill(bench: Bench) -> Iterator[Row]:
    """A node starts on half a million records: the time until ready, less that of a start on an empty topic."""
    topic, empty, count, checked = "fill", "fill-empty", 500_000, 1_000
    bench.kafka.create_topic(topic, PARTITIONS)
    bench.kafka.create_topic(empty, PARTITIONS)
    with bench.children() as (fleet, producer, _), Child("reader", partial(Reading, bench.kafka.bootstrap)) as raw:
        bench.say(f"producing {count:,} records")
        producer.call("fill", topic=topic, keys=KEYS, count=count)
        bench.say("raw consumer")
        floor = count / raw.call("read_all", topic=topic, count=count)
        settings = {"cache.bytes": "2GiB"}
        with bench.node(empty, settings) as node:
            start_s = node.ready_s
        bench.say("node")
        with bench.node(topic, settings) as node:
            took_s = node.ready_s - start_s
            bench.say(
                f"ready after {node.ready_s:.2f} s, with an empty topic {start_s:.2f} s, {cpu_s(node.pid):.2f} CPU-s"
            )
            # Ready must mean filled: clients get the last value of their keys, and the next one follows it.
            chosen = [f"/{topic}/{key_name(key).decode()}" for key in range(checked)]
            fleet.call("connect", port=node.port, subjects=chosen, tracked_every=1)
            producer.call("fill", topic=topic, keys=KEYS, count=checked)
            clean(fleet, checked)
    yield Row("kafka_to_cache.msgs_per_s", count / took_s, "1/s", floor, None, 150_000)


def storm(bench: Bench) -> Iterator[Row]:
    """10,000 clients lose their connections at once under load; then all workers are killed."""
    topic, clients, rate = "storm", 10_000, 5_000
    bench.kafka.create_topic(topic, PARTITIONS)
    chosen = subjects(topic, clients)
    with bench.children() as (fleet, producer, bare):

        def stormed(pid: int, cause: Callable[[], object]) -> float:
            fleet.call("forget_joins")
            shares = Shares({"server": pid, "fleet": fleet.pid})
            cause()
            joins = fleet.call("rejoined", count=clients, timeout_s=30)
            refused = fleet.call("seen")["refused"]
            bench.say(f"shares of a core: {shares.words()}; {refused} handshakes were answered 503 so far")
            if len(joins) < clients:
                raise Failed(f"only {len(joins)} of {clients} clients came back: {fleet.call('seen')}")
            return percentile(joins, [1] * clients, 0.99) / 1e6

        with bench.node(topic) as node:
            fleet.call("connect", port=node.port, subjects=chosen, tracked_every=1)
            bench.say(f"{clients:,} connections cut at {rate:,} msg/s")
            producer.begin("run", topic=topic, keys=KEYS, rate=rate, seconds=16)
            time.sleep(2)
            cut_s = stormed(node.pid, lambda: fleet.call("cut"))
            bench.say(f"all live again, p99 {cut_s:.2f} s; killing the workers")
            time.sleep(1)
            killed_s = stormed(node.pid, node.kill_workers)
            counts = producer.result()
            resumed(fleet, expected(counts, chosen))
        fleet.call("disconnect")
        bench.say("the same with the bare server")
        fleet.call("connect", port=bare.call("port"), subjects=chosen, tracked_every=1)
        floor = stormed(bare.pid, lambda: fleet.call("cut"))
    yield Row("storm.p99_s", cut_s, "s", floor, None, 2, less_is_better=True)
    yield Row("storm.workers_killed_p99_s", killed_s, "s", floor, less_is_better=True)


SCENARIOS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "scattered": scattered,
    "connect": connect,
    "hot": hot,
    "fill": fill,
    "storm": storm,
}


# Steps that scenarios share.


def steady(
    bench: Bench, node: Node, fleet: Child, producer: Child, chosen: list[str], keys: int, rate: float
) -> Steady:
    """Load the node for a while; measure after a warm-up.

    Raises:
        Failed: Something was lost.
    """
    topic = chosen[0].split("/")[1]
    earlier: Seen = fleet.call("seen")
    producer.begin("run", topic=topic, keys=keys, rate=rate, seconds=WARM_S + bench.seconds + 0.2)
    begin_us = now_us() + int(WARM_S * 1e6)
    fleet.call("sample", begin_us=begin_us, end_us=begin_us + int(bench.seconds * 1e6))
    time.sleep(WARM_S)
    pids = {"whimbrel": node.pid, "fleet": fleet.pid, "producer": producer.pid, "Kafka": bench.kafka.pid()}
    shares, before = Shares(pids), fleet.call("seen")
    time.sleep(bench.seconds)
    words, used, after = shares.words(), cpu_of(shares), fleet.call("seen")
    bench.say(f"shares of a core: {words}")
    due = expected(producer.result(), chosen)
    clean(fleet, earlier["received"] + due)
    return Steady(
        messages=after["received"] - before["received"],
        reads=after["reads"] - before["reads"],
        cpu_s=used,
        samples=fleet.call("samples"),
        on_time=due * bench.seconds / (WARM_S + bench.seconds + 0.2),
    )


def raw_latency(bench: Bench, producer: Child, topic: str, keys: int = KEYS) -> Samples:
    """Latencies of a raw consumer at 10,000 msg/s, with nothing else running."""
    with Child("reader", partial(Reading, bench.kafka.bootstrap)) as reader:
        reader.call("follow", topic=topic)
        producer.begin("run", topic=topic, keys=keys, rate=10_000, seconds=WARM_S + FLOOR_S)
        begin_us = now_us() + int(WARM_S * 1e6)
        reader.call("sample", begin_us=begin_us, end_us=begin_us + int(FLOOR_S * 1e6))
        producer.result()
        time.sleep(0.2)
        samples: Samples = reader.call("samples")
        return samples


def expected(counts: Counter[int], chosen: list[str]) -> int:
    """How many messages the clients of `chosen` are due, when the keys got so many."""
    clients = Counter(chosen)
    topic = chosen[0].split("/")[1]
    return sum(count * clients[f"/{topic}/{key_name(key).decode()}"] for key, count in counts.items())


def clean(fleet: Child, received: int) -> None:
    """Wait for the last message; nothing may be missing, and no connection may have been lost.

    Raises:
        Failed: Something was.
    """
    losses = resumed(fleet, received)
    if losses:
        raise Failed(f"{losses} connections were lost")


def resumed(fleet: Child, received: int) -> int:
    """As `clean`, but connections may have been lost. Returns how many."""
    got = fleet.call("until", received=received, timeout_s=10)
    seen: Seen = fleet.call("seen")
    if got != received or seen["faults"]:
        raise Failed(f"{got:,} of {received:,} messages were received; {dict(seen['faults'])} {seen['words'][:5]}")
    return seen["losses"]


def cpu_of(shares: Shares) -> float:
    return shares.used_s()["whimbrel"]


def ms(samples: Samples, share: float) -> float:
    return percentile(*samples, share) / 1000


def plot(bench: Bench, name: str, title: str, load: Steady, raw: Samples) -> None:
    plot_latency(bench.artifacts / f"latency-{name}.png", title, {"Whimbrel": load.samples, "raw consumer": raw})


def latency_rows(name: str, load: Steady, raw: Samples, goals: tuple[tuple[float, float, float], ...]) -> Iterator[Row]:
    """A row for each (share, goal, design's goal), both in milliseconds above the raw consumer.

    Messages that came late count with their lateness, so these hold also when Whimbrel did not keep up.
    """
    for share, goal, design in goals:
        floor = ms(raw, share)
        figure = f"{name}.p{share * 100:.0f}_ms"
        yield Row(figure, ms(load.samples, share), "ms", floor, floor + goal, floor + design, less_is_better=True)
