"""What scenarios share: what they are given, the steps that they are made of, and when a figure counts.

What was lost or late is never reported as a figure: a step that finds it raises `Failed`.

Not here: the scenarios (scenarios.py, mesh_scenarios.py), the load (fleet.py, kafka_load.py), the floor's server
(bare.py), output (report.py, plots.py).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol

from loadtest.bare import Bare, Work
from loadtest.fleet import Fleet, Seen, now_us
from loadtest.kafka_load import PARTITIONS, Producing, Reading
from loadtest.node import Node
from loadtest.payload import key_name
from loadtest.plots import Samples, plot_latency
from loadtest.process import Child, Failed, Shares
from loadtest.report import Row, percentile
from loadtest.subscriber import Subscriber
from loadtest.threads import Cpu, compilers_s, since, threads, threads_table

KEYS = 10_000
WARM_S = 3.0
WARM_UP_MAX_S = 90.0
WARM_RATE = 20_000
CALM = 0.03
"""Share of a core that the compilers of Kafka's JVM may take when a measurement begins."""
CALM_LOOKS = 3
"""Of `WARM_S` each, in a row."""
EARNEST_S = 5.0
"""Whoever measures each load for less wants a quick look, and does not wait for the compilers."""
FLOOR_S = 5.0
TRACKED_EVERY = 100
LATE_S = 1.0
"""When the producer was further behind its schedule, latencies say more about the machine than about Whimbrel."""


