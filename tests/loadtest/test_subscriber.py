"""A client of the fleet sees everything that is wrong, however the bytes are cut."""

import json
from random import Random
from typing import Any

import pytest

from loadtest.bare import dumps, text_frame
from loadtest.payload import FIRST, ZERO_US, Payloads
from loadtest.subscriber import LIVE, LOST, Subscriber, Tally
from loadtest.wire import CLOSE, PING, PONG, masked

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
NOW_US = ZERO_US + 1_000_000
LIVE_FRAME = dumps({"op": "live", "sub": 2, "at": {"0.x": [0, 100]}})


class Client:
    """A subscriber, what it was fed, and messages of its subject."""

    def __init__(self, tracked: bool = False) -> None:
        self.tally = Tally(Random(1))
        self.tally.window = (0, 2 * ZERO_US)
        self.subscriber = Subscriber(self.tally, "/t/k", tracked)
        self.payloads = Payloads(1)
        self.seq = 100
        self.prev: int | None = None

    def feed(self, data: bytes, now_us: int = NOW_US) -> bytes:
        buffer = bytearray(self.subscriber.rest + data)
        return self.subscriber.receive(now_us, buffer, len(buffer))

    def join(self) -> None:
        self.subscriber.opened(NOW_US - 5000)
        self.feed(HEAD)
        self.feed(dumps({"op": "subscribed", "id": 2, "answer": "fresh", "at": {"0.x": [0, 100]}}))
        self.feed(LIVE_FRAME)

    def message(self, due_us: int = NOW_US - 700, **more: Any) -> bytes:
        self.seq += 1
        frame: dict[str, Any] = {"op": "msg", "subject": "/t/k", "log": "0.x", "at": [0, self.seq]}
        if self.prev is not None:
            frame["prev"] = [0, self.prev]
        self.prev = self.seq
        value = self.payloads.make(0, due_us)
        return text_frame(json.dumps(frame | more)[:-1].encode() + b',"json":' + value + b"}")


@pytest.fixture(params=[False, True], ids=["counted", "tracked"])
def client(request: pytest.FixtureRequest) -> Client:
    joined = Client(request.param)
    joined.join()
    return joined


def test_joining() -> None:
    client = Client()
    client.subscriber.opened(NOW_US - 5000)
    assert client.feed(HEAD[:20]) == b""
    assert b'"/t/k"' in client.feed(HEAD[20:])
    client.feed(dumps({"op": "welcome", "id": 1}))
    assert client.tally.live == 0
    client.feed(LIVE_FRAME)
    assert (client.tally.live, client.subscriber.state, list(client.tally.joins)) == (1, LIVE, [5000])


@pytest.mark.parametrize(("status", "refused"), [(b"503 Service Unavailable", 1), (b"403 Forbidden", 0)])
def test_a_handshake_may_be_put_off_but_not_fail(status: bytes, refused: int) -> None:
    client = Client()
    client.subscriber.opened(NOW_US)
    client.feed(b"HTTP/1.1 " + status + b"\r\n\r\n")
    client.feed(b"more")
    assert client.subscriber.state == LOST
    assert client.tally.refused == refused
    assert client.tally.faults["error"] == 1 - refused


@pytest.mark.parametrize("size", [1, 7, 100, 651, 1500, 10_000])
def test_messages_are_counted_however_they_are_cut(client: Client, size: int) -> None:
    data = b"".join(client.message() for _ in range(20))
    for at in range(0, len(data), size):
        client.feed(data[at : at + size])
    assert client.tally.received == 20
    assert not client.tally.faults
    assert sum(client.tally.weight) == 20
    assert set(client.tally.latency) == {700}


def test_each_message_of_a_read_is_as_likely_to_be_sampled() -> None:
    client = Client()
    client.join()
    for _ in range(2000):
        client.feed(b"".join(client.message(NOW_US - late) for late in (100, 200, 300, 400)))
    counts = [client.tally.latency.count(late) for late in (100, 200, 300, 400)]
    assert sum(counts) == 2000
    assert all(400 < count < 600 for count in counts)
    assert set(client.tally.weight) == {4}


