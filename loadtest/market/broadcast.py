"""One subject that 20,000 clients have: everyone gets every message, as Lightstreamer and AnyCable publish it.

Two values of 1 KB per second: 40,000 messages per second, in bursts of 20,000.

Not here: many messages to few (`hot` in loadtest/scenarios.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from loadtest.bare import Bare
from loadtest.bench import TRACKED_EVERY, WARM_S, Bench, ms
from loadtest.fleet import now_us
from loadtest.fleets import Fleets
from loadtest.kafka_load import Producing
from loadtest.payload import key_name
from loadtest.plots import Samples, plot_latency
from loadtest.process import Child, Shares
from loadtest.report import Row

CLIENTS, RATE, SIZE = 20_000, 2, 1024


def broadcast(bench: Bench) -> Iterator[Row]:
    """Latency of Whimbrel, and of nothing but `send` from as many processes."""
    topic, rate = bench.topic("broadcast"), RATE * bench.scale
    chosen = [f"/{topic}/{key_name(0).decode()}"] * CLIENTS
    with Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer, Fleets(CLIENTS) as fleets:
        bench.say(f"{CLIENTS:,} clients, {rate:g} msg/s in, {rate * CLIENTS:,.0f} out")
        with bench.node(topic, None, "--workers", str(len(fleets))) as node:
            fleets.connect([node.port], chosen, TRACKED_EVERY)
            producer.call("start", topic=topic, keys=1, rate=rate, size=SIZE)
            begin_us = now_us() + int(WARM_S * 1e6)
            fleets.call("sample", begin_us=begin_us, end_us=begin_us + int(bench.seconds * 1e6))
            time.sleep(WARM_S)
            shares = Shares({"server": node.pid})
            time.sleep(bench.seconds)
            bench.say(f"shares of a core: {shares.words()}")
            producer.call("stop")
            fleets.complete(producer, topic)
            found = fleets.samples()
            fleets.call("disconnect")
        bench.say("the same from bare servers")
        floor = _bare(bench, fleets, chosen, rate)
    title = f"{CLIENTS:,} clients of one subject, {rate:g} messages of {SIZE} bytes per second"
    plot_latency(bench.artifacts / "shape-broadcast.png", title, {"Whimbrel": found, "nothing but send": floor})
    for share in (0.5, 0.99):
        value = ms(found, share)
        assert value is not None
        yield Row(f"broadcast.p{share * 100:.0f}_ms", value, "ms", ms(floor, share), less_is_better=True)


def _bare(bench: Bench, fleets: Fleets, chosen: list[str], rate: float) -> Samples:
    with ExitStack() as stack:
        servers = [stack.enter_context(Child("bare server", partial(Bare, seed))) for seed in range(len(fleets))]
        fleets.connect([server.call("port") for server in servers], chosen, TRACKED_EVERY)
        fleets.call("sample", begin_us=now_us(), end_us=now_us() + 3600 * 10**6)
        for server in servers:
            server.begin("hot", subject=chosen[0], rate=rate, seconds=bench.seconds, together=1, size=SIZE)
        for server in servers:
            server.result()
        time.sleep(1)
        return fleets.samples()