class Broker(Protocol):
    """What the benchmark needs of a running Kafka."""

    bootstrap: str

    def create_topic(self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None: ...

    def pid(self, broker: int = 1) -> int: ...


class Server(Protocol):
    """What is measured: a node, or whatever it is compared with."""

    port: int

    @property
    def pid(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Children:
    """The processes that are the load."""

    fleet: Child
    producer: Child
    bare: Child
    """The floor's server."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every scenario is given."""

    kafka: Broker
    seconds: float
    """How long each steady load is measured."""
    artifacts: Path
    say: Callable[[str], None]
    """Shows progress."""
    checkout: Path | None = None
    """Whose node is measured; None: ours. The load is always ours."""
    run: int = 0
    """When scenarios run several times: which time this is. Each has topics of its own."""
    scale: float = 1.0
    """Rates of messages are multiplied by it; goals hold for 1."""
    by_thread: bool = False
    """Whether to say what each thread took."""
    missing: list[str] = field(default_factory=list)
    """Why rows are missing, where the scenario went on."""

    def miss(self, words: str) -> None:
        """Rows cannot be had, and the scenario goes on."""
        self.missing.append(words)
        self.say(f"not measured: {words}")

    def topic(self, name: str, config: Mapping[str, str] | None = None) -> str:
        """A new topic."""
        topic = f"{name}-{self.run}" if self.run else name
        self.kafka.create_topic(topic, PARTITIONS, config)
        return topic

    def node(self, topic: str, settings: dict[str, str] | None = None, *flags: str) -> Node:
        log = self.artifacts / "bench-node.log"
        command = ("--kafka", self.kafka.bootstrap, "--topics", topic, *flags)
        return Node(log, *command, settings=settings, checkout=self.checkout)

    @contextmanager
    def children(self, client: type[Subscriber] = Subscriber, header: str | None = None) -> Iterator[Children]:
        """`client` is what the fleet is made of; `header` one of the records' that says their subject."""
        with (
            Child("fleet", partial(Fleet, 1, client)) as fleet,
            Child("producer", partial(Producing, self.kafka.bootstrap, 2, header)) as producer,
            Child("bare server", partial(Bare, 3)) as bare,
        ):
            yield Children(fleet, producer, bare)


@dataclass(frozen=True, slots=True)
class Steady:
    """A steady load, as measured."""

    seconds: float
    messages: int
    reads: int
    cpu_s: float
    """Of all of Whimbrel's processes."""
    threads: dict[str, Cpu]
    """The same by thread."""
    samples: Samples
    due: float
    """How many messages the values produced in that time make."""
    late_s: float
    """How far the producer was behind its schedule, at worst."""

    @property
    def keeps_up(self) -> bool:
        return self.messages >= 0.95 * self.due

    def per_cpu_s(self, floor: float) -> float:
        """Messages per CPU-second.

        Raises:
            Failed: Whimbrel did not keep up, so that this is not the figure of the load that was asked for.
        """
        rate = self.messages / self.cpu_s
        if not self.keeps_up:
            raise Failed(
                f"did not keep up: {self.messages:,} messages arrived of {self.due:,.0f} due; "
                f"{rate:,.0f} per CPU-second, the floor at the same time {floor:,.0f}"
            )
        return rate


def subjects(topic: str, count: int) -> list[str]:
    """One random key of the topic for each client."""
    random = Random(4)
    return [f"/{topic}/{key_name(random.randrange(KEYS)).decode()}" for _ in range(count)]


def warm_up(bench: Bench) -> None:
    """Load Kafka until its JVM has compiled what the scenarios use: its compilers would take their CPU meanwhile."""
    topic, looks_s = bench.topic("warm"), WARM_UP_MAX_S if bench.seconds >= EARNEST_S else 2 * WARM_S
    bench.say("warming up")
    with (
        Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer,
        Child("reader", partial(Reading, bench.kafka.bootstrap)) as reader,
    ):
        try:
            reader.call("follow", topic=topic)
            producer.call("start", topic=topic, keys=KEYS, rate=WARM_RATE * bench.scale)
            bench.say(f"the compilers of Kafka's JVM take {_calm(bench.kafka.pid(), looks_s):.0%} of a core")
            producer.call("stop")
        except Failed as failed:  # the scenarios will show whether that matters
            bench.say(f"not as warm as it should be: {failed}")


def _calm(kafka: int, looks_s: float) -> float:
    """Wait for so long, or until the compilers rest. Returns the share of a core that they take."""
    until, looks, share = time.monotonic() + looks_s, 0, 1.0
    while looks < CALM_LOOKS and time.monotonic() < until:
        before = compilers_s(kafka)
        time.sleep(WARM_S)
        share = (compilers_s(kafka) - before) / WARM_S
        looks = looks + 1 if share < CALM else 0
    return share


def steady(bench: Bench, node: Server, load: Children, chosen: list[str], keys: int, rate: float) -> Steady:
    """Load the clients that are there for a while; measure after a warm-up.

    Raises:
        Failed: Something was lost.
    """
    load.producer.call("start", topic=chosen[0].split("/")[1], keys=keys, rate=rate)
    return under_way(bench, node, load, chosen, keys)


def under_way(bench: Bench, node: Server, load: Children, chosen: list[str], keys: int = KEYS) -> Steady:
    """Measure the load that there is, after a warm-up, and end it.

    Raises:
        Failed: Something was lost.
    """
    fleet, producer = load.fleet, load.producer
    begin_us = now_us() + int(WARM_S * 1e6)
    fleet.call("sample", begin_us=begin_us, end_us=begin_us + int(bench.seconds * 1e6))
    time.sleep(WARM_S)
    pids = {"server": node.pid, "fleet": fleet.pid, "producer": producer.pid, "Kafka": bench.kafka.pid()}
    sent, shares, by_thread, before = producer.call("sent"), Shares(pids), threads(node.pid), fleet.call("seen")
    began = time.monotonic()
    time.sleep(bench.seconds)
    sent = producer.call("sent") - sent
    words, used, used_by = shares.words(), cpu_of(shares), since(by_thread, threads(node.pid))
    elapsed, after = time.monotonic() - began, fleet.call("seen")
    bench.say(f"shares of a core: {words}")
    producer.call("stop")
    complete(load, chosen)
    return Steady(
        seconds=elapsed,
        messages=after["received"] - before["received"],
        reads=after["reads"] - before["reads"],
        cpu_s=used,
        threads=used_by,
        samples=fleet.call("samples"),
        due=sent * len(chosen) / keys,
        late_s=producer.call("late_s"),
    )


def bare_sends(load: Children, topic: str, chosen: list[str], rate: float) -> float:
    """The floor: messages per CPU-second of nothing but `send`, one for each recipient."""
    load.fleet.call("disconnect")
    load.fleet.call("connect", port=load.bare.call("port"), subjects=chosen, tracked_every=TRACKED_EVERY)
    work: Work = load.bare.call("scatter", topic=topic, keys=KEYS, rate=rate, seconds=FLOOR_S)
    clean(load.fleet, work["writes"])
    return work["writes"] / work["send_cpu_s"]


def raw_latency(bench: Bench, producer: Child, topic: str, keys: int = KEYS, rate: float = 10_000) -> Samples | None:
    """Latencies of a raw consumer, with nothing else running; None if the producer could not keep to its schedule."""
    with Child("reader", partial(Reading, bench.kafka.bootstrap)) as reader:
        reader.call("follow", topic=topic)
        producer.begin("run", topic=topic, keys=keys, rate=rate, seconds=WARM_S + FLOOR_S)
        begin_us = now_us() + int(WARM_S * 1e6)
        reader.call("sample", begin_us=begin_us, end_us=begin_us + int(FLOOR_S * 1e6))
        producer.result()
        time.sleep(0.2)
        samples: Samples = reader.call("samples")
    if (late_s := producer.call("late_s")) > LATE_S:
        bench.miss(f"a raw consumer at {rate:,.0f} msg/s: {too_late(late_s)}")
        return None
    return samples


def expected(counts: Counter[int], chosen: list[str]) -> int:
    """How many messages the clients of `chosen` are due, when the keys got so many."""
    clients = Counter(chosen)
    topic = chosen[0].split("/")[1]
    return sum(count * clients[f"/{topic}/{key_name(key).decode()}"] for key, count in counts.items())


def complete(load: Children, chosen: list[str]) -> None:
    """Wait until every client has the last value of its key; no connection may have been lost.

    Raises:
        Failed: Something was missing, or a connection was lost.
    """
    topic = chosen[0].split("/")[1]
    last = {f"/{topic}/{key_name(key).decode()}": n for key, n in enumerate(load.producer.call("last", topic=topic))}
    behind = load.fleet.call("behind", last=last, timeout_s=10)
    seen: Seen = load.fleet.call("seen")
    if behind or seen["faults"]:
        raise Failed(f"{behind:,} clients have not the last value; {dict(seen['faults'])} {seen['words'][:5]}")
    if seen["losses"]:
        raise Failed(f"{seen['losses']} connections were lost")


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
    return shares.used_s()["server"]


def too_late(late_s: float) -> str:
    return f"the producer was up to {late_s:.1f} s behind its schedule: the machine is too busy"


def ms(samples: Samples | None, share: float) -> float | None:
    """A percentile in milliseconds; None if there are no samples."""
    return percentile(*samples, share) / 1000 if samples and samples[0] else None


def latency_rows(
    bench: Bench, prefix: str, load: Steady, raw: Samples | None, goals: tuple[tuple[float, float, float], ...]
) -> Iterator[Row]:
    """A row for each (share, goal, stretch), both in milliseconds, and a plot.

    Messages that came late count with their lateness, so these hold also when Whimbrel did not keep up.
    """
    title = prefix.rstrip("._")
    curves = {"Whimbrel": load.samples} | ({"raw consumer": raw} if raw else {})
    file = bench.artifacts / f"latency-{title.replace('.', '-')}.png"
    plot_latency(file, f"{title}: {load.messages / load.seconds:,.0f} messages out per second", curves)
    if load.late_s > LATE_S:
        bench.miss(f"latencies of {title}: {too_late(load.late_s)}")
        return
    for share, goal, stretch in goals:
        value, floor = ms(load.samples, share), ms(raw, share)
        assert value is not None
        yield Row(f"{prefix}p{share * 100:.0f}_ms", value, "ms", floor, goal, stretch, less_is_better=True)


def say_threads(bench: Bench, load: Steady) -> None:
    if bench.by_thread:
        rate, found = load.messages / load.seconds, threads_table(load.threads, load.seconds, load.messages)
        bench.say(f"by thread, at {rate:,.0f} messages out per second\n\n{found}\n")
