"""Records into Kafka, as any producer makes them."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from tests.support.patience import PATIENCE_S


class Source:
    """A producer that waits for its acknowledgements."""

    def __init__(self, bootstrap: str, **properties: object) -> None:
        """`properties` are librdkafka's, with `_` for `.`."""
        self._failures: list[str] = []
        self.producer = Producer(
            {"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 1, "log_level": 0}
            | {name.replace("_", "."): value for name, value in properties.items()}
        )

    def add(self, topic: str, key: bytes | str | None = None, value: bytes | str | None = b"1", **more: Any) -> None:
        """Produce one, and do not wait. `more` goes to `Producer.produce`."""
        self.producer.produce(topic, value=value, key=key, on_delivery=self._delivered, **more)

    def flush(self) -> None:
        """Wait until Kafka has them all."""
        assert self.producer.flush(PATIENCE_S) == 0, "Kafka has not taken everything"
        assert not self._failures, self._failures

    def send(self, topic: str, key: bytes | str | None = None, value: bytes | str | None = b"1", **more: Any) -> None:
        """Produce one, and wait until Kafka has it."""
        self.add(topic, key, value, **more)
        self.flush()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failures.append(error.str())
