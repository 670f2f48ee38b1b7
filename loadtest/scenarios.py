"""What is measured of one node: each scenario starts its own, loads it, checks that nothing was lost, and gives rows.

Goals are those of this version (`goal`) and what would be better still (`stretch`). The floor of each row is measured
beside it, with the same fleet.

Not here: scattered load (scattered.py), several nodes (mesh_scenarios.py), the steps of a scenario (bench.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from loadtest.bench import (
    FLOOR_S,
    KEYS,
    TRACKED_EVERY,
    WARM_S,
    Bench,
    clean,
    cpu_of,
    expected,
    latency_rows,
    raw_latency,
    resumed,
    say_threads,
    steady,
    subjects,
)
from loadtest.kafka_load import Acknowledged, Reading
from loadtest.overload import overload
from loadtest.payload import key_name
from loadtest.process import Child, Failed, Shares, cpu_s, resident_kb
from loadtest.publisher import Latencies, Publisher
from loadtest.report import Row, percentile
from loadtest.scattered import evicting, joining, ladder, pattern, scattered
from loadtest.swarm.beside_fleet import swarm
from loadtest.threads import since, threads, threads_table

IDLE_S = 25.0
"""Long enough for everyone's pings, which come every 20 s."""
PAD, VALUE_BYTES = 90, 136
"""Of a published value: characters besides time and number, and all of it."""
PIPELINES, WINDOW = 8, 200
"""Connections that publish as fast as they are answered, and unanswered publishes of each."""


def connect(bench: Bench) -> Iterator[Row]:
    """10,000 clients connect, say hello and subscribe until live; what they cost then."""
    topic, count, first = bench.topic("connect"), 10_000, 200
    with bench.children() as load:
        fleet, bare = load.fleet, load.bare
        load.producer.call("fill", topic=topic, keys=KEYS, count=KEYS)
        chosen = subjects(topic, first + count)

        def all_join(port: int, pid: int) -> tuple[float, float]:
            # The first few pay for what is loaded and allocated once.
            fleet.call("connect", port=port, subjects=chosen[:first], tracked_every=TRACKED_EVERY)
            time.sleep(1)
            kb, shares = resident_kb(pid), Shares({"server": pid, "fleet": fleet.pid})
            took = fleet.call("connect", port=port, subjects=chosen[first:], tracked_every=TRACKED_EVERY)
            words, used = shares.words(), cpu_of(shares)
            bench.say(f"{count:,} clients in {took:.1f} s; shares of a core: {words}")
            time.sleep(1)
            result = count / used, (resident_kb(pid) - kb) / count
            fleet.call("disconnect")
            return result

        with bench.node(topic) as node:
            bench.say("connecting to Whimbrel")
            rate, kb = all_join(node.port, node.pid)
        bench.say("connecting to the bare server")
        bare_rate, bare_kb = all_join(bare.call("port"), bare.pid)
    yield Row("connect.per_cpu_s", rate, "1/s", bare_rate, 9_000, 11_000)
    yield Row("memory.kb_per_client", kb, "KB", bare_kb, 1.5, None, less_is_better=True)


