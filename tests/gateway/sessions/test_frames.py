"""Frames against the protocol's test vectors, in both encodings and directions."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.events import JSON, MSGPACK, Start
from gateway.link.messages import encode_json, encode_msgpack
from gateway.sessions import frames
from mesh.log import Entry

VECTORS = json.loads((Path(__file__).parents[3] / "client/vectors/frames.json").read_text())
ENCODINGS = [(JSON, "json"), (MSGPACK, "msgpack")]
TO_SERVER = [entry for entry in VECTORS["frames"] if entry["to"] == "server"]
TO_CLIENT = [entry for entry in VECTORS["frames"] if entry["to"] == "client" and not entry.get("decode_only")]


def body(frame: bytes) -> bytes:
    """The payload of one whole, unmasked WebSocket frame."""
    size, start = frame[1], 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(frame[2:10], "big"), 10
    assert len(frame) == start + size
    return frame[start:]


def as_vector(frame: frames.ClientFrame) -> dict[str, Any]:
    """A decoded frame as the vectors write it, less `new` keys and defaults."""
    op = type(frame).__name__.lower()
    shown: dict[str, Any] = {"op": op, "id": frame.id}
    match frame:
        case frames.Hello():
            shown |= {"client": frame.client} if frame.client else {}
            shown |= {"token": frame.token} if frame.token is not None else {}
        case frames.Renew():
            shown["token"] = frame.token
        case frames.Unsubscribe():
            shown["sub"] = frame.sub
        case frames.Subscribe():
            shown |= {"subject": frame.subject, "start": frame.start}
        case frames.Publish():
            shown |= {
                "subject": frame.subject,
                "publisher": frame.publisher,
                "seq": frame.seq,
                "value": frame.value,
                "headers": frame.headers,
            }
    return shown


def expected(frame: dict[str, Any]) -> dict[str, Any]:
    wanted = {key: value for key, value in frame.items() if key not in ("x", "from", "resume", "value", "headers")}
    if frame["op"] == "subscribe":
        asked = frame.get("from", "latest")
        if "resume" in frame:
            start = Start("resume", place={log: at and tuple(at) for log, at in frame["resume"].items()})
        elif isinstance(asked, str):
            start = Start(asked)
        elif "at" in asked:
            start = Start("at", place={log: tuple(at) for log, at in asked["at"].items()})
        else:
            ((kind, number),) = asked.items()
            start = Start(kind, number)
        wanted["start"] = start
    if frame["op"] == "publish":
        value = frame["value"]["base64"]
        wanted["value"] = None if value is None else base64.b64decode(value)
        wanted["headers"] = [
            (name, None if content is None else base64.b64decode(content)) for name, content in frame.get("headers", [])
        ]
    return wanted


@pytest.mark.parametrize(("encoding", "column"), ENCODINGS)
@pytest.mark.parametrize("entry", TO_SERVER, ids=lambda entry: entry["name"])
def test_a_client_frame_decodes_to_what_the_vector_says(entry: dict[str, Any], encoding: int, column: str) -> None:
    found = frames.decode(base64.b64decode(entry[column]), encoding)
    assert as_vector(found) == expected(entry["frame"])


@pytest.mark.parametrize(("encoding", "column"), ENCODINGS)
@pytest.mark.parametrize("entry", VECTORS["refused"], ids=lambda entry: entry["name"])
def test_what_must_be_refused_is(entry: dict[str, Any], encoding: int, column: str) -> None:
    if column not in entry:
        return
    data = base64.b64decode(entry[column])
    if entry["code"] == 4300:
        with pytest.raises(frames.BadFrame) as refused:
            frames.decode(data, encoding)
        assert str(refused.value)
    elif entry["code"] == 4318:
        with pytest.raises(frames.BadRequest) as request:
            frames.decode(data, encoding)
        assert request.value.id == entry["id"]
    else:
        frames.decode(data, encoding)  # well-formed: the session refuses it (test_session.py)


def to_client(frame: dict[str, Any], encoding: int) -> bytes:
    """The frame of a vector made by the gateway's own encoders."""
    rest = dict(frame)
    op = rest.pop("op")
    if op == "msg":
        value = rest.pop("value")
        headers = rest.pop("headers", None)
        prev = rest.pop("prev", None)
        entry = Entry(
            tuple(rest.pop("at")),
            None if prev is None else tuple(prev),
            rest.pop("time", -1),
            None if value["base64"] is None else base64.b64decode(value["base64"]),
            headers and [(name, None if text is None else base64.b64decode(text)) for name, text in headers],
        )
        make = encode_json if encoding == JSON else encode_msgpack
        return make(rest.pop("subject"), rest.pop("log"), entry, value["kind"], **rest)
    kinds = {
        kind.__struct_config__.tag: kind
        for kind in (
            frames.Welcome,
            frames.Expiring,
            frames.Renewed,
            frames.Subscribed,
            frames.Unsubscribed,
            frames.Published,
            frames.Pong,
            frames.Error,
            frames.Live,
            frames.GapFrame,
            frames.Ended,
            frames.Waiting,
            frames.Heartbeat,
            frames.Move,
        )
    }
    made: frames.ServerFrame = msgspec.convert(frame, kinds[op])  # type: ignore[assignment]
    return frames.encode(made, encoding)


