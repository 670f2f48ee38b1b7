"""Which workers want a subject: by subject, by pattern, by encoding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.subject import topic_of
from node.interest import Interest
from tests.support.truth import covers

WANTED = ["/t", "/t/", "/t/a", "/t/a/b", "/t/*", "/t/a/*", "/u/*"]
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


steps = st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from(WANTED), st.integers(0, 1))


@given(st.lists(steps, max_size=40))
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
