"""The node's auditors, each with a thread and a queue of its own: one that is slow or fails costs nobody else anything.

What finds no room, and what an auditor fails to take, is counted, and told: in the log, in the status, in a metric, and
to the auditor itself once it takes events again.

Not here: making auditors (loading.py), what is told (gateway/sessions/trail.py, insides.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping

from gateway.link.events import Published, Refused, Select
from gateway.link.logs import event
from mesh.cache.cache import Cache
from node.audit.insides import Insides, NodeEvent
from node.audit.lines import LineAuditor, LinesLostError, events, lines
from node.audit.queue import AuditQueue, Batch
from node.backfill.questions import KafkaQuestion
from node.kafka.threads import start_thread
from whimbrel_server import AuditEvent, Auditor

log = logging.getLogger(__name__)

CLOSE_S = 6.0
"""How long auditors have at the end, all together."""
SHOWN_S = 60.0
"""How long it is said that events were dropped."""
LOGGED_S = 10.0


class AuditorThread:
    """One auditor at work."""

    def __init__(self, name: str, auditor: Auditor, node: str, events_max: int) -> None:
        self.name = name
        self.queue = AuditQueue(events_max)
        self.written = 0
        self.failed = 0
        """Events that it did not take."""
        self.failure = ""
        """The last."""
        self._auditor = auditor
        self._node = node
        self._wake = threading.Event()
        self._is_closing = False
        self._thread = start_thread(f"audit-{name}", self._run)

    @property
    def dropped(self) -> int:
        """Events that it has not had."""
        return self.queue.dropped + self.failed

    def put(self, batch: Batch) -> None:
        """From the hub."""
        if self.queue.put(batch):
            self._wake.set()

    def close(self) -> None:
        """Have it end once the queue is empty."""
        self._is_closing = True
        self._wake.set()

    def join(self, wait_s: float) -> None:
        """Wait for its end."""
        self._thread.join(wait_s)

    def _run(self) -> None:
        told = 0
        while True:
            is_closing = self._is_closing
            batch = self.queue.take()
            if batch is not None:
                self._write(batch)
                self.queue.done(batch)
                if self.dropped > told:
                    lost, told = self.dropped - told, self.dropped
                    event = AuditEvent(_wall_ms(), self._node, "stats", "dropped", {"count": lost})
                    self._write(Batch(1, lines([event])))
            elif is_closing:
                break
            else:
                self._wake.wait()
                self._wake.clear()
        try:
            self._auditor.close()
        except Exception as error:
            self._failed(error, 0)

    def _write(self, batch: Batch) -> None:
        try:
            if isinstance(self._auditor, LineAuditor):
                self._auditor.write_lines(batch.events)
            else:
                self._auditor.write(events(batch.events))
        except LinesLostError as error:
            self._failed(error, error.count)
            self.written += max(batch.size - error.count, 0)  # those that are lost may be of earlier batches
        except Exception as error:
            self._failed(error, batch.size)
        else:
            self.written += batch.size

    def _failed(self, error: Exception, count: int) -> None:
        self.failure = f"{type(error).__name__}: {error}"
        self.failed += count


class Auditors:
    """All auditors of a node."""

    def __init__(self, auditors: Mapping[str, Auditor], node: str, events_max: int, insides: Insides) -> None:
        self._insides = insides
        self._node = node
        self.threads = [AuditorThread(name, auditor, node, events_max) for name, auditor in auditors.items()]
        self._dropped = dict.fromkeys(auditors, 0)
        self._dropped_at: dict[str, float] = {}
        self._logged: dict[str, tuple[float, int]] = {}

    def put(self, count: int, events: bytes) -> None:
        """What happened, as a worker has sent it."""
        batch = Batch(count, events)
        for thread in self.threads:
            thread.put(batch)

    def operator_published(self, subject: str, outcome: Published | Refused | None) -> None:
        """By the admin listener; `outcome` None: no answer came in time."""
        self._tell(self._insides.operator_published(_wall_ms(), subject, outcome))

    def operator_disconnected(self, asked: Select, count: int) -> None:
        """By the admin listener: so many clients."""
        self._tell(self._insides.operator_disconnected(_wall_ms(), asked, count))

    def operator_revoked(self, token_id: str | None, name: str | None, issued_before: float) -> None:
        """By the admin listener."""
        self._tell(self._insides.operator_revoked(_wall_ms(), token_id, name, issued_before))

    def asked_kafka(self, question: KafkaQuestion) -> None:
        """The node reads back what its cache does not have."""
        self._tell(self._insides.asked_kafka(_wall_ms(), question))

    def second(self, now: float, cache: Cache, figures: Mapping[str, float]) -> None:
        """Once a second: what happened in the node, and in the log what was dropped."""
        self._tell(self._insides.second(now, _wall_ms(), cache, figures))
        for thread in self.threads:
            name, dropped = thread.name, thread.dropped
            if dropped > self._dropped[name]:
                self._dropped[name], self._dropped_at[name] = dropped, now
            at, count = self._logged.get(name, (-LOGGED_S, 0))
            if dropped > count and now - at >= LOGGED_S:
                self._logged[name] = now, dropped
                count = dropped - count
                event(log, "audit_dropped", logging.WARNING, auditor=name, count=count, error=thread.failure)

    def problems(self, now: float) -> list[str]:
        """What a person should know."""
        found = []
        for thread in self.threads:
            at = self._dropped_at.get(thread.name)
            if at is not None and now - at < SHOWN_S:
                why = thread.failure or "it does not keep up"
                found.append(f"the auditor {thread.name!r} has not had {thread.dropped} events: {why}")
        return found

    def close(self) -> None:
        """Let them write what waits, within bounds."""
        for thread in self.threads:
            thread.close()
        until = time.monotonic() + CLOSE_S
        for thread in self.threads:
            thread.join(max(until - time.monotonic(), 0.01))

    def _tell(self, happened: Iterable[NodeEvent]) -> None:
        if told := [AuditEvent(at, self._node, kind, name, about) for at, kind, name, about in happened]:
            self.put(len(told), lines(told))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
