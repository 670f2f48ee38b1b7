"""Records that go into Kafka during a trial, and what must have reached subscribers of them.

The independent reader and the check are those of one node (tests/chaos/load.py, tests/support/checker.py): where a
record comes from, the mesh or Kafka itself, makes no difference to what holds.
"""

from __future__ import annotations

import threading
import time
from random import Random

from confluent_kafka import KafkaError, Producer

from tests.chaos.load import EVENTS, NOTES, PARTITIONS, Reader
from tests.support.checker import Breach, Limits, Seen, check
from tests.support.truth import Truth

STEP_S = 0.02
KEYS = [b"k%02d" % number for number in range(40)]
HOT = KEYS[:6]
"""They get half of all records, so that a pause is seen."""
TOPICS = f'[{{name = "{EVENTS}"}}, {{name = "{NOTES}", value = "text"}}]'
"""For the flag of a node."""


class KafkaLoad(threading.Thread):
    """Produces at a rate, to two topics, whose records an independent reader reads."""

    def __init__(self, bootstrap: str, per_second: int = 200, seed: int = 1) -> None:
        super().__init__(name="kafka-load", daemon=True)
        self.bootstrap = bootstrap
        self.reader = Reader(bootstrap)
        self.failed = 0
        self._per_second = per_second
        self._rng = Random(seed)
        self._stopping = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 2,
                "log_level": 0,
                "reconnect.backoff.max.ms": 500,
            }
        )
        self._truth: Truth | None = None

    def start(self) -> None:
        self.reader.start()
        super().start()

    def run(self) -> None:
        number = 0
        due = time.monotonic()
        while not self._stopping.is_set():
            for _ in range(max(1, round(self._per_second * STEP_S))):
                number += 1
                topic = EVENTS if self._rng.random() < 0.8 else NOTES
                value = b'{"n":%d}' % number if topic == EVENTS else b"note %d" % number
                key = self._rng.choice(HOT if number % 2 else KEYS)
                try:
                    self._producer.produce(topic, value, key, on_delivery=self._delivered)
                except BufferError:
                    self._producer.poll(0.01)
            self._producer.poll(0)
            due = max(due + STEP_S, time.monotonic() - 0.2)
            time.sleep(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        """End; all that was produced is in Kafka then, and has been read."""
        self._stopping.set()
        self.join()
        assert self._producer.flush(30) == 0, "Kafka has not taken everything"
        self._truth = self.reader.truth()

    def unfinished(self, seens: list[Seen]) -> list[str]:
        """What subscribers lack."""
        return [one.text for one in self.check(seens) if one.kind == "lost"]

    def check(self, seens: list[Seen]) -> list[Breach]:
        """Everything that is wrong with what subscribers got."""
        assert self._truth is not None, "not stopped"
        found = [breach for seen in seens for breach in check(self._truth, seen, Limits(100_000, True))]
        for seen in seens:
            gaps = [one for one in seen.noted if type(one).__name__ == "Gapped"]
            found += [Breach("gap", f"{seen.name}: {gap}") for gap in gaps]
        return found

    def _delivered(self, error: KafkaError | None, message: object) -> None:
        if error is not None:
            self.failed += 1


def topics() -> dict[str, int]:
    """What must be created in Kafka: name -> partitions."""
    return dict(PARTITIONS)
