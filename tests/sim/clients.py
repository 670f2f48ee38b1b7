"""The clients of the cluster. They judge nothing: what they get is judged by readers.py and truth.py.

A publisher keeps a few publishes on their way and sends each again, under its number, after a refusal, after silence,
or when its node is gone, mostly through another node. A subscriber reads its node's cache from its place on and goes
on live; it moves between nodes with its place. Between a node and a client is a line that delays, and takes what is on
it along when it breaks.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING

from mesh.cache.cache import Log
from mesh.log import BEGINNING, Entry, Position
from mesh.slots.forwarding import NO_COORDINATOR
from mesh.slots.slot_log import Item
from mesh.subject import is_pattern
from tests.sim.readers import Reader

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.process import Process

PAGE = 10


class Connection:
    """One subscription of one client at one node."""

    def __init__(self, process: Process, subscriber: Subscriber) -> None:
        self.process = process
        self.subscriber = subscriber
        self.is_open = True
        self._sent: dict[str, Position] = {}
        """Log id -> what is on the line, or was."""
        self._line: deque[tuple[int, str, str, Entry | Position]] = deque()
        process.connections[self] = None
        for slot in process.loaded:
            self.read(slot)

    def read(self, slot: int) -> None:
        """The node has this log: everything from the client's place on, then live."""
        log = self.process.logs[slot]
        subject, place = self.subscriber.subject, self.subscriber.place
        at = self._sent.get(log.id, place.get(log.id, BEGINNING))
        if not log.reaches(subject, at):
            at = log.floor_of(subject)
            self._put(slot, log.id, "", at)
        if is_pattern(subject):
            while True:
                found, at = log.after_matching(subject, at, PAGE)
                for one, entry in found:
                    self._put(slot, log.id, one, entry)
                if not found:
                    break
        else:
            for entry in log.after(subject, at):
                self._put(slot, log.id, subject, entry)

    def live(self, slot: int, log: Log, subject: str, entry: Entry) -> None:
        """An entry that was just committed."""
        wanted = self.subscriber.subject
        if subject == wanted or (is_pattern(wanted) and subject.startswith(wanted[:-1])):
            sent = self._sent.get(log.id, self.subscriber.place.get(log.id, BEGINNING))
            if entry.at > sent:
                self._put(slot, log.id, subject, entry)

    def broken(self) -> None:
        """The line is cut; what is on it is lost."""
        if self.is_open:
            self.is_open = False
            self.process.connections.pop(self, None)
            self._line.clear()
            self.subscriber.disconnected(self)

    def _put(self, slot: int, log_id: str, subject: str, what: Entry | Position) -> None:
        self._sent[log_id] = what.at if isinstance(what, Entry) else what
        self._line.append((slot, log_id, subject, what))
        if len(self._line) == 1:
            self._arrive_later()

    def _arrive_later(self) -> None:
        cluster = self.process.cluster
        cluster.schedule.after(self.subscriber.rng.random() * cluster.options.line_s, self._arrive)

    def _arrive(self) -> None:
        if not self.is_open or not self._line:
            return
        for _ in range(len(self._line) if self.subscriber.rng.random() < 0.7 else 1):
            slot, log_id, subject, what = self._line.popleft()
            self.subscriber.got(slot, log_id, subject, what)
        if self._line:
            self._arrive_later()


class Subscriber:
    """One client that reads."""

    def __init__(self, cluster: Cluster, name: str, subject: str, rng: Random) -> None:
        self.name = name
        self.subject = subject
        self.rng = rng
        self.place: dict[str, Position] = {}
        self.reader = Reader(cluster.oracle, name, subject)
        self.connection: Connection | None = None
        self._cluster = cluster
        self.disconnected(None)

    @property
    def slots(self) -> list[int]:
        """Those that have something for it."""
        count = self._cluster.options.slot_count
        return [*range(count)] if is_pattern(self.subject) else [self._cluster.slot_of(self.subject)]

    def connect(self) -> None:
        """To any node that answers."""
        if self.connection is not None:
            return
        process = self._cluster.node_for_clients(self.rng)
        if process is None:
            self._cluster.schedule.after(0.2, self.connect)
            return
        self._cluster.counts["resumes" if self.place else "subscriptions"] += 1
        self.connection = Connection(process, self)

    def move(self) -> None:
        """Leave the node, as after a lost network."""
        if self.connection is not None:
            self.connection.broken()

    def lacks(self) -> str:
        """What it should have and has not, in words."""
        if self.connection is None:
            return f"{self.name} is not connected"
        for slot in self.slots:
            missing = self.reader.lacks(slot)
            if missing is not None:
                return f"{self.name} at {self.connection.process.name} lacks {missing} of slot {slot}"
            log = self.connection.process.logs.get(slot)
            if log is None or (
                not is_pattern(self.subject) and log.after(self.subject, self.place.get(log.id, BEGINNING))
            ):
                return f"{self.name} at {self.connection.process.name} lacks entries of slot {slot}"
        return ""

    def disconnected(self, connection: Connection | None) -> None:
        if connection is self.connection:
            self.connection = None
            self._cluster.schedule.after(self.rng.uniform(0.02, 0.5), self.connect)

    def got(self, slot: int, log_id: str, subject: str, what: Entry | Position) -> None:
        """A frame has come."""
        incarnation = log_id.partition(".")[2]
        if isinstance(what, Entry):
            self.place[log_id] = what.at
            self.reader.got(slot, incarnation, subject, what)
        else:
            self._cluster.gapped(self, log_id)
            self.place[log_id] = what
            self.reader.gap(slot, incarnation, what)


