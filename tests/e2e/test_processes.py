"""The node and its workers as processes: what they say of themselves, how they end, and what survives their deaths."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.records import read_all
from loadtest.process import is_running
from node.kafka.embedded import EmbeddedKafka
from node.workers import QUEUE_BYTES_MAX
from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.patience import PATIENCE_S
from tests.support.produce import Source
from tests.support.raw import Raw
from tests.support.subscriber import Subscriber, assert_exactly, live_subscriber, settled
from whimbrel import events

pytestmark = pytest.mark.slow

SETTINGS = {"kafka.consumer.fetch.wait.max.ms": "5"}


@pytest.fixture
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka({"t": 2}) as embedded:
        yield embedded


@pytest.fixture
def source(kafka: EmbeddedKafka) -> Source:
    return Source(kafka.bootstrap)


class Feed(threading.Thread):
    """Produces all the time."""

    def __init__(self, source: Source, topic: str = "t", keys: int = 5) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._topic = topic
        self._keys = keys
        self._stopping = threading.Event()
        self.count = 0

    def run(self) -> None:
        while not self._stopping.wait(0.005):
            self._source.add(self._topic, f"k{self.count % self._keys}", b"%d" % self.count)
            self._source.producer.poll(0)
            self.count += 1
        self._source.flush()

    def __enter__(self) -> Feed:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "workers outlive their node"
        time.sleep(0.01)


def worker_pids(node: RunningNode, count: int) -> list[int]:
    pids: list[int] = []

    def are_there() -> bool:
        pids[:] = [worker["pid"] for worker in node.status()["workers"] if worker["pid"]]
        return len(pids) == count

    node.wait(are_there, f"{count} workers")
    return pids


def test_what_it_says_of_itself(start_node: StartNode, kafka: EmbeddedKafka, source: Source) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    node = start_node(kafka.bootstrap, "t,later", publish="t", settings={**SETTINGS, "cache.bytes": "3MiB"})
    with live_subscriber(node, "t", "/t/*", 2) as sub:
        for number in range(100):
            source.add("t", f"k{number}", b"%d" % number)
        source.flush()
        sub.wait_messages(100)
        sub.client.publish("/t/k", json=1)
        node.wait(
            lambda: node.status()["clients"] == {"connections": 1, "subscriptions": 1}, "the client in the status"
        )
        status = node.status()
        assert status["state"] == "ready"
        assert status["ready"] is True
        assert status["cache"]["messages"] == 101
        assert status["cache"]["subjects"] == 101
        assert status["cache"]["bytes_max"] == 3 * 1024 * 1024
        assert status["publishes"] == {"accepted": 1, "failed": 0, "in_flight": 0}
        assert status["kafka"]["connected"] is True
        assert status["kafka"]["brokers"] == [kafka.bootstrap]
        (told,) = status["kafka"]["topics"]
        assert (told["topic"], told["value"], told["publish"]) == ("t", "json", True)
        assert sum(one["end"][1] + 1 for one in told["partitions"]) == 101
        node.wait(lambda: [one["lag"] for one in node.partitions("t")] == [0, 0], "no lag")
        assert ["later" in problem for problem in status["problems"]] == [True]

        code, body = node.get("/metrics")
        assert code == 200
        metrics = {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }
        assert all(family.documentation for family in text_string_to_metric_families(body))
        assert metrics["whimbrel_records_total",] == 101
        assert metrics["whimbrel_cache_messages",] == 101
        assert metrics["whimbrel_cache_bytes_max",] == 3 * 1024 * 1024
        assert metrics["whimbrel_publishes_accepted_total",] == 1
        assert metrics["whimbrel_worker_subscriptions", "0"] == 1
        assert metrics["whimbrel_kafka_loaded", "1", "t"] == 1
        assert metrics["whimbrel_gaps_total", "retention"] == 0
        assert metrics["process_cpu_seconds_total", "node"] > 0
        assert metrics["process_resident_memory_bytes", "worker 0"] > 1 << 20
        assert metrics["whimbrel_degraded",] == 0
        assert metrics["whimbrel_publish_seconds_count",] == metrics["whimbrel_publish_seconds_bucket", "+Inf"] == 1
        assert metrics["whimbrel_publish_seconds_sum",] > 0
        assert metrics["whimbrel_ready",] == 1
        assert (
            metrics["whimbrel_delivery_delay_seconds_count", "0"] == metrics["whimbrel_worker_messages_out_total", "0"]
        )
    assert node.get("/health/live")[0] == 200
    assert node.get("/health/ready") == (200, "ready\n")
    assert node.get("/nowhere")[0] == 404


def test_the_log_in_json(start_node: StartNode, kafka: EmbeddedKafka) -> None:
    node = start_node(kafka.bootstrap, "t", settings={**SETTINGS, "log.format": "json"})
    assert node.stop() == 0
    lines = [json.loads(line) for line in node.log.splitlines()]
    assert {"node_started", "ready", "worker_started", "draining", "stopped"} <= {line["event"] for line in lines}


def test_a_stop_drains(start_node: StartNode, kafka: EmbeddedKafka, source: Source) -> None:
    """Clients are told to move, one that does not is closed in the end, and the node's exit code is 0."""
    node = start_node(kafka.bootstrap, "t", workers=2, settings=SETTINGS)
    other = start_node(kafka.bootstrap, "t", settings=SETTINGS)
    pids = worker_pids(node, 2)
    logs = node.wait_for_topic("t", 2)
    with (
        Feed(source),
        Subscriber([node.url, other.url], "/t/*") as sub,
        Raw(node.url) as stays,
    ):
        sub.wait_live(logs)
        sub.wait_messages(20)
        node.process.send_signal(signal.SIGTERM)
        assert stays.until(lambda frame: frame["op"] == "move")["within_s"] == 1
        assert stays.until_closed() == 4100
        assert node.process.wait(PATIENCE_S) == 0
        assert not [pid for pid in pids if is_running(pid)]
        sub.wait(lambda one: one.all(events.Connected)[-1].server.startswith(other.url), "a move to the other node")
        now = len(sub.messages)
        sub.wait_messages(now + 20)


