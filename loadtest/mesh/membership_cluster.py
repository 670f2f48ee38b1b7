"""A cluster of processes for the membership benchmark, and what their members said."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from loadtest.kafka.ports import free_port

Event = tuple[float, str, str, str]
"""When, observer, member, state."""


@dataclass(slots=True)
class Child:
    """One process."""

    members: list[tuple[str, int]]
    process: subprocess.Popen[str]
    used: list[tuple[float, float, int, int]] = field(default_factory=list)
    """When, CPU seconds, datagrams, bytes; since the process began."""
    up_at: float = 0.0


class Cluster:
    """Members of one kind (`whimbrel` or `swim-protocol`); as many as can be have a process of their own."""

    def __init__(self, kind: str, size: int, loss: float = 0.0, alone_max: int = 10) -> None:
        self.kind = kind
        self.size = size
        self.events: list[Event] = []
        self._loss = loss
        self._lock = threading.Lock()
        self._states: dict[str, dict[str, str]] = {}
        ports: dict[int, None] = {}
        while len(ports) < size:
            ports[free_port()] = None
        own = kind == "whimbrel"
        members = [(f"m{i}" if own else f"127.0.0.1:{port}", port) for i, port in enumerate(ports)]
        self._join = [f"127.0.0.1:{port}" for port in list(ports)[:3]]
        alone = members if size <= alone_max else members[: alone_max // 2]
        together = members[len(alone) :]
        groups = [[member] for member in alone] + [together[i::5] for i in range(5) if together[i::5]]
        self.children = [self._start(group) for group in groups]
        self.victims = self.children[: len(alone)]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.process.kill()
            child.process.wait()

    def _start(self, members: list[tuple[str, int]]) -> Child:
        module = "loadtest.mesh.membership_child" if self.kind == "whimbrel" else "loadtest.mesh.membership_swim"
        told = json.dumps({"members": members, "join": self._join, "loss": self._loss})
        process = subprocess.Popen([sys.executable, "-m", module, told], stdout=subprocess.PIPE, text=True)
        child = Child(members, process)
        for name, _ in members:
            self._states[name] = {}
        threading.Thread(target=self._read, args=(child,), daemon=True).start()
        return child

    def _read(self, child: Child) -> None:
        assert child.process.stdout is not None
        for line in child.process.stdout:
            what, when, *rest = json.loads(line)
            if what == "up":
                child.up_at = when
                continue
            if what == "used":
                child.used.append((when, *rest))
                continue
            observer, member, state = rest
            with self._lock:
                self.events.append((when, observer, member, state))
                self._states[observer][member] = state

    # What is done.

    def kill(self, child: Child) -> float:
        """kill -9; when."""
        at = time.monotonic()
        child.process.send_signal(signal.SIGKILL)
        child.process.wait()
        with self._lock:
            for name, _ in child.members:
                del self._states[name]
        return at

    def start_again(self, child: Child) -> Child:
        """A new process in its place."""
        new = self._start(child.members)
        self.children[self.children.index(child)] = new
        if child in self.victims:
            self.victims[self.victims.index(child)] = new
        return new

    # What is seen.

    def see_all(self) -> bool:
        """Whether everybody sees everybody alive."""
        with self._lock:
            return all(
                sum(state == "alive" for state in seen.values()) == self.size - 1 for seen in self._states.values()
            )

    def wait_formed(self, at_most_s: float) -> float:
        """How long after the last process was up everybody saw everybody alive."""
        until = time.monotonic() + at_most_s
        while not self.see_all():
            if time.monotonic() > until:
                with self._lock:
                    seen = sum(state == "alive" for states in self._states.values() for state in states.values())
                share = seen / (self.size * (self.size - 1))
                raise TimeoutError(f"after {at_most_s:.0f} s members see {share:.0%} of each other")
            time.sleep(0.02)
        return max(0.0, time.monotonic() - max(child.up_at for child in self.children))

    def first(self, member: str, state: str, since: float) -> dict[str, float]:
        """How long after `since` each observer first said so."""
        found: dict[str, float] = {}
        with self._lock:
            for when, observer, name, said in self.events:
                if name == member and said == state and when >= since and observer not in found:
                    found[observer] = when - since
        return found

    def false_alarms(self, since: float, faulted: list[str]) -> dict[str, int]:
        """How often somebody healthy was called suspect or dead by somebody healthy."""
        counts = {"suspect": 0, "dead": 0}
        with self._lock:
            for when, observer, name, said in self.events:
                if when >= since and said in counts and name not in faulted and observer not in faulted:
                    counts[said] += 1
        return counts

    def use(self, duration_s: float) -> dict[str, float]:
        """Datagrams, bytes and CPU per member over so long, with nothing happening."""
        time.sleep(1.0)
        begun = {id(child): child.used[-1] for child in self.children}
        time.sleep(duration_s)
        sums = [0.0, 0.0, 0.0]
        for child in self.children:
            (at, *before), (until, *after) = begun[id(child)], child.used[-1]
            for i in range(3):
                sums[i] += (after[i] - before[i]) / max(0.1, until - at)
        cpu, datagrams, size = (total / self.size for total in sums)
        return {"cpu_percent": 100 * cpu, "datagrams_per_s": datagrams, "bytes_per_s": size}

    def kill_rounds(self, rounds: int, at_most_s: float) -> dict[str, list[float]]:
        """Kill one after the other; how long each observer took to suspect it and to call it dead."""
        suspect: list[float] = []
        dead: list[float] = []
        for number in range(rounds):
            time.sleep(random.random())
            child = self.victims[number % len(self.victims)]
            name = child.members[0][0]
            at = self.kill(child)
            while len(self.first(name, "dead", at)) < self.size - 1 and time.monotonic() - at < at_most_s:
                time.sleep(0.05)
            suspect += self.first(name, "suspect", at).values()
            dead += self.first(name, "dead", at).values()
            self.start_again(child)
            self.wait_formed(30.0)
        return {"suspect_s": sorted(suspect), "dead_s": sorted(dead), "missed": [rounds * (self.size - 1) - len(dead)]}

    def pause(self, paused_s: float, then_s: float) -> dict[str, float]:
        """SIGSTOP, SIGCONT: who called it dead, and how soon it is back."""
        child = self.victims[-1]
        name = child.members[0][0]
        at = time.monotonic()
        child.process.send_signal(signal.SIGSTOP)
        time.sleep(paused_s)
        resumed = time.monotonic()
        child.process.send_signal(signal.SIGCONT)
        time.sleep(then_s)
        dead = self.first(name, "dead", at)
        back = self.first(name, "alive", resumed)
        false = self.false_alarms(at, [name])
        return {
            "called_dead_by": len(dead),
            "back_after_s": max(back.values(), default=0.0),
            "false_suspect": false["suspect"],
            "false_dead": false["dead"],
            "accused_by_it": sum(1 for w, o, _, s in self.events if o == name and w >= at and s != "alive"),
        }
