"""The table of subscriptions against the plain meaning of `covers`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.link.events import JSON, Start
from gateway.sessions.fan_out import FanOut
from gateway.sessions.session import Session, Subscription
from tests.gateway.sessions.core import NoConnection
from tests.support.truth import covers
from whimbrel_server import Connection

SESSIONS = {name: Session(JSON, Connection("1.2.3.4:5"), NoConnection()) for name in "ABCD"}
NAMES = {session: name for name, session in SESSIONS.items()}


def held_by(sid: int, subject: str, is_live: bool, session: str) -> Subscription:
    one = Subscription(sid, sid, subject, SESSIONS[session], Start("latest"))
    one.is_live = is_live
    return one


SUBJECTS = ["/t", "/t/", "/t/a", "/t/a/", "/t/a/b", "/t/a/b/c", "/u/a"]
PATTERNS = ["/t/*", "/t/a/*", "/t/a/b/*", "/t//*", "/u/*"]


def delivered(table: FanOut, subjects: list[str]) -> dict[str, list[int]]:
    """Name of the session -> indices of the messages that it is sent, in order."""
    sends: dict[Session, list[bytes]] = {}
    count = table.deliver(subjects, [b"%d," % index for index in range(len(subjects))], sends)
    found = {
        NAMES[session]: [int(index) for index in b"".join(pieces).split(b",")[:-1]] for session, pieces in sends.items()
    }
    assert count == sum(map(len, found.values()))
    return found


@given(st.data())
def test_as_if_each_subscription_were_asked_about_each_message(data: st.DataObject) -> None:
    table: FanOut = FanOut()
    held: list[Subscription] = []
    for sid in range(data.draw(st.integers(0, 25))):
        if held and data.draw(st.integers(0, 3)) == 0:
            gone = held.pop(data.draw(st.integers(0, len(held) - 1)))
            was_last = all(one.subject != gone.subject for one in held)
            assert table.remove(gone) == was_last
        else:
            subject = data.draw(st.sampled_from(SUBJECTS + PATTERNS))
            one = held_by(sid, subject, data.draw(st.booleans()), data.draw(st.sampled_from("ABCD")))
            held.append(one)
            table.add(one)
        assert len(table) == len({one.subject for one in held})
    batch = data.draw(st.lists(st.sampled_from(SUBJECTS), max_size=12))
    wanted = {
        session: [
            index
            for index, subject in enumerate(batch)
            if any(one.is_live and one.session is SESSIONS[session] and covers(one.subject, subject) for one in held)
        ]
        for session in "ABCD"
    }
    assert delivered(table, batch) == {session: indices for session, indices in wanted.items() if indices}


def test_one_that_becomes_live_is_found_from_then_on() -> None:
    table: FanOut = FanOut()
    one, other = held_by(1, "/t/a", False, "A"), held_by(2, "/t/a", False, "B")
    table.add(one)
    assert delivered(table, ["/t/a"]) == {}
    one.is_live = True
    assert delivered(table, ["/t/a"]) == {"A": [0]}
    table.add(other)
    other.is_live = True
    assert delivered(table, ["/t/a", "/t/b", "/t/a"]) == {"A": [0, 2], "B": [0, 2]}
    assert not table.remove(one)
    assert delivered(table, ["/t/a"]) == {"B": [0]}
    assert table.remove(other)
    assert delivered(table, ["/t/a"]) == {}


def test_messages_of_a_hot_subject_are_joined_once_for_all() -> None:
    table = FanOut()
    for sid, name in enumerate("ABCD"):
        table.add(held_by(sid, "/t/a", True, name))
    sends: dict[Session, list[bytes]] = {}
    assert table.deliver(["/t/a"] * 3, [b"1", b"2", b"3"], sends) == 12
    pieces = [piece for pieces in sends.values() for piece in pieces]
    assert pieces == [b"123"] * 4
    assert all(piece is pieces[0] for piece in pieces)


def test_many_patterns_of_a_topic_are_not_all_tried() -> None:
    table = FanOut()
    for sid in range(1000):
        table.add(held_by(sid, f"/t/{sid}/*", True, "A"))
    table.add(held_by(1000, "/t/*", True, "B"))
    assert delivered(table, ["/t/7/x", "/t/x", "/t/7", "/u/7/x"]) == {"A": [0], "B": [0, 1, 2]}
    tried = Counted("/t/7/x")
    Counted.uses = 0
    assert delivered(table, [tried]) == {"A": [0], "B": [0]}
    assert Counted.uses < 20
    for sid in range(1000):
        table.remove(held_by(sid, f"/t/{sid}/*", True, "A"))
    assert delivered(table, ["/t/7/x"]) == {"B": [0]}


class Counted(str):
    """A subject that counts how often it is compared, hashed or searched."""

    __slots__ = ()
    uses = 0

    def __eq__(self, other: object) -> bool:
        Counted.uses += 1
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        Counted.uses += 1
        return str.__ne__(self, other)

    def __hash__(self) -> int:
        Counted.uses += 1
        return str.__hash__(self)

    def startswith(self, *args: Any) -> bool:
        Counted.uses += 1
        return str.startswith(self, *args)
