"""Which way a node takes with what a life is about: for the report of what was exercised.

Not here: whether it is the right way (checkers/).
"""

from __future__ import annotations

from gateway.link import events as link
from gateway.link.events import FromNode
from mesh.log import Gap, Position
from mesh.subject import topic_of
from node.effects import LogLine
from node.kafka.events import KafkaEvent, MeasureDone, ScanDone
from node.topics import Topics
from tests.sim.broker.threads import KafkaThreads

TRUNCATED = "truncation, "
PATHS = (
    *(TRUNCATED + way for way in ("read", "fed", "replayed", "measured", "cached", "copied")),
    "resumes in a log that the node has not seen yet",
)


class Paths:
    """Of one process. What it returns are names to count."""

    def __init__(self) -> None:
        self._by_kafka: set[tuple[str, Position | None]] = set()
        """Truncations that a question to Kafka has told of."""

    def logged(self, line: LogLine, threads: KafkaThreads) -> list[str]:
        """The node writes a line of its log."""
        match line:
            case LogLine(name="log_truncated", fields={"topic": str(topic), "partition": int(partition)}):
                return [TRUNCATED + ("read" if threads.reads(topic, partition) else "fed")]
            case LogLine(name="log_copied", fields={"topic": str(topic), "partition": int(partition)}) if (
                threads.was_truncated(topic, partition)
            ):
                return [TRUNCATED + "copied"]
        return []

    def answered(self, event: KafkaEvent) -> list[str]:
        """Kafka answers."""
        if isinstance(event, MeasureDone) and event.truncation is not None:
            return [TRUNCATED + "measured"]
        if isinstance(event, ScanDone) and (gaps := _truncated(event.scanned.gaps)):
            self._by_kafka.update((gap.log, gap.end) for gap in gaps)
            return [TRUNCATED + "replayed"]
        return []

    def told(self, event: FromNode) -> list[str]:
        """A worker is told."""
        if not isinstance(event, link.Answer | link.Page):
            return []
        gaps = _truncated(event.gaps)
        return [TRUNCATED + "cached"] if any((gap.log, gap.end) not in self._by_kafka for gap in gaps) else []

    def asked(self, subscribe: link.Subscribe, topics: Topics, threads: KafkaThreads) -> list[str]:
        """A worker subscribes."""
        known = topics.of(topic_of(subscribe.subject))
        place = subscribe.start.place if subscribe.start.kind == "resume" else {}
        return [PATHS[-1]] if any(log not in known and threads.has(log) for log in place) else []


def _truncated(gaps: list[Gap]) -> list[Gap]:
    return [gap for gap in gaps if gap.why == "truncated"]
