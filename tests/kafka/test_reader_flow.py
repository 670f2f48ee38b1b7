"""Which partitions flow and which are stalled, as librdkafka says of a Kafka that is slow, hangs, or is gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from node.kafka.embedded import EmbeddedKafka
from node.kafka.reader import Flow, Reader, Reading
from node.kafka.threads import Inbox
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow

PARTITIONS = [("t", 0), ("t", 1)]


class Mailbox:
    """Takes what a reader says, and keeps what it says of the flow."""

    def __init__(self) -> None:
        self.stalled: dict[tuple[str, int], bool] = {}
        self.reports: list[Flow] = []

    def put(self, news: Reading) -> None:
        if isinstance(news, Flow):
            self.reports.append(news)
            self.stalled |= dict.fromkeys(news.stalled, True) | dict.fromkeys(news.flowing, False)

    def wait(self, is_stalled: bool) -> None:
        """Until all are. Soon enough is less than librdkafka itself would wait for a broker that says nothing, 60 s."""
        deadline = time.monotonic() + PATIENCE_S / 2
        while self.stalled != dict.fromkeys(PARTITIONS, is_stalled):
            assert time.monotonic() < deadline, self.reports
            time.sleep(0.01)

    def wait_quiet(self, quiet_s: float = 1.5) -> None:
        """Until nothing was said for so long, several times what a stall takes."""
        count, since = len(self.reports), time.monotonic()
        deadline = since + PATIENCE_S
        while time.monotonic() < since + quiet_s:
            assert time.monotonic() < deadline, self.reports
            if len(self.reports) != count:
                count, since = len(self.reports), time.monotonic()
            time.sleep(0.01)


@pytest.fixture
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"t": 2}) as kafka:
        yield kafka


@pytest.fixture
def start(kafka: EmbeddedKafka) -> Iterator[Callable[..., tuple[Reader, Mailbox]]]:
    readers: list[Reader] = []

    def start(**properties: Any) -> tuple[Reader, Mailbox]:
        mailbox = Mailbox()
        given = {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "g",
            "fetch.wait.max.ms": 100,
            "enable.partition.eof": True,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
            **properties,
        }
        reader = Reader(given, cast("Inbox[Reading]", mailbox), True)
        readers.append(reader)
        for topic, partition in PARTITIONS:
            reader.assign(topic, partition, 0)
        mailbox.wait(False)
        mailbox.reports.clear()
        return reader, mailbox

    yield start
    for reader in readers:
        reader.stop()


def test_a_kafka_that_hangs_is_noticed_and_so_is_its_return(kafka: EmbeddedKafka, start: Any) -> None:
    _, mailbox = start()
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        mailbox.wait(True)
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    mailbox.wait(False)


def test_a_kafka_that_is_gone_is_noticed(kafka: EmbeddedKafka, start: Any) -> None:
    _, mailbox = start()
    kafka.broker_down()
    mailbox.wait(True)
    kafka.broker_up()
    mailbox.wait(False)


@pytest.mark.parametrize(("wait_ms", "takes_ms"), [(100, 250), (40, 300), ("1000", 300)])
def test_a_kafka_that_takes_its_time_is_well(kafka: EmbeddedKafka, start: Any, wait_ms: object, takes_ms: int) -> None:
    _, mailbox = start(**{"fetch.wait.max.ms": wait_ms})
    kafka.set_rtt(takes_ms)
    mailbox.wait_quiet()  # on a busy machine it may be slower than asked for, once
    assert not any(mailbox.stalled.values())


def test_the_statistics_that_a_user_wants_change_nothing(kafka: EmbeddedKafka, start: Any) -> None:
    _, mailbox = start(**{"statistics.interval.ms": "0"})
    kafka.broker_down()
    mailbox.wait(True)


def test_a_partition_that_is_read_from_elsewhere_is_told_of_anew(kafka: EmbeddedKafka, start: Any) -> None:
    reader, mailbox = start()
    generation = reader.assign("t", 1, 0)
    deadline = time.monotonic() + PATIENCE_S
    while not mailbox.reports and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mailbox.reports == [Flow(generation, [], [("t", 1)])]
    reader.unassign("t", 1)
    kafka.broker_down()
    while not mailbox.stalled["t", 0] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mailbox.stalled == {("t", 0): True, ("t", 1): False}
