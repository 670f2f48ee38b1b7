"""Publishes on their way to a coordinator: each answered once, in order, whatever gets lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.slots.forwarding import (
    FORWARD_ITEMS_MAX,
    FULL,
    NO_COORDINATOR,
    UNKNOWN,
    Forward,
    Forwarding,
    ForwardingConfig,
    PublishCommitted,
    PublishRefused,
    Streams,
)
from mesh.slots.slot_log import Item
from tests.mesh.slots.slot_bench import item, items

CONFIG = ForwardingConfig(pending_max=5)


def forwarding(coordinator: str = "c") -> Forwarding:
    one = Forwarding(CONFIG, 2, 0.0)
    one.coordinated(0.0, 0, coordinator, True)
    return one


def publish(one: Forwarding, now: float, *numbers: int) -> None:
    for number in numbers:
        one.publish(now, 0, item(number))


def sent(one: Forwarding) -> list[tuple[str, int, int, list[int]]]:
    """Destination, stream, first number and publishes of what is sent."""
    return [(to, forward.stream, forward.first, [i.number for i in forward.items]) for to, forward in one.take_sends()]


def test_what_comes_in_goes_to_the_coordinator_in_order_and_once() -> None:
    one = forwarding()
    publish(one, 0.1, 1, 2)
    assert sent(one) == [("c", 1, 0, [1, 2])]
    publish(one, 0.2, 3)
    assert sent(one) == [("c", 1, 2, [3])]
    assert sent(one) == []


def test_it_is_answered_when_it_is_committed_and_only_once() -> None:
    one = forwarding()
    publish(one, 0.1, 1)
    assert one.pending == 1
    one.committed(0.2, 0, ("p", 1, "/c/x"), (4, 7))
    one.committed(0.2, 0, ("p", 1, "/c/x"), (4, 7))
    one.committed(0.2, 0, ("q", 1, "/c/x"), (4, 8))
    one.tick(99.0)
    assert one.take_events() == [PublishCommitted(0, ("p", 1, "/c/x"), (4, 7))]
    assert (one.pending, one.is_waiting(0)) == (0, False)
    assert one.take_events() == []


def test_the_same_again_while_it_waits_is_one_publish() -> None:
    one = forwarding()
    publish(one, 0.1, 1, 1)
    assert sent(one) == [("c", 1, 0, [1])]
    assert one.pending == 1


def test_without_a_coordinator_it_waits_for_one() -> None:
    one = forwarding("")
    publish(one, 0.1, 1, 2)
    assert sent(one) == []
    one.coordinated(0.5, 0, "b", True)
    assert sent(one) == [("b", 1, 0, [1, 2])]


@pytest.mark.parametrize(("coordinator", "is_new"), [("b", True), ("c", True), ("b", False)])
def test_another_epoch_gets_everything_that_waits_in_a_stream_of_its_own(coordinator: str, is_new: bool) -> None:
    one = forwarding()
    publish(one, 0.1, 1, 2)
    sent(one)
    one.committed(0.2, 0, ("p", 1, "/c/x"), (4, 0))
    publish(one, 0.2, 3)
    one.coordinated(0.3, 0, coordinator, is_new)
    assert sent(one) == [(coordinator, 2, 0, [2, 3])]


def test_the_same_coordinator_in_the_same_epoch_changes_nothing() -> None:
    one = forwarding()
    publish(one, 0.1, 1)
    sent(one)
    one.coordinated(0.2, 0, "c", False)
    assert sent(one) == []


def test_what_does_not_move_is_sent_again() -> None:
    one = forwarding()
    publish(one, 0.1, 1, 2)
    sent(one)
    one.tick(0.39)
    assert sent(one) == []
    one.tick(0.41)
    assert sent(one) == [("c", 2, 0, [1, 2])]
    one.tick(0.5)
    assert sent(one) == []
    one.committed(0.7, 0, ("p", 1, "/c/x"), (4, 0))
    one.tick(0.8)
    assert sent(one) == []


def test_what_others_publish_is_no_sign_that_it_moves() -> None:
    """Else one lost packet would stop a node's publishes for as long as other nodes publish."""
    one = forwarding()
    publish(one, 0.0, 1)
    sent(one)
    for n in range(1, 4):
        one.committed(n / 10, 0, ("other", n, "/c/x"), (4, n))
        one.tick(n / 10)
    assert sent(one) == [("c", 2, 0, [1])]


def test_what_was_sent_and_is_not_answered_in_time_is_unknown() -> None:
    one = forwarding()
    publish(one, 0.0, 1)
    sent(one)
    publish(one, 1.0, 2)
    sent(one)
    one.tick(4.9)
    assert one.take_events() == []
    one.tick(5.0)
    assert one.take_events() == [PublishRefused(("p", 1, "/c/x"), UNKNOWN, 0)]
    one.tick(6.0)
    assert one.take_events() == [PublishRefused(("p", 2, "/c/x"), UNKNOWN, 0)]


def test_without_a_coordinator_for_long_publishes_are_refused_at_once() -> None:
    one = forwarding("")
    publish(one, 1.0, 1)
    one.tick(1.9)
    assert one.take_events() == []
    one.tick(2.0)
    assert one.take_events() == [PublishRefused(("p", 1, "/c/x"), NO_COORDINATOR, 0)]
    publish(one, 2.1, 2)
    assert one.take_events() == [PublishRefused(("p", 2, "/c/x"), NO_COORDINATOR, 0)]
    one.coordinated(3.0, 0, "c", True)
    publish(one, 3.1, 3)
    assert one.take_events() == []
    sent(one)
    one.coordinated(3.2, 0, "", False)
    one.tick(5.2)
    assert one.take_events() == [PublishRefused(("p", 3, "/c/x"), UNKNOWN, 0)], "the coordinator may have it"


