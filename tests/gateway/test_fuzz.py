"""Handshakes, frames and tokens that a generator makes, against a real worker and its cores: no input is a traceback.

FUZZ=N multiplies the number of inputs, as in all tests (tests/support/seeds.py).
"""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.authorizers.jwt import Jwt
from gateway.authorizers.later import KeysWanted
from gateway.link import events as link
from gateway.sessions.session import GONE
from gateway.sockets.websocket import BINARY, TEXT
from tests.gateway.authorizers.signing import RSA, SECRET, by_hand, jwks, pem, token
from tests.gateway.fake_node import FakeNode
from tests.gateway.sessions.core import Harness
from tests.support.seeds import examples
from whimbrel_server import Connection, Refusal

EXAMPLES = examples(150)
HANDSHAKES = examples(100)
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.text(max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
ops = st.sampled_from(["hello", "subscribe", "unsubscribe", "publish", "ping", "renew", "welcome", "", "msg"])
SUBJECTS = "/t/a /t/* /t /t/%2A /t/%2a /t/../x /nope/x /readonly/x t / /t/\u0430"
subjects = st.sampled_from(SUBJECTS.split())
KEYS = "id subject from resume sub token client publisher seq json text base64 bytes tombstone headers last x"
keys = st.sampled_from(KEYS.split())
starts = st.sampled_from(["latest", "now", {"last": 5}, {"time": 0}, {"at": {"0.x": [0, 1]}}, {"last": 0}, {}])
right = st.fixed_dictionaries(
    {"op": ops, "id": st.integers(-1, 2**53)},
    optional={
        "subject": subjects | texts,
        "from": starts | values,
        "resume": st.dictionaries(texts, st.tuples(st.integers(), st.integers()) | st.none(), max_size=3),
        "sub": st.integers(0, 5),
        "token": texts | st.just(token()),
        "publisher": st.just("0123456789abcdef") | texts,
        "seq": st.integers(0, 2**53),
        "json": values,
        "text": texts,
        "headers": st.lists(st.tuples(texts, texts | st.none()), max_size=3),
    },
)
frames = right | st.dictionaries(keys | texts, values, max_size=5) | values


@fuzzed
@given(st.lists(frames | st.binary(max_size=40), min_size=1, max_size=6), st.booleans())
def test_frames(said: list[Any], is_packed: bool) -> None:
    authorizer = Jwt(secret=SECRET, anonymous={"both": ["/t/*"]}, default={"both": ["/t/{sub}"]})
    harness = Harness(authorizer)
    session = harness.connect(link.MSGPACK if is_packed else link.JSON)
    harness.send(session, {"op": "hello", "id": 1})
    for one in said:
        if isinstance(one, bytes):
            data = one
        else:
            try:
                data = msgspec.msgpack.encode(one) if is_packed else json.dumps(one).encode("utf-8", "surrogatepass")
            except (OverflowError, ValueError, TypeError):
                continue
        harness.sessions.received(harness.now, session, BINARY if is_packed else TEXT, data)
        harness.sent()
    for event in harness.events():
        if isinstance(event, link.Subscribe | link.Publish):
            assert event.subject.startswith("/t/")
    assert harness.sessions.outputs.failures == []
    assert session.state != GONE or harness.closed


header_names = st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "jku", "x5u", "b64", "zip"])
headers = st.dictionaries(header_names, values, max_size=4)
algorithms = st.sampled_from(["HS256", "RS256", "none", "None", "ES256", "EdDSA", "PS256", "hs256", ""])
claims = st.dictionaries(
    st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "aud", "jti", "whimbrel", "tenant"]), values, max_size=6
) | st.fixed_dictionaries(
    {"exp": st.sampled_from([10**10, 1, "x", 1e400, -1])}, optional={"sub": texts, "aud": values, "whimbrel": values}
)
AUTHORIZERS = [
    Jwt(pem=pem(RSA), issuer="me", audience="w"),
    Jwt(secret=SECRET, default={"both": ["/t/{sub}/{tenant}"]}),
    Jwt(issuers=[{"issuer": "me", "jwks_url": "https://id.example/"}, {"issuer": "other", "secret": SECRET}]),
]
AUTHORIZERS[2].keys_fetched("https://id.example/", jwks(one=RSA))


@st.composite
def tokens(draw: st.DrawFn) -> str:
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.text(max_size=60))
    header: Any = draw(headers) | {"alg": draw(algorithms)} if kind > 1 else draw(values | st.binary(max_size=20))
    body: Any = draw(claims) if kind > 1 else draw(values | st.binary(max_size=20))
    try:
        made = by_hand(header, body, draw(st.sampled_from([SECRET, "w" * 40, pem(RSA), None])))
    except (ValueError, TypeError):
        made = ""
    cut = draw(st.integers(0, 400))
    return made if cut > 200 else made[: len(made) - cut // 4]


@fuzzed
@given(tokens())
def test_tokens(text: str) -> None:
    for authorizer in AUTHORIZERS:
        try:
            identity = authorizer.connect(Connection("1.2.3.4:5", token=text))
        except (Refusal, KeysWanted):
            continue
        # Whoever gets in has a token that was signed with the right secret.
        header, payload, _ = text.split(".")
        assert json.loads(base64.urlsafe_b64decode(header + "=="))["alg"] == "HS256"
        assert json.loads(base64.urlsafe_b64decode(payload + "=="))["exp"]
        assert identity.expires_at is not None


FIRST = """
GET /v1/ws HTTP/1.1
GET /v1/ws?a=%ff HTTP/1.1
POST /v1/ws HTTP/1.1
GET / HTTP/9
"""
LINES = """
Host: x
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Version: 13
Sec-WebSocket-Version: 8
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Key: x
Sec-WebSocket-Protocol: whimbrel.v1.json
Sec-WebSocket-Protocol: , ,
Sec-WebSocket-Extensions: x
Origin: null
Origin: http://evil
Content-Length: 5
Content-Length: -1
Transfer-Encoding: chunked
Cookie: a=b; c
: x
x
"""


def request(line: str, fields: list[str], rest: bytes) -> bytes:
    return (line + "\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode("utf-8", "replace") + rest


@pytest.mark.slow
def test_handshakes() -> None:
    with FakeNode() as node:
        address = ("127.0.0.1", int(node.url.rpartition(":")[2].partition("/")[0]))
        lines = st.sampled_from(LINES.strip().splitlines())
        first = st.sampled_from(FIRST.strip().splitlines()) | st.text(max_size=30)
        requests = st.builds(request, first, st.lists(lines | st.text(max_size=20), max_size=9), st.binary(max_size=30))

        @settings(max_examples=HANDSHAKES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(requests | st.binary(max_size=60))
        def handshake(data: bytes) -> None:
            with socket.create_connection(address, timeout=10) as one:
                one.sendall(data)
                one.shutdown(socket.SHUT_WR)
                try:
                    while one.recv(4096):
                        pass
                except ConnectionResetError:
                    pass

        handshake()
        client = node.client()
        client.send({"op": "ping", "id": 5})
        assert client.receive() == {"op": "pong", "id": 5}
        assert node.process.poll() is None
