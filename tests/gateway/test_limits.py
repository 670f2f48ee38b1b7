"""What a worker refuses because it comes too fast, and what it says of it."""

from __future__ import annotations

import pytest

from gateway.link import codes
from tests.gateway.fake_node import FakeNode, Refused
from whimbrel.servers import asked_pause_s


def test_requests_that_come_too_fast_are_told_when_to_come_back() -> None:
    with FakeNode(limit_publishes="0.1/s burst 2", limit_subscribes="0.1/s") as node:
        client, other = node.client(), node.client()
        for number in (2, 3, 4):
            publish = {"op": "publish", "id": number, "subject": "/t/a", "publisher": "p" * 16, "seq": number}
            client.send(publish | {"text": "x"})
        refused = client.receive()
        assert (refused["id"], refused["code"], refused["error"]) == (4, codes.RATE_LIMITED, "rate_limited")
        assert 5 < asked_pause_s(refused["reason"]) <= 10
        node.go_live(other)
        other.send({"op": "subscribe", "id": 9, "subject": "/t/b"})
        assert other.receive()["code"] == codes.RATE_LIMITED
        client.send({"op": "ping", "id": 7})
        assert client.receive()["op"] == "pong", "other requests are served"
        node.counted(limited_publishes=1, limited_subscribes=1)


def test_bytes_that_come_too_fast_end_the_connection() -> None:
    with FakeNode(limit_bytes="100/s burst 300") as node:
        client = node.client()
        for number in range(2, 12):
            client.send({"op": "ping", "id": number, "x": "y" * 80})
        code, reason = client.closed()
        assert code == codes.RATE_LIMITED
        assert asked_pause_s(reason) > 0
        node.counted(limited_bytes=1, closed=1)


def test_an_address_has_so_many_connections_and_so_many_per_second() -> None:
    with FakeNode(limit_address_connections=2) as node:
        one, two = node.client(), node.client()
        assert two.code is None
        with pytest.raises(Refused, match="429"):
            node.client()
        one.close()
        node.counted(limited_connects=1, closed=1)
        node.client().close()
    with FakeNode(limit_address_connects="0.01/s burst 3") as node:
        for _ in range(3):
            node.client().close()
        with pytest.raises(Refused, match="429"):
            node.client()
        node.counted(limited_connects=1)
