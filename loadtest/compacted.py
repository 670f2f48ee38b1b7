"""What a compacted topic of a million keys costs a node whose cache holds a small part of it: the first start, which
reads all of it into the node's table, a restart, and who subscribes to the latest value of one key.

Not here: the steps of other scenarios (bench.py).
"""

from __future__ import annotations

import json
import shutil
import time
from array import array
from collections.abc import Iterator
from functools import partial
from random import Random

from confluent_kafka import Producer

from loadtest.bench import Bench
from loadtest.kafka_load import Reading
from loadtest.process import Child, peak_kb
from loadtest.report import Row, percentile
from loadtest.violators import connected, until_words
from loadtest.wire import HELLO, TEXT, masked

KEYS = 1_000_000
VALUE = b"x" * 500
CACHE = "64MiB"
PAUSE_S = 0.002


class OneKey:
    """A client that subscribes to one key after another. Commands for `process.serve`."""

    def __init__(self, port: int, topic: str) -> None:
        self._topic = topic
        self._random = Random(7)
        self._sock = connected(port)
        self._sock.sendall(HELLO)
        until_words(self._sock, b'"op":"welcome"')

    def idle(self, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def measure(self, seconds: float) -> array[int]:
        """Microseconds from each subscribe until the key's latest value is there."""
        found, until, request = array("q"), time.monotonic() + seconds, 1
        while time.monotonic() < until:
            request += 2
            subject = f"/{self._topic}/{self._random.randrange(KEYS)}"
            began = time.monotonic_ns()
            self._send("subscribe", request, subject=subject, **{"from": "latest"})
            until_words(self._sock, b'"op":"live","sub":%d,' % request)
            found.append((time.monotonic_ns() - began) // 1000)
            self._send("unsubscribe", request + 1, sub=request)
            until_words(self._sock, b'"op":"unsubscribed","id":%d,' % (request + 1))
            time.sleep(PAUSE_S)
        return found

    def _send(self, op: str, request: int, **keys: object) -> None:
        self._sock.sendall(masked(TEXT, json.dumps({"op": op, "id": request, **keys}).encode()))


def table(bench: Bench) -> Iterator[Row]:
    """The first start, subscriptions, and a restart."""
    topic = bench.topic("table", {"cleanup.policy": "compact"})
    bench.say(f"producing {KEYS:,} keys")
    producer = Producer({"bootstrap.servers": bench.kafka.bootstrap, "linger.ms": 5, "compression.type": "none"})
    for number in range(KEYS):
        while True:
            try:
                producer.produce(topic, VALUE, b"%d" % number)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    with Child("reader", partial(Reading, bench.kafka.bootstrap)) as reader:
        floor_s: float = reader.call("read_all", topic=topic, count=KEYS)
    data = bench.artifacts / "bench-table.data"
    shutil.rmtree(data, ignore_errors=True)
    settings = {"cache.bytes": CACHE, "cluster.data_dir": str(data)}
    try:
        with bench.node(topic, settings) as node:
            bench.say(f"ready after {node.ready_s:.1f} s, {node.status()['tables']}")
            with Child("client", partial(OneKey, node.port, topic)) as client:
                taken = client.call("measure", seconds=bench.seconds)
            yield Row("table.ready_s", node.ready_s, "s", floor_s, less_is_better=True)
            yield Row("table.peak_mb", peak_kb(node.pid) / 1024, "MB", None, 400, less_is_better=True)
            for share, goal in ((0.5, 5), (0.99, 20), (1.0, 100)):
                at = percentile(taken, [1] * len(taken), share) / 1000
                yield Row(f"table.subscribe_p{share * 100:.0f}_ms", at, "ms", None, goal, less_is_better=True)
        with bench.node(topic, settings) as node:
            yield Row("table.restart_s", node.ready_s, "s", None, 10, less_is_better=True)
    finally:
        shutil.rmtree(data, ignore_errors=True)
