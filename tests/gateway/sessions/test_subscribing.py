"""Subscriptions of all clients of a worker: fan-out, their lives, and what happens when the link loses something."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.link import events as link
from gateway.link.messages import encode_json, encode_msgpack
from gateway.sessions.session import GONE, NEW, OPEN
from mesh.log import Entry, Gap
from mesh.placement import slot_of
from tests.gateway.sessions.core import Harness, frames_in

PUBLISH: dict[str, Any] = {"op": "publish", "id": 7, "subject": "/t/a", "publisher": "p" * 16, "seq": 1, "text": "x"}


def live(*messages: tuple[str, int], ends: dict[str, Any] | None = None) -> link.Live:
    """A batch of (subject, seq) in log `0.x`, in both encodings."""
    subjects = [subject for subject, _ in messages]
    made = [
        [encode(subject, "0.x", Entry((0, seq), None, -1, b"1", None), "json") for subject, seq in messages]
        for encode in (encode_json, encode_msgpack)
    ]
    return link.Live(ends or {}, (subjects, made[0]), (subjects, made[1]))


def seen(found: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(frame["subject"], frame["at"][1]) for frame in found if frame["op"] == "msg"]


def test_live_messages_reach_those_who_want_them_in_order_and_in_one_write() -> None:
    harness = Harness()
    one, other, packed = harness.open(), harness.open(), harness.open(link.MSGPACK)
    harness.go_live(one, "/t/a", 2)
    harness.go_live(one, "/t/b", 3)
    harness.go_live(other, "/t/b", 2)
    harness.go_live(packed, "/t/a", 2)
    found = harness.say(live(("/t/a", 6), ("/t/b", 7), ("/t/c", 8), ("/t/a", 9), ("/t/b", 10)))
    assert harness.writes == 3
    assert seen(found[one]) == [("/t/a", 6), ("/t/b", 7), ("/t/a", 9), ("/t/b", 10)]
    assert seen(found[other]) == [("/t/b", 7), ("/t/b", 10)]
    assert seen(found[packed]) == [("/t/a", 6), ("/t/a", 9)]
    assert harness.sessions.stats.messages_out == 8


def test_a_client_that_matches_several_ways_gets_a_message_once() -> None:
    harness = Harness(subscriptions_max=10)
    session = harness.open()
    for id, subject in enumerate(["/t/a/b", "/t/a/b", "/t/*", "/t/a/*"]):
        harness.go_live(session, subject, id)
    assert seen(harness.say(live(("/t/a/b", 6), ("/t/c", 7)))[session]) == [("/t/a/b", 6), ("/t/c", 7)]


def test_a_pattern_gets_messages_in_the_order_of_the_log() -> None:
    harness = Harness()
    session = harness.open()
    harness.go_live(session, "/t/*", 2)
    harness.go_live(session, "/t/b", 3)
    batch = [("/t/a", 6), ("/t/b", 7), ("/t/a", 8), ("/t", 9), ("/t/b", 10)]
    assert seen(harness.say(live(*batch))[session]) == [one for one in batch if one[0] != "/t"]


def test_nobody_gets_live_messages_before_the_first_live_page_or_after_the_end() -> None:
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session)
    assert harness.say(live(("/t/a", 6))) == {}
    harness.say(link.Answer(sid, "fresh", {}, [], []), link.Page(sid, b"", {}, [], False))
    assert harness.say(live(("/t/a", 7))) == {}
    harness.say(link.Page(sid, b"", {"0.x": (0, 7)}, [], True))
    assert seen(harness.say(live(("/t/a", 8)))[session]) == [("/t/a", 8)]
    harness.send(session, {"op": "unsubscribe", "id": 3, "sub": 2})
    assert harness.say(live(("/t/a", 9))) == {}


def test_what_follows_in_the_same_packet_follows_in_the_same_write() -> None:
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session)
    at = {"0.x": (0, 5)}
    found = harness.say(link.Answer(sid, "fresh", at, [], []), link.Page(sid, b"", at, [], True), live(("/t/a", 6)))[
        session
    ]
    assert [frame["op"] for frame in found] == ["subscribed", "live", "msg"]
    assert harness.writes == 1


def test_the_node_drops_a_subject_only_when_the_last_subscription_of_the_encoding_is_gone() -> None:
    harness = Harness()
    one, other, packed = harness.open(), harness.open(), harness.open(link.MSGPACK)
    harness.go_live(one)
    unanswered = harness.subscribe(other)
    harness.go_live(packed)
    harness.sessions.gone(one)
    assert harness.events() == []
    harness.sessions.gone(packed)
    assert harness.events() == [link.Drop("/t/a", link.MSGPACK)]
    harness.sessions.gone(other)
    assert harness.events() == [link.Cancel(unanswered), link.Drop("/t/a", link.JSON)]
    assert (harness.subscribing.subscription_count, harness.subscribing.subject_count) == (0, 0)


def test_a_log_that_waits_comes_later_and_keeps_the_subscription_with_the_node() -> None:
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session)
    harness.say(link.Answer(sid, "fresh", {"0.x": (0, 5)}, [], ["1.x"]), link.Page(sid, b"", {"0.x": (0, 5)}, [], True))
    assert seen(harness.say(live(("/t/a", 6)))[session]) == [("/t/a", 6)]
    harness.sessions.gone(session)
    assert harness.events() == [link.Cancel(sid), link.Drop("/t/a", link.JSON)]


def test_news_of_a_slot_reaches_patterns_and_the_subjects_of_that_slot_only() -> None:
    harness = Harness()
    session = harness.open()
    for sub, subject in enumerate(["/t/a", "/t/b", "/t/*"], 2):
        harness.go_live(session, subject, sub)
    slot = slot_of("/t/b", 64)
    assert slot != slot_of("/t/a", 64)
    told = harness.say(link.LogGap("t", Gap("s1.x", (1, 0), None, "memory_lost"), (slot, 64)))
    assert [frame["sub"] for frame in told[session]] == [3, 4]


def test_news_of_logs_reaches_live_subscriptions_of_the_topic() -> None:
    harness = Harness()
    session, elsewhere, early = harness.open(), harness.open(), harness.open()
    harness.go_live(session, "/t/a", 2)
    harness.go_live(session, "/t/*", 3)
    harness.go_live(elsewhere, "/t2/a")
    harness.subscribe(early)
    assert harness.say(link.NewLog("t", "9.x", (0, -1))) == {
        session: [{"op": "live", "sub": sub, "at": {"9.x": [0, -1]}} for sub in (2, 3)]
    }
    gap = Gap("0.x", (0, 5), (0, 9), "truncated")
    shown = [{"log": "0.x", "from": [0, 5], "to": [0, 9], "why": "truncated"}]
    assert harness.say(link.LogGap("t", gap)) == {session: [{"op": "gap", "sub": sub, "gaps": shown} for sub in (2, 3)]}
    assert harness.subscribing.ends["t"] == {"9.x": (0, -1), "0.x": (0, 9)}
    assert harness.say(link.LogEnded("t", "0.x")) == {
        session: [{"op": "ended", "sub": sub, "log": "0.x"} for sub in (2, 3)]
    }
    assert harness.subscribing.ends == {"t": {"9.x": (0, -1)}, "t2": {"0.x": (0, 5)}}
    harness.say(link.LogGap("t", Gap("9.x", None, None, "log_gone")))
    assert harness.subscribing.ends["t"] == {}


def test_who_waits_for_a_log_is_live_in_it_after_its_own_pages_only() -> None:
    """A node that reads a log late tells of it those who are live without it: of others its end would hide a loss."""
    harness = Harness()
    session = harness.open()
    sid = harness.subscribe(session)
    answer = link.Answer(sid, "full", {"0.x": (0, 5), "1.x": (0, 3)}, [], ["1.x"])
    harness.say(answer, link.Page(sid, b"", {"0.x": (0, 5)}, [], True))
    assert harness.say(link.NewLog("t", "1.x", (0, 9))) == {}
    assert harness.say(link.Page(sid, b"", {"1.x": (0, 9)}, [], True)) == {
        session: [{"op": "live", "sub": 2, "at": {"1.x": [0, 9]}}]
    }


def heartbeat(harness: Harness, session: Any) -> Any:
    (frame,) = frames_in(harness.subscribing.heartbeat(session, {}))
    assert frame.pop("op") == "heartbeat"
    return frame.get("at")


def test_heartbeats_say_how_far_the_topics_of_a_connection_are() -> None:
    harness = Harness()
    one, two = harness.open(), harness.open(link.MSGPACK)
    assert heartbeat(harness, one) is None
    harness.go_live(one, "/t/a", 2, seq=5)
    harness.go_live(two, "/t/b", 2, seq=7)
    harness.go_live(two, "/t2/b", 3, seq=1)
    assert heartbeat(harness, one) == {"0.x": [0, 7]}
    harness.say(live(ends={"t": {"0.x": (1, 2), "1.x": (0, 3)}, "unknown": {"0.u": (0, 1)}}))
    assert heartbeat(harness, one) == {"0.x": [1, 2], "1.x": [0, 3]}
    assert set(harness.subscribing.ends) == {"t", "t2"}
    made: dict[tuple[object, ...], bytes] = {}
    other = harness.open()
    harness.go_live(other, "/t/*", 2, seq=1)
    assert harness.subscribing.heartbeat(one, made) is harness.subscribing.heartbeat(other, made)
    assert heartbeat(harness, one) == {"0.x": [1, 2], "1.x": [0, 3]}
    for session in (one, two, other):
        harness.sessions.gone(session)
    assert harness.subscribing.ends == {}


def test_after_a_loss_what_was_under_way_is_ended_or_answered() -> None:
    harness = Harness()
    catching_up, waiting, idle = harness.open(), harness.open(), harness.open()
    harness.go_live(catching_up, "/t/a", 2)
    partly = harness.subscribe(catching_up, "/t/b", 3)
    harness.say(link.Answer(partly, "fresh", {}, [], []), link.Page(partly, b"", {}, [], False))
    sid = harness.subscribe(waiting, "/t/c")
    harness.say(link.Answer(sid, "fresh", {}, [], ["1.x"]), link.Page(sid, b"", {"0.x": (0, 1)}, [], True))
    harness.send(idle, PUBLISH)
    harness.events()
    harness.sessions.link_jumped()
    found = harness.sent()
    assert [(session, code) for session, code, _ in harness.closed] == [(catching_up, 4000), (waiting, 4000)]
    assert (catching_up.state, waiting.state, idle.state) == (GONE, GONE, OPEN)
    assert [(frame["op"], frame["id"], frame["code"]) for frame in found[idle]] == [("error", 7, 4012)]
    assert idle.publishes == 0
    assert not [event for event in harness.events() if isinstance(event, link.Subscribe)]
    assert harness.say(link.Published(1, "0.x", (0, 1))) == {}
    assert harness.sessions.stats.resyncs == 1


def test_clients_are_asked_to_move_in_their_own_encoding() -> None:
    harness = Harness()
    one, packed, silent = harness.open(), harness.open(link.MSGPACK), harness.connect()
    harness.sessions.move(8, ["ws://b"])
    frame = {"op": "move", "within_s": 8, "servers": ["ws://b"]}
    assert harness.sent() == {one: [frame], packed: [frame]}
    assert silent.state == NEW


@pytest.mark.parametrize("count", [2, 50])
def test_a_hot_subject_is_joined_once_for_all(count: int) -> None:
    harness = Harness(subscriptions_max=10)
    sessions = [harness.open() for _ in range(count)]
    for session in sessions:
        harness.go_live(session)
    harness.sessions.handle([live(*[("/t/a", seq) for seq in range(6, 26)])])
    pieces = [harness.sessions.outputs.sends[session] for session in sessions]
    assert all(len(one) == 1 and one[0] is pieces[0][0] for one in pieces)
    assert [frame["at"][1] for frame in frames_in(pieces[0][0])] == list(range(6, 26))


def test_new_clients_are_told_of_the_servers_that_the_node_named_last() -> None:
    harness = Harness()
    found = [harness.send(harness.connect(), {"op": "hello", "id": 1})[0]["servers"]]
    for servers in (["ws://a/v1/ws", "ws://b/v1/ws"], []):
        assert harness.say(link.Servers(servers)) == {}, "who is connected already is told nothing"
        found.append(harness.send(harness.connect(), {"op": "hello", "id": 1})[0]["servers"])
    assert found == [["ws://other:1/v1/ws"], ["ws://a/v1/ws", "ws://b/v1/ws"], []]
