"""A bad network: each of 10,000 clients loses its connection twice, stays away for two seconds, and comes back.

Everyone has the same subject, which gets two values per second, as in the test that AnyCable publishes (there: 100 % of
the messages arrive, and 99 % of those that were missed within 6.1 s of coming back).

Not here: all cut at the same moment (`storm` in loadtest/scenarios.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from loadtest.bare import Bare
from loadtest.bench import WARM_S, Bench, ms
from loadtest.fleet import Fleet, Seen, now_us
from loadtest.kafka_load import Producing
from loadtest.payload import key_name
from loadtest.plots import Samples, plot_latency
from loadtest.process import Child, Failed, Shares
from loadtest.report import Row

CLIENTS, RATE = 10_000, 2
CUTS, EVERY_S, AWAY_S = 2, 15.0, 2.0
"""Within `EVERY_S` each connection is cut once, at a random time."""
PATIENCE_S = 60


def jitter(bench: Bench) -> Iterator[Row]:
    """How long it takes from coming back until all that was missed is there; nothing may be missing in the end."""
    topic, rate = bench.topic("jitter"), RATE * bench.scale
    chosen = [f"/{topic}/{key_name(0).decode()}"] * CLIENTS
    with (
        Child("fleet", partial(Fleet, 1)) as fleet,
        Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer,
        Child("bare server", partial(Bare, 3)) as bare,
    ):
        with bench.node(topic) as node:
            fleet.call("connect", port=node.port, subjects=chosen, tracked_every=1)
            bench.say(f"{CLIENTS:,} clients, {rate:g} msg/s; {CUTS} times each is cut and away for {AWAY_S:g} s")
            producer.call("start", topic=topic, keys=1, rate=rate)
            time.sleep(WARM_S)
            fleet.call("sample", begin_us=now_us(), end_us=now_us() + 3600 * 10**6)
            shares, back = Shares({"server": node.pid, "fleet": fleet.pid}), []
            for _ in range(CUTS):
                back += _each_cut(fleet)
            bench.say(f"shares of a core: {shares.words()}")
            sent = producer.call("stop").total()
            every: Samples = fleet.call("samples")
            _all_there(fleet, producer, topic, chosen)
        bench.say(f"{sent} values, all received by all, once, in order; the same cuts with a bare server")
        fleet.call("disconnect")
        fleet.call("connect", port=bare.call("port"), subjects=chosen, tracked_every=1)
        floor = _each_cut(fleet)
    curves = {"from coming back until live": _once(back), "the same, bare server": _once(floor)}
    title = f"{CLIENTS:,} clients, each cut {CUTS} times and away for {AWAY_S:g} s"
    plot_latency(bench.artifacts / "shape-jitter.png", title, curves | {"every message, from its sending": every})
    for share in (0.5, 0.99, 1.0):
        value = ms(_once(back), share)
        assert value is not None
        yield Row(f"jitter.back_p{share * 100:.0f}_ms", value, "ms", ms(_once(floor), share), less_is_better=True)
    late = ms(every, 0.99)
    assert late is not None
    yield Row("jitter.message_p99_ms", late, "ms", AWAY_S * 1000, less_is_better=True)


def _each_cut(fleet: Child) -> list[int]:
    fleet.call("cut_each", within_s=EVERY_S, away_s=AWAY_S)
    back: list[int] = list(fleet.call("rejoined", count=CLIENTS, timeout_s=EVERY_S + AWAY_S + PATIENCE_S))
    if len(back) < CLIENTS:
        raise Failed(f"only {len(back):,} of {CLIENTS:,} clients came back")
    return back


def _all_there(fleet: Child, producer: Child, topic: str, chosen: list[str]) -> None:
    behind = fleet.call("behind", last={chosen[0]: producer.call("last", topic=topic)[0]}, timeout_s=30)
    seen: Seen = fleet.call("seen")
    if behind or seen["faults"]:
        raise Failed(f"{behind:,} clients have not the last value; {dict(seen['faults'])} {seen['words'][:5]}")


def _once(latency: list[int]) -> Samples:
    return latency, [1] * len(latency)
