"""What a process runs on: a name, a disk, a clock of its own. It crashes, is paused, and is started again.

A *strike* waits for the right instant: it hits the next turn that saves a promise, before or after that.
A paused process finds, when it goes on, what has piled up meanwhile, and does what it was about to do: it has the
ideas of before.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from mesh.slots.slot_log import Item
from tests.sim.disk import Disk
from tests.sim.process import Process

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

TICK_S = 0.05
INBOX_MAX = 2_000
"""What the queues of the transport hold; the rest is lost."""


class Machine:
    """One machine of the cluster."""

    def __init__(self, cluster: Cluster, name: str, rng: Random) -> None:
        self.cluster = cluster
        self.name = name
        self.is_voter = name in cluster.options.slots.voters
        self.disk: Disk = cluster.new_disk()
        self.process: Process | None = None
        self.starts = 0
        self.wall_ms = 1_700_000_000_000
        """Its idea of the time of day: it jumps."""
        self.paused_until: float | None = None
        self._rng = rng
        skew = cluster.options.clock_skew
        self._rate = 1.0 + rng.uniform(-skew, skew)
        self._offset = rng.uniform(0.0, 100_000.0)
        self._inbox: list[tuple[str, str, str, bytes] | Item] = []
        self._strike = ""
        self._pause_s = 0.0
        """How long the pause is that comes with the next turn."""
        self._unfinished: tuple[Callable[..., None], tuple[Any, ...]] | None = None

    @property
    def now(self) -> float:
        """By its own clock."""
        return self._offset + self.cluster.schedule.now * self._rate

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.paused_until is None

    def say(self, slot: int, words: str) -> None:
        """A line of the transcript."""
        self.cluster.say(self.name, slot, words)

    def say_packets(self, to: str, packets: list[Any]) -> None:
        self.cluster.transcript.packets(self.name, to, packets)

    # Starting and stopping.

    def start(self) -> None:
        """A new process, with nothing but what the disk has."""
        assert self.process is None
        self.starts += 1
        boot = f"{self.name}{self.starts}"
        self.say(-1, f"starts as {boot}")
        self.process = Process(self.now, self, boot, Random(f"{self._rng.random()} {boot}"))
        self.cluster.watch.started(self.process)
        self.cluster.schedule.after(self._rng.uniform(0.0, TICK_S), self._tick, self.process)

    def crash(self, why: str = "crashes") -> None:
        """All memory is lost."""
        process = self.process
        if process is None:
            return
        self.say(-1, why)
        self.cluster.falls(process)
        self.process = None
        self.cluster.lost_memory(self)
        self._inbox.clear()
        self._strike = ""
        self._unfinished = None
        self._pause_s = 0.0
        self.paused_until = None
        self.disk.crashed()
        for connection in [*process.connections]:
            connection.broken()

    def strike(self, instant: str) -> None:
        """Crash at this instant of the next turn that saves a promise."""
        self._strike = instant

    def spare(self) -> None:
        """No strike and no pause that is still to come."""
        self._strike = ""
        self._pause_s = 0.0

    def strikes(self, instant: str) -> bool:
        """Whether a crash hits just now."""
        if self._strike != instant:
            return False
        self._strike = ""
        if not self.cluster.may_lose_memory(self):
            return False
        self.cluster.counts[f"crashes {instant}"] += 1
        self.crash(f"crashes {instant}")
        self.cluster.restart_later(self)
        return True

    # Pausing.

    def pause(self, seconds: float, in_a_turn: bool) -> None:
        """Stop for a while: now, or in the middle of the next turn, between saving and sending."""
        if not self.is_running:
            return
        if in_a_turn:
            self._pause_s = seconds
        else:
            self._stop(seconds)

    def _stop(self, seconds: float) -> None:
        self.say(-1, f"is paused for {seconds:.2f} s")
        self.paused_until = self.cluster.schedule.now + seconds
        self.cluster.schedule.at(self.paused_until, self.resume, self.paused_until)

    def finish(self, call: Callable[..., None], *args: Any) -> bool:
        """The second half of a turn, from sending on; False if it comes later."""
        if self._pause_s:
            self._unfinished = (call, args)
            seconds, self._pause_s = self._pause_s, 0.0
            self.cluster.counts["pauses between saving and sending"] += 1
            self._stop(seconds)
            return False
        call(*args)
        return True

    def resume(self, until: float) -> None:
        """Go on."""
        process = self.process
        if process is None or self.paused_until != until:
            return
        self.paused_until = None
        self.say(-1, "goes on")
        if self._unfinished is not None:
            (call, args), self._unfinished = self._unfinished, None
            call(*args)
        now = self.now
        inbox, self._inbox = self._inbox, []
        if self._rng.random() < 0.5:
            process.tick(now)
            process.turn(now)
        for what in inbox:
            if not self.is_running:
                return
            if isinstance(what, Item):
                process.publish(now, what)
            else:
                process.receive(now, *what)
            process.turn(now)

    # Running.

    def receive(self, sender: str, boot: str, channel: str, data: bytes) -> None:
        """Bytes have come."""
        process = self.process
        if process is None:
            return
        if self.paused_until is not None:
            if len(self._inbox) < INBOX_MAX:
                self._inbox.append((sender, boot, channel, data))
            return
        now = self.now
        process.receive(now, sender, boot, channel, data)
        process.turn(now)

    def publish(self, item: Item) -> None:
        """A client's publish has come."""
        process = self.process
        assert process is not None
        if self.paused_until is not None:
            if len(self._inbox) < INBOX_MAX:
                self._inbox.append(item)
            return
        now = self.now
        process.publish(now, item)
        process.turn(now)

    def _tick(self, process: Process) -> None:
        if self.process is not process:
            return
        if self.paused_until is None:
            now = self.now
            process.tick(now)
            process.turn(now)
            self.cluster.watch.bounds(process)
        self.cluster.schedule.after(TICK_S, self._tick, process)
