"""One node with 10,000 to 100,000 clients: what a client and a message cost at each step.

A process may hold some 20,000 descriptors, so that each 14,000 clients get one more worker, and one more fleet. The
rate of messages and the number of clients of a key stay the same, so that only the number of clients changes.

Not here: several nodes (out.py), what follows from the figures (SCALE.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

from loadtest.bench import FLOOR_S, TRACKED_EVERY, WARM_S, Bench
from loadtest.fleets import Fleets
from loadtest.kafka_load import Producing
from loadtest.node import Node
from loadtest.payload import key_name
from loadtest.process import Child, Failed, resident_kb, tree
from loadtest.process import cpu_s as whole_cpu_s
from loadtest.report import Row, percentile
from loadtest.threads import Cpu, since, threads

STEPS = (10_000, 25_000, 50_000, 100_000)
PER_KEY = 1.5
"""Clients of a key."""
OUT = 10_000
"""Messages per second to all clients together."""
IDLE_S = 25.0
"""Long enough for everyone's pings, which come every 20 s."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was found with so many clients."""

    clients: int
    kb_per_client: float
    connects_per_cpu_s: float
    idle_share: float
    in_us: float
    """CPU of the node process for a message in."""
    out_us: float
    """CPU of the workers for a message out."""
    cpu_us: float
    """CPU of all for a message out."""
    resume_p99_s: float


def up(bench: Bench) -> Iterator[Row]:
    """The figures of each step; the one before the first is the floor of all others."""
    first: Step | None = None
    for clients in STEPS:
        step = _step(bench, clients)
        first = first or step
        prefix = f"up.{clients}"
        yield Row(f"{prefix}_kb_per_client", step.kb_per_client, "KB", first.kb_per_client, less_is_better=True)
        yield Row(f"{prefix}_connects_per_cpu_s", step.connects_per_cpu_s, "1/s", first.connects_per_cpu_s)
        yield Row(f"{prefix}_idle_share", step.idle_share, "", None, less_is_better=True)
        per_client = step.idle_share * 1e6 / clients, first.idle_share * 1e6 / first.clients
        yield Row(f"{prefix}_idle_us_per_client_s", *per_client[:1], "µs/s", per_client[1], less_is_better=True)
        yield Row(f"{prefix}_in_us", step.in_us, "µs", first.in_us, less_is_better=True)
        yield Row(f"{prefix}_out_us", step.out_us, "µs", first.out_us, less_is_better=True)
        yield Row(f"{prefix}_cpu_us", step.cpu_us, "µs", first.cpu_us, less_is_better=True)
        yield Row(f"{prefix}_resume_p99_s", step.resume_p99_s, "s", first.resume_p99_s, less_is_better=True)


def _step(bench: Bench, clients: int) -> Step:
    keys, random = int(clients / PER_KEY), Random(4)
    topic = bench.topic(f"up-{clients}")
    chosen = [f"/{topic}/{key_name(random.randrange(keys)).decode()}" for _ in range(clients)]
    with Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer, Fleets(clients) as fleets:
        producer.call("fill", topic=topic, keys=keys, count=keys)
        count = len(fleets)
        with bench.node(topic, None, "--workers", str(count)) as node:
            processes = len(tree(node.pid))
            bench.say(f"{clients:,} clients, {count} workers, {count} fleets; {processes} processes of Whimbrel")
            return _measured(bench, node, fleets, producer, topic, chosen)


def _measured(bench: Bench, node: Node, fleets: Fleets, producer: Child, topic: str, chosen: list[str]) -> Step:
    clients = len(chosen)
    kb, cpu_s, began = resident_kb(node.pid), whole_cpu_s(node.pid), time.monotonic()
    fleets.connect([node.port], chosen, TRACKED_EVERY)
    cpu_s, took_s = whole_cpu_s(node.pid) - cpu_s, time.monotonic() - began
    time.sleep(WARM_S)
    kb = (resident_kb(node.pid) - kb) / clients
    bench.say(f"live after {took_s:.1f} s, {clients / cpu_s:,.0f} per CPU-second; {kb:.2f} KB each")
    before, began = whole_cpu_s(node.pid), time.monotonic()
    time.sleep(IDLE_S)
    idle_share = (whole_cpu_s(node.pid) - before) / (time.monotonic() - began)
    bench.say(f"idle: {idle_share:.1%} of a core")
    node_us, worker_us, all_us = _traffic(bench, node, fleets, producer, topic, int(clients / PER_KEY))
    bench.say(f"{node_us:.1f} µs per message in, {worker_us:.1f} µs per message out; cutting all")
    fleets.call("cut")
    resume_s = percentile(fleets.rejoined(clients, timeout_s=100), [1] * clients, 0.99) / 1e6
    bench.say(f"all live again, p99 {resume_s:.1f} s")
    return Step(clients, kb, clients / cpu_s, idle_share, node_us, worker_us, all_us, resume_s)


def _traffic(
    bench: Bench, node: Node, fleets: Fleets, producer: Child, topic: str, keys: int
) -> tuple[float, float, float]:
    """Microseconds of CPU: of the node process for a message in, of the workers and of all for a message out."""
    producer.call("start", topic=topic, keys=keys, rate=OUT / PER_KEY * bench.scale)
    time.sleep(WARM_S)
    before, got, sent = threads(node.pid), fleets.received(), producer.call("sent")
    time.sleep(max(bench.seconds, FLOOR_S))
    used, got, sent = since(before, threads(node.pid)), fleets.received() - got, producer.call("sent") - sent
    producer.call("stop")
    fleets.complete(producer, topic)
    if got < 0.9 * sent * PER_KEY:
        raise Failed(f"did not keep up: {got:,} messages arrived of {sent * PER_KEY:,.0f} due")
    node_s, worker_s = _cpu(used, "node "), _cpu(used, "worker ")
    return node_s * 1e6 / sent, worker_s * 1e6 / got, (node_s + worker_s) * 1e6 / got


def _cpu(used: dict[str, Cpu], prefix: str) -> float:
    return sum(cpu.all_s for name, cpu in used.items() if name.startswith(prefix))