@pytest.mark.parametrize("entry", TO_CLIENT, ids=lambda entry: entry["name"])
def test_a_server_frame_is_what_the_vector_says(entry: dict[str, Any]) -> None:
    made = to_client(entry["frame"], JSON)
    assert made[0] == 0x81
    exact = partial(json.loads, parse_int=Decimal)  # numbers of thousands of digits, too
    assert exact(body(made)) == exact(base64.b64decode(entry["json"]))
    value = entry["frame"].get("value", {})
    if value.get("kind") == "json":
        assert base64.b64decode(value["base64"]) in body(made)
    made = to_client(entry["frame"], MSGPACK)
    assert made[0] == 0x82
    assert msgspec.msgpack.decode(body(made)) == msgspec.msgpack.decode(base64.b64decode(entry["msgpack"]))


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ('{"last":1,"time":5}', "exactly one"),
        ("{}", "exactly one"),
        ('{"last":-5}', "at least 1"),
        ('{"time":-1}', "milliseconds"),
        ('{"time":99999999999999999}', "milliseconds"),
    ],
)
def test_a_start_that_means_nothing_is_answered_with_the_reason(start: str, reason: str) -> None:
    with pytest.raises(frames.BadRequest, match=reason):
        frames.decode(b'{"op":"subscribe","id":2,"subject":"/t/a","from":%b}' % start.encode(), JSON)
    with pytest.raises(frames.BadRequest, match="at most one"):
        frames.decode(b'{"op":"subscribe","id":2,"subject":"/t/a","from":"now","resume":{}}', JSON)


def test_a_reason_says_where_the_fault_is() -> None:
    with pytest.raises(frames.BadFrame, match=r"\$\.id"):
        frames.decode(b'{"op":"ping","id":"x"}', JSON)
    with pytest.raises(frames.BadFrame, match=r"\$\.resume"):
        frames.decode(b'{"op":"subscribe","id":1,"subject":"/t","resume":{"0.a":[1]}}', JSON)
    for text in (rb"\ud800", rb"\\\udBFFx", rb"\ud800\ud800", rb"\udc00abcdefgh", rb"\ud800abcdefgh"):
        with pytest.raises(frames.BadFrame, match="surrogate pair"):
            frames.decode(b'{"op":"hello","id":1,"client":"%b"}' % text, JSON)
    for text in (rb"\ud83d\ude00", rb"\\ud800"):
        with pytest.raises(frames.BadFrame, match="truncated"):
            frames.decode(b'{"op":"hello","id":1,"client":"%b"' % text, JSON)
    with pytest.raises(frames.BadFrame, match="deep"):
        frames.decode(b'{"op":"ping","id":1,"x":' + b"[" * 100_000, JSON)
    with pytest.raises(frames.BadFrame, match="deep"):
        frames.decode(b"\x83\xa2op\xa4ping\xa2id\x01\xa1x" + b"\x91" * 100_000, MSGPACK)


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode])
def test_the_number_of_headers_is_bounded(encode: Callable[[object], bytes]) -> None:
    encoding = JSON if encode is msgspec.json.encode else MSGPACK
    frame: dict[str, Any] = {"op": "publish", "id": 12, "subject": "/t", "publisher": "p" * 16, "seq": 1, "text": ""}
    taken = frames.decode(encode(frame | {"headers": [["h", None]] * 100}), encoding)
    assert isinstance(taken, frames.Publish)
    assert taken.headers == [("h", None)] * 100
    with pytest.raises(frames.BadRequest, match="at most 100 headers, not 101") as refused:
        frames.decode(encode(frame | {"headers": [["h", None]] * 101}), encoding)
    assert refused.value.id == 12


@given(st.binary(max_size=200), st.sampled_from([JSON, MSGPACK]))
def test_any_bytes_give_a_frame_or_a_documented_refusal(data: bytes, encoding: int) -> None:
    try:
        frames.decode(data, encoding)
    except (frames.BadFrame, frames.BadRequest):
        pass


@given(st.data())
def test_any_change_to_a_good_frame_gives_a_frame_or_a_documented_refusal(data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(TO_SERVER))
    encoding, column = data.draw(st.sampled_from(ENCODINGS))
    raw = bytearray(base64.b64decode(entry[column]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        frames.decode(bytes(raw), encoding)
    except (frames.BadFrame, frames.BadRequest):
        pass


@pytest.mark.parametrize("start", ["resume", "from"])
def test_a_place_of_more_logs_than_a_topic_has_is_refused_and_one_less_is_not(start: str) -> None:
    for count in (frames.PLACE_LOGS_MAX, frames.PLACE_LOGS_MAX + 1):
        place = {f"{number}.x": [0, 0] for number in range(count)}
        said = {"op": "subscribe", "id": 5, "subject": "/t/*", start: place if start == "resume" else {"at": place}}
        data = json.dumps(said).encode()
        if count == frames.PLACE_LOGS_MAX:
            assert isinstance(frames.decode(data, JSON), frames.Subscribe)
            continue
        with pytest.raises(frames.BadRequest, match="at most 10000 logs, not 10001"):
            frames.decode(data, JSON)
