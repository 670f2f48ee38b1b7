"""Several fleets as one, for more clients than a process may have descriptors.

Not here: one fleet (fleet.py).
"""

from __future__ import annotations

from array import array
from contextlib import ExitStack
from functools import partial
from math import ceil
from typing import Any, Self

from loadtest.fleet import Fleet, Seen
from loadtest.payload import key_name
from loadtest.plots import Samples
from loadtest.process import Child, Failed

EACH = 14_000
"""Clients of a fleet, and of a worker."""
WINDOW = 128
"""Handshakes under way at a time, of all fleets together."""


class Fleets:
    """As many as so many clients need. A context manager that starts and ends them."""

    def __init__(self, clients: int) -> None:
        self._count = ceil(clients / EACH)
        self._stack = ExitStack()
        self._all: list[Child] = []

    def __enter__(self) -> Self:
        self._all = [self._stack.enter_context(Child(f"fleet {seed}", partial(Fleet, seed))) for seed in self._numbers]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return self._count

    def call(self, method: str, **arguments: Any) -> list[Any]:
        """Have all do the same at the same time; what each returned."""
        for fleet in self._all:
            fleet.begin(method, **arguments)
        return [fleet.result() for fleet in self._all]

    def connect(self, ports: list[int], subjects: list[str], tracked_every: int) -> None:
        """Connect a client for each subject, shared out over fleets; fleets are shared out over servers."""
        for number, fleet in enumerate(self._all):
            fleet.begin(
                "connect",
                port=ports[number % len(ports)],
                subjects=subjects[number :: self._count],
                tracked_every=tracked_every,
                window=max(8, WINDOW // self._count),
                timeout_s=280,
            )
        for fleet in self._all:
            fleet.result()

    def samples(self) -> Samples:
        """As `Fleet.samples`, of all."""
        latency, weight = array("q"), array("q")
        for more_latency, more_weight in self.call("samples"):
            latency += more_latency
            weight += more_weight
        return latency, weight

    def received(self) -> int:
        return sum(seen["received"] for seen in self.call("seen"))

    def rejoined(self, clients: int, timeout_s: float) -> array[int]:
        """As `Fleet.rejoined`, of all.

        Raises:
            Failed: Some have not come back in time.
        """
        for number, fleet in enumerate(self._all):
            share = len(range(number, clients, self._count))
            fleet.begin("rejoined", count=share, timeout_s=timeout_s)
        joins = array("q")
        for fleet in self._all:
            joins += fleet.result()
        if len(joins) < clients:
            raise Failed(f"only {len(joins):,} of {clients:,} clients came back")
        return joins

    def complete(self, producer: Child, topic: str, may_lose: bool = False) -> None:
        """Wait until every client has the last value of its key; no connection may have been lost unless `may_lose`.

        Raises:
            Failed: Something was missing, or a connection was lost.
        """
        last = {f"/{topic}/{key_name(key).decode()}": n for key, n in enumerate(producer.call("last", topic=topic))}
        behind = sum(self.call("behind", last=last, timeout_s=30))
        seen: list[Seen] = self.call("seen")
        if behind or any(one["faults"] or (one["losses"] and not may_lose) for one in seen):
            raise Failed(
                f"{behind} clients have not the last value; {[(one['losses'], one['words'][:3]) for one in seen]}"
            )

    @property
    def _numbers(self) -> range:
        return range(self._count)
