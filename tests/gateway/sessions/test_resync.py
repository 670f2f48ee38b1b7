"""After the link has lost something: what cannot be caught up without its client noticing is ended instead."""

from __future__ import annotations

import pytest

from gateway.link import events as link
from gateway.sessions.session import GONE, OPEN
from mesh.log import Gap
from tests.gateway.sessions.core import Harness


@pytest.mark.parametrize("final", [False, True])
def test_logs_that_are_not_caught_up_at_once_end_the_connection(final: bool) -> None:
    """The client believes that it is live in 1.x: live messages of 1.x would come before those that it missed."""
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session, "/t/*")
    place = {"0.x": (0, 5), "1.x": (0, 5)}
    harness.say(link.Answer(sid, "fresh", place, [], []), link.Page(sid, b"", place, [], True))
    harness.sessions.link_jumped()
    harness.say(link.Answer(2, "full", place, [], []), link.Page(2, b"", {"0.x": (0, 9)}, [], final))
    assert [code for _, code, _ in harness.closed] == [4000]


def test_pages_without_a_live_log_do_not() -> None:
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session, "/t/*")
    place = {"0.x": (0, 5), "1.x": (0, 5)}
    harness.say(link.Answer(sid, "fresh", place, [], []), link.Page(sid, b"", place, [], True))
    harness.sessions.link_jumped()
    harness.say(
        link.Answer(2, "full", place, [], []), link.Page(2, b"", {}, [], False), link.Page(2, b"", place, [], True)
    )
    assert harness.closed == []


@pytest.mark.parametrize(
    ("subjects", "state"),
    [
        (["/t/*", "/t/a"], GONE),
        (["/t/a/*", "/t/*"], GONE),
        (["/t/a", "/t/a"], GONE),
        (["/t/a", "/t/b", "/t2/*"], OPEN),
    ],
)
def test_subscriptions_that_overlap_are_ended(subjects: list[str], state: int) -> None:
    """A live message is sent once, and its client takes it for all: also for one that is still being caught up."""
    harness = Harness()
    session = harness.open()
    for request, subject in enumerate(subjects, start=2):
        harness.go_live(session, subject, request)
    harness.sessions.link_jumped()
    harness.sent()
    assert session.state == state


def test_a_log_that_had_to_wait_after_the_answer_is_still_waited_for() -> None:
    """What was handed out in it is not known: resuming it from the worker's ends would leave a hole."""
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session, "/t/*")
    place = {"0.x": (0, 5), "1.x": (0, 5)}
    harness.say(link.Answer(sid, "full", place, [], []), link.Page(sid, b"", {"0.x": (0, 5)}, [], True))
    harness.sessions.link_jumped()
    harness.sent()
    assert session.state == GONE


def test_a_hole_of_the_node_is_told_to_those_who_are_live_in_the_log() -> None:
    """Others may have more of the log already, or less: their own pages say what they cannot have."""
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session, "/t/*")
    answer = link.Answer(sid, "full", {"0.x": (0, 5), "1.x": (0, 30)}, [], ["1.x"])
    harness.say(answer, link.Page(sid, b"", {"0.x": (0, 5)}, [], True))
    assert harness.say(link.LogGap("t", Gap("1.x", (0, 2), (0, 9), "retention"))) == {}
    (frame,) = harness.say(link.LogGap("t", Gap("0.x", (0, 5), (0, 9), "retention")))[session]
    assert frame["op"] == "gap"
    (frame,) = harness.say(link.LogGap("t", Gap("1.x", (0, 2), None, "log_gone")))[session]
    assert frame["op"] == "gap"
