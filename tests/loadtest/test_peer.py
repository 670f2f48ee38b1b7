"""A client of Centrifugo for the fleet: counts, sees what is missing, answers pings, recovers where it was."""

import json
from random import Random
from typing import Any

from loadtest.bare import text_frame
from loadtest.payload import FIRST, ZERO_US, Payloads
from loadtest.peer.subscriber import PeerSubscriber
from loadtest.subscriber import LIVE, Tally
from loadtest.wire import TEXT, masked

NOW_US = ZERO_US + 1_000_000
HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Peer:
    """A client, what it was fed, and publications of its channel."""

    def __init__(self) -> None:
        self.tally = Tally(Random(1))
        self.tally.window = (0, 2 * ZERO_US)
        self.client = PeerSubscriber(self.tally, "/t/k", tracked=False)
        self.values = Payloads(1)

    def feed(self, data: bytes) -> bytes:
        buffer = bytearray(self.client.rest + data)
        return self.client.receive(NOW_US, buffer, len(buffer))

    def join(self, offset: int = 0, **more: Any) -> bytes:
        self.client.opened(NOW_US - 5000)
        asked = self.feed(HEAD)
        answer = {"id": 2, "subscribe": {"recoverable": True, "epoch": "abcd", "offset": offset, **more}}
        self.feed(text_frame(b'{"id":1,"connect":{"ping":25,"pong":true}}\n' + json.dumps(answer).encode()))
        return asked

    def push(self) -> bytes:
        value = self.values.make(0, NOW_US - 700)
        offset = self.values.last[0] - FIRST + 1
        return b'{"push":{"channel":"/t/k","pub":{"data":%b,"offset":%d}}}' % (value, offset)


def test_several_in_a_frame_are_counted_each() -> None:
    peer = Peer()
    asked = peer.join()
    assert b'"channel": "/t/k"' in asked
    assert b"recover" not in asked
    peer.feed(text_frame(peer.push() + b"\n" + peer.push()) + text_frame(peer.push()))
    assert (peer.client.state, peer.tally.received, peer.client.n) == (LIVE, 3, FIRST + 2)
    assert sum(peer.tally.weight) == 3
    assert not peer.tally.faults


def test_who_comes_later_begins_at_the_offset() -> None:
    peer = Peer()
    peer.push()
    peer.push()
    peer.join(offset=2)
    peer.feed(text_frame(peer.push()))
    assert (peer.tally.received, dict(peer.tally.faults)) == (1, {})


def test_what_is_missing_is_seen() -> None:
    peer = Peer()
    peer.join()
    peer.feed(text_frame(peer.push()))
    peer.push()
    peer.feed(text_frame(peer.push()))
    assert peer.tally.faults == {"missing": 1}


def test_a_ping_is_answered_also_amid_messages() -> None:
    peer = Peer()
    peer.join()
    assert peer.feed(text_frame(b"{}")) == masked(TEXT, b"{}")
    assert peer.feed(text_frame(peer.push() + b"\n{}") + text_frame(peer.push())) == masked(TEXT, b"{}")
    assert (peer.tally.received, dict(peer.tally.faults)) == (2, {})


def test_it_recovers_where_it_was() -> None:
    peer = Peer()
    peer.join()
    peer.feed(text_frame(peer.push()))
    peer.client.lost(NOW_US)
    missed = {"data": json.loads(peer.values.make(0, NOW_US)), "offset": 2}
    asked = peer.join(offset=2, recovered=True, publications=[missed])
    assert b'"recover": true, "epoch": "abcd", "offset": 1' in asked
    assert (peer.tally.received, peer.client.n, dict(peer.tally.faults)) == (2, FIRST + 1, {})
    peer.client.lost(NOW_US)
    peer.join(offset=2, recovered=False)
    assert peer.tally.faults == {"gap": 1}
