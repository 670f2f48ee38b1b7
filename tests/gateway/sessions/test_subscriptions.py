"""The table of subscriptions against the plain meaning of `covers`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.link.events import JSON, Start
from gateway.sessions.authorizer import ConnectionInfo
from gateway.sessions.session import Session, Subscription
from gateway.sessions.subscriptions import Subscriptions
from tests.support.truth import covers

SESSIONS = {name: Session(JSON, ConnectionInfo("1.2.3.4:5"), name) for name in "ABCD"}


def held_by(sid: int, subject: str, is_live: bool, session: str) -> Subscription:
    one = Subscription(sid, sid, subject, SESSIONS[session], Start("latest"))
    one.is_live = is_live
    return one


SUBJECTS = ["/t", "/t/", "/t/a", "/t/a/", "/t/a/b", "/t/a/b/c", "/u/a"]
PATTERNS = ["/t/*", "/t/a/*", "/t/a/b/*", "/t//*", "/u/*"]


def shared(table: Subscriptions, subjects: list[str]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    for indices, sessions in table.share(subjects):
        for session in sessions:
            assert session.connection not in found
            found[session.connection] = list(indices)
    return found


@given(st.data())
def test_as_if_each_subscription_were_asked_about_each_message(data: st.DataObject) -> None:
    table: Subscriptions = Subscriptions()
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
            if any(one.is_live and one.session.connection == session and covers(one.subject, subject) for one in held)
        ]
        for session in "ABCD"
    }
    assert shared(table, batch) == {session: indices for session, indices in wanted.items() if indices}


def test_one_that_becomes_live_is_found_from_then_on() -> None:
    table: Subscriptions = Subscriptions()
    one, other = held_by(1, "/t/a", False, "A"), held_by(2, "/t/a", False, "B")
    table.add(one)
    assert table.share(["/t/a"]) == []
    one.is_live = True
    assert shared(table, ["/t/a"]) == {"A": [0]}
    table.add(other)
    other.is_live = True
    assert len(table.share(["/t/a", "/t/b", "/t/a"])) == 1
    assert shared(table, ["/t/a", "/t/b", "/t/a"]) == {"A": [0, 2], "B": [0, 2]}
    assert not table.remove(one)
    assert shared(table, ["/t/a"]) == {"B": [0]}
    assert table.remove(other)
    assert table.share(["/t/a"]) == []


def test_the_cost_grows_with_the_subjects_of_a_session_and_not_with_their_square() -> None:
    """Told by how often names are compared and hashed, not by the clock: it is the same each time."""

    def cost(count: int) -> int:
        table: Subscriptions = Subscriptions()
        for sid in range(count):
            table.add(held_by(sid, f"/t/{sid}", True, "A"))
        batch: list[str] = [Counted(f"/t/{sid}") for sid in range(count)]
        Counted.uses = 0
        assert shared(table, batch) == {"A": list(range(count))}
        return Counted.uses

    assert cost(800) < 3 * cost(400)


class Counted(str):
    """A subject that counts how often it is compared or hashed."""

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