def test_no_more_than_so_many_wait() -> None:
    one = forwarding()
    publish(one, 0.0, 1, 2, 3, 4, 5, 6)
    assert one.take_events() == [PublishRefused(("p", 6, "/c/x"), FULL, 0)]
    one.committed(0.1, 0, ("p", 1, "/c/x"), (4, 0))
    publish(one, 0.2, 6)
    assert one.take_events() == [PublishCommitted(0, ("p", 1, "/c/x"), (4, 0))]
    assert one.pending == 5


def test_what_was_answered_before_it_was_sent_is_not_sent() -> None:
    one = forwarding()
    publish(one, 0.0, 1, 2)
    one.committed(0.1, 0, ("p", 1, "/c/x"), (4, 0))
    assert sent(one) == [("c", 1, 0, [2])]


def test_slots_do_not_disturb_each_other() -> None:
    one = forwarding()
    one.coordinated(0.0, 1, "b", True)
    one.publish(0.0, 1, item(1))
    publish(one, 0.0, 2)
    assert sorted(sent(one)) == [("b", 1, 0, [1]), ("c", 1, 0, [2])]
    one.coordinated(0.1, 1, "c", True)
    assert sent(one) == [("c", 2, 0, [1])]


def test_a_packet_is_bounded() -> None:
    one = Forwarding(ForwardingConfig(), 1, 0.0)
    one.coordinated(0.0, 0, "c", True)
    for number in range(FORWARD_ITEMS_MAX + 1):
        one.publish(0.0, 0, item(number))
    assert [(first, len(some)) for _, _, first, some in sent(one)] == [(0, FORWARD_ITEMS_MAX), (FORWARD_ITEMS_MAX, 1)]
    for number in range(3):
        one.publish(0.0, 0, Item("/c/x", "big", number, b"x" * 600_000, None, 0))
    assert [len(some) for _, _, _, some in sent(one)] == [2, 1]


# The coordinator's end.


def taken(streams: Streams, stream: int, first: int, *numbers: int, boot: str = "a1") -> list[int]:
    return [one.number for one in streams.take("a", boot, Forward(0, stream, first, items(*numbers)))]


def test_a_stream_is_taken_in_order_and_without_repeats() -> None:
    streams = Streams()
    assert taken(streams, 3, 0, 10, 11) == [10, 11]
    assert taken(streams, 3, 3, 13) == [], "something is missing"
    assert taken(streams, 3, 1, 11, 12) == [12]
    assert taken(streams, 3, 0, 10, 11) == []
    assert taken(streams, 3, 3, 13) == [13]


def test_a_newer_stream_takes_the_place_of_an_older_one() -> None:
    streams = Streams()
    taken(streams, 3, 0, 10)
    assert taken(streams, 4, 1, 11) == [], "it begins at its beginning"
    assert taken(streams, 4, 0, 10, 11) == [10, 11]
    assert taken(streams, 3, 1, 11, 12, 13) == []


def test_another_start_of_a_node_begins_anew() -> None:
    streams = Streams()
    taken(streams, 3, 0, 10)
    assert taken(streams, 1, 0, 20, boot="a2") == [20]
    assert taken(streams, 1, 1, 21, boot="a2") == [21]


def test_another_epoch_begins_anew() -> None:
    streams = Streams()
    taken(streams, 3, 0, 10)
    streams.restart()
    assert taken(streams, 3, 1, 11) == []
    assert taken(streams, 3, 0, 10, 11) == [10, 11]


faults = st.lists(st.sampled_from(["arrives", "is lost", "comes twice", "comes late"]), max_size=30)


@given(st.lists(st.integers(1, 4), max_size=10), faults)
def test_both_ends_keep_the_order_over_any_loss(batches: list[int], fates: list[str]) -> None:
    one, streams = Forwarding(ForwardingConfig(timeout_s=1e9), 1, 0.0), Streams()
    one.coordinated(0.0, 0, "c", True)
    now, number = 0.0, 0
    log: list[int] = []
    late: list[Forward] = []

    def arrive(forward: Forward) -> None:
        for new in streams.take("a", "a1", forward):
            if new.number not in log:  # as Replication.publish does
                log.append(new.number)
            one.committed(now, 0, ("p", new.number, "/c/x"), (1, log.index(new.number)))

    for count in [*batches, *[0] * 400]:
        now += 0.1
        for _ in range(count):
            number += 1
            one.publish(now, 0, item(number))
        for _, forward in one.take_sends():
            fate = fates.pop() if fates else "arrives"
            if fate == "comes late":
                late.append(forward)
            for _ in range({"arrives": 1, "comes twice": 2}.get(fate, 0)):
                arrive(forward)
        if len(late) > 2:
            arrive(late.pop())
        one.tick(now)
    assert log == [*range(1, number + 1)]
    published = Counter(event.publish[1] for event in one.take_events() if isinstance(event, PublishCommitted))
    assert published == Counter(log)


def test_what_waits_is_bounded_in_bytes_too() -> None:
    one = Forwarding(ForwardingConfig(pending_bytes_max=10_000), 1, 0.0)
    one.coordinated(0.0, 0, "c", True)
    for number in range(4):
        one.publish(0.1, 0, Item("/c/x", "p", number, b"." * 3_000, None, 0))
    assert one.take_events() == [PublishRefused(("p", 3, "/c/x"), FULL, 0)]
    one.committed(0.2, 0, ("p", 0, "/c/x"), (1, 0))
    one.publish(0.3, 0, Item("/c/x", "p", 4, b"." * 3_000, None, 0))
    assert one.take_events() == [PublishCommitted(0, ("p", 0, "/c/x"), (1, 0))]
    assert one.pending_bytes <= 10_000
