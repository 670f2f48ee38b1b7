"""What a worker refuses because it comes too fast, and what it says of it."""

from __future__ import annotations

import time

import pytest
from websockets.frames import Opcode

from gateway.link import codes
from gateway.link import events as link
from gateway.sessions.sessions import BACKLOG_MAX
from tests.gateway.authorizers.signing import SECRET, token
from tests.gateway.fake_node import FakeNode, Refused
from whimbrel.servers import asked_pause_s


def test_requests_that_come_too_fast_wait_their_turn() -> None:
    with FakeNode(limit_publishes="4/s burst 2", limit_subscribes="4/s burst 1", publishes_max=9) as node:
        client, other = node.client(), node.client()
        for number in range(2, 7):
            publish = {"op": "publish", "id": number, "subject": "/t/a", "publisher": "p" * 16, "seq": number}
            client.send(publish | {"text": "x"})
        client.send({"op": "ping", "id": 7})
        began = time.monotonic()
        asked = [node.expect(link.Publish) for _ in range(5)]
        assert [one.seq for one in asked] == [2, 3, 4, 5, 6]
        assert time.monotonic() - began > 0.5, "three of them at 4/s"
        assert client.receive() == {"op": "pong", "id": 7}, "in order"
        node.go_live(other)
        other.send({"op": "subscribe", "id": 9, "subject": "/t/b"})
        assert node.expect(link.Subscribe).subject == "/t/b"
        node.counted(limited_publishes=3, limited_subscribes=1)
        client.send({"op": "ping", "id": 8})
        assert client.receive() == {"op": "pong", "id": 8}, "reading goes on"


def test_who_sends_too_many_bytes_is_read_no_faster_also_in_pongs() -> None:
    with FakeNode(limit_bytes="2000/s burst 1000") as node:
        client = node.client()
        began = time.monotonic()
        for number in range(2, 22):
            client.send({"op": "ping", "id": number, "x": "y" * 80})
            client._send(Opcode.PONG, b"z" * 100)
        for number in range(2, 22):
            assert client.receive() == {"op": "pong", "id": number}
        client.send({"op": "ping", "id": 22})
        assert client.receive() == {"op": "pong", "id": 22}
        assert time.monotonic() - began > 1.0, "4 KB at 2,000/s"


def test_the_node_has_the_last_word_on_connections() -> None:
    with FakeNode(limit_identity_connections=1, authorizer="jwt", authorizer_options={"secret": SECRET}) as node:
        client = node.client(hello=False)
        client.send({"op": "hello", "id": 1, "token": token({"sub": "ann"})})
        client.send({"op": "ping", "id": 2})
        asked = node.expect(link.Admit)
        assert asked == link.Admit(asked.number, "", "ann")
        node.say(link.Admitted(asked.number, 0.0, False))
        assert [client.receive()["op"] for _ in range(2)] == ["welcome", "pong"]
        other = node.client(hello=False)
        other.send({"op": "hello", "id": 1, "token": token({"sub": "ann"})})
        node.say(link.Admitted(node.expect(link.Admit).number, 7.0, False))
        code, reason = other.closed()
        assert (code, asked_pause_s(reason)) == (codes.RATE_LIMITED, 7.0)
        client.close()
        assert node.expect(link.Leave).number == asked.number
        node.counted(limited_identities=1, closed=2)


def test_who_asks_much_while_the_node_decides_is_read_again_afterwards() -> None:
    """The SDK says hello and subscribes to all that it has in one go; with 64 that wait nothing more is read."""
    with FakeNode(limit_identity_connections=1, authorizer="jwt", authorizer_options={"secret": SECRET}) as node:
        client = node.client(hello=False)
        client.send({"op": "hello", "id": 0, "token": token({"sub": "ann"})})
        for number in range(1, BACKLOG_MAX + 1):
            client.send({"op": "ping", "id": number})
        asked = node.expect(link.Admit)
        node.none_of(link.Stats, 0.2)
        client.send({"op": "ping", "id": BACKLOG_MAX + 1})
        node.say(link.Admitted(asked.number, 0.0, False))
        assert client.receive()["op"] == "welcome"
        assert [client.receive()["id"] for _ in range(BACKLOG_MAX + 1)] == [*range(1, BACKLOG_MAX + 2)]


def test_an_address_has_so_many_connections_and_so_many_per_second() -> None:
    with FakeNode(limit_address_connections=2) as node:
        one, two = node.client(hello=False), node.client(hello=False)
        assert two.code is None
        with pytest.raises(Refused, match="429"):
            node.client()
        one.close()
        node.counted(limited_connects=1, closed=1)
        node.client(hello=False).close()
    with FakeNode(limit_address_connects="0.01/s burst 3") as node:
        for _ in range(3):
            node.client(hello=False).close()
        with pytest.raises(Refused, match="429"):
            node.client()
        node.counted(limited_connects=1)
