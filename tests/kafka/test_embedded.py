"""The embedded Kafka: what the demo and the fast tests rely on, and the limits that its docstring states."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from loadtest.kafka.records import read_all
from node.kafka.embedded import CLIENT_PROPERTIES, EmbeddedKafka, EmbeddedKafkaError
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow


def produce(bootstrap: str, topic: str, values: range, partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0})
    for value in values:
        producer.produce(topic, b"%d" % value, b"k%d" % value, partition, headers=[("h", b"%d" % value)])
    assert producer.flush(10) == 0


def test_what_is_produced_can_be_read(embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    embedded_kafka.create_topic(topic, 2)
    produce(embedded_kafka.bootstrap, topic, range(5))
    produce(embedded_kafka.bootstrap, topic, range(5, 7), partition=1)
    records = read_all(embedded_kafka.bootstrap, topic)
    assert [(r.partition, r.offset, r.value) for r in records] == [
        *((0, n, b"%d" % n) for n in range(5)),
        (1, 0, b"5"),
        (1, 1, b"6"),
    ]
    assert records[0].key == b"k0"
    assert records[0].headers == (("h", b"0"),)
    assert abs(records[0].timestamp_ms - time.time() * 1000) < 60_000


def test_topics_on_the_command_line_exist_with_their_partitions() -> None:
    with EmbeddedKafka({"one": 1, "three": 3}) as kafka:
        found = Producer({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=5).topics
        assert {name: len(topic.partitions) for name, topic in found.items()} == {"one": 1, "three": 3}


def test_a_new_record_is_seen_soon(embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    embedded_kafka.create_topic(topic, 1)
    reader = Consumer({"bootstrap.servers": embedded_kafka.bootstrap, "group.id": "g", **CLIENT_PROPERTIES})
    reader.assign([TopicPartition(topic, 0, 0)])
    took_s = []
    for number in range(5):
        assert reader.poll(0.3) is None  # it is waiting for records now
        produce(embedded_kafka.bootstrap, topic, range(number, number + 1))
        started = time.monotonic()
        message = reader.poll(PATIENCE_S)
        assert message is not None
        assert message.value() == b"%d" % number
        took_s.append(time.monotonic() - started)
    assert min(took_s) < 0.2, "the machine may be busy, but not each time"
    reader.close()


def test_deleted_records_are_gone(embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    embedded_kafka.create_topic(topic, 1)
    produce(embedded_kafka.bootstrap, topic, range(10))
    embedded_kafka.delete_records(topic, 0, before=6)
    assert [r.offset for r in read_all(embedded_kafka.bootstrap, topic)] == [6, 7, 8, 9]


def test_a_moved_leader_raises_the_epoch_of_what_follows() -> None:
    with EmbeddedKafka({"t": 1}, brokers=2) as kafka:
        first = Producer({"bootstrap.servers": kafka.bootstrap}).list_topics("t", timeout=5)
        leader = first.topics["t"].partitions[0].leader
        produce(kafka.bootstrap, "t", range(2))
        kafka.move_leader("t", 0, 3 - leader)
        kafka.broker_down(leader)
        produce(kafka.bootstrap, "t", range(2, 4))
        epochs = [r.leader_epoch for r in read_all(kafka.bootstrap, "t")]
        assert epochs == [epochs[0], epochs[0], epochs[0] + 1, epochs[0] + 1]


def test_a_broker_that_was_away_still_has_its_records() -> None:
    with EmbeddedKafka({"t": 1}) as kafka:
        produce(kafka.bootstrap, "t", range(3))
        kafka.broker_down()
        away = Producer({"bootstrap.servers": kafka.bootstrap, "message.timeout.ms": 300, "log_level": 0})
        failures: list[object] = []
        away.produce("t", b"lost", on_delivery=lambda error, _: failures.append(error))
        away.flush(5)
        assert len(failures) == 1
        assert failures[0] is not None
        kafka.broker_up()
        produce(kafka.bootstrap, "t", range(3, 4))
        assert [r.value for r in read_all(kafka.bootstrap, "t")] == [b"0", b"1", b"2", b"3"]


def test_a_slow_broker_is_slow(embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    embedded_kafka.create_topic(topic, 1)
    embedded_kafka.set_rtt(200)
    try:
        started = time.monotonic()
        produce(embedded_kafka.bootstrap, topic, range(1))
        assert time.monotonic() - started >= 0.2
    finally:
        embedded_kafka.set_rtt(0)


def test_a_deleted_topic_can_be_created_anew(embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    embedded_kafka.create_topic(topic, 2)
    produce(embedded_kafka.bootstrap, topic, range(3))
    embedded_kafka.delete_topic(topic)
    embedded_kafka.create_topic(topic, 1)
    assert read_all(embedded_kafka.bootstrap, topic) == []


def test_bad_commands_are_refused_with_the_reason(embedded_kafka: EmbeddedKafka) -> None:
    with pytest.raises(EmbeddedKafkaError, match="Unknown topic or partition"):
        embedded_kafka.delete_topic("there-is-none")
    with pytest.raises(EmbeddedKafkaError, match="broker_set_down"):
        embedded_kafka.broker_down(7)
    with pytest.raises(EmbeddedKafkaError, match="create_topic"):
        embedded_kafka.create_topic("t", "two")  # type: ignore[arg-type]


def test_the_limits_that_the_docstring_states(embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str]) -> None:
    topic = unique_topic()
    embedded_kafka.create_topic(topic, 1)
    producer = Producer({"bootstrap.servers": embedded_kafka.bootstrap})
    for _ in range(12):
        producer.produce(topic, bytes(500_000), partition=0)
        producer.flush(10)
    reader = Consumer({"bootstrap.servers": embedded_kafka.bootstrap, "group.id": "g"})
    low, high = reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)
    assert high == 12
    assert 0 < low <= 3, "5 MiB a partition"
    assert [p.offset for p in reader.offsets_for_times([TopicPartition(topic, 0, 1)], timeout=5)] == [-1]
    reader.close()


def test_it_ends_when_its_parent_is_killed() -> None:
    """A parent that is killed with -9 cannot tell it to end: the end of its standard input does."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time, node.kafka.embedded as e; k = e.EmbeddedKafka(); print(k.pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + PATIENCE_S
    while _is_running(pid):
        assert time.monotonic() < deadline, "the embedded Kafka outlived its parent"
        time.sleep(0.02)


def test_a_dead_one_says_so_and_can_still_be_stopped() -> None:
    kafka = EmbeddedKafka()
    os.kill(kafka.pid, signal.SIGKILL)
    with pytest.raises(EmbeddedKafkaError, match=r"ended with exit code -9|not running"):
        kafka.create_topic("t", 1)
    kafka.stop()


def test_nothing_but_answers_is_printed() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "node.kafka.embedded", "--topic", "t:1"],
        input='{"command": "broker_down", "broker": 1}\nnot json\n',
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert ran.returncode == 0
    assert ran.stderr == ""
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert list(lines[0]) == ["bootstrap"]
    assert lines[1] == {}
    assert "not json" in lines[2]["error"]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
