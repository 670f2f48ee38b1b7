"""Clients that the node has to let in, too."""

from __future__ import annotations

from typing import Any

from gateway.link import codes
from gateway.link import events as link
from tests.gateway.sessions.core import Harness
from whimbrel_server import Authorizer, Connection, Identity

HELLO = {"op": "hello", "id": 1}


class Named(Authorizer):
    def connect(self, connection: Connection) -> Identity:
        return Identity(connection.token or "")

    def subscribe(self, identity: Identity, subject: str) -> None:
        return None

    publish = subscribe


def limited(**settings: Any) -> Harness:
    return Harness(Named(), limit_identity_connections=1, **settings)


def test_who_has_no_name_is_not_counted_unless_by_address() -> None:
    core = limited()
    assert core.send(core.connect(), HELLO)[0]["op"] == "welcome"
    core = limited(limit_address_connects="1/s")
    assert core.send(core.connect(), HELLO) == []
    assert core.events() == [link.Admit(1, "1.2.3.4", "")]


def test_nothing_happens_before_the_answer_and_then_all_in_order() -> None:
    core = limited()
    client = core.connect()
    assert core.send(client, HELLO | {"token": "ann"}) == []
    assert core.send(client, {"op": "subscribe", "id": 2, "subject": "/t/a"}) == []
    assert core.send(client, {"op": "ping", "id": 3}) == []
    assert core.events() == [link.Admit(1, "", "ann")]
    said = core.say(link.Admitted(1, 0.0, False))[client]
    assert [one["op"] for one in said] == ["welcome", "pong"]
    assert [type(event) for event in core.events()] == [link.Subscribe]


def test_a_no_is_told_with_when_to_come_back_and_to_auditors() -> None:
    core = limited(audit=("access",))
    client = core.connect()
    core.send(client, HELLO | {"token": "ann"})
    core.say(link.Admitted(1, 3.0, False))
    assert core.closed == [(client, codes.RATE_LIMITED, "retry after 3.0 s: too many connections of yours")]
    assert core.sessions.stats.limited_identities == 1
    core.sessions.gone(client)
    assert link.Leave not in map(type, core.events())
    trail = core.sessions.trail
    assert trail is not None
    audited = trail.take()
    assert audited is not None
    assert b"refused" in audited.events


def test_who_leaves_is_no_longer_counted_whether_or_not_the_answer_has_come() -> None:
    core = limited()
    client, other = core.connect(), core.connect()
    core.send(client, HELLO | {"token": "ann"})
    core.send(other, HELLO | {"token": "bob"})
    core.say(link.Admitted(1, 0.0, False))
    core.sessions.gone(other)
    assert core.say(link.Admitted(2, 0.0, False)) == {}
    core.sessions.gone(client)
    assert core.events()[-2:] == [link.Leave(2), link.Leave(1)]


def test_answers_that_are_lost_are_asked_for_again() -> None:
    core = limited()
    client = core.connect()
    core.send(client, HELLO | {"token": "ann"})
    core.events()
    core.sessions.link_jumped()
    assert link.Admit(1, "", "ann") in core.events()
    assert core.say(link.Admitted(1, 0.0, False))[client][0]["op"] == "welcome"
    assert core.say(link.Admitted(1, 0.0, False)) == {}
