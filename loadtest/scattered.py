"""Scattered load: 10,000 keys, and thousands of clients with a key each. Several ways to make it harder.

Goals are those of this version (`goal`) and what would be better still (`stretch`).

Not here: other shapes of load (scenarios.py), the steps of a scenario (bench.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

from loadtest.bench import (
    KEYS,
    TRACKED_EVERY,
    Bench,
    Children,
    Steady,
    bare_sends,
    latency_rows,
    ms,
    raw_latency,
    say_threads,
    steady,
    subjects,
    under_way,
)
from loadtest.fleet import now_us
from loadtest.listener import Heard, Listener
from loadtest.node import Node
from loadtest.plots import Samples, plot_lines
from loadtest.process import Child, Failed
from loadtest.report import Row

CLIENTS = 15_000
FULL = 20_000
"""Messages per second in; the clients make 30,000 out of it."""
FULL_MS = ((0.5, 5.0, 3.0), (0.99, 30.0, 15.0))
"""Latency at full load: (share, goal, stretch), in milliseconds."""
LADDER = (5_000, 10_000, 20_000, 30_000, 40_000)
"""Messages per second out."""
AT_ITS_LIMITS = {"cache.ttl": "2s", "cache.messages_per_subject": "4"}
"""At full load a subject gets 4 messages in 2 s, so that messages leave for either reason, as many as come."""


def scattered(bench: Bench) -> Iterator[Row]:
    """10,000 clients at 10,000 msg/s, then 15,000 clients at 20,000 msg/s in and 30,000 out."""
    topic, slow_rate, fast_rate = bench.topic("scattered"), 10_000 * bench.scale, FULL * bench.scale
    chosen = subjects(topic, CLIENTS)
    with bench.children() as load:
        bench.say(f"raw consumer at {slow_rate:,.0f} and {fast_rate:,.0f} msg/s")
        raw, fast_raw = (raw_latency(bench, load.producer, topic, rate=rate) for rate in (slow_rate, fast_rate))
        with bench.node(topic) as node:
            bench.say(f"10,000 clients, {slow_rate:,.0f} msg/s")
            connect(node, load, chosen[:10_000])
            slow = steady(bench, node, load, chosen[:10_000], KEYS, slow_rate)
            raw_50, raw_99 = ms(raw, 0.5) or 0.0, ms(raw, 0.99) or 0.0
            goals = ((0.5, raw_50 + 1, raw_50 + 0.4), (0.99, raw_99 + 8, raw_99 + 1.4))
            yield from latency_rows(bench, "scattered.", slow, raw, goals)
            say_full(bench)
            connect(node, load, chosen[10_000:])
            fast = steady(bench, node, load, chosen, KEYS, fast_rate)
        bench.say("bare sends to 15,000 sockets")
        floor = bare_sends(load, topic, chosen, fast_rate)
    say_threads(bench, fast)
    yield from latency_rows(bench, "scattered.full_", fast, fast_raw, FULL_MS)
    rate = fast.per_cpu_s(floor)
    yield Row("scattered.msgs_per_cpu_s", rate, "1/s", floor, 55_000, 65_000)
    yield Row("scattered.share_of_floor", rate / floor, "", None, 0.6, 0.65)


def joining(bench: Bench) -> Iterator[Row]:
    """15,000 clients connect, as fast as they are taken, into full load; what it is like meanwhile and after."""
    topic, rate = bench.topic("joining"), FULL * bench.scale
    chosen = subjects(topic, CLIENTS)
    with bench.children() as load:
        bench.say(f"raw consumer at {rate:,.0f} msg/s")
        raw = raw_latency(bench, load.producer, topic, rate=rate)
        with bench.node(topic) as node:
            say_full(bench)
            load.producer.call("start", topic=topic, keys=KEYS, rate=rate)
            load.fleet.call("sample", begin_us=now_us(), end_us=now_us() + 3600 * 10**6)
            took_s = connect(node, load, chosen)
            meanwhile: Samples = load.fleet.call("samples")
            after = under_way(bench, node, load, chosen)
    yield Row("joining.live_s", took_s, "s", None, less_is_better=True)
    if (late_ms := ms(meanwhile, 0.99)) is not None:
        yield Row("joining.meanwhile_p99_ms", late_ms, "ms", ms(raw, 0.99), less_is_better=True)
    yield from latency_rows(bench, "joining.after_", after, raw, FULL_MS)


def evicting(bench: Bench) -> Iterator[Row]:
    """Full load with a cache at its limits, from which as much leaves as comes; beside one that only grows."""
    found: dict[str, Steady] = {}
    for name, settings in (("growing", {}), ("evicting", AT_ITS_LIMITS)):
        topic = bench.topic(name)
        chosen = subjects(topic, CLIENTS)
        with bench.children() as load, bench.node(topic, settings) as node:
            connect(node, load, chosen)
            bench.say(f"cache {name}")
            found[name] = steady(bench, node, load, chosen, KEYS, FULL * bench.scale)
            kept = node.status()["cache"]["messages"]
            bench.say(f"the cache had {kept:,} messages at the end")
    yield from _beside_plain(bench, "evicting", found["growing"], found["evicting"])


def pattern(bench: Bench) -> Iterator[Row]:
    """Full load with one more client, which has `/topic/*`; beside the same without it. Its messages do not count."""
    topic = bench.topic("pattern")
    chosen = subjects(topic, CLIENTS)
    with bench.children() as load, bench.node(topic) as node:
        connect(node, load, chosen)
        bench.say("no pattern")
        plain = steady(bench, node, load, chosen, KEYS, FULL * bench.scale)
        with Child("listener", partial(Listener, [node.port], f"/{topic}/*")) as listener:
            listener.call("live")
            bench.say("one pattern")
            beside = steady(bench, node, load, chosen, KEYS, FULL * bench.scale)
            heard: Heard = listener.call("take")
            if heard.missing or heard.repeated or not heard.each:
                raise Failed(f"the pattern's client missed {heard.missing} and got {heard.repeated} again")
            bench.say(f"the pattern's client got {len(heard.each):,}, p50 {median(heard.each) / 1000:.1f} ms")
    yield from _beside_plain(bench, "pattern", plain, beside)


def _beside_plain(bench: Bench, name: str, plain: Steady, harder: Steady) -> Iterator[Row]:
    yield from latency_rows(bench, f"{name}.", harder, plain.samples, FULL_MS)
    floor = plain.per_cpu_s(0)
    yield Row(f"{name}.msgs_per_cpu_s", harder.per_cpu_s(floor), "1/s", floor, 0.95 * floor)


def ladder(bench: Bench) -> Iterator[Row]:
    """What a message costs, from 5,000 to 40,000 out per second: it becomes cheaper where work is shared."""
    topic = bench.topic("ladder")
    chosen = subjects(topic, CLIENTS)
    costs: dict[float, float] = {}
    floors: dict[float, float] = {}
    with bench.children() as load:
        with bench.node(topic) as node:
            connect(node, load, chosen)
            for out in (step * bench.scale for step in LADDER):
                bench.say(f"{out:,.0f} messages out per second")
                found = steady(bench, node, load, chosen, KEYS, out * KEYS / CLIENTS)
                if found.keeps_up:
                    costs[out] = found.cpu_s * 1e6 / found.messages
                else:
                    bench.miss(f"{out:,.0f} out: {found.messages:,} messages arrived of {found.due:,.0f} due")
        for out in costs:
            bench.say(f"bare sends, {out:,.0f} messages out per second")
            floors[out] = 1e6 / bare_sends(load, topic, chosen, out * KEYS / CLIENTS)
    curves = {
        name: (tuple(figures), tuple(figures.values()))
        for name, figures in (("Whimbrel", costs), ("nothing but send", floors))
    }
    labels = ("messages out per second", "µs of CPU per message out")
    plot_lines(bench.artifacts / "cpu-per-message.png", "15,000 clients, 10,000 keys", labels, curves)
    for out, cost in costs.items():
        yield Row(f"ladder.{out:.0f}_us", cost, "µs", floors[out], less_is_better=True)


def connect(node: Node, load: Children, chosen: list[str]) -> float:
    """Connect clients. Returns the seconds that it took."""
    took_s: float = load.fleet.call("connect", port=node.port, subjects=chosen, tracked_every=TRACKED_EVERY)
    return took_s


def say_full(bench: Bench) -> None:
    rate = FULL * bench.scale
    bench.say(f"{CLIENTS:,} clients, {rate:,.0f} msg/s in, {rate * CLIENTS / KEYS:,.0f} out")
