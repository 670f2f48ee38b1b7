"""The demo's producer against a Kafka: what it writes, that it outlives a Kafka that is away, and that it ends."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from loadtest.kafka.records import Record, read_all
from node.demo import producer
from node.demo.producer import TOPICS
from node.kafka.embedded import EmbeddedKafka
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow


@contextmanager
def running(bootstrap: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "node.demo.producer", "--bootstrap", bootstrap]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(kafka: EmbeddedKafka, count: int) -> list[Record]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        records = read_all(kafka.bootstrap, "flights")
        if len(records) >= count:
            return records
        assert time.monotonic() < deadline, f"{len(records)} records "
        time.sleep(0.2)


def progress_by_flight(records: list[Record]) -> dict[bytes, list[float]]:
    found: dict[bytes, list[float]] = {}
    for record in records:
        assert record.key
        if record.value is not None:
            found.setdefault(record.key, []).append(json.loads(record.value)["progress"])
    return found


def test_flights_and_airports_are_in_kafka() -> None:
    with EmbeddedKafka(TOPICS) as kafka, running(kafka.bootstrap):
        records = wait_for(kafka, 1500)
        assert len({record.partition for record in records}) == TOPICS["flights"]
        for key, progress in progress_by_flight(records).items():
            assert progress == sorted(progress), key
        airports = read_all(kafka.bootstrap, "airports")
        assert len({record.key for record in airports}) == 20
        assert all(record.key == json.loads(record.value or b"")["iata"].encode() for record in airports)


def test_it_goes_on_after_kafka_was_away_and_repeats_and_loses_nothing() -> None:
    with EmbeddedKafka(TOPICS) as kafka, running(kafka.bootstrap) as process:
        wait_for(kafka, 500)
        kafka.broker_down()
        time.sleep(2)
        kafka.broker_up()
        count = len(wait_for(kafka, 500))
        found = progress_by_flight(wait_for(kafka, count + 2500))
        for key, progress in found.items():
            assert progress == sorted(set(progress)), key
        # A second apart, however long Kafka was away: the steps of one flight are all the same.
        for key, progress in found.items():
            steps = [b - a for a, b in itertools.pairwise(progress) if b < 1]
            assert not steps or max(steps) - min(steps) < 0.0003, key
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert "kafka_away" in log
        assert log.index("kafka_away") < log.index("kafka_back")
        assert "not_delivered" not in log


def test_the_flights_stand_still_while_the_queue_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "_QUEUE_RECORDS", 200)
    stopping = threading.Event()
    with EmbeddedKafka(TOPICS) as kafka:
        kafka.broker_down()
        feed = producer._Feed(kafka.bootstrap, stopping)
        thread = threading.Thread(target=feed.run, args=(producer.load_replay(60),))
        began = time.monotonic()
        thread.start()
        time.sleep(2)
        kafka.broker_up()
        wait_for(kafka, 300)
        time.sleep(0.5)
        stopping.set()
        thread.join(PATIENCE_S)
        # At first all flights are produced, then some 630 a second: had they gone on in the 2 s that Kafka was away,
        # these would be 1,900 after 3 s.
        assert len(read_all(kafka.bootstrap, "flights")) < 900 + 630 * (time.monotonic() - began - 2)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "end of input"])
def test_it_ends_when_it_is_told(how: str) -> None:
    with EmbeddedKafka(TOPICS) as kafka, running(kafka.bootstrap) as process:
        wait_for(kafka, 1)
        if how == "end of input":
            assert process.stdin
            process.stdin.close()
            process.stdin = None
        else:
            process.send_signal(signal.Signals[how])
        _, log = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert log == ""


def test_it_starts_while_kafka_is_away_and_still_ends() -> None:
    with running("127.0.0.1:1") as process:
        assert process.stderr
        assert "kafka_away" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0


def test_a_kafka_that_ends_with_it_is_no_reason_for_alarm() -> None:
    with EmbeddedKafka(TOPICS) as kafka, running(kafka.bootstrap) as process:
        wait_for(kafka, 1)
        assert process.stdin
        process.stdin.close()
        process.stdin = None
        kafka.stop()
        _, log = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, log) == (0, "")


def test_a_bad_option_is_named() -> None:
    command = [sys.executable, "-m", "node.demo.producer", "--bootstrap", "x", "--acceleration", "0"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "--acceleration" in ran.stderr
