"""The status of a node (`/v1/status`) as text for people.

Keys that are missing are taken as nothing: a newer command can ask an older node.

Not here: asking the node (status.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from node.settings.units import format_duration

_NUMBER = re.compile(r"[\d,.-]+( ms)?|\?|down|")


class Clients(msgspec.Struct, frozen=True):
    connections: int = 0
    subscriptions: int = 0


class Rates(msgspec.Struct, frozen=True):
    in_per_s: float = 0
    out_per_s: float = 0


class Worker(msgspec.Struct, frozen=True):
    index: int = 0
    pid: int | None = None
    connections: int = 0
    subscriptions: int = 0
    restarts: int = 0
    messages_out_per_s: float = 0
    loop_delay_s: float | None = None


class Cache(msgspec.Struct, frozen=True):
    bytes: int = 0
    bytes_max: int = 0
    messages: int = 0
    subjects: int = 0
    ttl_s: float = 0


class Partition(msgspec.Struct, frozen=True):
    partition: int = 0
    log: str = ""
    end: tuple[int, int] | None = None
    """Epoch and offset of the last record read."""
    high_watermark: int | None = None
    lag: int | None = None
    state: str = ""
    messages_per_s: float = 0


class Topic(msgspec.Struct, frozen=True):
    topic: str = ""
    value: str = ""
    publish: bool = False
    partitions: list[Partition] = []


class Kafka(msgspec.Struct, frozen=True):
    connected: bool = False
    brokers: list[str] | int = 0
    topics: list[Topic] = []


class Busy(msgspec.Struct, frozen=True):
    subject: str = ""
    per_s: float = 0


class Publishes(msgspec.Struct, frozen=True):
    accepted: int = 0
    failed: int = 0
    in_flight: int = 0


class Status(msgspec.Struct, frozen=True):
    """What `/v1/status` says, as far as it is shown."""

    node: str = ""
    version: str = ""
    cluster: str = ""
    state: str = ""
    ready: bool = False
    uptime_s: float = 0
    problems: list[str] = []
    clients: Clients = Clients()
    rates: Rates = Rates()
    workers: list[Worker] = []
    cache: Cache = Cache()
    kafka: Kafka = Kafka()
    busiest: list[Busy] = []
    publishes: Publishes = Publishes()


def summary(status: Status) -> str:
    """The whole status."""
    return "\n".join(_printable(line).rstrip() for line in _lines(status)) + "\n"


def _lines(status: Status) -> Iterator[str]:
    ready = "ready" if status.ready else "NOT READY"
    up = format_duration(float(round(status.uptime_s)))
    yield f"node {status.node} ({status.version}), cluster {status.cluster}: {status.state}, {ready}, up {up}"
    for problem in status.problems:
        yield f"problem: {problem}"
    yield ""
    rates, cache, kafka, publishes = status.rates, status.cache, status.kafka, status.publishes
    share = f" ({cache.bytes / cache.bytes_max:.0%})" if cache.bytes_max else ""
    brokers = str(kafka.brokers) if isinstance(kafka.brokers, int) else ", ".join(kafka.brokers)
    yield f"clients    {status.clients.connections:,} connections, {status.clients.subscriptions:,} subscriptions"
    yield f"messages   {rates.in_per_s:,.0f}/s in, {rates.out_per_s:,.0f}/s out"
    yield (
        f"publishes  {publishes.accepted:,} accepted, {publishes.failed:,} failed, {publishes.in_flight:,} in flight"
    )
    yield (
        f"cache      {_mib(cache.bytes)} of {_mib(cache.bytes_max)}{share}, {cache.messages:,} messages of "
        f"{cache.subjects:,} subjects, ttl {format_duration(cache.ttl_s)}"
    )
    yield f"kafka      {'connected' if kafka.connected else 'NOT CONNECTED'}, brokers: {brokers or 'none'}"
    yield from _table(
        ("worker", "pid", "connections", "subscriptions", "restarts", "out msg/s", "loop delay"),
        [
            (
                f"{worker.index}",
                "down" if worker.pid is None else f"{worker.pid}",
                f"{worker.connections:,}",
                f"{worker.subscriptions:,}",
                f"{worker.restarts}",
                f"{worker.messages_out_per_s:,.0f}",
                "?" if worker.loop_delay_s is None else f"{worker.loop_delay_s * 1000:,.1f} ms",
            )
            for worker in status.workers
        ],
    )
    yield from _table(
        ("topic", "value", "publish", "partition", "log", "end", "high watermark", "lag", "state", "msg/s"),
        [row for topic in kafka.topics for row in _partitions(topic)],
    )
    yield from _table(("busiest subject", "msg/s"), [(busy.subject, f"{busy.per_s:,.1f}") for busy in status.busiest])


def _partitions(topic: Topic) -> Iterator[tuple[str, ...]]:
    head = (topic.topic, topic.value, "yes" if topic.publish else "no")
    if not topic.partitions:
        yield (*head, *[""] * 5, "no partitions", "")
    for partition in topic.partitions:
        counts = (partition.high_watermark, partition.lag)
        yield (
            *head,
            f"{partition.partition}",
            partition.log,
            "?" if partition.end is None else "{},{}".format(*partition.end),
            *("?" if count is None else f"{count:,}" for count in counts),
            partition.state,
            f"{partition.messages_per_s:,.1f}",
        )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Columns as wide as they must be, numbers to the right; nothing at all without rows."""
    if not rows:
        return
    yield ""
    rows = [tuple(map(_printable, row)) for row in rows]
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    to_right = [all(map(_NUMBER.fullmatch, column[1:])) for column in columns]
    for row in (tuple(name.upper() for name in head), *rows):
        cells = zip(row, widths, to_right, strict=True)
        yield "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells)


def _mib(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"


def _printable(line: str) -> str:
    """A node's names must not move the cursor of who reads them."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in line)
