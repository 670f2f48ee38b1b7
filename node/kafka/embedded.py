"""An embedded Kafka for the demo and for fast tests: librdkafka's mock cluster, in a process of its own.

`python -m node.kafka.embedded --topic flights:4` prints `{"bootstrap": "..."}` on standard output, then obeys
one JSON command per line on standard input, answering each with `{}` or `{"error": "..."}`, and exits when
the input ends, so that it never outlives its parent. `EmbeddedKafka` is the parent's end.

It is not a whole Kafka (librdkafka calls the API experimental). To know:
- Memory only, on loopback; a partition keeps 5 MiB or 100,000 records, whichever is less.
- `offsets_for_times` always answers -1; CreateTopics and DescribeTopics are not supported.
- The cluster id is another one at every start.
- A reader that waits for new records is woken only after its `fetch.wait.max.ms`: use `CLIENT_PROPERTIES`.
- A broker that goes down keeps its partitions: move the leaders by hand.
- Aborted transactions are delivered even to `read_committed` readers.

Not here: who starts it (node/demo), a real Kafka for tests (loadtest/kafka/broker.py).
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import confluent_kafka

CLIENT_PROPERTIES: Final = {"fetch.wait.max.ms": 5}
"""What a consumer of an embedded Kafka should set, or it sees new records late."""

ALL_BROKERS: Final = -1


class EmbeddedKafkaError(RuntimeError):
    """The embedded Kafka did not start, has died or refused a command; the message says which and why."""


class EmbeddedKafka:
    """A running embedded Kafka, as the process that started it sees it. A context manager. Brokers: 1, 2, ..."""

    def __init__(self, topics: dict[str, int] | None = None, brokers: int = 1) -> None:
        """Start it with these topics (name -> number of partitions).

        Raises:
            EmbeddedKafkaError: If it does not start.
        """
        command = [sys.executable, "-m", "node.kafka.embedded", "--brokers", str(brokers)]
        for name, partitions in (topics or {}).items():
            command += ["--topic", f"{name}:{partitions}"]
        # A session of its own: a signal to the parent's group must not end it before what uses it.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.bootstrap: str = self._answer()["bootstrap"]

    @property
    def pid(self) -> int:
        return self._process.pid

    def create_topic(self, topic: str, partitions: int, replicas: int = 1) -> None:
        self._do(command="create_topic", topic=topic, partitions=partitions, replicas=replicas)

    def delete_topic(self, topic: str) -> None:
        self._do(command="delete_topic", topic=topic)

    def broker_down(self, broker: int = ALL_BROKERS) -> None:
        """Disconnect everyone from the broker and refuse new connections; its records stay."""
        self._do(command="broker_down", broker=broker)

    def broker_up(self, broker: int = ALL_BROKERS) -> None:
        self._do(command="broker_up", broker=broker)

    def move_leader(self, topic: str, partition: int, broker: int) -> None:
        self._do(command="move_leader", topic=topic, partition=partition, broker=broker)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete the records with an offset below `before`, as retention would."""
        self._do(command="delete_records", topic=topic, partition=partition, before=before)

    def set_rtt(self, milliseconds: int, broker: int = ALL_BROKERS) -> None:
        """Delay every answer of the broker by this much."""
        self._do(command="set_rtt", broker=broker, milliseconds=milliseconds)

    def stop(self) -> None:
        """End it and wait; all records are gone. May be called again."""
        if self._process.stdin and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass  # it has died already
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> EmbeddedKafka:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _do(self, **command: Any) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise EmbeddedKafkaError("the embedded Kafka is not running") from error
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise EmbeddedKafkaError(f"the embedded Kafka ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EmbeddedKafkaError(answer["error"])
        return answer


class _MockCluster:
    """librdkafka's mock cluster, called in the library that confluent_kafka brings along."""

    def __init__(self, brokers: int) -> None:
        self._library = ctypes.CDLL(library_path())
        self._declare()
        configuration = self._library.rd_kafka_conf_new()
        # Without a log callback librdkafka is silent; what goes wrong is in the return codes.
        self._library.rd_kafka_conf_set_log_cb(configuration, None)
        reason = ctypes.create_string_buffer(512)
        client = self._library.rd_kafka_new(0, configuration, reason, len(reason))  # 0: a producer
        if not client:
            raise EmbeddedKafkaError(f"librdkafka does not start: {reason.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(client, brokers)
        if not self._cluster:
            raise EmbeddedKafkaError(f"librdkafka cannot start {brokers} mock brokers")

    def bootstrap(self) -> str:
        found: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return found.decode()

    def create_topic(self, topic: str, partitions: int, replicas: int) -> None:
        self._call("topic_create", topic.encode(), partitions, replicas)

    def delete_topic(self, topic: str) -> None:
        self._call("topic_delete", topic.encode())

    def broker_down(self, broker: int) -> None:
        self._call("broker_set_down", broker)

    def broker_up(self, broker: int) -> None:
        self._call("broker_set_up", broker)

    def move_leader(self, topic: str, partition: int, broker: int) -> None:
        self._call("partition_set_leader", topic.encode(), partition, broker)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        self._call("partition_delete_records", topic.encode(), partition, before)

    def set_rtt(self, broker: int, milliseconds: int) -> None:
        self._call("broker_set_rtt", broker, milliseconds)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, f"rd_kafka_mock_{name}")(self._cluster, *arguments)
        if code:
            raise EmbeddedKafkaError(f"{name}{arguments}: {self._library.rd_kafka_err2str(code).decode()}")

    def _declare(self) -> None:
        # Pointers are cut to 32 bits unless their types are declared.
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32
        for name, result, arguments in (
            ("conf_new", pointer, []),
            ("conf_set_log_cb", None, [pointer, pointer]),
            ("new", pointer, [ctypes.c_int, pointer, text, ctypes.c_size_t]),
            ("err2str", text, [ctypes.c_int]),
            ("mock_cluster_new", pointer, [pointer, ctypes.c_int]),
            ("mock_cluster_bootstraps", text, [pointer]),
            ("mock_topic_create", ctypes.c_int, [pointer, text, ctypes.c_int, ctypes.c_int]),
            ("mock_topic_delete", ctypes.c_int, [pointer, text]),
            ("mock_broker_set_down", ctypes.c_int, [pointer, number]),
            ("mock_broker_set_up", ctypes.c_int, [pointer, number]),
            ("mock_broker_set_rtt", ctypes.c_int, [pointer, number, ctypes.c_int]),
            ("mock_partition_set_leader", ctypes.c_int, [pointer, text, number, number]),
            ("mock_partition_delete_records", ctypes.c_int, [pointer, text, number, ctypes.c_int64]),
        ):
            function = getattr(self._library, f"rd_kafka_{name}")
            function.restype, function.argtypes = result, arguments


def library_path() -> str:
    package = Path(confluent_kafka.__file__).parent
    for pattern in ("confluent_kafka.libs/librdkafka*.so*", "confluent_kafka/.dylibs/librdkafka*.dylib"):
        for found in sorted(package.parent.glob(pattern)):
            return str(found)
    installed = ctypes.util.find_library("rdkafka")
    if installed is None:
        raise EmbeddedKafkaError(f"no librdkafka beside confluent_kafka ({package}) nor in the system")
    return installed


def _serve(cluster: _MockCluster) -> None:
    commands: dict[str, Callable[..., None]] = {
        function.__name__: function
        for function in (
            cluster.create_topic,
            cluster.delete_topic,
            cluster.broker_down,
            cluster.broker_up,
            cluster.move_leader,
            cluster.delete_records,
            cluster.set_rtt,
        )
    }
    for line in sys.stdin:
        answer = {}
        try:
            arguments = json.loads(line)
            commands[arguments.pop("command")](**arguments)
        except (
            EmbeddedKafkaError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            ctypes.ArgumentError,
        ) as error:
            answer = {"error": f"{type(error).__name__}: {error}: {line.strip()}"}
        print(json.dumps(answer), flush=True)


def _topic(text: str) -> tuple[str, int]:
    name, _, partitions = text.partition(":")
    if not name or not partitions.isdecimal() or int(partitions) < 1:
        raise argparse.ArgumentTypeError(f"expected NAME:PARTITIONS, found {text!r}")
    return name, int(partitions)


def main() -> None:
    """Run an embedded Kafka until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m node.kafka.embedded", description=main.__doc__)
    parser.add_argument("--brokers", type=int, default=1, help="how many brokers (default 1)")
    parser.add_argument(
        "--topic", type=_topic, action="append", default=[], metavar="NAME:PARTITIONS", help="repeatable"
    )
    options = parser.parse_args()
    cluster = _MockCluster(options.brokers)
    for name, partitions in options.topic:
        cluster.create_topic(name, partitions, 1)
    print(json.dumps({"bootstrap": cluster.bootstrap()}), flush=True)
    _serve(cluster)


if __name__ == "__main__":
    main()
