"""Many small devices that publish into Kafka now and then, each over a connection of its own, and wait for the answer.

4,000 of them, one value of some 136 bytes every two seconds each; others publish it for 200,000.

Not here: few clients that publish as fast as they can (`publish` in loadtest/scenarios.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from loadtest.bench import FLOOR_S, Bench, cpu_of, ms
from loadtest.kafka_load import Acknowledged, Reading
from loadtest.payload import key_name
from loadtest.plots import Samples, plot_latency
from loadtest.process import Child, Failed, Shares
from loadtest.publisher import Latencies, Publisher
from loadtest.report import Row

DEVICES, PAUSE_S = 4_000, 2.0
PAD, VALUE_BYTES = 90, 136
"""Of a value: characters besides time and number, and all of it."""


def devices(bench: Bench) -> Iterator[Row]:
    """How long a publish takes until Kafka has it, what it costs, and whether Kafka has each once."""
    topic, pause_s = bench.topic("devices"), PAUSE_S / bench.scale
    chosen = [f"/{topic}/{key_name(device).decode()}" for device in range(DEVICES)]
    with (
        bench.node(topic, None, "--publish", topic) as node,
        Child("devices", partial(Publisher, 1)) as publisher,
        Child("raw producer", partial(Acknowledged, bench.kafka.bootstrap, 2)) as raw,
        Child("reader", partial(Reading, bench.kafka.bootstrap)) as reader,
    ):
        publisher.call("connect", ports=[node.port], each=DEVICES, subjects=chosen, pad=PAD)
        bench.say(f"{DEVICES:,} devices, {DEVICES / pause_s:,.0f} publishes per second")
        shares = Shares({"server": node.pid, "devices": publisher.pid, "Kafka": bench.kafka.pid()})
        found: Latencies = publisher.call(
            "one_at_a_time", seconds=pause_s + bench.seconds, pause_s=pause_s, coordinated={chosen[0]: node.port}
        )
        bench.say(f"shares of a core: {shares.words()}")
        used, published = cpu_of(shares), sum(publisher.call("published").values())
        if (there := reader.call("count", topic=topic)) != published:
            raise Failed(f"{published:,} publishes were acknowledged, and Kafka has {there:,} records")
        bench.say(f"{published:,} publishes, each in Kafka once; the same one at a time from a raw producer")
        alone = raw.call(
            "one_at_a_time", topic=bench.topic("devices-raw"), size=VALUE_BYTES, seconds=FLOOR_S, pause_s=0.002
        )
    took = found["here"] + found["there"]
    samples: Samples = took, [1] * len(took)
    floor: Samples = alone, [1] * len(alone)
    title = f"{DEVICES:,} devices publish {DEVICES / pause_s:,.0f} values per second into Kafka"
    plot_latency(bench.artifacts / "shape-devices.png", title, {"Whimbrel": samples, "raw producer": floor})
    for share in (0.5, 0.99):
        value = ms(samples, share)
        assert value is not None
        yield Row(f"devices.p{share * 100:.0f}_ms", value, "ms", ms(floor, share), less_is_better=True)
    yield Row("devices.us_per_publish", used * 1e6 / published, "µs", None, less_is_better=True)
