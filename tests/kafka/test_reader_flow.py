"""Which partitions flow and which are stalled, as librdkafka says of a Kafka that is slow, hangs, or is gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from node.kafka.embedded import EmbeddedKafka
from node.kafka.events import Flow, KafkaEvent
from node.kafka.reader import Reader
from node.kafka.threads import Inbox
from tests.support.patience import PATIENCE_S
from tests.support.queued import queued_between, queued_s

PARTITIONS = [("t", 0), ("t", 1)]


class Mailbox:
    """Takes what a reader says, and keeps what it says of the flow."""

    def __init__(self) -> None:
        self.stalled: dict[tuple[str, int], bool] = {}
        self.reports: list[Flow] = []

    def put(self, news: KafkaEvent) -> None:
        if isinstance(news, Flow):
            self.reports.append(news)
            self.stalled |= dict.fromkeys(news.stalled, True) | dict.fromkeys(news.flowing, False)

    def wait(self, is_stalled: bool) -> float:
        """Until all are; how long it took, less what the threads of this process queued for a processor."""
        began, before = time.monotonic(), queued_s(threads())
        while self.stalled != dict.fromkeys(PARTITIONS, is_stalled):
            assert time.monotonic() < began + PATIENCE_S, self.reports
            time.sleep(0.01)
        return time.monotonic() - began - queued_between(before, queued_s(threads()))


def threads() -> list[int]:
    return [int(one) for one in os.listdir("/proc/self/task")]


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
        reader = Reader(given, cast("Inbox[KafkaEvent]", mailbox), True)
        readers.append(reader)
        for generation, (topic, partition) in enumerate(PARTITIONS, 1):
            reader.assign(topic, partition, 0, generation)
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
        took = mailbox.wait(True)
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    assert took < 2.0  # 0.5 to 0.7 s where the machine has nothing else to do
    assert mailbox.wait(False) < 2.0


def test_a_kafka_that_is_gone_is_noticed(kafka: EmbeddedKafka, start: Any) -> None:
    _, mailbox = start()
    kafka.broker_down()
    assert mailbox.wait(True) < 2.0
    kafka.broker_up()
    mailbox.wait(False)


def test_a_kafka_that_takes_its_time_is_well(kafka: EmbeddedKafka, start: Any) -> None:
    mailboxes = [start(**{"fetch.wait.max.ms": wait_ms})[1] for wait_ms in (40, 100, "1000")]
    kafka.set_rtt(300)
    time.sleep(3)
    for mailbox in mailboxes:
        assert not any(mailbox.stalled.values())
        assert mailbox.reports == []


def test_the_statistics_that_a_user_wants_change_nothing(kafka: EmbeddedKafka, start: Any) -> None:
    _, mailbox = start(**{"statistics.interval.ms": "0"})
    kafka.broker_down()
    assert mailbox.wait(True) < 2.0


def test_a_partition_that_is_read_from_elsewhere_is_told_of_anew(kafka: EmbeddedKafka, start: Any) -> None:
    reader, mailbox = start()
    generation = len(PARTITIONS) + 1
    reader.assign("t", 1, 0, generation)
    deadline = time.monotonic() + 5
    while not mailbox.reports and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mailbox.reports == [Flow(generation, [], [("t", 1)])]
    reader.unassign("t", 1, generation + 1)
    kafka.broker_down()
    while not mailbox.stalled["t", 0] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mailbox.stalled == {("t", 0): True, ("t", 1): False}
