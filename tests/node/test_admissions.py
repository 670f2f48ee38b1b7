"""Connections by address and identity, of all workers of a node."""

from __future__ import annotations

from dataclasses import replace

from gateway.link.events import Admit, Admitted, Leave
from gateway.link.rates import Rate
from node.admissions import AdmissionConfig
from node.effects import ToWorker
from tests.node.cores import ALONE, OneNode


class Told:
    """Workers 1 and 2 of a node with limits."""

    def __init__(self, config: AdmissionConfig) -> None:
        self.node = OneNode(replace(ALONE, admission=config))
        self.node.core.worker_joined(self.node.now, 2)
        self.node.all(ToWorker)

    def ask(self, worker: int, number: int, address: str = "", identity: str = "") -> tuple[float, bool]:
        """How long to wait, and whether for the address."""
        self.node.core.worker_event(self.node.now, 0, worker, Admit(number, address, identity))
        ((said, event),) = [
            (one.worker, one.event) for one in self.node.all(ToWorker) if isinstance(one.event, Admitted)
        ]
        assert (said, event.number) == (worker, number)
        return event.wait_s, event.is_address

    def leave(self, worker: int, number: int) -> None:
        self.node.core.worker_event(self.node.now, 0, worker, Leave(number))


def test_an_identity_is_counted_over_all_workers() -> None:
    told = Told(AdmissionConfig(identity_connections_max=2))
    assert told.ask(1, 1, identity="ann") == (0, False)
    assert told.ask(2, 1, identity="ann") == (0, False)
    assert told.ask(1, 2, identity="ann")[0] > 0
    assert told.ask(1, 3, identity="bob")[0] == 0
    told.leave(2, 1)
    told.leave(2, 1)
    assert told.ask(1, 4, identity="ann")[0] == 0
    assert told.ask(1, 5, identity="ann")[0] > 0


def test_who_asks_again_counts_once() -> None:
    told = Told(AdmissionConfig(identity_connections_max=1))
    assert [told.ask(1, 1, identity="ann")[0] for _ in range(3)] == [0, 0, 0]
    told.leave(1, 1)
    assert told.ask(2, 7, identity="ann")[0] == 0


def test_a_worker_that_ends_takes_its_clients_along() -> None:
    told = Told(AdmissionConfig(identity_connections_max=1, address_connections_max=1))
    assert told.ask(1, 1, "192.0.2.1", "ann")[0] == 0
    assert told.ask(2, 1, "192.0.2.1", "bob")[1]
    told.node.core.worker_gone(told.node.now, 1)
    told.node.all(ToWorker)
    assert told.ask(2, 2, "192.0.2.1", "ann")[0] == 0


def test_new_ones_per_second_and_what_is_refused_costs_nothing() -> None:
    told = Told(AdmissionConfig(identity_connects=Rate(1, 1), address_connections_max=1))
    assert told.ask(1, 1, "192.0.2.1", "ann")[0] == 0
    told.leave(1, 1)
    assert told.ask(2, 1, "192.0.2.1", "bob")[0] == 0
    wait_s, is_address = told.ask(1, 2, "192.0.2.2", "ann")
    assert (0 < wait_s <= 1, is_address) == (True, False)
    assert told.ask(1, 3, "192.0.2.1", "cid")[1]
    told.leave(2, 1)
    assert told.ask(1, 4, "192.0.2.1", "cid")[0] == 0, "the refusal did not take from cid's rate"
