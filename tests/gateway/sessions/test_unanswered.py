"""What one client asks for and gives up again is work for the node only within bounds, and delays nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.link import events as link
from gateway.link.messages import encode_json
from gateway.sessions.session import GONE, OPEN, Session
from gateway.sessions.subscribing import UNANSWERED_MAX
from mesh.log import Entry
from tests.gateway.sessions.core import Harness

PUBLISH: dict[str, Any] = {"op": "publish", "id": 7, "subject": "/t/a", "publisher": "p" * 16, "seq": 1, "text": "x"}
HISTORY = encode_json("/t/a", "0.x", Entry((0, 1), None, -1, b"1", None), "json", 0)


def subscribe(harness: Harness, session: Session, *ids: int, subject: str = "/t/a") -> None:
    for id in ids:
        assert harness.send(session, {"op": "subscribe", "id": id, "subject": subject}) == []


def unsubscribe(harness: Harness, session: Session, *ids: int) -> None:
    for id in ids:
        (done,) = harness.send(session, {"op": "unsubscribe", "id": 1000 + id, "sub": id})
        assert done["op"] == "unsubscribed"


def live_at_once(sid: int) -> list[link.FromNode]:
    """What the node says of a subscription without history."""
    return [link.Answer(sid, "fresh", {"0.x": (0, 1)}, [], []), link.Page(sid, b"", {"0.x": (0, 1)}, [], True)]


def asked(harness: Harness) -> list[int]:
    """The clients' ids of the subscriptions that the node is asked for now."""
    return [event.sub for event in harness.events() if isinstance(event, link.Subscribe)]


def cancelled(harness: Harness) -> list[int]:
    return [event.sid for event in harness.events() if isinstance(event, link.Cancel)]


@pytest.fixture
def harness() -> Harness:
    return Harness(subscriptions_max=1000)


def test_the_node_is_asked_for_a_few_at_a_time_and_others_are_not_held_up(harness: Harness) -> None:
    greedy, other = harness.open(), harness.open()
    subscribe(harness, greedy, *range(100))
    subscribe(harness, other, 1, 2)
    assert asked(harness) == [*range(UNANSWERED_MAX), 1, 2]
    harness.say(*live_at_once(3))
    assert asked(harness) == [UNANSWERED_MAX]
    harness.say(link.Page(3, b"", {}, [], True))
    assert asked(harness) == [], "once for each"
    harness.say(link.Waiting(4, "no broker"), link.Answer(5, "fresh", {"0.x": (0, 1)}, [], ["0.x", "1.x"]))
    assert asked(harness) == [UNANSWERED_MAX + 1, UNANSWERED_MAX + 2], "what has to wait is no work"
    harness.say(*live_at_once(4), *live_at_once(5))
    assert asked(harness) == []


@pytest.mark.parametrize("is_final", [False, True])
def test_who_does_not_take_what_was_read_is_read_no_more(harness: Harness, is_final: bool) -> None:
    session = harness.open()
    subscribe(harness, session, *range(UNANSWERED_MAX + 2))
    harness.events()
    harness.say(link.Answer(1, "fresh", {"0.x": (0, 1)}, [], []), link.Page(1, HISTORY, {}, [], is_final))
    assert harness.events() == []
    harness.sessions.drained(session)
    assert harness.events() == ([] if is_final else [link.More(1)]) + [
        link.Subscribe(UNANSWERED_MAX + 1, UNANSWERED_MAX, "/t/a", link.JSON, link.Start("latest"), 1)
    ]
    harness.say(link.Page(1, HISTORY, {}, [], True))
    harness.sessions.drained(session)
    assert harness.events() == [], "the next pages are the same work"


def test_a_log_that_had_to_wait_is_asked_for_page_by_page(harness: Harness) -> None:
    """The final page of the others is not its last one (found by the simulator)."""
    session = harness.open()
    subscribe(harness, session, 1)
    harness.events()
    harness.say(link.Answer(1, "fresh", {"0.x": (0, 1)}, [], ["1.x"]), link.Page(1, HISTORY, {"0.x": (0, 1)}, [], True))
    harness.sessions.drained(session)
    assert harness.events() == []
    harness.say(link.Page(1, HISTORY, {}, [], False))
    harness.sessions.drained(session)
    assert harness.events() == [link.More(1)]


def test_what_is_given_up_before_its_only_page_was_taken_counts_no_more(harness: Harness) -> None:
    session = harness.open()
    subscribe(harness, session, *range(UNANSWERED_MAX + 1))
    harness.events()
    harness.say(link.Answer(1, "fresh", {}, [], []), link.Page(1, HISTORY, {"0.x": (0, 1)}, [], True))
    unsubscribe(harness, session, 0)
    assert asked(harness) == [UNANSWERED_MAX]
    harness.sessions.drained(session)
    assert asked(harness) == []


