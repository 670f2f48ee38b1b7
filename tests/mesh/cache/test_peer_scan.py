"""A peer answers with all that there is of a stretch, or not at all; peers are asked in turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.cache.cache import Cache, CacheConfig, Log
from mesh.cache.peer_scan import (
    NotHeld,
    PeerScan,
    PeerScanConfig,
    PeerScanEvent,
    PeerScanned,
    ScanAnswer,
    ScanAsk,
    ScanNo,
    gather,
)
from mesh.log import BEGINNING, Position
from tests.support.truth import covers


def cache(count: int, per_subject: int = 1000) -> Cache:
    held = Cache(CacheConfig(ttl_s=100, messages_per_subject=per_subject, bytes_max=10**9, snapshot_ttl_s=100))
    log = held.open("0.x", "t")
    for seq in range(count):
        held.append(log, f"/t/{seq % 3}", (seq // 20, seq), 1, b"v%d" % seq, None)
    return held


def scan(held: Cache | None) -> PeerScan:
    return PeerScan(lambda log: held.logs.get(log) if held is not None else None, PeerScanConfig())


def settle(now: float, nodes: dict[str, PeerScan], deaf: str = "") -> None:
    while any(sent := {name: node.take_sends() for name, node in nodes.items()}.values()):
        for name, sends in zip(nodes, sent, strict=True):
            for to, packet in sends:
                if to != deaf:
                    nodes[to].receive(now, name, packet)


def ask(node: PeerScan, ticket: int, subject: str, after: Position, until: Position, peers: list[str]) -> None:
    node.ask(0.0, ticket, "0.x", subject, after, until, 100, 1 << 20, peers)


def one(events: list[PeerScanEvent]) -> PeerScanEvent:
    assert len(events) == 1
    return events[0]


def test_a_peer_that_has_it_answers() -> None:
    nodes = {"a": scan(None), "b": scan(cache(60))}
    ask(nodes["a"], 7, "/t/1", (0, 4), (2, 46), ["b"])
    settle(0.0, nodes)
    answer = one(nodes["a"].take_events())
    assert isinstance(answer, PeerScanned)
    assert answer.ticket == 7
    assert [entry.at[1] for _, entry in answer.found] == list(range(7, 47, 3))
    assert answer.reached == (2, 46)


def test_a_peer_whose_cache_does_not_reach_back_is_left_for_the_next() -> None:
    nodes = {"a": scan(None), "b": scan(cache(60, per_subject=5)), "c": scan(cache(60))}
    ask(nodes["a"], 7, "/t/*", (0, 4), (2, 59), ["b", "c"])
    settle(0.0, nodes)
    answer = one(nodes["a"].take_events())
    assert isinstance(answer, PeerScanned)
    assert [entry.at[1] for _, entry in answer.found] == list(range(5, 60))
    assert answer.reached == (2, 59)
    assert nodes["b"].refused == 1


def test_a_silent_peer_and_a_dead_one_are_left_and_three_are_enough() -> None:
    nodes = {name: scan(cache(60, per_subject=5)) for name in "abcde"}
    ask(nodes["a"], 7, "/t/1", (0, 4), (2, 59), ["b", "c", "d", "e"])
    settle(0.0, nodes, deaf="b")
    nodes["a"].tick(0.29)
    assert nodes["a"].take_sends() == []
    nodes["a"].tick(0.31)
    ((to, _),) = nodes["a"].take_sends()
    assert to == "c"
    nodes["a"].members(0.4, ["a", "b", "d", "e"])
    settle(0.4, nodes)
    assert one(nodes["a"].take_events()) == NotHeld(7)
    assert nodes["e"].refused == 0


def test_a_late_answer_of_another_peer_counts_no_more() -> None:
    nodes = {"a": scan(None)}
    ask(nodes["a"], 7, "/t/1", (0, 4), (2, 59), ["b", "c"])
    ((_, first),) = nodes["a"].take_sends()
    nodes["a"].tick(1.0)
    ((_, second),) = nodes["a"].take_sends()
    nodes["a"].receive(1.1, "b", ScanAnswer(first.ticket, [], (9, 9)))
    nodes["a"].receive(1.1, "b", ScanAnswer(second.ticket, [], (9, 9)))
    assert nodes["a"].take_events() == []
    nodes["a"].receive(1.2, "c", ScanAnswer(second.ticket, [], (2, 59)))
    assert one(nodes["a"].take_events()) == PeerScanned(7, [], (2, 59))


def test_no_peers_no_answer_and_a_cancelled_question_neither() -> None:
    node = scan(None)
    ask(node, 7, "/t/1", (0, 4), (2, 59), [])
    assert one(node.take_events()) == NotHeld(7)
    ask(node, 8, "/t/1", (0, 4), (2, 59), ["b"])
    node.cancel(8)
    node.tick(9.0)
    assert node.take_events() == []


def test_a_peer_that_is_not_further_itself_refuses() -> None:
    node = scan(cache(20))
    node.receive(0.0, "a", ScanAsk(1, "0.x", "/t/1", (0, 19), (0, 30), 10, 1000))
    assert node.take_sends() == [("a", ScanNo(1))]
    node.receive(0.0, "a", ScanAsk(2, "1.x", "/t/1", BEGINNING, (0, 30), 10, 1000))
    assert node.take_sends() == [("a", ScanNo(2))]


@given(
    st.sampled_from(["/t/0", "/t/1", "/t/*", "/t/none"]),
    st.integers(-1, 70),
    st.integers(-1, 80),
    st.integers(1, 9),
    st.sampled_from([1, 600, 10**6]),
)
def test_what_is_gathered_is_all_that_there_is(subject: str, after: int, until: int, most: int, bytes_max: int) -> None:
    log: Log = cache(60).logs["0.x"]
    start, end = (max(after, 0) // 20, after), (max(until, 0) // 20, until)
    if end <= start or log.end <= start:
        return
    found, reached = gather(log, subject, start, end, most, bytes_max)
    assert start < reached <= end
    wanted = [
        (name, (seq // 20, seq))
        for seq in range(60)
        if (name := f"/t/{seq % 3}") == subject or covers(subject, name)
        if start < (seq // 20, seq) <= reached
    ]
    assert [(name, entry.at) for name, entry in found] == wanted
    assert len(found) <= most