def test_nothing_is_lost_over_a_stop(start_node: StartNode, kafka: EmbeddedKafka, source: Source) -> None:
    node = start_node(kafka.bootstrap, "t", settings=SETTINGS)
    other = start_node(kafka.bootstrap, "t", settings=SETTINGS)
    logs = node.wait_for_topic("t", 2)
    with Subscriber([node.url, other.url], "/t/*") as sub:
        sub.wait_live(logs)
        with Feed(source) as feed:
            sub.wait_messages(20)
            stopped, left = (
                (node, other) if sub.all(events.Connected)[-1].server.startswith(node.url) else (other, node)
            )
            assert stopped.stop() == 0
            now = len(sub.messages)
            sub.wait_messages(now + 20)
        sub.wait_messages(feed.count)
        assert_exactly(settled(sub), read_all(kafka.bootstrap, "t"))
        assert not sub.gaps
        assert left.process.poll() is None


def test_a_second_signal_stops_at_once(start_node: StartNode, kafka: EmbeddedKafka) -> None:
    node = start_node(kafka.bootstrap, "t", settings={**SETTINGS, "node.drain": "10m"})
    pids = worker_pids(node, 1)
    with Raw(node.url) as raw:
        node.process.send_signal(signal.SIGTERM)
        raw.until(lambda frame: frame["op"] == "move")
        assert node.get("/health/live") == (200, "live\n")
        node.wait(lambda: node.get("/health/ready") == (503, "not ready\n"), "not ready")
        assert node.metric("whimbrel_ready") == 0
        status = node.status()
        assert (status["state"], status["ready"]) == ("draining", False)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(PATIENCE_S) != 0  # of the ten minutes that it would have drained
        wait_until_gone(pids)


