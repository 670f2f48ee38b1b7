"""Clients that ask faster than they may: what they ask is put off, and who insists is closed."""

from __future__ import annotations

from typing import Any

from gateway.link import codes
from gateway.link import events as link
from gateway.sessions.requests import RESUMED_MAX
from gateway.sessions.slowing import INSIST_S
from tests.gateway.sessions.core import Harness
from whimbrel.servers import asked_pause_s
from whimbrel_server import Authorizer, Connection, Identity, Refusal


class NoSecrets(Authorizer):
    def connect(self, connection: Connection) -> Identity:
        return Identity("ann")

    def subscribe(self, identity: Identity, subject: str) -> None:
        if "secret" in subject:
            raise Refusal("that is secret")

    publish = subscribe


def publish(seq: int, subject: str = "/t/a") -> dict[str, Any]:
    return {"op": "publish", "id": seq, "subject": subject, "publisher": "p" * 16, "seq": seq, "json": seq}


def published(core: Harness) -> list[int]:
    return [event.seq for event in core.events() if isinstance(event, link.Publish)]


def test_requests_keep_their_order_and_come_at_the_rate() -> None:
    core = Harness(limit_publishes="10/s burst 2", publishes_max=1000)
    client = core.open()
    for seq in range(10):
        assert core.send(client, publish(seq + 5)) == []
    assert core.send(client, {"op": "ping", "id": 99}) == []
    assert published(core) == [5, 6]
    assert not core.sessions.may_read(client)
    taken: list[int] = []
    for tick in range(16):
        (pongs,) = core.tick(0.05).values() or ([],)
        taken += published(core)
        assert len(taken) <= 1 + (tick + 1) // 2
        assert bool(pongs) == (len(taken) == 8 and pongs != [])
    assert taken == [7, 8, 9, 10, 11, 12, 13, 14]
    core.tick(0.05)
    assert core.sessions.may_read(client)
    assert core.sessions.stats.limited_publishes == 8


def test_many_that_may_go_on_with_the_same_tick_do_so_a_few_at_a_time() -> None:
    core = Harness(limit_publishes="10/s burst 1", publishes_max=1000)
    clients = [core.open() for _ in range(3 * RESUMED_MAX)]
    for number, client in enumerate(clients):
        core.send(client, publish(2 * number + 2))
        core.send(client, publish(2 * number + 3))
    assert len(published(core)) == len(clients)
    core.tick(0.1)
    counts = [len(published(core))]
    while core.sessions.has_more:
        core.sessions.go_on(core.now)
        counts.append(len(published(core)))
    assert [count for count in counts if count] == [RESUMED_MAX] * 3


def test_who_has_gone_before_its_turn_is_passed_over() -> None:
    core = Harness(limit_publishes="10/s burst 1", publishes_max=1000)
    clients = [core.open() for _ in range(2 * RESUMED_MAX)]
    for client in clients:
        core.send(client, publish(2))
        core.send(client, publish(3))
    published(core)
    core.tick(0.1)
    for client in clients:
        core.sessions.gone(client)
    core.sessions.go_on(core.now)
    assert len(published(core)) == RESUMED_MAX
    assert not core.sessions.has_more
    assert not core.sessions.outputs.reads


def test_what_is_put_off_is_still_asked_of_the_authorizer_also_of_one_that_blocks() -> None:
    for holds in (False, True):
        core = Harness(NoSecrets(), holds=holds, limit_publishes="10/s burst 1", publishes_max=1000)
        client = core.connect()
        core.send(client, {"op": "hello", "id": 1})
        answers = []
        for seq, subject in enumerate(("/t/a", "/t/secret", "/t/b", "/nope/x"), 2):
            answers += core.send(client, publish(seq, subject))
        taken = []
        for _ in range(20):
            while core.questions:
                core.answer()
            answers += core.sent().get(client, [])
            taken += published(core)
            answers += core.tick(0.05).get(client, [])
        assert taken == [2, 4]
        errors = [(one["id"], one["code"]) for one in answers if one["op"] == "error"]
        assert errors == [(3, codes.FORBIDDEN), (5, codes.NOT_MAPPED)]
        assert core.sessions.may_read(client)


def test_a_burst_of_an_honest_client_costs_time_only() -> None:
    core = Harness(limit_publishes="20/s burst 20", publishes_max=1000)
    client = core.open()
    for seq in range(256):
        core.send(client, publish(seq))
    taken = published(core)
    while len(taken) < 256:
        core.tick(0.05)
        taken += published(core)
    assert taken == list(range(256))
    assert core.closed == []


def test_who_insists_is_closed_and_told_when_to_come_back() -> None:
    core = Harness(limit_subscribes="1/s", audit=("access",))
    client, honest = core.open(), core.open()
    number = 1
    began = core.now
    while not core.closed:
        assert core.now - began < INSIST_S + 2
        if core.sessions.may_read(client):
            for _ in range(3):
                number += 1
                core.send(client, {"op": "subscribe", "id": number, "subject": "/nope/x"})
        core.send(honest, {"op": "ping", "id": 7})
        core.tick(0.05)
    ((session, code, reason),) = core.closed
    assert session is client
    assert code == codes.RATE_LIMITED
    assert asked_pause_s(reason) > 0
    assert core.now - began > INSIST_S
    core.sessions.gone(client)
    core.tick(0.05)
    assert len(core.closed) == 1
    assert not core.sessions._requests._slowing._slowed
    assert not core.sessions._requests._slowing._paces


def test_bytes_are_counted_whatever_is_in_them() -> None:
    core = Harness(limit_bytes="1000/s burst 500")
    client = core.open()
    core.sessions.took(core.now, client, 500)
    assert core.sessions.may_read(client)
    core.sessions.took(core.now, client, 100)
    assert not core.sessions.may_read(client)
    core.tick(0.05)
    assert not core.sessions.may_read(client)
    core.tick(0.1)
    assert core.sessions.may_read(client)
    assert core.sessions.outputs.reads == [client]
    assert core.sessions.stats.limited_bytes == 1
