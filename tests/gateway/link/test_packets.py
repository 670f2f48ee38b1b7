"""Events come out of packets as they went in; packets stay small."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.link import events as link
from gateway.link.packets import packets

decode = msgspec.msgpack.Decoder(list[link.FromWorker]).decode


@given(st.lists(st.integers(0, 400), max_size=40), st.integers(1, 1000))
def test_events_in_order_in_packets_of_bounded_size(sizes: list[int], bytes_max: int) -> None:
    events: list[link.FromWorker] = [
        link.Publish(pid, "/t/a", "p", 1, b"x" * size, [("h", None)]) if size % 2 else link.More(size)
        for pid, size in enumerate(sizes)
    ]
    made = packets(events, bytes_max)
    found = [decode(packet) for packet in made]
    assert [event for one in found for event in one] == events
    encoded = [[len(msgspec.msgpack.encode(event)) for event in one] for one in found]
    assert all(sum(one) <= bytes_max or len(one) == 1 for one in encoded)
    for one, following in pairwise(encoded):
        assert sum(one) + following[0] > bytes_max, "no more packets than needed"