def hot(bench: Bench) -> Iterator[Row]:
    """One key with 100 clients at 10,000 msg/s: a million messages per second, coalesced."""
    topic, clients, rate = bench.topic("hot"), 100, 10_000 * bench.scale
    chosen = [f"/{topic}/{key_name(0).decode()}"] * clients
    with bench.children() as load:
        bench.say(f"raw consumer at {rate:,.0f} msg/s")
        raw = raw_latency(bench, load.producer, topic, keys=1, rate=rate)
        with bench.node(topic) as node:
            bench.say(f"{clients} clients, {rate:,.0f} msg/s in, {clients * rate:,.0f} out")
            load.fleet.call("connect", port=node.port, subjects=chosen, tracked_every=TRACKED_EVERY)
            found = steady(bench, node, load, chosen, 1, rate)
        load.fleet.call("disconnect")
        together = max(1, found.messages // found.reads)
        bench.say(f"bare sends, {together} messages in each")
        load.fleet.call("connect", port=load.bare.call("port"), subjects=chosen, tracked_every=TRACKED_EVERY)
        work = load.bare.call("hot", subject=chosen[0], rate=rate, seconds=FLOOR_S, together=together)
        sent = int(rate * FLOOR_S) * clients
        clean(load.fleet, sent)
    say_threads(bench, found)
    floor = sent / work["send_cpu_s"]
    yield from latency_rows(bench, "hot.", found, raw, ((0.5, 3, 2.6), (0.99, 15, 14)))
    yield Row("hot.msgs_per_cpu_s", found.per_cpu_s(floor), "1/s", floor, 3_000_000, 3_600_000)


def fill(bench: Bench) -> Iterator[Row]:
    """A node starts on half a million records: the time until ready, less that of a start on an empty topic."""
    topic, empty, count, checked = bench.topic("fill"), bench.topic("fill-empty"), 500_000, 1_000
    with bench.children() as load, Child("reader", partial(Reading, bench.kafka.bootstrap)) as raw:
        bench.say(f"producing {count:,} records")
        load.producer.call("fill", topic=topic, keys=KEYS, count=count)
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
            load.fleet.call("connect", port=node.port, subjects=chosen, tracked_every=1)
            load.producer.call("fill", topic=topic, keys=KEYS, count=checked)
            clean(load.fleet, checked)
    yield Row("kafka_to_cache.msgs_per_s", count / took_s, "1/s", floor, 300_000)


def storm(bench: Bench) -> Iterator[Row]:
    """10,000 clients lose their connections at once under load; then all workers are killed."""
    topic, clients, rate = bench.topic("storm"), 10_000, 5_000 * bench.scale
    chosen = subjects(topic, clients)
    with bench.children() as load:
        fleet, producer, bare = load.fleet, load.producer, load.bare

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
            bench.say(f"{clients:,} connections cut at {rate:,.0f} msg/s")
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
    yield Row("storm.p99_s", cut_s, "s", floor, 2, 1.5, less_is_better=True)
    yield Row("storm.workers_killed_p99_s", killed_s, "s", floor, 3, None, less_is_better=True)


def idle(bench: Bench) -> Iterator[Row]:
    """15,000 clients that are connected and subscribed, and no message: the share of a core that they take."""
    topic, clients = bench.topic("idle"), 15_000
    with bench.children() as load:
        load.producer.call("fill", topic=topic, keys=KEYS, count=KEYS)
        with bench.node(topic) as node:
            load.fleet.call("connect", port=node.port, subjects=subjects(topic, clients), tracked_every=TRACKED_EVERY)
            bench.say(f"{clients:,} clients are idle")
            time.sleep(WARM_S)
            seconds = max(bench.seconds, IDLE_S)
            shares, by_thread, reads = (
                Shares({"server": node.pid}),
                threads(node.pid),
                load.fleet.call("seen")["reads"],
            )
            time.sleep(seconds)
            used, used_by = cpu_of(shares), since(by_thread, threads(node.pid))
            seen = load.fleet.call("seen")
            if seen["losses"] or seen["faults"]:
                raise Failed(f"{seen['losses']} connections were lost, {dict(seen['faults'])}")
            bench.say(f"each got {(seen['reads'] - reads) / clients:.1f} frames (pings, heartbeats) in {seconds:.0f} s")
    if bench.by_thread:
        bench.say(f"\n\n{threads_table(used_by, seconds, seen['reads'] - reads)}\n")
    yield Row("idle.share_of_core", used / seconds, "", None, 0.02, less_is_better=True)


def publish(bench: Bench) -> Iterator[Row]:
    """Clients publish into Kafka: one at a time, and 1,600 at once; beside a producer that publishes the same."""
    topic = bench.topic("publish")
    chosen = [f"/{topic}/{key_name(key).decode()}" for key in range(480)]
    with (
        bench.node(topic, None, "--publish", topic) as node,
        Child("publisher", partial(Publisher, 1)) as publisher,
        Child("raw producer", partial(Acknowledged, bench.kafka.bootstrap, 2)) as raw,
    ):
        publisher.call("connect", ports=[node.port], each=12, subjects=chosen, pad=PAD)
        one_at_a_time = partial(publisher.call, "one_at_a_time", pause_s=0.02, coordinated={chosen[0]: node.port})
        one_at_a_time(seconds=0.5)
        bench.say("12 clients publish, one at a time")
        found: Latencies = one_at_a_time(seconds=FLOOR_S)
        raw.call("one_at_a_time", topic=topic, size=VALUE_BYTES, seconds=0.5, pause_s=0.002)
        alone = raw.call("one_at_a_time", topic=topic, size=VALUE_BYTES, seconds=FLOOR_S, pause_s=0.002)
        publisher.call("connect", ports=[node.port], each=PIPELINES, subjects=chosen, pad=PAD)
        bench.say(f"{PIPELINES} clients keep {WINDOW} publishes unanswered each")
        publisher.call("pipelined", seconds=0.5, warm_s=0.5, window=WINDOW, publish=True)
        shares, before = Shares({"server": node.pid, "publisher": publisher.pid}), publisher.call("published")
        per_s = publisher.call("pipelined", seconds=bench.seconds, warm_s=0, window=WINDOW, publish=True)
        words, used = shares.words(), cpu_of(shares)
        answered = sum(publisher.call("published").values()) - sum(before.values())
        bench.say(f"{per_s:,.0f}/s; shares of a core: {words}")
        window = PIPELINES * WINDOW
        raw_rate = raw.call("pipelined", topic=topic, size=VALUE_BYTES, seconds=FLOOR_S, window=window)
        bench.say(f"raw producer: {raw_rate['per_s']:,.0f}/s, {raw_rate['cpu_s'] / FLOOR_S:.0%} of a core")
    both = found["here"] + found["there"]
    for share in (0.5, 0.99):
        value, floor = (percentile(each, [1] * len(each), share) / 1000 for each in (both, alone))
        yield Row(f"publish.p{share * 100:.0f}_ms", value, "ms", floor, less_is_better=True)
    yield Row("publish.per_s", per_s, "1/s", raw_rate["per_s"])
    yield Row("publish.per_cpu_s", answered / used, "1/s", raw_rate["per_s"] * FLOOR_S / raw_rate["cpu_s"])


SCENARIOS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "scattered": scattered,
    "joining": joining,
    "evicting": evicting,
    "pattern": pattern,
    "overload": overload,
    "ladder": ladder,
    "idle": idle,
    "connect": connect,
    "hot": hot,
    "fill": fill,
    "storm": storm,
    "publish": publish,
    "swarm": swarm,
}
