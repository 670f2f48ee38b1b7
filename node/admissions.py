"""How many connections an address and an identity have on this node, and how fast they open more: of all workers.

Invariants:
- a connection counts from when a worker was told that it may come until the worker says that it is gone, or is itself;
- a worker that asks again under the same number is told the same, and counts once.

Not here: buckets (gateway/link/rates.py), what clients are told (gateway/sessions/admission.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.link.events import Admit, Admitted, Leave
from gateway.link.rates import ConnectionLimits, Rate
from node.effects import Effects
from node.interest import WorkerId


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """Nothing is limited unless it is given."""

    address_connections_max: int = 0
    """0: any number; the same below."""
    address_connects: Rate | None = None
    identity_connections_max: int = 0
    identity_connects: Rate | None = None


class Admissions:
    """Of one node."""

    def __init__(self, config: AdmissionConfig, effects: Effects) -> None:
        self._addresses = ConnectionLimits(config.address_connections_max, config.address_connects)
        self._identities = ConnectionLimits(config.identity_connections_max, config.identity_connects)
        self._effects = effects
        self._held: dict[WorkerId, dict[int, Admit]] = {}

    def worker_event(self, now: float, worker: WorkerId, event: Admit | Leave) -> None:
        """A client would come, or has gone."""
        if isinstance(event, Leave):
            self._left(worker, event.number)
        else:
            self._asked(now, worker, event)

    def gone(self, worker: WorkerId) -> None:
        """A worker has ended, with all its clients."""
        for number in [*self._held.get(worker, {})]:
            self._left(worker, number)
        self._held.pop(worker, None)

    def _asked(self, now: float, worker: WorkerId, event: Admit) -> None:
        held = self._held.setdefault(worker, {})
        wait_s, is_address = 0.0, False
        if event.number not in held:
            address_s = self._addresses.wait_s(now, event.address) if event.address else 0.0
            identity_s = self._identities.wait_s(now, event.identity) if event.identity else 0.0
            wait_s, is_address = max(address_s, identity_s), address_s > identity_s
            if not wait_s:
                held[event.number] = event
                for limits, who in ((self._addresses, event.address), (self._identities, event.identity)):
                    if who:
                        limits.connecting(now, who)
                        limits.joined(now, who)
        self._effects.to_worker(worker, Admitted(event.number, wait_s, is_address))

    def _left(self, worker: WorkerId, number: int) -> None:
        event = self._held.get(worker, {}).pop(number, None)
        if event is not None:
            self._addresses.left(event.address)
            self._identities.left(event.identity)
