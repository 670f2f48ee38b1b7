"""What is measured of one node: each scenario starts its own, loads it, checks that nothing was lost, and gives rows.

Goals are those of this version (`goal`) and what would be better still (`stretch`). The floor of each row is measured
beside it, with the same fleet.

Not here: several nodes (mesh_scenarios.py), the steps of a scenario (bench.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from loadtest.bench import (
    FLOOR_S,
    KEYS,
    TRACKED_EVERY,
    Bench,
    Steady,
    bare_sends,
    clean,
    cpu_of,
    expected,
    latency_rows,
    ms,
    raw_latency,
    resumed,
    steady,
    subjects,
    under_way,
)
from loadtest.fleet import now_us
from loadtest.kafka_load import Reading
from loadtest.payload import key_name
from loadtest.plots import Samples
from loadtest.process import Child, Failed, Shares, cpu_s, resident_kb
from loadtest.report import Row, percentile
from loadtest.threads import threads_table

FULL_MS = ((0.5, 5.0, 3.0), (0.99, 30.0, 15.0))
"""At 30,000 messages out: (share, goal, stretch), in milliseconds."""


def scattered(bench: Bench) -> Iterator[Row]:
    """10,000 keys: 10,000 clients at 10,000 msg/s, then 15,000 clients at 20,000 msg/s in and 30,000 out."""
    topic = bench.topic("scattered")
    chosen = subjects(topic, 15_000)
    slow_rate, fast_rate = 10_000 * bench.scale, 20_000 * bench.scale
    with bench.children() as load:
        bench.say(f"raw consumer at {slow_rate:,.0f} and {fast_rate:,.0f} msg/s")
        raw, fast_raw = (raw_latency(bench, load.producer, topic, rate=rate) for rate in (slow_rate, fast_rate))
        with bench.node(topic) as node:
            bench.say(f"10,000 clients, {slow_rate:,.0f} msg/s")
            load.fleet.call("connect", port=node.port, subjects=chosen[:10_000], tracked_every=TRACKED_EVERY)
            slow = steady(bench, node, load, chosen[:10_000], KEYS, slow_rate)
            raw_50, raw_99 = ms(raw, 0.5) or 0.0, ms(raw, 0.99) or 0.0
            goals = ((0.5, raw_50 + 1, raw_50 + 0.4), (0.99, raw_99 + 8, raw_99 + 1.4))
            yield from latency_rows(bench, "scattered.", slow, raw, goals)
            bench.say(f"15,000 clients, {fast_rate:,.0f} msg/s in, {1.5 * fast_rate:,.0f} out")
            load.fleet.call("connect", port=node.port, subjects=chosen[10_000:], tracked_every=TRACKED_EVERY)
            fast = steady(bench, node, load, chosen, KEYS, fast_rate)
        bench.say("bare sends to 15,000 sockets")
        floor = bare_sends(load, topic, chosen, fast_rate)
    say_threads(bench, fast)
    yield from latency_rows(bench, "scattered.full_", fast, fast_raw, FULL_MS)
    rate = fast.per_cpu_s(floor)
    yield Row("scattered.msgs_per_cpu_s", rate, "1/s", floor, 55_000, 65_000)
    yield Row("scattered.share_of_floor", rate / floor, "", None, 0.6, 0.65)


def joining(bench: Bench) -> Iterator[Row]:
    """15,000 clients connect, as fast as they are taken, into 20,000 msg/s; what it is like meanwhile and after."""
    topic, rate = bench.topic("joining"), 20_000 * bench.scale
    chosen = subjects(topic, 15_000)
    with bench.children() as load:
        fleet, producer = load.fleet, load.producer
        bench.say(f"raw consumer at {rate:,.0f} msg/s")
        raw = raw_latency(bench, producer, topic, rate=rate)
        with bench.node(topic) as node:
            bench.say(f"15,000 clients connect into {rate:,.0f} msg/s, {1.5 * rate:,.0f} out")
            producer.call("start", topic=topic, keys=KEYS, rate=rate)
            fleet.call("sample", begin_us=now_us(), end_us=now_us() + 3600 * 10**6)
            took_s = fleet.call("connect", port=node.port, subjects=chosen, tracked_every=TRACKED_EVERY)
            meanwhile: Samples = fleet.call("samples")
            after = under_way(bench, node, load, chosen)
    yield Row("joining.live_s", took_s, "s", None, less_is_better=True)
    if (late_ms := ms(meanwhile, 0.99)) is not None:
        yield Row("joining.meanwhile_p99_ms", late_ms, "ms", ms(raw, 0.99), less_is_better=True)
    yield from latency_rows(bench, "joining.after_", after, raw, FULL_MS)


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


SCENARIOS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "scattered": scattered,
    "joining": joining,
    "connect": connect,
    "hot": hot,
    "fill": fill,
    "storm": storm,
}


def say_threads(bench: Bench, load: Steady) -> None:
    if bench.by_thread:
        rate, found = load.messages / load.seconds, threads_table(load.threads, load.seconds, load.messages)
        bench.say(f"by thread, at {rate:,.0f} messages out per second\n\n{found}\n")
