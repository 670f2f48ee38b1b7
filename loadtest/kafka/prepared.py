"""What is made once of Kafka and kept in the user's cache directory, because the tests start dozens of brokers:

* What Java makes of its classes when it loads them. With it a broker starts for 60 % of the processor time. Java takes
  it only if the class path is the same, and starts without it, and says nothing, if it cannot use it.
* What a formatted directory begins with, which is the same for all: formatting takes a Java process of its own.

Both are made for each version of Kafka and of Java, by a broker that starts and stops.

Not here: brokers for tests and benchmarks (broker.py), the jars (jars.py).
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from loadtest.kafka.jars import kafka_jars
from loadtest.kafka.ports import free_port
from loadtest.kafka.processes import start_process

WAIT_S = 60.0
"""For a broker to start, and to stop."""
CHECKPOINT = "bootstrap.checkpoint"
"""In a directory of Kafka that is formatted, besides `meta.properties`."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where what was made is kept."""

    archive: Path
    checkpoint: Path

    @property
    def java_options(self) -> list[str]:
        """By which Java uses the classes."""
        return [f"-XX:SharedArchiveFile={self.archive}", "-Xlog:disable", "-Xlog:all=error:stderr"]

    def format(self, data: Path, cluster: str, broker: int) -> None:
        """As `kafka-storage format` does it for a broker of this cluster, without starting Java."""
        data.mkdir(parents=True)
        shutil.copy(self.checkpoint, data / CHECKPOINT)
        (data / "meta.properties").write_text(
            f"version=1\ncluster.id={cluster}\nnode.id={broker}\ndirectory.id={random_id()}\n"
        )


@cache
def prepared() -> Prepared:
    """The first time takes some seconds, and says so."""
    jars = kafka_jars()
    java = Path(os.path.realpath(shutil.which("java") or "java"))
    of_java = zlib.crc32(f"{java} {java.stat().st_mtime_ns}".encode()) if java.exists() else 0
    name = f"{jars.name}-{of_java:08x}"
    found = Prepared(jars.with_name(f"{name}.jsa"), jars.with_name(f"{name}.checkpoint"))
    with jars.with_name("kafka-prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (found.archive.exists() and found.checkpoint.exists()):
            _make(jars, found)
    return found


def random_id() -> str:
    """As Kafka's `random-uuid` makes one. A leading `-` would look like an option."""
    return "W" + base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")[1:]


def _make(jars: Path, prepared: Prepared) -> None:
    """An archive that Java does not make is an empty file, so that nobody tries again."""
    print("preparing Kafka, once (10 s) ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as directory:
        properties = Path(directory) / "server.properties"
        port, controller = free_port(), free_port()
        properties.write_text(
            "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n"
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
            f"controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={directory}/data\n"
        )
        made = Path(directory) / "archive"
        java = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
        form = [*java, "kafka.tools.StorageTool", "format", "-t", random_id(), "-c", str(properties)]
        subprocess.run(form, capture_output=True, check=True)
        run = [java[0], f"-XX:ArchiveClassesAtExit={made}", *java[1:], "kafka.Kafka", str(properties)]
        broker = start_process(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _use(broker, f"127.0.0.1:{port}")
            broker.send_signal(signal.SIGTERM)
            broker.wait(WAIT_S)
        finally:
            broker.kill()
        if not made.exists():
            made.touch()
        for one, kept in ((made, prepared.archive), (Path(directory) / "data" / CHECKPOINT, prepared.checkpoint)):
            partial = kept.with_suffix(".partial")
            shutil.copy(one, partial)
            partial.replace(kept)


def _use(broker: subprocess.Popen[bytes], bootstrap: str) -> None:
    """What all do with it: look for it, make a topic."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    deadline = time.monotonic() + WAIT_S
    while broker.poll() is None and time.monotonic() < deadline:
        try:
            admin.list_topics(timeout=1)
            admin.create_topics([NewTopic("t", 1)])["t"].result(10)
            return
        except KafkaException:
            time.sleep(0.1)
