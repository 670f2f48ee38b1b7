"""More than the machine can do, for a while: how long latency takes to be as before.

Not here: loads that it can carry (scattered.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from loadtest.bench import KEYS, TRACKED_EVERY, WARM_S, Bench, complete, subjects
from loadtest.fleet import now_us
from loadtest.plots import plot_over_time
from loadtest.process import Failed
from loadtest.report import Row, percentile

CLIENTS = 15_000
USUAL, TIMES = 10_000, 6
"""Messages per second in, and how many times as many for a while: some three times what two cores carry."""
OVER_S, AFTER_S = 10.0, 40.0
BIN_US = 500_000
BACK_TO = 2.0
"""Latency is back when the p99 of every half second is at most so many times the highest before the overload."""
CUT_OFFS = "whimbrel_link_cut_offs_total"


def overload(bench: Bench) -> Iterator[Row]:
    """15,000 clients at 10,000 msg/s, six times as many for 10 s, and 10,000 again; nothing may be lost."""
    topic, rate = bench.topic("overload"), USUAL * bench.scale
    chosen = subjects(topic, CLIENTS)
    with bench.children() as load, bench.node(topic) as node:
        load.fleet.call("connect", port=node.port, subjects=chosen, tracked_every=TRACKED_EVERY)
        bench.say(f"{CLIENTS:,} clients, {rate:,.0f} msg/s in")
        produce = load.producer.call
        produce("start", topic=topic, keys=KEYS, rate=rate)
        time.sleep(WARM_S)
        load.fleet.call("sample", begin_us=now_us(), end_us=now_us() + 3600 * 10**6)
        began_us, cut_offs = now_us(), node.metric(CUT_OFFS)
        time.sleep(max(bench.seconds, 2 * WARM_S))
        produce("stop")
        over_us = now_us()
        bench.say(f"{TIMES * rate:,.0f} msg/s for {OVER_S:g} s")
        produce("start", topic=topic, keys=KEYS, rate=TIMES * rate)
        time.sleep(OVER_S)
        sent = produce("sent")
        produce("stop")
        after_us, during = now_us(), node.metric(CUT_OFFS)
        bench.say(f"{sent / OVER_S:,.0f} msg/s were produced; {rate:,.0f} again")
        produce("start", topic=topic, keys=KEYS, rate=rate)
        time.sleep(AFTER_S)
        produce("stop")
        after = node.metric(CUT_OFFS)
        complete(load, chosen)
        due, latency, weight = load.fleet.call("timed")
    bins = p99_by_time(due, latency, weight, began_us)
    before = max(value for at, value in bins if at < over_us)
    late = [at for at, value in bins if at >= after_us and value > BACK_TO * before]
    times = [(at - began_us) / 1e6 for at, _ in bins]
    panels = {
        "receive, p99, ms": {
            "by when it was due": [value / 1000 for _, value in bins],
            "back": [BACK_TO * before / 1000 for _ in bins],
        },
        "p99, ms, cut at 10 times": {"due": [min(value, 10 * before) / 1000 for _, value in bins]},
    }
    plot_over_time(bench.artifacts / "overload.png", times, panels)
    bench.say(f"cut off: {during - cut_offs:.0f} times in the overload, {after - during:.0f} after it")
    if late and late[-1] == bins[-1][0]:
        raise Failed(f"latency was not back {AFTER_S:g} s after the overload; the highest p99 before was {before} us")
    back_s = (late[-1] + BIN_US - after_us) / 1e6 if late else 0.0
    yield Row("overload.back_s", back_s, "s", None, 3, less_is_better=True)
    yield Row("overload.before_p99_ms", before / 1000, "ms", None, less_is_better=True)
    yield Row("overload.cut_offs_after", after - during, "", None, 0, less_is_better=True)


def p99_by_time(
    due: list[int], latency: list[int], weight: list[int], began_us: int, bin_us: int = BIN_US
) -> list[tuple[int, float]]:
    """The 99th percentile, in microseconds, of what was due in each span of time, by the span's begin."""
    bins: dict[int, tuple[list[int], list[int]]] = {}
    for at, took, messages in zip(due, latency, weight, strict=True):
        ours = bins.setdefault((at - began_us) // bin_us, ([], []))
        ours[0].append(took)
        ours[1].append(messages)
    return [(began_us + number * bin_us, percentile(*bins[number], 0.99)) for number in sorted(bins)]