def test_what_is_given_up_before_it_was_asked_costs_nothing(harness: Harness) -> None:
    session = harness.open()
    subscribe(harness, session, *range(100))
    harness.events()
    unsubscribe(harness, session, *range(50, 100))
    assert harness.events() == []
    subscribe(harness, session, 200, subject="/t/b")
    unsubscribe(harness, session, 200)
    assert harness.events() == [link.Drop("/t/b", link.JSON)]

    quick = harness.open()
    subscribe(harness, quick, 1, 2)
    unsubscribe(harness, quick, 1)
    assert asked(harness) == [2]


def test_what_is_given_up_counts_until_the_node_has_dropped_it(harness: Harness) -> None:
    session = harness.open()
    subscribe(harness, session, *range(UNANSWERED_MAX))
    harness.events()
    unsubscribe(harness, session, *range(UNANSWERED_MAX))
    subscribe(harness, session, 100, 101)
    events = harness.events()
    assert [event for event in events if isinstance(event, link.Subscribe)] == []
    sids = [event.sid for event in events if isinstance(event, link.Cancel)]
    assert len(sids) == UNANSWERED_MAX
    harness.say(*live_at_once(sids[0]))
    assert asked(harness) == []
    harness.say(link.Cancelled(sids[0]), link.Cancelled(sids[0]))
    assert asked(harness) == [100]
    harness.say(*map(link.Cancelled, sids[1:]))
    assert asked(harness) == [101]


def test_clients_that_subscribe_and_go_again_and_again_are_held_up(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sessions.subscribing.UNDROPPED_MAX", 20)
    sids: list[int] = []
    for _ in range(10):
        session = harness.open()
        subscribe(harness, session, *range(5))
        if asked(harness):
            harness.sessions.gone(session)
            sids += cancelled(harness)
    assert len(sids) == 25
    assert session.state == OPEN
    harness.say(*map(link.Cancelled, sids[:4]))
    assert asked(harness) == []
    harness.say(link.Cancelled(sids[4]))
    assert asked(harness) == [*range(5)] * 5


def test_publishes_and_cancels_overtake_the_subscribes_of_others_but_not_of_their_own_client(harness: Harness) -> None:
    many, publisher, both = harness.open(), harness.open(), harness.open()
    harness.go_live(publisher, "/t/b", 9)
    subscribe(harness, many, 1, 2)
    subscribe(harness, both, 1)
    for session in (both, publisher):
        harness.send(session, PUBLISH)
    unsubscribe(harness, publisher, 9)
    first, then = harness.sessions.outputs.take_events()
    assert [type(event) for event in first] == [link.Publish, link.Drop]
    assert [type(event) for event in then] == [link.Subscribe] * 3 + [link.Publish]
    harness.send(both, PUBLISH | {"id": 8})
    first, then = harness.sessions.outputs.take_events()
    assert ([type(event) for event in first], then) == ([link.Publish], [])


def test_after_a_loss_what_was_not_answered_is_asked_as_it_was(harness: Harness) -> None:
    session, live = harness.open(), harness.open()
    harness.go_live(live, "/t/x", 9)
    subscribe(harness, session, *range(UNANSWERED_MAX + 1), subject="/t/a")
    unsubscribe(harness, session, *range(1, UNANSWERED_MAX + 1))
    harness.events()
    subscribe(harness, session, 100, subject="/t2/a")
    harness.sessions.link_jumped()
    assert harness.sent() == {}
    assert session.state == live.state == OPEN
    events = harness.events()
    assert [event for event in events if isinstance(event, link.Cancel)] == [link.Cancel(2)]
    again = [event for event in events if isinstance(event, link.Subscribe)]
    assert [(event.sub, event.subject, event.start.kind) for event in again] == [
        (0, "/t/a", "latest"),
        (100, "/t2/a", "latest"),
    ]
    sid = again[0].sid
    found = harness.say(link.Answer(sid, "fresh", {}, [], []), link.Page(sid, b"", {"0.x": (0, 1)}, [], True))
    assert [frame["op"] for frame in found[session]] == ["subscribed", "live"]


def test_after_a_loss_who_has_had_a_part_of_the_history_is_ended(harness: Harness) -> None:
    session = harness.open()
    subscribe(harness, session, 1)
    harness.say(link.Answer(1, "fresh", {"0.x": (0, 5)}, [], []), link.Page(1, b"", {}, [], False))
    harness.sessions.link_jumped()
    harness.sent()
    assert session.state == GONE


def test_a_pattern_counts_as_several_subjects(harness: Harness) -> None:
    session = harness.open()
    subscribe(harness, session, 1, 2, 3, subject="/t/*")
    subscribe(harness, session, 4)
    assert asked(harness) == [1, 2]
    harness.say(*live_at_once(1))
    assert asked(harness) == [3]
    unsubscribe(harness, session, 2, 3)
    sids = cancelled(harness)
    harness.say(link.Cancelled(sids[0]))
    assert asked(harness) == [4]