def test_a_worker_that_was_just_restarted_does_not_hold_up_a_stop(start_node: StartNode, kafka: EmbeddedKafka) -> None:
    node = start_node(kafka.bootstrap, "t", settings={**SETTINGS, "node.drain": "10m"})
    (pid,) = worker_pids(node, 1)
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children")
    os.kill(pid, signal.SIGKILL)
    node.wait(lambda: children.read_text().split() not in ([], [str(pid)]), "another process in its place")
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(PATIENCE_S) == 0  # of the ten minutes for clients, of which it has none


def test_a_worker_killed_is_back_and_its_clients_lose_nothing(
    start_node: StartNode, kafka: EmbeddedKafka, source: Source
) -> None:
    node = start_node(kafka.bootstrap, "t", workers=1, settings=SETTINGS)
    (pid,) = worker_pids(node, 1)
    logs = node.wait_for_topic("t", 2)
    with Subscriber(node.url, "/t/*") as sub, Subscriber(node.url, "/t/k1", encoding="msgpack") as one:
        sub.wait_live(logs)
        one.wait_live(logs)
        with Feed(source) as feed:
            sub.wait_messages(20)
            for _ in range(2):
                os.kill(pid, signal.SIGKILL)
                wait_until_gone([pid])
                node.wait(lambda: node.get("/health/live")[0] == 200, "the worker back")
                pid = worker_pids(node, 1)[0]
                now = len(sub.messages)
                sub.wait_messages(now + 50)
        sub.wait_messages(feed.count)
        records = read_all(kafka.bootstrap, "t")
        assert_exactly(settled(sub), records)
        wanted = [record for record in records if record.key == b"k1"]
        one.wait_messages(len(wanted))
        assert_exactly(one.messages, wanted)
        assert not sub.gaps
        assert len(sub.all(events.Reconnecting)) >= 2
        node.wait(lambda: node.status()["workers"][0]["restarts"] == 2, "two restarts in the status")


def test_a_worker_that_stands_still_is_killed_and_replaced_and_its_clients_lose_nothing(
    start_node: StartNode, kafka: EmbeddedKafka, source: Source
) -> None:
    node = start_node(kafka.bootstrap, "t", workers=2, settings=SETTINGS)
    logs = node.wait_for_topic("t", 2)
    with Subscriber(node.url, "/t/*") as sub:
        sub.wait_live(logs)

        def with_client() -> list[int]:
            return [worker["pid"] for worker in node.status()["workers"] if worker["connections"]]

        node.wait(lambda: len(with_client()) == 1, "the client in the status")
        [pid] = with_client()
        with Feed(source) as feed:
            sub.wait_messages(20)
            os.kill(pid, signal.SIGSTOP)
            node.wait(lambda: node.get("/health/live")[0] == 200, "an answer meanwhile")
            wait_until_gone([pid])
            with Subscriber(node.url, "/t/k1") as other:
                other.wait_live(logs)
            now = len(sub.messages)
            sub.wait_messages(now + 50)
        sub.wait_messages(feed.count)
        assert_exactly(settled(sub), read_all(kafka.bootstrap, "t"))
        assert not sub.gaps
    assert pid not in worker_pids(node, 2)
    status = node.status()
    assert sorted(worker["restarts"] for worker in status["workers"]) == [0, 1]
    assert any("stood still and was killed" in problem for problem in status["problems"])
    assert node.log.count("worker_stands_still") == 1


