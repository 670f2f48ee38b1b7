"""A real Apache Kafka (KRaft) in Java processes of its own, for tests and benchmarks.

A broker is up 3 to 4 seconds after the first `start`. Its ports and data stay the same over `stop`, `kill`
and `start`, so that a test can take Kafka away and bring it back. Topics are not created by themselves.

Not here: the jars (jars.py), reading what is in a topic (records.py).
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from loadtest.kafka.jars import kafka_jars
from loadtest.kafka.ports import free_port
from loadtest.kafka.prepared import prepared, random_id
from loadtest.kafka.processes import start_process
from loadtest.kafka.records import Record, read_all
from loadtest.kafka.users import BROKER_PROPERTIES, LISTENER, KafkaUser

UNCLEAN = {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
"""Configuration of a topic of which a broker may become the leader that does not have all of it."""


class RealKafka:
    """One to three brokers, numbered from 1, each a controller too. A context manager that starts and kills."""

    def __init__(
        self,
        directory: Path,
        brokers: int = 1,
        properties: Mapping[str, str] | None = None,
        full_jit: bool = False,
        host: str = "127.0.0.1",
        has_users: bool = False,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            directory: An empty or new directory for data and logs.
            properties: Added to every broker's server.properties.
            full_jit: For benchmarks. Starts slower, but at high rates uses far less CPU.
            host: Address of this machine at which brokers listen, and which they tell: for hosts of the lab
                (network.py) one of its outside addresses.
            has_users: Whether it knows users and what they may do (users.py).
        """
        self.directory = directory
        self.full_jit = full_jit
        self._ports = {broker: free_port() for broker in range(1, brokers + 1)}
        self._controller_ports = {broker: free_port() for broker in self._ports}
        self._user_ports = {broker: free_port() for broker in self._ports} if has_users else {}
        self._properties = dict(properties or {})
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._host = host
        self.bootstrap = ",".join(f"{host}:{port}" for port in self._ports.values())
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    # Life.

    def start(self, broker: int | None = None) -> None:
        """Start all brokers, or one, that are not running; return when every partition is led.

        Raises:
            RuntimeError: If a broker exits or does not answer in time; with the end of its log.
        """
        chosen = [b for b in self._chosen(broker) if b not in self._processes]
        unformatted = [b for b in chosen if not self._data(b).exists()]
        if unformatted:
            self._format(unformatted)
        for b in chosen:
            self._processes[b] = self._run(b)
        self.wait_ready()

    def stop(self, broker: int | None = None) -> None:
        """Shut all brokers, or one, down in good order."""
        self._end(self._chosen(broker), signal.SIGTERM)

    def kill(self, broker: int | None = None) -> None:
        """kill -9."""
        self._end(self._chosen(broker), signal.SIGKILL)

    def restart(self, broker: int | None = None) -> None:
        self.stop(broker)
        self.start(broker)

    def pid(self, broker: int = 1) -> int:
        return self._processes[broker].pid

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Return when every running broker is a member and every partition has a leader."""
        deadline = time.monotonic() + timeout_s
        waiting_for = "an answer"
        while time.monotonic() < deadline:
            for broker, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"broker {broker} exited with {process.returncode}: {self._log_end(broker)}")
            try:
                metadata = self._admin.list_topics(timeout=1)
            except KafkaException as error:
                waiting_for = str(error)
                time.sleep(0.05)
                continue
            leaderless = [
                f"{topic.topic}[{partition.id}]"
                for topic in metadata.topics.values()
                for partition in topic.partitions.values()
                if partition.leader not in metadata.brokers
            ]
            missing = set(self._processes) - set(metadata.brokers)
            if not leaderless and not missing:
                return
            waiting_for = f"brokers {sorted(missing)} and leaders of {leaderless}"
            time.sleep(0.05)
        logs = "\n".join(self._log_end(broker) for broker in self._processes)
        raise RuntimeError(f"Kafka is not ready after {timeout_s} s, waiting for {waiting_for}: {logs}")

    def __enter__(self) -> RealKafka:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()  # nobody needs the data any more

    # Users.

    def add_user(self) -> KafkaUser:
        """A new one, of a Kafka that has users."""
        return KafkaUser(self._admin, ",".join(f"{self._host}:{port}" for port in self._user_ports.values()))

    # Topics.

    def create_topic(
        self,
        topic: str,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
        replicas: int | None = None,
        on: Sequence[int] = (),
    ) -> None:
        """Create a topic and return when it can be used.

        Args:
            replicas: Default one on each broker.
            on: The brokers that are to have every partition, instead of `replicas`; the first leads.
        """
        options: dict[str, Any] = {"config": dict(config or {})}
        if on:
            options["replica_assignment"] = [list(on)] * partitions
        else:
            options["replication_factor"] = replicas or len(self._ports)
        new = NewTopic(topic, partitions, **options)
        self._admin.create_topics([new])[topic].result(30)
        self._wait_for_partitions(topic, partitions)

    def delete_topic(self, topic: str) -> None:
        """Delete a topic and return when brokers no longer know it."""
        self._admin.delete_topics([topic])[topic].result(30)
        self._wait_for_partitions(topic, 0)

    def add_partitions(self, topic: str, total: int) -> None:
        """Raise the number of partitions to `total` and return when they can be used."""
        self._admin.create_partitions([NewPartitions(topic, total)])[topic].result(30)
        self._wait_for_partitions(topic, total)

    def leader(self, topic: str, partition: int = 0) -> int:
        """The broker that leads a partition now."""
        leader: int = self._admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader
        return leader

    def lose_tail(self, topic: str, last: Callable[[], None]) -> None:
        """Have an unclean leader election: what `last` produces is lost. The leader stays dead: `start` brings it back.

        The topic is one of `UNCLEAN` on two brokers of three, so that a majority of controllers is left.
        """
        leader = self.leader(topic)
        described = self._admin.list_topics(topic, timeout=10).topics[topic].partitions[0]
        (follower,) = set(described.replicas) - {leader}
        self.stop(follower)
        last()
        self.kill(leader)
        self.start(follower)

    def read_all(self, topic: str, isolation: str = "read_committed") -> list[Record]:
        return read_all(self.bootstrap, topic, isolation)

    # Kafka's own tools.

    def tool(self, main_class: str, *arguments: str, stdin: str = "") -> str:
        """Run one of Kafka's programs to its end and return what it printed.

        Raises:
            RuntimeError: If it fails; with its output.
        """
        ran = subprocess.run(self._java(main_class, *arguments), input=stdin, capture_output=True, text=True)
        if ran.returncode != 0:
            raise RuntimeError(f"{main_class} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def start_tool(self, main_class: str, *arguments: str, **popen: Any) -> subprocess.Popen[bytes]:
        """Start one of Kafka's programs; the caller waits for or ends it. `popen` goes to subprocess.Popen."""
        return start_process(self._java(main_class, *arguments), **popen)

    def console_produce(self, topic: str, lines: Iterable[str], *options: str, separator: str | None = None) -> None:
        """Produce with Kafka's console producer: a record a line, with a key if `separator` is given."""
        keyed = ("--property", "parse.key=true", "--property", f"key.separator={separator}") if separator else ()
        self.tool(
            "org.apache.kafka.tools.ConsoleProducer",
            *("--bootstrap-server", self.bootstrap, "--topic", topic, *keyed, *options),
            stdin="".join(f"{line}\n" for line in lines),
        )

    def start_perf_producer(
        self, topic: str, records: int, size: int, per_second: int = -1, **producer: str
    ) -> subprocess.Popen[bytes]:
        """Start Kafka's perf producer: `records` without key of `size` random bytes. Its report is on stdout.

        Args:
            per_second: -1 for as fast as it goes.
            producer: Producer properties with `_` for `.`, such as `linger_ms="2"`.
        """
        properties = [f"{name.replace('_', '.')}={value}" for name, value in producer.items()]
        return self.start_tool(
            "org.apache.kafka.tools.ProducerPerformance",
            *("--topic", topic, "--num-records", str(records), "--record-size", str(size)),
            *("--throughput", str(per_second)),
            *("--producer-props", f"bootstrap.servers={self.bootstrap}", *properties),
            stdout=subprocess.PIPE,
        )

    # Inside.

    def _chosen(self, broker: int | None) -> list[int]:
        return list(self._ports) if broker is None else [broker]

    def _data(self, broker: int) -> Path:
        return self.directory / f"data-{broker}"

    def _format(self, brokers: list[int]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        cluster = self.directory / "cluster-id"
        if not cluster.exists():
            cluster.write_text(random_id())
        for broker in brokers:
            self._server_properties(broker)
            prepared().format(self._data(broker), cluster.read_text(), broker)

    def _server_properties(self, broker: int) -> Path:
        copies = str(min(3, len(self._ports)))
        quorum_max = str(len(self._ports) // 2 + 1)
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(broker),
            "listeners": f"PLAINTEXT://{self._host}:{self._ports[broker]},"
            f"CONTROLLER://127.0.0.1:{self._controller_ports[broker]}",
            "advertised.listeners": f"PLAINTEXT://{self._host}:{self._ports[broker]}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": ",".join(f"{b}@127.0.0.1:{p}" for b, p in self._controller_ports.items()),
            "log.dirs": str(self._data(broker)),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": quorum_max,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": quorum_max,
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "log.cleaner.backoff.ms": "500",
            # Records may say that they are of 1970: five minutes later they would be gone.
            "log.retention.ms": "-1",
            # A dead broker is noticed, and a restarted one is back, in 2 s rather than 12.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "controller.quorum.election.timeout.ms": "1000",
            "controller.quorum.fetch.timeout.ms": "1000",
        }
        if self._user_ports:
            properties |= BROKER_PROPERTIES
            for listeners in ("listeners", "advertised.listeners"):
                properties[listeners] += f",{LISTENER}://{self._host}:{self._user_ports[broker]}"
        properties |= self._properties
        file = self.directory / f"server-{broker}.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        return file

    def _run(self, broker: int) -> subprocess.Popen[bytes]:
        with self._log(broker).open("ab") as log:
            return self.start_tool(
                "kafka.Kafka",
                str(self.directory / f"server-{broker}.properties"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _end(self, brokers: list[int], how: signal.Signals) -> None:
        ending = [self._processes.pop(broker) for broker in brokers if broker in self._processes]
        for process in ending:
            process.send_signal(how)
        for process in ending:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _java(self, main_class: str, *arguments: str) -> list[str]:
        jit = [] if self.full_jit else ["-XX:TieredStopAtLevel=1"]
        heap = "-Xmx1g" if self.full_jit else "-Xmx512m"
        return ["java", heap, *jit, *prepared().java_options, "-cp", f"{kafka_jars()}/*", main_class, *arguments]

    def _log(self, broker: int) -> Path:
        return self.directory / f"broker-{broker}.log"

    def _log_end(self, broker: int) -> str:
        return self._log(broker).read_text(errors="replace")[-3000:] or "(its log is empty)"

    def _wait_for_partitions(self, topic: str, count: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = self._admin.list_topics(timeout=10).topics.get(topic)
            led = [p for p in found.partitions.values() if p.leader >= 0] if found else []
            if len(led) == count and (found is None) == (count == 0):
                return
            time.sleep(0.02)
        raise TimeoutError(f"topic {topic} has not reached {count} partitions with a leader in 30 s")
