"""`whimbrel demo`: an embedded Kafka, the producer of flights and a node, started together and ended together.

Not here: the parts (node/kafka/embedded.py, producer.py, node/main.py).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from node.demo.producer import TOPICS
from node.kafka.embedded import EmbeddedKafka
from node.main import run_node
from node.settings import Settings
from node.settings.schema import Topic

NOTES = "notes"
"""A topic for whoever looks at the page to publish into."""

FETCH_WAIT_MS = "40"
"""The embedded Kafka answers a fetch only after this (node/kafka/embedded.py): shorter costs it CPU, longer delays."""

DEMO_TOPICS = (*(Topic(name=name) for name in TOPICS), Topic(name=NOTES, value="text", publish=True))


def run_demo(settings: Settings) -> int:
    """Run the demo until it is told to stop; the exit code."""
    with EmbeddedKafka({**TOPICS, NOTES: 1}) as kafka:
        consumer = {"fetch.wait.max.ms": FETCH_WAIT_MS, **settings.kafka.consumer}
        settings = replace(
            settings,
            kafka=replace(settings.kafka, bootstrap=kafka.bootstrap, consumer=consumer),
            topics=settings.topics or DEMO_TOPICS,
        )
        command = [sys.executable, "-m", "node.demo.producer", "--bootstrap", kafka.bootstrap]
        producer = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        try:
            return run_node(settings, started=lambda port: _say_where(settings, kafka.bootstrap, port))
        finally:
            assert producer.stdin is not None
            producer.stdin.close()
            try:
                producer.wait(timeout=5)
            except subprocess.TimeoutExpired:
                producer.kill()


def _say_where(settings: Settings, bootstrap: str, port: int) -> None:
    host = settings.node.host
    shown = "127.0.0.1" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    command = _as_called()
    print(
        f"\n  Whimbrel's demo is running.\n\n"
        f"    the page        http://{shown}:{port}/\n"
        f"    a subscription  {command} subscribe '/flights/*' --server ws://{shown}:{port}\n"
        f"    a publish       {command} publish /notes/1 'good morning' --server ws://{shown}:{port}\n"
        f"    its Kafka       {bootstrap}  (embedded: in memory, gone at the end)\n\n"
        f"  Ctrl-C ends it.\n",
        flush=True,
    )


def _as_called() -> str:
    """How the command can be called again by whoever has called it: `whimbrel`, if the shell finds that."""
    called = Path(sys.argv[0])
    if called.name != "whimbrel":
        return f"{sys.executable} -m node.cli"
    found = shutil.which("whimbrel")
    return "whimbrel" if found is not None and called.exists() and called.samefile(found) else str(called)
