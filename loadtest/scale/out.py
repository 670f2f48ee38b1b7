"""One to four nodes with the same load: what Kafka sends, what nodes send each other, and what a message costs.

All nodes, the load and Kafka share this machine: rates are low, and what counts is the CPU for a message, not how many
there may be.

Not here: one node with many clients (up.py), what follows from the figures (SCALE.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

from loadtest.bench import FLOOR_S, TRACKED_EVERY, WARM_S, Bench, clean, expected
from loadtest.cluster import Cluster
from loadtest.fleet import Fleet
from loadtest.kafka_load import Producing
from loadtest.payload import key_name
from loadtest.process import Child
from loadtest.publisher import Publisher
from loadtest.report import Row
from loadtest.tcp import sent_bytes
from loadtest.threads import Cpu, since, threads

NAMES = ("a", "b", "c", "d")
CLIENTS, KEYS, RATE = 3_000, 2_000, 3_000
"""In all; 1.5 clients of a key."""
NAMESPACE, SUBJECTS, PAD, PIPELINES, WINDOW = "bench", 480, 90, 6, 20


@dataclass(frozen=True, slots=True)
class Step:
    """What was found with so many nodes. Bytes and microseconds of CPU for each message or publish."""

    broker_bytes: float
    mesh_bytes: float
    """Sent by all nodes together to each other."""
    in_us: float
    """Of each node process."""
    out_us: float
    """Of the workers."""
    publish_us: float
    """Of all nodes and workers."""


def out(bench: Bench) -> Iterator[Row]:
    """The figures of each number of nodes; those of one are the floor of all others."""
    first: Step | None = None
    for count in range(1, len(NAMES) + 1):
        step = _step(bench, count)
        first = first or step
        for figure in ("broker_bytes", "mesh_bytes", "in_us", "out_us", "publish_us"):
            unit = "B" if figure.endswith("bytes") else "µs"
            value, floor = getattr(step, figure), getattr(first, figure)
            yield Row(f"out.{count}_{figure}", value, unit, floor or None, less_is_better=True)


def _step(bench: Bench, count: int) -> Step:
    topic, random = bench.topic(f"out-{count}"), Random(4)
    chosen = [f"/{topic}/{key_name(random.randrange(KEYS)).decode()}" for _ in range(CLIENTS)]
    subjects = [f"/{NAMESPACE}/k{number:04}" for number in range(SUBJECTS)]
    broker = int(bench.kafka.bootstrap.rpartition(":")[2])
    flags = ("--namespaces", NAMESPACE, "--kafka", bench.kafka.bootstrap, "--topics", topic)
    log = bench.artifacts / "bench-out.log"
    with (
        Cluster(log, *flags, names=NAMES[:count], checkout=bench.checkout) as nodes,
        Child("fleet", partial(Fleet, 1)) as fleet,
        Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer,
        Child("publisher", partial(Publisher, 1)) as publisher,
    ):
        bench.say(f"{count} nodes, {CLIENTS:,} clients, {RATE * bench.scale:,.0f} msg/s")
        for index, port in enumerate(nodes.ports):
            fleet.call("connect", port=port, subjects=chosen[index::count], tracked_every=TRACKED_EVERY)
        from_broker, between = sum(sent_bytes(broker).values()), _mesh_bytes(nodes)
        producer.call("start", topic=topic, keys=KEYS, rate=RATE * bench.scale)
        time.sleep(WARM_S)
        before, sent, got = _cpu(nodes), producer.call("sent"), fleet.call("seen")["received"]
        time.sleep(max(bench.seconds, FLOOR_S))
        sent, used, got = (
            producer.call("sent") - sent,
            _since(before, _cpu(nodes)),
            fleet.call("seen")["received"] - got,
        )
        counts = producer.call("stop")
        clean(fleet, expected(counts, chosen))
        from_broker, between = sum(sent_bytes(broker).values()) - from_broker, _mesh_bytes(nodes) - between
        publisher.call("connect", ports=nodes.ports, each=max(1, PIPELINES // count), subjects=subjects, pad=PAD)
        publisher.call("pipelined", seconds=0.5, warm_s=0.5, window=WINDOW, publish=True)
        cpu_s, published = nodes.cpu_s(), sum(publisher.call("published").values())
        publisher.call("pipelined", seconds=FLOOR_S, warm_s=0, window=WINDOW, publish=True)
        cpu_s, published = nodes.cpu_s() - cpu_s, sum(publisher.call("published").values()) - published
    step = Step(
        broker_bytes=from_broker / counts.total(),
        mesh_bytes=between / counts.total(),
        in_us=used["node"] * 1e6 / sent / count,
        out_us=used["worker"] * 1e6 / got,
        publish_us=cpu_s * 1e6 / published,
    )
    bench.say(str(step))
    return step


def _cpu(nodes: Cluster) -> list[dict[str, Cpu]]:
    return [threads(pid) for pid in nodes.pids().values()]


def _since(before: list[dict[str, Cpu]], after: list[dict[str, Cpu]]) -> dict[str, float]:
    """CPU seconds of all node processes, and of all workers."""
    found = {"node": 0.0, "worker": 0.0}
    for earlier, later in zip(before, after, strict=True):
        for name, cpu in since(earlier, later).items():
            found[name.partition(" ")[0]] += cpu.all_s
    return found


def _mesh_bytes(nodes: Cluster) -> int:
    """What the nodes have sent each other over TCP, in both directions of each connection."""
    return sum(sum(sent_bytes(port).values()) for port in nodes.mesh_ports)