def test_a_worker_that_lost_its_place_is_caught_up_and_its_clients_do_not_notice(
    start_node: StartNode, real_kafka: RealKafka
) -> None:
    """With a real broker: the embedded one soon forgets large messages."""
    topic, source = "cut-off", Source(real_kafka.bootstrap)
    real_kafka.create_topic(topic, 2)
    settings = {**SETTINGS, "client.outbox_bytes": "256MiB", "client.heartbeat": "10m"}  # it stands still for long
    node = start_node(real_kafka.bootstrap, topic, workers=1, settings=settings)
    (pid,) = worker_pids(node, 1)
    size = 900_000
    too_many = QUEUE_BYTES_MAX // (2 * size) + 1  # each is sent in both encodings
    logs = node.wait_for_topic(topic, 2)
    with Subscriber(node.url, "/cut-off/*") as sub, Subscriber(node.url, "/cut-off/k1", encoding="msgpack") as one:
        sub.wait_live(logs)
        one.wait_live(logs)
        with Feed(source, topic) as feed:
            sub.wait_messages(20)
            for _ in range(2):
                cut_offs = node.log.count("worker_cut_off")
                os.kill(node.process.pid, signal.SIGSTOP)  # reading must not take it so long that it kills the worker
                os.kill(pid, signal.SIGSTOP)
                for _ in range(too_many):
                    source.add(topic, "k1", b'"%s"' % (b"x" * size))
                source.flush()
                os.kill(node.process.pid, signal.SIGCONT)
                node.wait(lambda before=cut_offs: node.log.count("worker_cut_off") > before, "it is cut off")
                os.kill(pid, signal.SIGCONT)
                node.wait(lambda: node.log.count("worker_back") == node.log.count("worker_cut_off"), "it is back")
                sub.wait_messages(feed.count + too_many)
        sub.wait_messages(feed.count + 2 * too_many)
        records = read_all(real_kafka.bootstrap, topic)
        assert_exactly(settled(sub), records)
        wanted = [record for record in records if record.key == b"k1"]
        one.wait_messages(len(wanted))
        assert_exactly(one.messages, wanted)
        for each in (sub, one):
            assert not each.gaps
            assert not each.all(events.Reconnecting)
    assert worker_pids(node, 1) == [pid]


def test_a_full_worker_leaves_clients_to_the_other(start_node: StartNode, kafka: EmbeddedKafka) -> None:
    settings = {**SETTINGS, "client.connections": "50", "client.heartbeat": "10m"}
    node = start_node(kafka.bootstrap, "t", workers=2, settings=settings)
    node.wait(lambda: node.log.count("worker_started") == 2, "both workers accept")  # it is ready with one

    def is_refused() -> bool:
        try:
            Raw(node.url).__exit__(None)
        except InvalidStatus as answer:
            return answer.response.status_code == 503
        except OSError:
            pass
        return False

    with contextlib.ExitStack() as stack:
        for _ in range(100):  # the kernel spreads them by chance: none is refused
            stack.enter_context(Raw(node.url))
        node.wait(is_refused, "an answer that both are full")


def test_a_node_killed_leaves_nothing_behind_and_starts_again(
    start_node: StartNode, kafka: EmbeddedKafka, source: Source
) -> None:
    node = start_node(kafka.bootstrap, "t", workers=2, settings=SETTINGS)
    pids = worker_pids(node, 2)
    logs = node.wait_for_topic("t", 2)
    with Subscriber(node.url, "/t/*") as sub, Raw(node.url) as raw:
        sub.wait_live(logs)
        with Feed(source) as feed:
            sub.wait_messages(20)
            node.kill()
            assert raw.until_closed() == 4101
            wait_until_gone(pids)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", node.port))
                probe.listen()
            node.start()
            now = len(sub.messages)
            sub.wait_messages(now + 50)
        sub.wait_messages(feed.count)
        assert_exactly(settled(sub), read_all(kafka.bootstrap, "t"))
        assert not sub.gaps


def test_a_node_restarted_at_once_takes_its_port_over(start_node: StartNode, kafka: EmbeddedKafka) -> None:
    """Although the dead one's workers may still hold it."""
    node = start_node(kafka.bootstrap, "t", workers=2, settings=SETTINGS)
    with Raw(node.url):
        node.kill()
        node.start()
    worker_pids(node, 2)


def test_a_port_that_is_taken(start_node: StartNode, kafka: EmbeddedKafka, tmp_path: Path) -> None:
    first = start_node(kafka.bootstrap, "t", settings=SETTINGS)
    second = RunningNode(tmp_path, kafka.bootstrap, "t", settings=SETTINGS, port=first.port)
    assert second.run_to_the_end() == 1
    assert f"cannot listen on 127.0.0.1:{first.port}" in second.log
    assert first.get("/health/ready")[0] == 200
