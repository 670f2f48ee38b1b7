"""Messages as frames: exactly the produced bytes, and never a frame that is not valid."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.messages import DEPTH_MAX, encode_json, encode_msgpack, fitting, is_json, server_frame
from mesh.log import Entry
from tests.gateway.sessions.test_frames import body

NOT_JSON = [
    b"",
    b" ",
    b"NaN",
    b"-Infinity",
    b'{"a":NaN}',
    b"1 2",
    b'{"a":1}x',
    b'{"a":1,}',
    b"[1,]",
    b"01",
    b"+1",
    b".5",
    b"1.",
    b"tru",
    b"'a'",
    b"{1:2}",
    b'"\x01"',
    b'"\t"',
    b'"\\x"',
    b'"\\u12"',
    b"\xef\xbb\xbf1",
    b'"\xff"',
    b'{"\xff":1}',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b"1\x00",
    b'{"op":"msg"},{"x":1}',
    b"/**/1",
    b"[" * 50_000,
    b"[" * 50_000 + b"]" * 50_000,
]


def message(value: bytes | None, kind: str = "json", **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    arguments: dict[str, Any] = {"prev": (0, 4), "time": 1700, "headers": None} | more
    prev, time, headers = arguments.pop("prev"), arguments.pop("time"), arguments.pop("headers")
    entry = Entry((1, 5), prev, time, value, headers)
    text, packed = (encode('/t/é"\\', "0.a", entry, kind, **arguments) for encode in (encode_json, encode_msgpack))
    assert (text[0], packed[0]) == (0x81, 0x82)
    return json.loads(body(text).decode()), msgspec.msgpack.decode(body(packed))


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: repr(value[:20]))
def test_what_is_not_one_json_text_is_not_spliced_in(value: bytes) -> None:
    assert not is_json(value)
    text, packed = message(value)
    assert "json" not in text
    assert "json" not in packed
    if "text" in text:
        assert text["text"].encode() == packed["text"].encode() == value
    else:
        assert base64.b64decode(text["base64"]) == packed["bytes"] == value


@pytest.mark.parametrize(
    "value",
    [b"null", b" 1 ", b'"\xc3\xa9"', b'{"a":[{}, 1e400, -0, 123456789012345678901234567890]}', b'"\\ud83d\\ude00"'],
)
def test_json_keeps_its_bytes(value: bytes) -> None:
    assert is_json(value)
    assert b'"json":' + value + b"}" in encode_json("/t", "0.a", Entry((0, 0), None, -1, value, None), "json")
    assert message(value)[1]["json"] == value


def test_depth_is_limited_exactly_whatever_stands_in_strings() -> None:
    deepest = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert is_json(deepest)
    assert not is_json(b"[" + deepest + b"]")
    assert not is_json(b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1))
    assert is_json(b'["' + b"[{" * DEPTH_MAX + b'\\"]"]')
    assert is_json(b"[" + b'{"a":[]},' * DEPTH_MAX + b"1]")


def test_a_value_falls_to_the_next_kind_that_fits() -> None:
    assert fitting(b"{}", "json") == "json"
    assert fitting(b"{", "json") == "text"
    assert fitting(b"\xff", "json") == "bytes"
    assert fitting(b"{}", "text") == "text"
    assert fitting(b"\xff", "text") == "bytes"
    assert fitting(b"{}", "bytes") == "bytes"


def test_a_tombstone_and_absent_things() -> None:
    for found in message(None, prev=None, time=-1):
        assert found["tombstone"] is True
        assert not {"prev", "time", "sub", "snapshot", "headers", "json"} & found.keys()
        assert (found["op"], found["subject"], found["log"], list(found["at"])) == ("msg", '/t/é"\\', "0.a", [1, 5])
    for found in message(None, time=-1):
        assert "time" not in found
        assert list(found["prev"]) == [0, 4]


def test_our_own_headers_are_not_shown() -> None:
    ours = [("whimbrel-publisher", b"x")]
    text, packed = message(b"1", headers=[*ours, ("é", b"\xff"), ("a", b"b"), ("n", None)], sub=3, snapshot=True)
    assert text["headers"] == [["é", {"base64": "/w=="}], ["a", "b"], ["n", None]]
    assert packed["headers"] == [["é", b"\xff"], ["a", b"b"], ["n", None]]
    assert (text["sub"], text["snapshot"], packed["sub"], packed["snapshot"]) == (3, True, 3, True)
    for found in message(b"1", headers=ours):
        assert "headers" not in found


@pytest.mark.parametrize("size", [0, 125, 126, 127, 65535, 65536])
def test_frame_lengths(size: int) -> None:
    assert body(server_frame(0x81, b"x" * size)) == b"x" * size


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
def test_any_value_arrives_exactly(value: bytes) -> None:
    raw = encode_json("/t", "0.a", Entry((0, 0), None, -1, value, None), "json")
    text, packed = json.loads(body(raw).decode()), message(value)[1]
    if "base64" in text:
        assert base64.b64decode(text["base64"]) == packed["bytes"] == value
    elif "text" in text:
        assert text["text"].encode() == packed["text"].encode() == value
    else:
        assert packed["json"] == value
        assert text["json"] == json.loads(value)
