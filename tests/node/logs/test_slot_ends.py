"""Places of clients after the end of a slot's log."""

from __future__ import annotations

import pytest

from gateway.link import events as link
from mesh.log import Gap
from tests.node.logs.test_slot_logs import Pair

SUBJECT = "/chat/x"


def log_id(pair: Pair) -> str:
    log = pair.b.core.topics.slots[0]
    assert log is not None
    return log.id


def answers(pair: Pair) -> list[link.Answer]:
    return [event for event in pair.b.told() if isinstance(event, link.Answer)]


@pytest.mark.parametrize("kind", ["resume", "at"])
@pytest.mark.parametrize("place", [(1, 1000), (9, 0)])
def test_one_that_the_log_does_not_reach_is_a_gap_back_to_its_end(kind: str, place: tuple[int, int]) -> None:
    pair = Pair()
    pair.publish(1)
    name = log_id(pair)
    pair.b.subscribe(1, SUBJECT, link.Start(kind, place={name: place}))
    assert answers(pair) == []  # this node may only be behind
    pair.run(2.0)
    [answer] = answers(pair)
    assert (answer.answer, answer.gaps) == ("gap", [Gap(name, place, (1, 0), "memory_lost")])
    assert answer.at == {name: (1, 0)}


def test_one_that_this_node_does_not_reach_yet_waits_until_it_does() -> None:
    pair = Pair()
    pair.publish(1)
    name = log_id(pair)
    pair.is_cut = True
    pair.publish(1)
    pair.b.subscribe(1, SUBJECT, link.Start("resume", place={name: (1, 1)}))
    pair.run(3.0)
    told = pair.b.told()
    assert not any(event.gaps or event.live for event in told if isinstance(event, link.Page))
    assert not any(event.gaps for event in told if isinstance(event, link.Answer))
    pair.is_cut = False
    pair.run(2.0)
    [page] = [event for event in pair.b.told() if isinstance(event, link.Page)]
    assert (page.live, page.gaps) == ({name: (1, 1)}, [])


def test_nobody_is_answered_who_has_gone() -> None:
    pair = Pair()
    pair.publish(1)
    pair.b.subscribe(1, SUBJECT, link.Start("resume", place={log_id(pair): (9, 0)}))
    pair.b.core.worker_event(pair.now, 0, 1, link.Cancel(1))
    pair.run(2.0)
    assert answers(pair) == []
