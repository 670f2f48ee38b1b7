"""Links lead to addresses, although peers tell the names of their hosts: libzmq is given no name to look up."""

from __future__ import annotations

import time
from collections.abc import Mapping

import gevent
import pytest

from gateway.link.hosts import is_address
from loadtest.kafka.ports import free_cluster_port
from mesh.packets import Packet
from mesh.transport.addresses import split_address
from mesh.transport.links import PeerAddress
from mesh.transport.transport import Transport
from node.cluster.locations import Locations
from node.cluster.network import Network
from node.settings import load
from tests.support.patience import PATIENCE_S

A = PeerAddress("boot", "a.example:1", "a.example:2", b"k")
AT = PeerAddress("boot", "192.0.2.1:1", "192.0.2.1:2", b"k")


def test_a_peer_has_a_link_once_its_address_is_known() -> None:
    locations = Locations()
    assert locations.update({"a": A}, {}) == {}
    assert locations.update({"a": A}, {"a": "192.0.2.1"}) == {"a": AT}
    assert locations.update({"a": A}, {}) == {"a": AT}, "the name cannot be looked up just now"


def test_a_link_that_is_well_stays_where_it_is() -> None:
    locations = Locations()
    locations.update({"a": A}, {"a": "192.0.2.1"})
    moved = {"a": "[2001:db8::1]"}
    assert locations.update({"a": A}, moved) == {"a": AT}
    locations.forget("a")
    assert locations.update({"a": A}, moved) == {"a": PeerAddress("boot", "[2001:db8::1]:1", "[2001:db8::1]:2", b"k")}
    again = PeerAddress("another boot", "a.example:1", "a.example:2", b"k")
    assert locations.update({"a": again}, {"a": "192.0.2.9"})["a"].router_address == "192.0.2.9:1"
    assert locations.update({}, moved) == {}


class _Owner:
    def __getattr__(self, name: str) -> object:
        return lambda *_: None


def test_the_transport_is_given_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[PeerAddress] = []
    real = Transport.peers

    def peers(self: Transport[Packet], to: Mapping[str, PeerAddress]) -> None:
        given.extend(to.values())
        real(self, to)

    monkeypatch.setattr(Transport, "peers", peers)
    made: list[Network] = []
    try:
        for name in "ab":
            port = free_cluster_port()
            sets = (f"node.name={name}", f"cluster.listen=127.0.0.1:{port}", f"cluster.advertise=localhost:{port}")
            join = f"cluster.join=127.0.0.1:{made[0].ports[0]}" if made else "cluster.join=127.0.0.1:1"
            key = "cluster.key=0123456789abcdef"
            settings = load(None, {}, [("--set", text) for text in (*sets, join, key)]).settings
            made.append(Network(settings, f"boot-{name}", _Owner()))  # type: ignore[arg-type]
            made[-1].tell_members(b"")
        a, b = made
        until = time.monotonic() + PATIENCE_S
        at = PeerAddress("boot-b", f"localhost:{b.ports[0]}", f"localhost:{b.ports[1]}", b.public)
        while not given:
            assert time.monotonic() < until
            a.link_peers({"b": at})
            a.second([])
            gevent.sleep(0.01)
        assert [is_address(split_address(one.pub_address)[0]) for one in given] == [True] * len(given)
    finally:
        for one in made:
            one.close()
