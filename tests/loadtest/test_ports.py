"""Ports for servers of tests: nobody else gets one that was given away, nor the one behind a cluster's."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator

import pytest

from loadtest.kafka.ports import free_cluster_port, free_port

FIRST = 19_000
"""Below those that others choose from."""
Choose = Callable[..., None]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Have these ports chosen, one after the other."""

    def choose(*ports: int) -> None:
        chosen: Iterator[int] = iter(ports)

        class Chosen:
            def randint(self, lowest: int, highest: int) -> int:
                return next(chosen)

        monkeypatch.setattr(random, "SystemRandom", Chosen)

    return choose


def test_a_port_that_somebody_has_or_listens_on_is_not_given_away(choose: Choose) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        choose(port, int(server.getsockname()[1]), FIRST)
        assert free_port() == FIRST


def test_the_port_behind_one_of_a_cluster_belongs_to_it(choose: Choose) -> None:
    choose(FIRST + 10, FIRST + 11, FIRST + 12)
    assert free_cluster_port() == FIRST + 10
    assert free_port() == FIRST + 12


def test_a_cluster_port_is_one_behind_which_another_is_free_and_that_nobody_uses_by_udp(choose: Choose) -> None:
    choose(FIRST + 21)
    free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", FIRST + 22))
        choose(FIRST + 20, FIRST + 22, FIRST + 24)
        assert free_cluster_port() == FIRST + 24
