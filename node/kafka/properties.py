"""The properties that the node gives to librdkafka: its own, then the user's, which win.

Not here: which properties users may not set (node/settings).
"""

from __future__ import annotations

from node.settings.schema import Settings

_QUIET = {"log_level": 2}
"""librdkafka repeats itself on standard error many times a second while a broker is away; the status says it once."""

_CREATES_NOTHING = {"allow.auto.create.topics": False}
"""A typing error must not make a topic: which are created is said in the mapping (`topics.create`)."""


def reader(settings: Settings) -> dict[str, object]:
    """For reading live records and for reading back."""
    return {
        **_QUIET,
        "bootstrap.servers": settings.kafka.bootstrap,
        "group.id": "whimbrel",
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 10,
        "queued.max.messages.kbytes": 65536,
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": 10_000,
        **settings.kafka.client,
        **settings.kafka.consumer,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        **_CREATES_NOTHING,
    }


def producer(settings: Settings) -> dict[str, object]:
    """For publishing. Keys go to the partitions that Kafka's own Java producer would choose."""
    return {
        **_QUIET,
        "bootstrap.servers": settings.kafka.bootstrap,
        "partitioner": "murmur2_random",
        "linger.ms": 2,
        "reconnect.backoff.max.ms": 1000,
        **settings.kafka.client,
        **settings.kafka.producer,
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": int(settings.publish.timeout_s * 1000),
        "queue.buffering.max.messages": settings.publish.queue_max,
        **_CREATES_NOTHING,
    }


def admin(settings: Settings) -> dict[str, object]:
    """For asking what there is."""
    return {
        **_QUIET,
        "bootstrap.servers": settings.kafka.bootstrap,
        "reconnect.backoff.max.ms": 1000,
        **settings.kafka.client,
        **_CREATES_NOTHING,
    }
