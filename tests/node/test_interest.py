"""Which workers want a subject: by subject, by pattern, by encoding."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.subject import topic_of
from node.interest import Interest
from tests.support.truth import covers

WANTED = ["/t", "/t/", "/t/a", "/t/a/b", "/t/*", "/t/a/*", "/u/*"]
MANY = [*WANTED, *(f"/t/{number}/*" for number in range(10)), "/t//*", "/t/a/b/*"]
"""With all of these more patterns than are tried one by one."""
SUBJECTS = ["/t", "/t/", "/t/a", "/t/a/", "/t/a/b", "/t/ab", "/u/a", "/u"]


def wanting(interest: Interest, subject: str, encoding: int) -> list[int]:
    return sorted(interest.finder(encoding, topic_of(subject))(subject) or ())


def test_a_worker_is_named_once_however_much_of_it_matches() -> None:
    interest = Interest()
    for wanted in ("/t/a", "/t/*", "/t/a"):
        interest.add(1, wanted, 0)
    interest.add(2, "/t/*", 0)
    assert wanting(interest, "/t/a", 0) == [1, 2]
    assert wanting(interest, "/t/b", 0) == [1, 2]
    assert wanting(interest, "/t/a", 1) == []
    assert len(interest) == 3
    interest.drop(1, "/t/*", 0)
    assert wanting(interest, "/t/a", 0) == [1, 2]
    assert wanting(interest, "/t/b", 0) == [2]


def test_a_worker_that_is_gone_wants_nothing() -> None:
    interest = Interest()
    for encoding in (0, 1):
        for wanted in WANTED:
            interest.add(1, wanted, encoding)
            interest.add(2, wanted, encoding)
    assert interest.workers == [1, 2]
    interest.forget(1)
    interest.forget(3)
    assert interest.workers == [2]
    assert wanting(interest, "/t/a", 1) == [2]
    interest.forget(2)
    assert interest.workers == []
    assert len(interest) == 0
    assert wanting(interest, "/t/a", 0) == []


class Counted(str):
    """A subject that counts how often it is tried."""

    __slots__ = ()
    uses = 0

    def startswith(self, *args: Any) -> bool:
        Counted.uses += 1
        return str.startswith(self, *args)


def test_many_patterns_of_a_topic_are_not_all_tried() -> None:
    interest = Interest()
    for number in range(1000):
        interest.add(1, f"/t/{number}/*", 0)
    interest.add(2, "/t/*", 0)
    interest.add(3, "/t/7/x", 0)
    Counted.uses = 0
    assert wanting(interest, Counted("/t/7/x"), 0) == [1, 2, 3]
    assert Counted.uses < 20
    assert wanting(interest, "/t/7", 0) == [2]
    assert list(interest.finder(0, "t", without={1})("/t/7/x") or ()) == [3, 2]
    for number in range(1000):
        interest.drop(1, f"/t/{number}/*", 0)
    assert wanting(interest, "/t/7/x", 0) == [2, 3]


step = st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from(WANTED), st.integers(0, 1))
one_of_many = st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from(MANY), st.integers(0, 1))
all_of_many = st.just([(True, 1 + at % 3, wanted, encoding) for at, wanted in enumerate(MANY) for encoding in (0, 1)])
histories = st.one_of(
    st.lists(step, max_size=40),
    st.tuples(all_of_many, st.lists(one_of_many, max_size=40)).map(lambda both: [*both[0], *both[1]]),
)


@given(histories)
def test_as_a_list_of_wishes_would_say(history: list[tuple[bool, int, str, int]]) -> None:
    interest = Interest()
    wishes: set[tuple[int, str, int]] = set()
    for is_add, worker, wanted, encoding in history:
        if is_add:
            interest.add(worker, wanted, encoding)
            wishes.add((worker, wanted, encoding))
        else:
            interest.drop(worker, wanted, encoding)
            wishes.discard((worker, wanted, encoding))
    assert len(interest) == len(wishes)
    assert set(interest.workers) == {worker for worker, _, _ in wishes}
    for encoding in (0, 1):
        for subject in SUBJECTS:
            want = {worker for worker, wanted, of in wishes if of == encoding and covers(wanted, subject)}
            assert wanting(interest, subject, encoding) == sorted(want)
