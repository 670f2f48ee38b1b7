"""Which pages may connect: those named, and the node's own under a name that nobody else can point at it."""

from __future__ import annotations

import pytest

from gateway.http.origins import Origins

NAMED = ["https://good.example"]
SERVERS = ["wss://a.example:8443/v1/ws", "ws://[2001:db8::1]/v1/ws", "ws://["]
OWN = Origins(NAMED, "Gateway.Internal", SERVERS)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "evil.example"),
        ("https://good.example", "whatever"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://LocalHost", "localhost"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://192.0.2.7", "192.0.2.7"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://gateway.internal:80", "GATEWAY.internal:80"),
        ("https://a.example:8443", "a.example:8443"),
        ("https://a.example", "a.example"),
    ],
)
def test_accepted(origin: str | None, host: str) -> None:
    assert OWN.may_connect(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example:8080", "evil.example:8080"),
        ("http://evil.example", "evil.example"),
        ("http://localhost.evil.example", "localhost.evil.example"),
        ("http://127.0.0.1.evil.example:80", "127.0.0.1.evil.example:80"),
        ("http://a.example@evil.example", "a.example@evil.example"),
        ("http://evil.example", "localhost:8080"),
        ("http://localhost:9999", "localhost:8080"),
        ("http://other.good.example", "localhost"),
        ("null", "localhost"),
        ("", ""),
        ("http://", ""),
        ("http://[", "["),
        ("http://:80", ":80"),
    ],
)
def test_refused(origin: str, host: str) -> None:
    for origins in (OWN, Origins(NAMED)):
        assert not origins.may_connect(origin, host)


def test_a_star_accepts_all() -> None:
    origins = Origins(["*"])
    assert origins.may_connect("http://evil.example", "evil.example")
    assert not origins.knows("http://evil.example", "evil.example"), "but may neither look nor act"
    assert not origins.knows("*", "evil.example")