def test_messages_due_outside_of_the_window_are_counted_but_not_sampled(client: Client) -> None:
    client.tally.window = (NOW_US, NOW_US + 10)
    client.feed(client.message(NOW_US - 1) + client.message(NOW_US + 10))
    client.feed(client.message(NOW_US, sub=2))
    assert client.tally.received == 3
    assert len(client.tally.latency) == 1


def test_a_missing_message_is_a_fault(client: Client) -> None:
    client.feed(client.message())
    client.message()
    client.message()
    client.feed(client.message() + client.message())
    assert client.tally.faults["missing"] == 2
    assert client.tally.received == 3


def test_the_first_message_of_a_key_must_not_be_missing(client: Client) -> None:
    client.message()
    client.feed(client.message())
    assert client.tally.faults["missing"] == 1


def test_a_repeat_is_counted_apart(client: Client) -> None:
    message = client.message()
    client.feed(message + client.message())
    client.feed(message)
    assert client.tally.repeated == 1
    assert client.tally.received == 2
    assert not client.tally.faults


def test_messages_follow_the_snapshot() -> None:
    client = Client()
    client.subscriber.opened(NOW_US)
    client.feed(HEAD)
    client.message()
    client.feed(client.message(sub=2, snapshot=True) + LIVE_FRAME)
    client.feed(client.message())
    assert client.tally.received == 1
    assert not client.tally.faults
    assert client.subscriber.n == FIRST + 2


@pytest.mark.parametrize("length", [3, 200])
def test_a_heartbeat_between_messages_is_no_message(client: Client, length: int) -> None:
    heartbeat = dumps({"op": "heartbeat", "at": {"0.x": [0, 200]}, "pad": "x" * length})
    client.feed(client.message() + heartbeat + client.message())
    client.feed(heartbeat)
    client.feed(client.message() + heartbeat)
    assert client.tally.received == 3
    assert not client.tally.faults


def test_a_ping_is_answered(client: Client) -> None:
    assert client.feed(client.message() + bytes((0x80 | PING, 2)) + b"ab" + client.message()) == masked(PONG, b"ab")
    assert client.tally.received == 2


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (dumps({"op": "gap", "sub": 2, "gaps": [{"log": "0.x", "why": "retention"}]}), "gap"),
        (dumps({"op": "subscribed", "id": 2, "answer": "gap", "at": {}, "gaps": [{"log": "0.x"}]}), "gap"),
        (dumps({"op": "error", "id": 2, "code": 4311, "error": "not_mapped", "reason": "no"}), "error"),
        (dumps({"op": "msg", "subject": "/t/k", "log": "0.x", "at": [0, 1], "tombstone": True}), "error"),
        (bytes((0x80 | CLOSE, 4)) + (4001).to_bytes(2, "big") + b"no", "close"),
    ],
)
def test_what_must_not_happen_is_a_fault(client: Client, frame: bytes, kind: str) -> None:
    client.feed(frame)
    assert client.tally.faults == {kind: 1}


def test_a_tracked_client_checks_the_chain() -> None:
    client = Client(tracked=True)
    client.join()
    client.feed(client.message())
    client.prev = 55
    client.feed(client.message())
    assert client.tally.faults == {"chain": 1}


def test_a_tracked_client_resumes_from_its_place() -> None:
    client = Client(tracked=True)
    client.join()
    client.feed(client.message())
    client.feed(dumps({"op": "heartbeat", "at": {"0.x": [0, 90], "1.x": [0, 7]}}))
    client.subscriber.lost(NOW_US)
    assert (client.tally.live, client.tally.losses) == (0, 1)
    client.subscriber.opened(NOW_US + 100)
    assert b'"resume": {"0.x": [0, 101], "1.x": [0, 7]}' in client.feed(HEAD)
    client.feed(client.message(sub=2) + LIVE_FRAME, NOW_US + 400)
    assert client.tally.joins[-1] == 400, "timed from the loss"
    assert client.tally.received == 2
    assert not client.tally.faults
