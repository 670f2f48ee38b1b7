"""What Java makes of Kafka's classes when it loads them, kept in a file of the user's cache directory: a broker then
takes 2.7 s of processor time from formatting to the first record instead of 4.1, and the tests start dozens.

The file is made once for each version of Kafka and of Java, by a broker that starts and stops. Java takes it only if
the class path is the same, and starts without it, and says nothing, if it cannot use it.

Not here: brokers for tests and benchmarks (broker.py), the jars (jars.py).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from functools import cache
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from loadtest.kafka.jars import kafka_jars
from loadtest.kafka.ports import free_port
from loadtest.kafka.processes import start_process

WAIT_S = 60.0
"""For a broker to start, and to stop."""


@cache
def class_archive() -> list[str]:
    """The options of Java that use it; the first time takes some seconds, and says so."""
    jars = kafka_jars()
    java = Path(os.path.realpath(shutil.which("java") or "java"))
    of_java = zlib.crc32(f"{java} {java.stat().st_mtime_ns}".encode()) if java.exists() else 0
    archive = jars.with_name(f"{jars.name}-{of_java:08x}.jsa")
    with jars.with_name("kafka-classes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            _make(jars, archive)
    return [f"-XX:SharedArchiveFile={archive}", "-Xlog:disable", "-Xlog:all=error:stderr"]


def _make(jars: Path, archive: Path) -> None:
    """What Java does not make is an empty file, so that nobody tries again."""
    print("having Java prepare Kafka's classes, once (10 s) ...", file=sys.stderr, flush=True)
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
        form = [*java, "kafka.tools.StorageTool", "format", "-t", "WhimbrelWhimbrelWhimbA", "-c", str(properties)]
        subprocess.run(form, capture_output=True, check=True)
        run = [java[0], f"-XX:ArchiveClassesAtExit={made}", *java[1:], "kafka.Kafka", str(properties)]
        broker = start_process(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _use(broker, f"127.0.0.1:{port}")
            broker.send_signal(signal.SIGTERM)
            broker.wait(WAIT_S)
        finally:
            broker.kill()
        if made.exists():
            shutil.copy(made, archive.with_suffix(".partial"))
        else:
            archive.with_suffix(".partial").touch()
        archive.with_suffix(".partial").rename(archive)


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