class Publisher:
    """One client that writes."""

    def __init__(self, cluster: Cluster, name: str, rng: Random, window: int) -> None:
        self.name = name
        self.rng = rng
        self.is_once = name.startswith("once")
        """It never sends anything again."""
        self.unanswered: dict[int, str] = {}
        """Number -> subject."""
        self.acked = 0
        self._cluster = cluster
        self._window = window
        self._number = 0
        self._process: Process | None = None
        self._sent_at: dict[int, float] = {}
        self._next()
        self._look()

    def publish(self, subject: str) -> int:
        """Something new."""
        self._number += 1
        self.unanswered[self._number] = subject
        self._send(self._number)
        return self._number

    def leave_unless(self, core: list[str]) -> None:
        """Stay only at one of these nodes."""
        if self._process is not None and self._process.name not in core:
            self._move()

    def answered(self, process: Process, number: int, why: str) -> None:
        """The node says what became of it; `why` is empty if it is safe."""
        if number not in self.unanswered:
            return
        if not why or self.is_once:
            del self.unanswered[number]
            self._sent_at.pop(number, None)
            self.acked += not why
        elif process is self._process:
            self._sent_at.pop(number, None)
            if why == NO_COORDINATOR and self.rng.random() < 0.5:
                self._move()
            else:
                self._cluster.schedule.after(self.rng.uniform(0.05, 0.4), self._send_again, number)

    def _next(self) -> None:
        options = self._cluster.options
        self._cluster.schedule.after(self.rng.expovariate(options.publishes_per_s), self._next)
        if self._cluster.takes_load and len(self.unanswered) < self._window:
            for _ in range(self.rng.choice((1, 1, 1, 3))):
                self.publish(self.rng.choice(options.subjects))

    def _look(self) -> None:
        """Go elsewhere when the node is gone or says nothing."""
        now, patience_s = self._cluster.schedule.now, self._cluster.options.patience_s
        self._cluster.schedule.after(0.1, self._look)
        process = self._process
        if process is not None and process.machine.process is not process:
            self._move()
        elif any(now - at > patience_s for at in self._sent_at.values()):
            self._cluster.counts["publishers out of patience"] += 1
            self._move()

    def _move(self) -> None:
        self._process = None
        self._sent_at.clear()
        if self.is_once:
            self.unanswered.clear()
        self._cluster.schedule.after(self.rng.uniform(0.02, 0.4), self._send_all)

    def _send_all(self) -> None:
        for number in [*self.unanswered]:
            self._send_again(number)

    def _send_again(self, number: int) -> None:
        if number in self.unanswered and number not in self._sent_at:
            self._send(number)

    def _send(self, number: int) -> None:
        cluster = self._cluster
        if self._process is not None and self._process.machine.process is not self._process:
            self._move()
            return
        if self._process is None:
            self._process = cluster.node_for_clients(self.rng)
        if self._process is None:
            cluster.schedule.after(0.2, self._send_again, number)
            return
        self._sent_at[number] = cluster.schedule.now
        value = f"{self.name}.{number}".encode() if number % 11 else None
        item = Item(self.unanswered[number], self.name, number, value, None, self._process.machine.wall_ms)
        cluster.sent += 1
        cluster.attempts.setdefault((self.name, number), []).append((self._process.boot, cluster.sent))
        self._process.machine.publish(item)
