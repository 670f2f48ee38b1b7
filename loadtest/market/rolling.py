"""A cluster is restarted node by node under load: what its clients notice.

Three nodes, 3,000 clients, 3,000 messages per second. A client that is asked to move, or whose node is gone, goes to
the next one.

Not here: an upgrade of machines (ansible/), nodes that die (`failover` in loadtest/mesh_scenarios.py).
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from functools import partial
from random import Random

from loadtest.bench import WARM_S, Bench, ms
from loadtest.cluster import Cluster
from loadtest.fleet import Fleet, Seen, now_us
from loadtest.kafka_load import Producing
from loadtest.payload import key_name
from loadtest.plots import Samples, plot_latency
from loadtest.process import Child, Failed
from loadtest.report import Row, percentile

CLIENTS, KEYS, RATE = 3_000, 2_000, 3_000
DRAIN = "5s"


def rolling(bench: Bench) -> Iterator[Row]:
    """Latency while all nodes restart, beside that of the same cluster at rest; how long a client was without one."""
    topic, random, rate = bench.topic("rolling"), Random(4), RATE * bench.scale
    chosen = [f"/{topic}/{key_name(random.randrange(KEYS)).decode()}" for _ in range(CLIENTS)]
    flags = ("--kafka", bench.kafka.bootstrap, "--topics", topic)
    log, settings = bench.artifacts / "bench-rolling.log", {"node.drain": DRAIN}
    with (
        Cluster(log, *flags, settings=settings, checkout=bench.checkout) as nodes,
        Child("fleet", partial(Fleet, 1)) as fleet,
        Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer,
    ):
        bench.say(f"3 nodes, {CLIENTS:,} clients, {rate:,.0f} msg/s")
        for index, port in enumerate(nodes.ports):
            fleet.call("connect", port=port, subjects=chosen[index::3], tracked_every=1)
        fleet.call("roam")
        producer.call("start", topic=topic, keys=KEYS, rate=rate)
        time.sleep(WARM_S)
        fleet.call("sample", begin_us=now_us(), end_us=now_us() + 3600 * 10**6)
        time.sleep(bench.seconds)
        at_rest: Samples = fleet.call("samples")
        fleet.call("sample", begin_us=now_us(), end_us=now_us() + 3600 * 10**6)
        fleet.call("forget_joins")
        for name, node in nodes.nodes.items():
            began = time.monotonic()
            node.stop()
            node.begin()
            nodes.wait_agreed()
            bench.say(f"{name} was restarted in {time.monotonic() - began:.1f} s")
        producer.call("stop")
        last = {f"/{topic}/{key_name(key).decode()}": n for key, n in enumerate(producer.call("last", topic=topic))}
        behind = fleet.call("behind", last=last, timeout_s=30)
        seen: Seen = fleet.call("seen")
        if behind or seen["faults"]:
            raise Failed(f"{behind:,} clients have not the last value; {dict(seen['faults'])} {seen['words'][:5]}")
        meanwhile: Samples = fleet.call("samples")
        joins: array[int] = fleet.call("rejoined", count=1, timeout_s=0)
    bench.say(f"{seen['losses']:,} times a client moved; nothing missing, {seen['repeated']:,} messages again")
    title = f"3 nodes restarted one after the other, {CLIENTS:,} clients, {rate:,.0f} messages per second"
    curves = {"while they restart": meanwhile, "at rest": at_rest}
    plot_latency(bench.artifacts / "shape-rolling.png", title, curves)
    for share in (0.5, 0.99, 1.0):
        value = ms(meanwhile, share)
        assert value is not None
        yield Row(f"rolling.p{share * 100:.0f}_ms", value, "ms", ms(at_rest, share), less_is_better=True)
    yield Row("rolling.away_p99_ms", percentile(joins, [1] * len(joins), 0.99) / 1000, "ms", None, less_is_better=True)
    yield Row("rolling.away_max_ms", max(joins) / 1000, "ms", None, less_is_better=True)
