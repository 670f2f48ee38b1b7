"""What keeps a loaded mesh from adding to its load: work in batches, and nothing sent again that is only slow."""

from __future__ import annotations

import pytest

from mesh.slots.forwarding import Forwarding, ForwardingConfig
from mesh.transport.pump import Pump
from tests.mesh.slots.slot_bench import item
from tests.mesh.transport.test_pump import Loop, Socket

CONFIG = ForwardingConfig(timeout_s=60, retry_s=0.3, retry_max_s=1.2)


class Lane:
    """Publishes of one slot, each committed `commit_s` after it came in; what is sent again is counted."""

    def __init__(self) -> None:
        self.forwarding = Forwarding(CONFIG, 1, 0.0)
        self.forwarding.coordinated(0.0, 0, "c", True)
        self.now = 0.0
        self.number = 0

    def publish(self, commit_s: float) -> int:
        """How often it was sent."""
        self.number += 1
        self.forwarding.publish(self.now, 0, item(self.number))
        sent = len(self.forwarding.take_sends())
        for _ in range(round(commit_s / 0.05)):
            self.now += 0.05
            self.forwarding.tick(self.now)
            sent += len(self.forwarding.take_sends())
        self.forwarding.committed(self.now, 0, ("p", self.number, "/c/x"), (1, self.number))
        self.now += 0.05
        return sent


def test_what_is_slow_is_sent_again_at_first_and_then_no_more() -> None:
    lane = Lane()
    assert [lane.publish(0.5) for _ in range(4)] == [2, 1, 1, 1]


def test_what_is_quick_again_is_sent_again_as_soon_as_before() -> None:
    lane = Lane()
    for _ in range(2):
        lane.publish(0.5)
    for _ in range(20):
        assert lane.publish(0.05) == 1
    assert lane.publish(0.35) == 2


def test_patience_has_an_end() -> None:
    lane = Lane()
    lane.publish(5.0)
    assert lane.publish(1.15) == 1
    assert lane.publish(1.35) == 2


def test_a_slot_without_a_coordinator_keeps_its_publishes_until_it_has_one() -> None:
    one = Forwarding(CONFIG, 2, 0.0)
    one.publish(0.0, 1, item(1))
    assert one.take_sends() == []
    assert one.take_sends() == []
    one.coordinated(0.1, 1, "c", True)
    assert [to for to, _ in one.take_sends()] == ["c"]
    assert one.take_sends() == []


@pytest.mark.parametrize("messages", [1, 3, 50])
def test_all_messages_of_a_turn_are_handled_together(messages: int) -> None:
    loop, did = Loop(), list[str]()
    pump = Pump(loop, pytest.fail, lambda: did.append("turned"))
    one, two = Socket(*["one"] * messages), Socket("two")
    for socket in (one, two):
        pump.add(socket, socket.fetch, did.append)  # type: ignore[arg-type]
    loop.timers[0].fire()
    assert sorted(did) == ["one"] * messages + ["turned", "two"]
    assert did[-1] == "turned"
