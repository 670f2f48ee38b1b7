"""The auditor `kafka`: JSON in a topic, with the identity as key, so that what one did stays in order.

    [audit.kafka]
    topic = "whimbrel-audit"

Not here: what a record holds (lines.py).
"""

from __future__ import annotations

from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from node.audit.lines import LineAuditor, LinesLostError
from node.kafka import tokens
from node.kafka.making import made

WAIT_S = 0.1
FLUSH_S = 5.0


class KafkaAuditOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Keys of `[audit.kafka]`."""

    topic: str
    bootstrap: str = ""
    """Those of `[kafka]` if not given, with its properties."""
    client: dict[str, str | int | float | bool] = {}
    """Properties of librdkafka."""
    oauth: str = ""
    """As `kafka.oauth`; that, if not given, where `bootstrap` is not given either."""
    oauth_folder: str = ""


class _Whose(msgspec.Struct):
    identity: str = ""


_whose = msgspec.json.Decoder(_Whose).decode


class KafkaAuditor(LineAuditor):
    """Produces; waits while the library's queue is full."""

    def __init__(self, **options: Any) -> None:
        given = msgspec.convert(options, KafkaAuditOptions, strict=False)
        if not given.bootstrap:
            raise ValueError("`bootstrap` is missing: the brokers, as in [kafka]")
        self._topic = given.topic
        self._failures = 0
        self._failure = ""
        properties: dict[str, Any] = {
            "log_level": 2,
            "linger.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "partitioner": "murmur2_random",
            **given.client,
            "bootstrap.servers": given.bootstrap,
            "enable.idempotence": True,
        }
        if given.oauth:
            properties["oauth_cb"] = tokens.load(given.oauth, given.oauth_folder)
        self._properties = properties
        # With tokens it is made when there is something to write, in the auditor's thread: without one that takes 10 s.
        self._producer: Producer | None = None if given.oauth else made(Producer, properties)

    def write_lines(self, data: bytes) -> None:
        producer, topic = self._producer or made(Producer, self._properties), self._topic
        self._producer = producer
        for line in data.splitlines():
            key = _whose(line).identity or None
            while True:
                try:
                    producer.produce(topic, line, key, on_delivery=self._delivered)
                    break
                except BufferError:
                    producer.poll(WAIT_S)
                except KafkaException as error:
                    self._failed(error.args[0])  # this one is too large, say: the others are not
                    break
        producer.poll(0)
        if self._failures:
            count, self._failures = self._failures, 0
            raise LinesLostError(count, self._failure)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(FLUSH_S)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed(error)

    def _failed(self, error: KafkaError) -> None:
        self._failures += 1
        self._failure = error.str()
