"""What is taken of what comes, and what is counted instead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.transport.links import Links, PeerAddress
from mesh.transport.wire import VERSION, Envelope

A = PeerAddress("a1", "127.0.0.1:1", "127.0.0.1:2")
B = PeerAddress("b1", "127.0.0.1:3", "127.0.0.1:4")


def message(sender: str, boot: str, link_seq: int = 0) -> Envelope[object]:
    return Envelope(VERSION, sender, boot, link_seq, [])


def links_of_me() -> Links:
    links = Links("me")
    assert links.change(0.0, {"me": A, "a": A, "b": B}) == ([], ["a", "b"])
    return links


def test_only_what_changed_is_opened_and_closed() -> None:
    links = links_of_me()
    assert links.change(1.0, {"b": B, "a": A}) == ([], [])
    again = PeerAddress("a2", A.router_address, A.pub_address)
    moved = PeerAddress(B.boot, B.router_address, "127.0.0.1:5")
    assert links.change(2.0, {"a": again, "b": B}) == (["a"], ["a"])
    assert links.change(2.0, {"a": again, "b": moved, "c": A}) == (["b"], ["b", "c"])
    assert links.change(3.0, {"c": A}) == (["a", "b"], [])
    assert (links.address("a"), links.address("c")) == (None, A)


def test_only_known_processes_under_their_own_name_count() -> None:
    links = links_of_me()
    assert links.admits(1.0, message("a", "a1"), None, is_numbered=False)
    assert links.admits(1.0, message("a", "a1"), "a", is_numbered=False)
    assert not links.admits(1.0, message("a", "a0"), "a", is_numbered=False)
    assert not links.admits(1.0, message("x", "a1"), "x", is_numbered=False)
    assert not links.admits(1.0, message("me", "a1"), "me", is_numbered=False)
    assert links.stats.refused == {"process": 3}
    assert not links.admits(1.0, message("a", "a1", 1), "b", is_numbered=True)
    assert links.stats.refused == {"process": 3, "name": 1}
    assert not links.is_up("a")


def test_a_link_is_up_by_a_numbered_message_and_down_again_when_made_anew() -> None:
    links = links_of_me()
    links.admits(1.0, message("a", "a1"), "a", is_numbered=False)
    assert (links.is_up("a"), links.silent_s(1.5, "a")) == (False, 1.5)
    links.admits(2.0, message("a", "a1", 5), "a", is_numbered=True)
    assert (links.is_up("a"), links.silent_s(2.5, "a"), links.stats.lost["a"]) == (True, 0.5, 0)
    links.reopened(3.0, "a")
    assert (links.is_up("a"), links.silent_s(3.5, "a"), links.stats.kicks["a"]) == (False, 0.5, 1)
    links.admits(4.0, message("a", "a1", 9), "a", is_numbered=True)
    assert (links.is_up("a"), links.stats.lost["a"]) == (True, 3)  # what was missed in between counts
    links.change(5.0, {"a": PeerAddress("a2", A.router_address, A.pub_address)})
    assert (links.is_up("a"), links.silent_s(5.5, "a")) == (False, 0.5)
    links.admits(6.0, message("a", "a2", 1), "a", is_numbered=True)
    assert (links.is_up("a"), links.stats.lost["a"]) == (True, 3)


@given(st.lists(st.booleans(), min_size=1, max_size=50), st.integers(1, 5))
def test_every_number_that_did_not_come_counts_once(came: list[bool], first: int) -> None:
    """But those before the first that came and after the last, which nothing tells of."""
    links = links_of_me()
    numbers = [first + number for number, is_here in enumerate(came) if is_here]
    for number in numbers:
        assert links.admits(1.0, message("b", "b1", number), "b", is_numbered=True)
    missed = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    assert links.stats.lost["b"] == missed


def test_a_repeated_number_is_no_loss() -> None:
    links = links_of_me()
    for number in (1, 2, 2, 1, 3, 4):
        links.admits(1.0, message("a", "a1", number), "a", is_numbered=True)
    assert links.stats.lost == {}


def test_a_cut_holds_until_its_time_or_healing() -> None:
    links = links_of_me()
    assert links.reached(0.0) is None
    links.cut(frozenset({"a", "x"}), until=5.0)
    assert [links.is_cut(now, "a") for now in (0.0, 4.9, 5.0)] == [True, True, False]
    assert not links.is_cut(0.0, "b")
    assert (links.reached(4.9), links.reached(5.0)) == (["b"], None)
    assert not links.admits(1.0, message("a", "a1", 1), "a", is_numbered=True)
    assert links.admits(1.0, message("b", "b1", 1), "b", is_numbered=True)
    assert (links.stats.cut, links.is_up("a")) == (1, False)
    links.cut(frozenset(), 0.0)
    assert links.reached(1.0) is None
    assert links.admits(1.0, message("a", "a1", 2), "a", is_numbered=True)
