"""What one end numbers, the other counts."""

from __future__ import annotations

from gateway.link.numbering import Arrivals, Numbers


def test_a_packet_that_was_lost_is_noticed_once() -> None:
    numbers, arrivals = Numbers(), Arrivals()
    jumps = []
    for is_lost in (False, False, True, True, False, False):
        header = numbers.header()
        assert header == numbers.header(), "not used yet"
        numbers.use()
        if not is_lost:
            jumps.append(arrivals.arrived(header))
    assert jumps == [0, 0, 2, 0]


def test_a_sender_that_began_anew_is_noticed() -> None:
    arrivals = Arrivals()
    for _ in range(2):
        numbers = Numbers()
        jumps = []
        for _ in range(3):
            jumps.append(arrivals.arrived(numbers.header()))
            numbers.use()
    assert jumps == [-3, 0, 0]
