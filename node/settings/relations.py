"""What must hold between values, what a node cannot do without, and what its operator should be told.

Not here: limits of single values (schema.py), properties that Kafka's library refuses (librdkafka.py).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from gateway.mapping import INTERNAL
from node.settings.schema import Settings, Topic

AT_MOST: list[tuple[str, str, str]] = [
    ("cache.ttl", "cache.snapshot_ttl", "the latest value outlives a subject's other messages"),
    ("cache.ttl", "replay.age", "what left the cache is read back from Kafka"),
    ("publish.timeout", "publish.retry_window", "a retry comes after the timeout and must be recognised"),
    ("publish.queue", "publish.remembered", "each message in flight is remembered"),
    ("client.publishes", "publish.queue", "one client's publishes must find room on the node"),
    ("client.hello_timeout", "client.heartbeat", "a connection must not be silent for longer"),
    ("client.subject_bytes", "client.frame_bytes", "a frame carries a subject"),
    ("link.page_bytes", "client.outbox_bytes", "a page of history must fit into an empty outbox"),
]
"""Lesser key, greater key, why: the value of the first is at most that of the second."""

NEEDED = {
    "kafka.bootstrap": "the brokers to read from: --kafka HOST:PORT, or WHIMBREL_KAFKA_BOOTSTRAP",
    "topics": "the topics that clients may use: --topics NAME,..., WHIMBREL_TOPICS, or [[topics]] with a name",
}
"""What has no default that would do, and how to say it."""

REFUSED: dict[str, str] = {
    "bootstrap.servers": "say kafka.bootstrap",
    "metadata.broker.list": "say kafka.bootstrap",
    "enable.auto.commit": "the node commits no offsets: it reads from where its cache ends",
    "enable.auto.offset.store": "the node commits no offsets: it reads from where its cache ends",
    "auto.offset.reset": "an offset that is gone must be seen, to be stated as a gap, not skipped",
    "enable.partition.eof": "the node needs it to know when it has all of a partition",
    "partition.assignment.strategy": "the node reads every partition itself, without a consumer group",
    "group.protocol": "the node reads every partition itself, without a consumer group",
    "group.instance.id": "the node reads every partition itself, without a consumer group",
    "enable.idempotence": "the node needs it on: a publish must reach Kafka once and in order",
    "acks": "the node needs all: a publish is acknowledged when it cannot be lost any more",
    "request.required.acks": "the node needs all: a publish is acknowledged when it cannot be lost any more",
    "transactional.id": "the node publishes outside of transactions",
    "message.timeout.ms": "say publish.timeout",
    "delivery.timeout.ms": "say publish.timeout",
    "queue.buffering.max.messages": "say publish.queue",
    "logger": "the node has its own; say log.level and log.format",
    "delivery.report.only.error": "the node needs every report: it is a publisher's acknowledgement",
}
"""Properties of librdkafka that are the node's own business, and why or what to say instead."""


def unreachable(topics: Sequence[Topic]) -> Iterator[tuple[int, int]]:
    """Entries of `topics` that can never be used, each with the earlier one that always comes first."""
    for later, topic in enumerate(topics):
        for earlier in range(later):
            if covers(topics[earlier].name, topic.name):
                yield later, earlier
                break


def covers(pattern: str, other: str) -> bool:
    """Whether whatever matches the other pattern matches this one too (may miss some, never errs otherwise)."""
    if other.startswith(INTERNAL) and not pattern.startswith(INTERNAL):
        return False
    form = "".join({"*": ".*", "?": "[^*]"}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(form, other) is not None


def warnings(settings: Settings) -> list[str]:
    """What is allowed but dangerous, for the operator to read at every start."""
    if settings.authorizer.use != "allow_all" or _is_loopback(settings.node.host):
        return []
    publish = [topic.name for topic in settings.topics if topic.publish]
    also = f" and publish into {', '.join(publish)}" if publish else ""
    return [
        f"OTHERS CAN REACH THIS NODE WITHOUT AUTHORIZATION: it listens on {settings.node.listen} and the authorizer "
        f"is allow_all, so whoever can connect may read every mapped topic{also}. "
        "Configure an authorizer, or listen on 127.0.0.1."
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
