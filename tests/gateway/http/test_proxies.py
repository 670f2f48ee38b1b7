"""Whose word is taken for where a client is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.proxies import PROXY_PROTOCOL, Endpoint, Preamble, Proxies, preamble

PEER = ("10.0.0.1", 5000)
V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.mark.parametrize("networks", [(), ("192.0.2.0/24",)])
def test_of_others_no_header_is_believed(networks: tuple[str, ...]) -> None:
    for way in ("x-forwarded-for", "forwarded", PROXY_PROTOCOL):
        proxies = Proxies(networks, way)
        assert proxies.client(PEER, {"x-forwarded-for": "1.2.3.4", "forwarded": "for=1.2.3.4"}) == PEER
        assert not proxies.has_preamble(PEER[0])


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("1.2.3.4", ("1.2.3.4", 0)),
        ("1.2.3.4:80", ("1.2.3.4", 80)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80)),
        ("::ffff:1.2.3.4", ("1.2.3.4", 0)),
        ("6.6.6.6, 1.2.3.4", ("1.2.3.4", 0)),
        ("6.6.6.6, 1.2.3.4, 10.9.9.9", ("1.2.3.4", 0)),
        ("10.0.0.3, 10.0.0.2", ("10.0.0.3", 0)),
        ("6.6.6.6, unknown, 10.0.0.2", ("10.0.0.2", 0)),
        ("6.6.6.6,", PEER),
        ("1.2.3.4:99999", PEER),
        ("<script>", PEER),
    ],
)
def test_a_chain_is_followed_from_its_near_end_as_long_as_it_is_trusted(said: str, client: Endpoint) -> None:
    proxies = Proxies(("10.0.0.0/8",))
    assert proxies.client(PEER, {"x-forwarded-for": said, "forwarded": "for=9.9.9.9"}) == client


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("for=1.2.3.4", ("1.2.3.4", 0)),
        ('For="[2001:db8:cafe::17]:4711"', ("2001:db8:cafe::17", 4711)),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", ("192.0.2.60", 0)),
        ("proto=https;for=192.0.2.43, for=10.1.1.1", ("192.0.2.43", 0)),
        ("for=_hidden, for=10.1.1.1", ("10.1.1.1", 0)),
        ("for=unknown", PEER),
        ("by=1.2.3.4", PEER),
    ],
)
def test_rfc_7239(said: str, client: Endpoint) -> None:
    assert (
        Proxies(("10.0.0.0/8",), "forwarded").client(PEER, {"forwarded": said, "x-forwarded-for": "9.9.9.9"}) == client
    )


LINE = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"
SIX = V2 + b"\x21\x21\x00\x24" + bytes.fromhex("20010db8" + "00" * 11 + "01") + bytes(16) + b"\x12\x34\x01\xbb"
FOUR = V2 + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2]) + b"\xdc\x04\x01\xbb"


@pytest.mark.parametrize(
    ("data", "client"),
    [
        (LINE, ("192.0.2.1", 56324)),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", ("2001:db8::1", 1)),
        (b"PROXY UNKNOWN\r\n", None),
        (FOUR, ("192.0.2.1", 56324)),
        (SIX, ("2001:db8::1", 0x1234)),
        (V2 + b"\x20\x00\x00\x00", None),
        (V2 + b"\x21\x00\x00\x03abc", None),
        (V2 + b"\x21\x11\x00\x0f" + FOUR[16:] + b"tlv", ("192.0.2.1", 56324)),
    ],
)
def test_the_proxy_protocol_byte_by_byte(data: bytes, client: Endpoint | None) -> None:
    for size in range(len(data)):
        assert preamble(data[:size]) is None
    assert preamble(data + b"GET /") == Preamble(client, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 99999 1\r\n",
        b"PROXY TCP4 " + b"1" * 100,
        V2 + b"\x31\x11\x00\x0c" + FOUR[16:],
        V2 + b"\x21\x11\xff\xff",
        V2 + b"\x21\x11\x00\x02ab",
    ],
)
def test_what_is_not_the_proxy_protocol_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        preamble(data)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", V2, V2 + b"\x21\x11", V2 + b"\x21\x21\x00"]), st.binary())
def test_bytes_of_any_kind_are_taken_or_refused(head: bytes, rest: bytes) -> None:
    try:
        found = preamble(head + rest)
    except ValueError:
        return
    assert found is None or 0 < found.size <= len(head + rest)


@given(st.text(), st.text())
def test_headers_of_any_kind_have_an_answer(one: str, other: str) -> None:
    for way in ("x-forwarded-for", "forwarded"):
        Proxies(("10.0.0.0/8",), way).client(PEER, {way: f"for={one},{other}"})
