"""One client in a hundred reads slowly: what the others notice of it, and whether it gets everything all the same.

4,950 quick clients have a key each; 50 slow ones have all keys, and read for 2 s and then not for 8.

Not here: the slow clients (slow_clients.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from loadtest.bench import TRACKED_EVERY, Bench, ms, steady
from loadtest.market.slow_clients import Seen, SlowClients
from loadtest.payload import key_name
from loadtest.plots import plot_latency
from loadtest.process import Child
from loadtest.report import Row

QUICK, SLOW, KEYS, RATE = 4_950, 50, 1_000, 1_000
READS_S, RESTS_S = 2.0, 8.0
CATCH_UP_S = 60.0


def slow_readers(bench: Bench) -> Iterator[Row]:
    """Latency of the quick ones with and without slow ones beside them, and how long the slow ones take to catch up."""
    topic, rate = bench.topic("slow-readers"), RATE * bench.scale
    keys = [f"/{topic}/{key_name(key).decode()}" for key in range(KEYS)]
    chosen = [keys[index % KEYS] for index in range(QUICK)]
    with bench.children() as load, bench.node(topic) as node, Child("slow", partial(SlowClients, 5)) as slow:
        load.fleet.call("connect", port=node.port, subjects=chosen, tracked_every=TRACKED_EVERY)
        bench.say(f"{QUICK:,} quick clients, {rate:,.0f} msg/s")
        alone = steady(bench, node, load, chosen, KEYS, rate)
        slow.call("connect", port=node.port, count=SLOW, pattern=f"/{topic}/*", reads_s=READS_S, rests_s=RESTS_S)
        bench.say(f"and {SLOW} that read for {READS_S:g} s and then not for {RESTS_S:g} s")
        beside = steady(bench, node, load, chosen, KEYS, rate)
        last = dict(zip(keys, load.producer.call("last", topic=topic), strict=True))
        took_s = slow.call("catch_up", last=last, timeout_s=CATCH_UP_S)
        seen: Seen = slow.call("seen")
    bench.say(
        f"slow ones: {seen['received']:,} messages, none missing, {seen['repeated']:,} again; "
        f"{seen['losses']} times they were sent away and resumed"
    )
    curves = {"with slow ones beside them": beside.samples, "quick ones alone": alone.samples}
    title = f"{QUICK:,} quick clients, {SLOW} slow ones of everything, {rate:,.0f} messages per second"
    plot_latency(bench.artifacts / "shape-slow-readers.png", title, curves)
    for share in (0.5, 0.99):
        value = ms(beside.samples, share)
        assert value is not None
        yield Row(
            f"slow_readers.quick_p{share * 100:.0f}_ms", value, "ms", ms(alone.samples, share), less_is_better=True
        )
    yield Row("slow_readers.catch_up_s", took_s, "s", None, less_is_better=True)
    yield Row("slow_readers.sent_away", seen["losses"], "", None)
