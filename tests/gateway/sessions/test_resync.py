"""After the link has lost something: what cannot be caught up without its client noticing is ended instead."""

from __future__ import annotations

from gateway.link import events as link
from gateway.sessions.session import GONE
from mesh.log import Gap
from tests.gateway.sessions.core import Harness


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
