"""More and more clients at one rate: Kafkorama's benchmark, which it publishes for up to 1,000,000 clients.

10,000 keys get 10,000 values of 512 bytes per second together, and each client has one random key: one message per
second for each client, so that what goes out grows with the clients.

Not here: what one client costs (loadtest/scale/up.py), what one message costs (`ladder` in loadtest/scattered.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from loadtest.bench import KEYS, LATE_S, TRACKED_EVERY, WARM_S, Bench, ms, raw_latency, subjects, too_late
from loadtest.fleet import now_us
from loadtest.fleets import Fleets
from loadtest.kafka_load import Producing
from loadtest.plots import Samples, plot_latency
from loadtest.process import Child, Failed, Shares
from loadtest.report import Row

STEPS = (5_000, 10_000, 20_000, 30_000)
RATE = 10_000
SHARES = (0.5, 0.95, 0.99)


def climb(bench: Bench) -> Iterator[Row]:
    """Latency at each number of clients, as far as the machine goes."""
    rate = RATE * bench.scale
    curves: dict[str, Samples] = {}
    with Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer:
        bench.say(f"raw consumer at {rate:,.0f} msg/s")
        raw = raw_latency(bench, producer, bench.topic("climb-raw"), rate=rate)
        for clients in STEPS:
            bench.say(f"{clients:,} clients")
            try:
                samples = _step(bench, producer, clients, rate)
            except Failed as failed:
                bench.miss(f"{clients:,} clients: {failed}")
                break
            curves[f"{clients:,} clients"] = samples
            for share in SHARES:
                value, floor = ms(samples, share), ms(raw, share)
                assert value is not None
                yield Row(f"climb.{clients}_p{share * 100:.0f}_ms", value, "ms", floor, less_is_better=True)
    if raw:
        curves["raw consumer"] = raw
    title = f"{rate:,.0f} messages per second in, one per second for each client"
    plot_latency(bench.artifacts / "shape-climb.png", title, curves)


def _step(bench: Bench, producer: Child, clients: int, rate: float) -> Samples:
    """Latencies with so many clients.

    Raises:
        Failed: Something was lost, or the machine is too busy.
    """
    topic = bench.topic(f"climb-{clients}")
    with Fleets(clients) as fleets, bench.node(topic, None, "--workers", str(len(fleets))) as node:
        fleets.connect([node.port], subjects(topic, clients), TRACKED_EVERY)
        begin_us = now_us() + int(WARM_S * 1e6)
        fleets.call("sample", begin_us=begin_us, end_us=begin_us + int(bench.seconds * 1e6))
        producer.call("start", topic=topic, keys=KEYS, rate=rate)
        time.sleep(WARM_S)
        shares, got = Shares({"server": node.pid, "Kafka": bench.kafka.pid()}), fleets.received()
        time.sleep(bench.seconds)
        got = fleets.received() - got
        bench.say(f"{got / bench.seconds:,.0f} messages per second; shares of a core: {shares.words()}")
        producer.call("stop")
        fleets.complete(producer, topic)
        if (late_s := producer.call("late_s")) > LATE_S:
            raise Failed(too_late(late_s))
        return fleets.samples()
