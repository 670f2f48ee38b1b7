"""Membership alone, for clusters of any size: many members in one process, driven by one seed.

Bytes go from seal to seal over links that delay, lose and double them; members are killed, started again, paused
(what arrives meanwhile waits in a bounded buffer, as in a kernel) and cut off, one way or both. What members report
is written down with the time and the observer; `wrongly_dead` and `disagreement` are the checks.

Not here: the rest of a node (cluster.py).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from mesh.membership.config import MembershipConfig
from mesh.membership.link import MembershipLink
from mesh.membership.membership import Membership
from mesh.membership.packets import MemberChanged, MembershipEvent, MemberState, PushPull, Sender
from mesh.membership.seal import Seal

TICK_S = 0.05
BUFFERED_MAX = 500
KEY = b"the key of the simulated cluster"


@dataclass(frozen=True, slots=True)
class Weather:
    """What links do to datagrams."""

    delay_min_s: float = 0.0002
    delay_mean_s: float = 0.001
    """On top of that, exponential."""
    loss: float = 0.0
    duplicate: float = 0.0


FAIR = Weather()


@dataclass(slots=True)
class Process:
    """A running member."""

    name: str
    boot: str
    link: MembershipLink
    started_at: float
    ticks: int = 0
    is_paused: bool = False
    buffer: list[tuple[str, bytes]] = field(default_factory=list)
    sent: int = 0
    sent_bytes: int = 0

    @property
    def membership(self) -> Membership:
        return self.link.membership


class Cluster:
    """All members, the links between them, and what was observed."""

    def __init__(self, seed: int, weather: Weather = FAIR, config: MembershipConfig | None = None) -> None:
        self.weather = weather
        self.now = 0.0
        self.processes: dict[str, Process] = {}
        self.events: list[tuple[float, str, MembershipEvent]] = []
        """When, at whom, what."""
        self.faulted: dict[str, None] = {}
        """Those to whom something was ever done."""
        self.counts: Counter[str] = Counter()
        self.tap: Callable[[str, str, bytes], None] | None = None
        """Sees every datagram: sender, receiver, bytes."""
        self._seed = seed
        self._config = config or MembershipConfig()
        self._rng = Random(seed)
        self._cuts: dict[tuple[str, str], None] = {}
        self._boots: Counter[str] = Counter()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    # What can be done.

    def start(self, name: str, join: Iterable[str] = (), called: str = "", cluster: str = "sim") -> Process:
        """Start a member, or start it again: a new process, that remembers nothing.

        It lives at the address of `name` and calls itself `called`, if that is given.
        """
        assert name not in self.processes
        self._boots[name] += 1
        boot = f"{name}.{self._boots[name]}"
        rng = Random(f"{self._seed} {boot}")
        membership = Membership(called or name, address_of(name), boot, b"", self._config, rng)
        process = Process(name, boot, MembershipLink(membership, Seal(KEY, cluster, called or name, boot)), self.now)
        self.processes[name] = process
        process.link.join(self.now, [address_of(other) for other in join])
        self._flush(process)
        process.started_at += rng.random() * TICK_S
        self._at(process.started_at, lambda: self._tick(process))
        return process

    def start_all(self, names: list[str], seeds: int = 3) -> None:
        """Start these; the first few are everybody's join addresses."""
        for name in names:
            self.start(name, [other for other in names[:seeds] if other != name])

    def acquaint(self) -> None:
        """Let everybody know everybody, without a packet: what joining takes is not always the question."""
        told = [process.membership.members[name].claim(name) for name, process in self.processes.items()]
        for name, process in self.processes.items():
            for other in told:
                if other.name != name:
                    sender = Sender(other.name, other.boot, other.address)
                    process.membership.receive(self.now, sender, PushPull(0, False, [other]))
            self._flush(process)

    def kill(self, name: str) -> None:
        self.faulted[name] = None
        del self.processes[name]

    def leave(self, name: str) -> None:
        """Goodbye, and half a second later the process ends."""
        process = self.processes[name]
        process.link.leave(self.now)
        self._flush(process)
        self._at(self.now + 0.5, lambda: self._end(process))

    def pause(self, name: str) -> None:
        self.faulted[name] = None
        self.processes[name].is_paused = True

    def resume(self, name: str) -> None:
        process = self.processes[name]
        process.is_paused = False
        arrived, process.buffer = process.buffer, []
        for address, datagram in arrived:
            process.link.receive(self.now, address, datagram)
            self._flush(process)

    def cut(self, sender: str, receiver: str) -> None:
        """Nothing of the sender reaches the receiver."""
        self.faulted[sender] = self.faulted[receiver] = None
        self._cuts[sender, receiver] = None

    def split(self, side: Iterable[str]) -> None:
        """These on one side, all others on the other."""
        inside = dict.fromkeys(side)
        for a in self.processes:
            for b in self.processes:
                if (a in inside) != (b in inside):
                    self.cut(a, b)

    def heal(self) -> None:
        self._cuts.clear()

    def inject(self, receiver: str, datagram: bytes, source: str = "10.6.6.6:666") -> None:
        """A stranger sends something."""
        self._arrive(source, receiver, datagram)

    def set_meta(self, name: str, meta: bytes) -> None:
        process = self.processes[name]
        process.link.set_meta(self.now, meta)
        self._flush(process)

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        until = self.now + duration_s
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = until

    def run_until(self, is_done: Callable[[], bool], at_most_s: float) -> float:
        """Let time pass until then; how long that took. Fails if it takes longer."""
        began = self.now
        while not is_done():
            assert self.now - began < at_most_s, f"not after {at_most_s} s"
            self.run(TICK_S)
        return self.now - began

    # What is to be checked.

    def disagreement(self) -> str:
        """Empty if all running members see exactly all running members, with the boots they have."""
        truth = {name: process.boot for name, process in self.processes.items()}
        for name, process in self.processes.items():
            members = process.membership.members
            seen = {other: members[other].boot for other in process.membership.alive}
            if seen != truth:
                missing = sorted(truth.items() - seen.items())
                return f"{name}: missing {missing}, too many {sorted(seen.items() - truth.items())}"
        return ""

    def wrongly_dead(self) -> list[str]:
        """Deaths reported of members to whom nothing was ever done."""
        return [
            f"{at:.2f} {observer}: {event.name}"
            for at, observer, event in self.events
            if isinstance(event, MemberChanged)
            and event.state is MemberState.DEAD
            and event.name not in self.faulted
            and observer not in self.faulted
        ]

    def when(self, name: str, state: MemberState, since: float = 0.0) -> dict[str, float]:
        """When each observer first reported this."""
        found: dict[str, float] = {}
        for at, observer, event in self.events:
            is_it = isinstance(event, MemberChanged) and event.name == name and event.state is state
            if is_it and at >= since and observer not in found:
                found[observer] = at
        return found

    def total(self, counter: str) -> int:
        """A counter of all running members' membership."""
        return sum(int(getattr(process.membership.stats, counter)) for process in self.processes.values())

    # How it goes.

    def _at(self, at: float, action: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (at, self._number, action))

    def _end(self, process: Process) -> None:
        if self.processes.get(process.name) is process:
            del self.processes[process.name]

    def _tick(self, process: Process) -> None:
        if self.processes.get(process.name) is not process:
            return
        if not process.is_paused:
            process.link.tick(self.now)
            self._flush(process)
        process.ticks += 1
        self._at(process.started_at + process.ticks * TICK_S, lambda: self._tick(process))

    def _flush(self, process: Process) -> None:
        self.events += [(self.now, process.name, event) for event in process.link.take_events()]
        for address, datagram in process.link.take_sends():
            process.sent += 1
            process.sent_bytes += len(datagram)
            self._send(process.name, name_at(address), datagram)

    def _send(self, sender: str, receiver: str, datagram: bytes) -> None:
        if self.tap is not None:
            self.tap(sender, receiver, datagram)
        weather, rng = self.weather, self._rng
        if (sender, receiver) in self._cuts:
            self.counts["cut"] += 1
            return
        if weather.loss and rng.random() < weather.loss:
            self.counts["lost"] += 1
            return
        copies = 1
        if weather.duplicate and rng.random() < weather.duplicate:
            self.counts["doubled"] += 1
            copies = 2
        for _ in range(copies):
            delay = weather.delay_min_s + rng.expovariate(1.0) * weather.delay_mean_s
            self._at(self.now + delay, lambda: self._arrive(address_of(sender), receiver, datagram))

    def _arrive(self, address: str, receiver: str, datagram: bytes) -> None:
        process = self.processes.get(receiver)
        if process is None:
            return
        if process.is_paused:
            if len(process.buffer) < BUFFERED_MAX:
                process.buffer.append((address, datagram))
            return
        self.counts["arrived"] += 1
        process.link.receive(self.now, address, datagram)
        self._flush(process)


def address_of(name: str) -> str:
    return f"{name}:7400"


def name_at(address: str) -> str:
    return address.rpartition(":")[0]
