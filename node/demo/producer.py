"""The demo's producer: writes real flights to Kafka as any program would. A separate process.

`python -m node.demo.producer --bootstrap HOST:PORT` goes on until SIGTERM, Ctrl-C or the end of standard input.
While Kafka is away it keeps trying, in order and without loss; when its queue is full, the flights stand still.

Not here: where the flights are (flights.py), the embedded Kafka (node/kafka/embedded.py).
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import signal
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from confluent_kafka import KafkaError, Producer

from gateway.link.logs import event, set_up
from node.demo.flights import AIRPORTS, FLIGHTS, Airport, Flight, FlightRecord, FlightReplay

TOPICS: Final = {FLIGHTS: 12, AIRPORTS: 2}
"""Topics and their partitions: an embedded Kafka, which keeps 5 MiB of each, then keeps about ten minutes."""

_DAY_BEGINS: Final = datetime(2001, 3, 15, 15)
_DAY_S: Final = 10 * 3600
"""The period that node/demo/data/flights.csv covers."""
_STEP_S: Final = 0.05
_QUEUE_RECORDS: Final = 20_000
"""Records that may wait while Kafka is away: half a minute of flights."""

_log = logging.getLogger("node.demo.producer")


def main() -> None:
    """Replay real flights into Kafka topics `flights` and `airports` until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m node.demo.producer", description=main.__doc__)
    parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT", help="Kafka's brokers")
    parser.add_argument("--acceleration", type=float, default=60.0, help="how much faster than real time (default 60)")
    parser.add_argument("--log-format", default="text", choices=("text", "json"), help="of log lines: text or json")
    options = parser.parse_args()
    if options.acceleration <= 0:
        parser.error(f"--acceleration: more than 0 is expected, found {options.acceleration}")
    set_up(options.log_format, "info")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=_wait_for_end_of_input, args=(stopping,), daemon=True).start()
    _Feed(options.bootstrap, stopping).run(load_replay(options.acceleration))


def load_replay(acceleration: float) -> FlightReplay:
    """The flights that come with the demo."""
    data = files("node.demo") / "data"
    airports = {
        row["iata"]: Airport(row["iata"], row["name"], row["city"], row["state"], float(row["lat"]), float(row["lon"]))
        for row in csv.DictReader((data / "airports.csv").read_text(encoding="utf-8").splitlines())
    }
    flights = [
        Flight(
            (datetime.fromisoformat(row["departed_utc"]) - _DAY_BEGINS).total_seconds(),
            row["origin"],
            row["destination"],
            int(row["distance_mi"]),
            int(row["delay_min"]),
        )
        for row in csv.DictReader((data / "flights.csv").read_text(encoding="utf-8").splitlines())
    ]
    return FlightReplay(airports, flights, _DAY_S, acceleration)


class _Feed:
    """A Kafka producer that never gives up, and logs when Kafka goes away and comes back."""

    def __init__(self, bootstrap: str, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._is_away = False
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "whimbrel-demo",
                "enable.idempotence": True,
                # The default of Kafka's Java client: any program finds a key in the partition that it expects.
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.timeout.ms": 0,  # never
                "queue.buffering.max.messages": _QUEUE_RECORDS,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,  # the callbacks report what matters
                "error_cb": self._on_error,
            }
        )

    def run(self, replay: FlightReplay) -> None:
        """Produce what the replay says until told to stop."""
        self._produce(replay.opening())
        # Time stands still while the queue is full: afterwards the flights go on from where they were.
        clock_s, before = 0.0, time.monotonic()
        while not self._stopping.wait(_STEP_S):
            now = time.monotonic()
            clock_s += now - before
            before = now + self._produce(replay.advance(clock_s))
            self._producer.poll(0)
        self._producer.flush(2)

    def _produce(self, records: Iterable[FlightRecord]) -> float:
        """Return the seconds spent waiting for room in the queue."""
        waited_s = 0.0
        for topic, key, value in records:
            while not self._stopping.is_set():
                try:
                    self._producer.produce(topic, value, key, on_delivery=self._on_delivery)
                    break
                except BufferError:
                    full_since = time.monotonic()
                    self._producer.poll(0.5)
                    waited_s += time.monotonic() - full_since
        return waited_s

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._is_away and not self._stopping.is_set():
            self._is_away = True
            event(_log, "kafka_away", logging.WARNING, reason=error.str())

    def _on_delivery(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            event(_log, "not_delivered", logging.ERROR, topic=message.topic(), reason=error.str())
        elif self._is_away:
            self._is_away = False
            event(_log, "kafka_back")


def _wait_for_end_of_input(stopping: threading.Event) -> None:
    # Not sys.stdin: a thread that waits in it keeps the interpreter from ending.
    while os.read(0, 4096):
        pass
    stopping.set()


if __name__ == "__main__":
    main()
