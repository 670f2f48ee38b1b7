"""No client is sent to an address that means something else, or nothing, where it is."""

from __future__ import annotations

import pytest

from gateway.link import events as link
from gateway.sessions.reachable import reachable, vantage
from tests.gateway.sessions.core import Harness, NoConnection
from whimbrel_server import Connection

LOOPBACK, WILDCARD, PRIVATE, PUBLIC = (
    "ws://127.0.0.1:8080",
    "ws://0.0.0.0:8080",
    "ws://10.0.0.2:8080",
    "ws://8.8.8.8:80",
)
NAME, TLS = "ws://b.example:8080", "wss://c.example/v1/ws"
ALL = [LOOPBACK, WILDCARD, "ws://[::1]:8080", "ws://localhost:1", PRIVATE, PUBLIC, NAME, TLS]


@pytest.mark.parametrize(
    ("host", "origin", "wanted"),
    [
        ("push.example:8080", None, [PUBLIC, NAME, TLS]),
        ("push.example:8080", "http://push.example:8080", [PUBLIC, NAME, TLS]),
        ("push.example", "http://push.example", [PUBLIC, NAME, TLS]),
        ("push.example", "https://push.example", [TLS]),
        ("push.example", "https://app.example", [TLS]),
        ("push.example:443", None, [TLS]),
        ("push.example", None, [TLS]),
        ("8.8.8.8", None, [PUBLIC, NAME, TLS]),
        ("10.0.0.1:8080", None, [PRIVATE, PUBLIC, NAME, TLS]),
        ("127.0.0.1:9000", None, [LOOPBACK, "ws://[::1]:8080", "ws://localhost:1", PUBLIC, NAME, TLS]),
        (
            "[::1]:9000",
            "http://localhost",
            [LOOPBACK, "ws://[::1]:8080", "ws://localhost:1", PUBLIC, NAME, TLS],
        ),
        ("0.0.0.0:8080", None, [WILDCARD, PUBLIC, NAME, TLS, PRIVATE]),
        ("", None, [PUBLIC, NAME, TLS]),
        ("[", None, [PUBLIC, NAME, TLS]),
        ("push.example:x", None, [PUBLIC, NAME, TLS]),
    ],
)
def test_who_is_told_what(host: str, origin: str | None, wanted: list[str]) -> None:
    assert sorted(reachable(ALL, vantage(host, origin))) == sorted(wanted)


def test_an_address_under_which_the_client_came_is_told_whatever_it_is() -> None:
    assert reachable(["ws://10.1.1.1:8080", "nonsense", "ws://["], vantage("10.1.1.1:8080", None)) == [
        "ws://10.1.1.1:8080",
        "nonsense",
        "ws://[",
    ]


def test_a_client_that_gives_no_port_came_by_tls_unless_that_address_is_a_plain_one() -> None:
    assert reachable(["ws://a.example", "ws://b.example"], vantage("a.example", None)) == [
        "ws://a.example",
        "ws://b.example",
    ]
    assert reachable(["ws://a.example:8080", "wss://b.example"], vantage("a.example", None)) == ["wss://b.example"]


def test_welcome_and_move_name_what_the_client_can_use() -> None:
    harness = Harness()
    found = {}
    for host in ("push.example:8080", "127.0.0.1:8080"):
        client = Connection("1.2.3.4:5", host=host)
        session = harness.sessions.connected(harness.now, link.JSON, client, NoConnection())
        harness.say(link.Servers([LOOPBACK, NAME]))
        (welcome,) = harness.send(session, {"op": "hello", "id": 1})
        found[session] = welcome["servers"]
    assert [*found.values()] == [[NAME], [LOOPBACK, NAME]]
    harness.sessions.move(5, [LOOPBACK])
    moved = harness.sent()
    assert [moved[session][0]["servers"] for session in found] == [[], [LOOPBACK]]
