"""Each core of the Python SDK by itself, where the vectors do not reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whimbrel import frames
from whimbrel.encodings import ENCODINGS
from whimbrel.errors import FrameError
from whimbrel.events import PlaceMoved, PublishDone, PublishFailed, Received
from whimbrel.interest import Interest
from whimbrel.message import Message, Value
from whimbrel.outgoing import Outgoing
from whimbrel.outputs import Output, Outputs, Send
from whimbrel.place import Track, Verdict
from whimbrel.publishing import Publishing
from whimbrel.reader import Reader
from whimbrel.servers import Servers, again_pause_s, loss_pause_s, pause_s, server_url
from whimbrel.start import Now
from whimbrel.values import to_headers, to_value

JSON = ENCODINGS["json"]
VECTORS = Path(__file__).parents[2] / "client" / "vectors"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

# Encodings.


@pytest.mark.parametrize("name", ENCODINGS)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_frame_or_a_frame_error(name: str, data: bytes) -> None:
    try:
        frames.read(ENCODINGS[name].decode(data))
    except FrameError:
        pass


KEYS = [
    "id",
    "sub",
    "at",
    "log",
    "gaps",
    "answer",
    "subject",
    "json",
    "text",
    "base64",
    "bytes",
    "tombstone",
    "headers",
    "heartbeat_s",
    "node",
    "cluster",
    "servers",
    "limits",
    "code",
    "within_s",
    "prev",
    "time",
    "waiting",
    "why",
    "error",
    "reason",
]


@pytest.mark.parametrize("name", ENCODINGS)
@given(op=st.sampled_from(sorted(frames._READERS)), keys=st.dictionaries(st.sampled_from(KEYS), json_values))
@settings(deadline=None)
def test_any_map_is_a_frame_or_a_frame_error(name: str, op: str, keys: dict[str, Any]) -> None:
    frame = {"op": op} | keys
    try:
        frames.read(ENCODINGS[name].decode(json.dumps(frame) if name == "json" else msgpack.packb(frame)))
    except (FrameError, OverflowError):  # MessagePack has no integers beyond 64 bits
        pass


@given(value=json_values, indent=st.sampled_from([None, 1]), ascii_only=st.booleans(), space=st.text(" \t\r\n"))
def test_the_exact_text_of_a_json_value_is_kept(value: Any, indent: int | None, ascii_only: bool, space: str) -> None:
    text = space + json.dumps(value, indent=indent, ensure_ascii=ascii_only) + space
    text.encode()
    decoded = JSON.decode(f'{{"op":"msg","json":{text},"log":"0.x"}}')
    assert decoded["value"].raw == text.encode()
    assert decoded["value"].parsed == value
    assert decoded["log"] == "0.x"


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000 + "]" * 100_000, '{"a":' * 5000 + '"]}"' + "}" * 5000, "-" + "9" * 10_000, "[" + "1" * 9000 + "]"],
)
def test_json_that_python_cannot_hold_is_passed_on(text: str) -> None:
    decoded = JSON.decode(f'{{"op":"msg","json":{text} ,"log":"0.x"}}')
    assert decoded["value"].raw == text.encode() + b" "
    assert decoded["log"] == "0.x"


@pytest.mark.parametrize(
    "text",
    [
        '{"a":NaN}',
        '{"a":1}x',
        '{"a":1',
        '{"a" 1}',
        '{"a":1,}',
        "[]",
        "",
        '{"json":}',
        '{"json":[1}',
        '{"json":"abc}',
        '{"op":"msg","headers":[1]}',
        '{"op":"msg","headers":[["a",{"b":1}]]}',
        '{"base64":"A"}',
        '{"text":1}',
    ],
)
def test_what_is_not_a_frame_in_json(text: str) -> None:
    with pytest.raises(FrameError):
        JSON.decode(text)


# Place.


def test_the_chain_is_not_forgotten_while_a_handed_over_message_is_after_the_place() -> None:
    track = Track(chain_max=1)
    track.subscribed(True, {"0.x": (0, 10)}, [], [])
    track.now_live({"0.x": (0, 10)})
    assert track.take("0.x", "/t/a", (0, 11), None) is Verdict.HAND_OVER
    assert track.take("0.x", "/t/b", (0, 12), None) is Verdict.HAND_OVER
    assert track.take("0.x", "/t/a", (0, 14), (0, 13)) is Verdict.MISSING
    assert track.place == {"0.x": (0, 11)}
    track.trim("0.x")
    assert track.take("0.x", "/t/b", (0, 12), None) is Verdict.REPEAT
    assert track.take("0.x", "/t/a", (0, 13), (0, 11)) is Verdict.HAND_OVER
    track.trim("0.x")
    assert track._chain == {}
    assert track.take("0.x", "/t/b", (0, 12), None) is Verdict.REPEAT
    assert track.take("0.x", "/t/b", (0, 15), (0, 14)) is Verdict.MISSING


def message(at: tuple[int, int], snapshot: bool = False) -> Message:
    return Message("/t/a", Value("json", b"1"), [], None, "0.x", at, None, snapshot)


def test_the_place_of_the_reader_is_what_the_application_has_taken() -> None:
    reader, interest = Reader(), Interest("/t/a", Now())
    assert reader.take(PlaceMoved(interest, {"0.x": (0, 10), "1.x": (0, 1)})) is None
    assert isinstance(reader.take(Received(interest, message((0, 9), snapshot=True))), Message)
    assert reader.place == {"0.x": (0, 10), "1.x": (0, 1)}
    reader.take(Received(interest, message((0, 11))))
    assert reader.place == {"0.x": (0, 11), "1.x": (0, 1)}
    reader.take(PlaceMoved(interest, {"0.x": (0, 5)}))
    assert reader.place == {"0.x": (0, 5)}


# Servers.


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("ws://a:8080", "ws://a:8080/v1/ws"),
        ("a:8080", "ws://a:8080/v1/ws"),
        ("http://a/", "ws://a/v1/ws"),
        ("https://a.example:443", "wss://a.example:443/v1/ws"),
        ("wss://a/own/path?x=1", "wss://a/own/path?x=1"),
        ("https://example.com/push/", "wss://example.com/push/v1/ws"),
        ("ws://[::1]:80", "ws://[::1]:80/v1/ws"),
    ],
)
def test_server_url(written: str, address: str) -> None:
    assert server_url(written) == address


@pytest.mark.parametrize("written", ["ftp://a", "ws://", "", "://x"])
def test_not_a_server(written: str) -> None:
    with pytest.raises(ValueError, match="server"):
        server_url(written)


def test_pauses_grow_to_twenty_seconds_and_are_random() -> None:
    rng = Random(1)
    for attempt, longest in [(1, 0.25), (2, 0.5), (3, 1), (7, 16), (8, 20), (5000, 20)]:
        pauses = [pause_s(attempt, rng) for _ in range(300)]
        assert 0 <= min(pauses) < longest * 0.1
        assert longest * 0.9 < max(pauses) <= longest


@pytest.mark.parametrize("pause", [again_pause_s, loss_pause_s])
def test_nothing_is_asked_again_at_once(pause: Callable[[int, Random], float]) -> None:
    pauses = [pause(1, Random(seed)) for seed in range(100)]
    assert min(pauses) == 0.1
    assert 0.2 < max(pauses) <= 0.25


def test_what_is_refused_for_now_is_asked_again_within_two_seconds() -> None:
    for refusals, longest in [(2, 0.5), (3, 1), (4, 2), (5, 2), (5000, 2)]:
        pauses = [again_pause_s(refusals, Random(seed)) for seed in range(100)]
        assert longest * 0.9 < max(pauses) <= longest
    assert max(loss_pause_s(9, Random(seed)) for seed in range(100)) > 15, "a server that loses messages is spared"


def test_every_server_is_tried_before_one_is_tried_again() -> None:
    rng, servers = Random(1), Servers(["a", "b", "c"])
    for _ in range(20):
        assert {servers.next(rng) for _ in range(3)} == {f"ws://{name}/v1/ws" for name in "abc"}


def test_after_a_success_another_server_is_tried_first() -> None:
    for seed in range(20):
        rng, servers = Random(seed), Servers(["a", "b", "c"])
        server = servers.next(rng)
        servers.next_pause_s(rng)
        servers.succeeded(server)
        assert servers.attempts == 0
        assert server not in (servers.next(rng), servers.next(rng))


@pytest.mark.parametrize("entry", json.loads((VECTORS / "servers.json").read_text()), ids=lambda entry: entry["name"])
def test_servers_that_were_told_are_used_beside_those_configured(entry: dict[str, Any]) -> None:
    servers = Servers(entry["configured"], learn=entry.get("learn", True))
    for told in entry["told"]:
        servers.told(told, server_url(entry["via"]))
    assert servers._known == entry["used"]


# Publishing.


class Publisher:
    """A `Publishing`, connected."""

    def __init__(self, in_flight_max: int = 100, frame_bytes_max: int = 1000) -> None:
        self.outputs = Outputs(JSON)
        self.core = Publishing(self.outputs, Random(1))
        self.core.connected(0, in_flight_max, frame_bytes_max)
        self._sent: list[Send] = []
        self._told: list[Output] = []

    def publish(self, deadline: float = 30, value: str = "1") -> Outgoing:
        item = Outgoing("/t/a", Value("json", value.encode()), [], deadline)
        self.core.publish(0, item)
        return item

    def sent(self) -> list[tuple[int, int]]:
        """(id, seq) of what was sent since the last call."""
        self._take()
        frames, self._sent = [json.loads(send.data) for send in self._sent], []
        return [(frame["id"], frame["seq"]) for frame in frames]

    def told(self) -> list[Output]:
        """Outcomes since the last call."""
        self._take()
        told, self._told = self._told, []
        return told

    def _take(self) -> None:
        for output in self.outputs.take():
            if isinstance(output, Send):
                self._sent.append(output)
            else:
                self._told.append(output)


def test_what_failed_for_now_goes_first_and_one_fault_counts_once() -> None:
    publisher = Publisher()
    for _ in range(50):
        publisher.publish()
    assert publisher.sent() == [(n, n) for n in range(1, 51)]
    for id_ in range(50, 0, -1):
        publisher.core.refused(1, frames.Error(id_, 4010, "kafka_unavailable", ""))
    publisher.publish()
    assert publisher.sent() == []
    at = publisher.core.deadline
    assert at is not None
    assert 1 < at <= 1.25
    publisher.core.tick(at)
    assert [seq for _, seq in publisher.sent()] == list(range(1, 52))


def test_the_pause_after_a_refusal_counts_the_refusals_of_this_publish() -> None:
    publisher, now = Publisher(), 1.0
    first = publisher.publish(1000)
    for _ in range(20):
        [(id_, _)] = publisher.sent()
        publisher.core.refused(now, frames.Error(id_, 4014, "no_coordinator", ""))
        at = publisher.core.deadline
        assert at is not None
        assert now + 0.1 <= at <= now + 2
        now = at
        publisher.core.tick(now)
    publisher.publish(2000)
    publisher.core.tick(now)
    [_, (id_, seq)] = publisher.sent()
    assert seq == 2
    publisher.core.refused(now, frames.Error(id_, 4014, "no_coordinator", ""))
    at = publisher.core.deadline
    assert at is not None
    assert at <= now + 0.25
    assert (first.refusals, first.done) == (20, False)


def test_a_publish_ends_when_its_time_is_up() -> None:
    publisher = Publisher(in_flight_max=1)
    sent, waiting, refused = publisher.publish(5), publisher.publish(6), publisher.publish(7)
    assert publisher.core.deadline == 5
    publisher.core.tick(5)
    assert publisher.told() == [PublishFailed(sent, None, "", "not acknowledged in time", True)]
    publisher.core.published(5, frames.Published(1, "0.x", (0, 1)))
    assert [seq for _, seq in publisher.sent()] == [1, 2]
    publisher.core.published(5, frames.Published(2, "0.x", (0, 1)))
    assert publisher.told() == [PublishDone(waiting, "0.x", (0, 1))]
    publisher.core.refused(5, frames.Error(3, 4011, "queue_full", "wait"))
    publisher.core.disconnected("4001: slow")
    publisher.core.tick(7)
    reason = "wait; no connection: 4001: slow"
    assert publisher.told() == [PublishFailed(refused, 4011, "queue_full", reason, True)]
    assert publisher.core.deadline is None


def test_a_publish_that_was_never_sent_is_known_to_have_failed() -> None:
    publisher = Publisher(in_flight_max=0)
    item = publisher.publish(5)
    publisher.core.tick(5)
    assert publisher.told() == [PublishFailed(item, None, "", "not acknowledged in time", False)]


def test_a_refusal_for_good_says_nothing_of_an_earlier_attempt_without_an_answer() -> None:
    publisher = Publisher()
    lost, refused = publisher.publish(), publisher.publish()
    assert publisher.sent() == [(1, 1), (2, 2)]
    publisher.core.refused(1, frames.Error(2, 4312, "forbidden", "no"))
    assert publisher.told() == [PublishFailed(refused, 4312, "forbidden", "no", False)]
    publisher.core.disconnected("cut")
    publisher.core.connected(1, None, None)
    assert publisher.sent() == [(3, 1)]
    publisher.core.refused(1, frames.Error(3, 4312, "forbidden", "no"))
    assert publisher.told() == [PublishFailed(lost, 4312, "forbidden", "no", True)]


def test_a_frame_that_a_later_server_does_not_take_may_have_been_taken_by_an_earlier_one() -> None:
    publisher = Publisher()
    item = publisher.publish(value=json.dumps("e" * 200))
    publisher.core.disconnected("cut")
    publisher.core.connected(1, None, 200)
    [failed] = publisher.told()
    assert isinstance(failed, PublishFailed)
    assert (failed.item, failed.code, failed.outcome_unknown) == (item, 4314, True)


def test_a_frame_above_the_limit_is_not_sent_because_the_server_would_close() -> None:
    publisher = Publisher(frame_bytes_max=200)
    item = publisher.publish(value=json.dumps("é" * 100, ensure_ascii=False))
    publisher.publish()
    assert publisher.sent() == [(1, 2)]
    [failed] = publisher.told()
    assert isinstance(failed, PublishFailed)
    assert (failed.item, failed.code, failed.outcome_unknown) == (item, 4314, False)


def test_closing_fails_what_is_not_answered() -> None:
    publisher = Publisher(in_flight_max=1)
    items = [publisher.publish(), publisher.publish()]
    publisher.core.close(None, "bye")
    failed = [event for event in publisher.told() if isinstance(event, PublishFailed)]
    assert [event.item for event in failed] == items
    assert [event.outcome_unknown for event in failed] == [True, False]


# Values.


def test_values_of_publish() -> None:
    assert to_value({"é": 1}) == Value("json", '{"é": 1}'.encode())
    assert to_value(None) == Value("json", b"null")
    assert to_value(json_text=' {"a": 1.0}\n') == Value("json", b'{"a": 1.0}')
    assert to_value(text="") == Value("text", b"")
    assert to_value(data=b"") == Value("bytes", b"")
    assert to_value(tombstone=True) == Value("tombstone", None)
    with pytest.raises(TypeError, match="exactly one"):
        to_value()
    with pytest.raises(TypeError, match="exactly one"):
        to_value(1, text="1")
    for wrong in ({"json_value": float("nan")}, {"json_text": "{"}):
        with pytest.raises(ValueError):
            to_value(**wrong)
    assert to_headers({"a": "é", "b": b"\xff", "c": None}) == [("a", "é".encode()), ("b", b"\xff"), ("c", None)]
    assert to_headers([("a", "1"), ("a", "2")]) == [("a", b"1"), ("a", b"2")]


def test_a_message_says_what_it_is() -> None:
    taken = Message("/t/%FF/x", Value("json", b'{"a": 1}'), [], 5, "0.x", (0, 1), None, False)
    assert (taken.topic, taken.key, taken.value, taken.text) == ("t", b"\xff/x", b'{"a": 1}', '{"a": 1}')
    assert taken.json() == {"a": 1}
    gone = Message("/t", Value("tombstone", None), [], None, "0.x", (0, 1), None, False)
    assert (gone.key, gone.value, gone.text, gone.json(), gone.tombstone) == (None, None, None, None, True)
