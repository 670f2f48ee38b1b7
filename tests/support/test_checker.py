"""The checker catches what it is there to catch: each test tampers with a list that is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.checker import Fresh, Gapped, Got, Limits, Live, Noted, Outcome, Seen, check, check_publishes, shown
from tests.support.truth import Truth, subject_of

LIMITS = Limits(replay_messages=5, cache_is_roomy=False)
LOG = "0.inc"
COUNT = 40
"""Records of /t/a and /t/b in turn, each a second after the one before; every tenth a tombstone."""


def truth() -> Truth:
    found = Truth()
    for n in range(COUNT):
        value = None if n % 10 == 9 else b"%d" % n
        headers = [("whimbrel-publisher", b"p"), ("whimbrel-seq", b"%d" % n)] if n >= 30 else [("h", None)]
        found.add("t", 0, (n // 20, n), b"a" if n % 2 else b"b", value, headers, 1000 * n, float(n))
    found.deleting("t", 0, 8, 20.0)
    return found


def received(after: int, subject: str = "/t/a") -> list[Got]:
    return [
        Got(fact.subject, LOG, fact.at, fact.prev, fact.value, fact.headers, fact.time, False)
        for fact in truth().of(subject)
        if fact.at[1] > after
    ]


def right(after: int = 2) -> list[Noted]:
    return [Fresh({LOG: (0, after)}), *received(after)]


def kinds(noted: list[Noted], subject: str = "/t/a", start: str = "now", limits: Limits = LIMITS) -> set[str]:
    return {breach.kind for breach in check(truth(), Seen("s", subject, start, 0, noted), limits)}


@pytest.mark.parametrize("subject", ["/t/a", "/t/*"])
def test_what_is_right_passes(subject: str) -> None:
    assert kinds([Fresh({LOG: (0, 2)}), *received(2, subject)], subject) == set()


def lose_one(noted: list[Noted]) -> None:
    del noted[4]


def lose_the_last(noted: list[Noted]) -> None:
    del noted[-1]


def repeat(noted: list[Noted]) -> None:
    noted.append(noted[4])


def swap(noted: list[Noted]) -> None:
    noted[4], noted[5] = noted[5], noted[4]


def change_value(noted: list[Noted]) -> None:
    got = noted[4]
    assert isinstance(got, Got)
    noted[4] = replace(got, value=b"other")


def change_prev(noted: list[Noted]) -> None:
    got = noted[4]
    assert isinstance(got, Got)
    noted[4] = replace(got, prev=(0, 0))


def invent(noted: list[Noted]) -> None:
    got = noted[4]
    assert isinstance(got, Got)
    noted.append(replace(got, at=(7, 7)))


def say_a_false_gap(noted: list[Noted]) -> None:
    noted[4] = Gapped(LOG, (0, 7), (0, 9), "retention", heard_at=30.0)


def say_a_gap_over_what_came(noted: list[Noted]) -> None:
    noted.insert(4, Gapped(LOG, (0, 2), (0, 5), "retention", heard_at=30.0))


def say_a_log_is_gone(noted: list[Noted]) -> None:
    noted.insert(4, Gapped(LOG, (0, 7), None, "log_gone", heard_at=30.0))


def begin_too_early(noted: list[Noted]) -> None:
    noted[0] = Fresh({LOG: (0, 3)})


def never_answer(noted: list[Noted]) -> None:
    noted.clear()


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (lose_one, "lost"),
        (lose_the_last, "lost"),
        (repeat, "repeat"),
        (swap, "order"),
        (change_value, "wrong"),
        (change_prev, "wrong"),
        (invent, "phantom"),
        (say_a_false_gap, "gap"),
        (say_a_gap_over_what_came, "gap"),
        (say_a_log_is_gone, "gap"),
        (begin_too_early, "early"),
        (never_answer, "lost"),
    ],
)
def test_it_catches(tamper: Callable[[list[Noted]], None], kind: str) -> None:
    noted = right()
    tamper(noted)
    assert kind in kinds(noted)


def test_a_gap_below_the_low_watermark_is_true_from_then_on() -> None:
    missing: list[Noted] = [Fresh({LOG: (0, 2)}), Gapped(LOG, (0, 2), (0, 7), "retention", 20.5), *received(7)]
    assert kinds(missing) == set()
    too_early: list[Noted] = [Fresh({LOG: (0, 2)}), Gapped(LOG, (0, 2), (0, 7), "retention", 19.5), *received(7)]
    assert kinds(too_early) == {"gap"}


def test_a_gap_beyond_the_replay_limit_is_true() -> None:
    def said(end: int) -> set[str]:
        return kinds([Fresh({LOG: (0, 2)}), Gapped(LOG, (0, 2), (1, end), "replay_limit", 99.0), *received(end)])

    assert said(34) == set()  # the last five, 35 to 39, had to come
    assert said(36) == {"gap"}


def test_snapshots_are_the_latest_values() -> None:
    def with_snapshot(offset: int, limits: Limits = LIMITS, start: str = "latest") -> set[str]:
        found = [replace(got, snapshot=True, prev=None) for got in received(-1) if got.at[1] == offset]
        return kinds([Fresh({LOG: (0, 17)}), *found, *received(17)], start=start, limits=limits)

    assert with_snapshot(17) == set()
    assert with_snapshot(15) == {"snapshot"}  # stale
    assert with_snapshot(17, start="now") == {"snapshot"}  # not asked for
    roomy = Limits(5, cache_is_roomy=True)
    assert with_snapshot(17, roomy) == set()
    assert with_snapshot(999, roomy) == {"snapshot"}  # it did not come


def test_a_log_that_waits_begins_where_it_becomes_live() -> None:
    assert kinds([Fresh({}, (LOG,)), Live({LOG: (0, 10)}), *received(10)]) == set()
    assert kinds([Fresh({}, (LOG,)), Live({LOG: (0, 10)}), *received(12)]) == {"lost"}


def test_a_log_that_is_new_is_read_from_its_beginning() -> None:
    assert kinds([Fresh({}), *received(-1)]) == set()
    assert kinds([Fresh({}), *received(4)]) == {"lost"}


def test_a_start_by_time_leaves_nothing_out() -> None:
    seen = Seen("s", "/t/a", "time", 5000, right(4))
    assert check(truth(), seen, LIMITS) == []
    seen = Seen("s", "/t/a", "time", 5000, right(5))
    assert {one.kind for one in check(truth(), seen, LIMITS)} == {"lost"}
    seen = Seen("s", "/t/a", "time", 5000, [Fresh({LOG: (0, 7)}), Gapped(LOG, (0, 4), (0, 7), "retention", 30.0)])
    seen.noted += received(7)
    assert check(truth(), seen, LIMITS) == []


def test_publishes() -> None:
    def outcome(seq: int, at: tuple[int, int] | None, log: str | None = LOG, value: bytes = b"") -> Outcome:
        subject = "/t/a" if seq % 2 else "/t/b"
        return Outcome("p", seq, subject, value or b"%d" % seq, log, at, float(seq), seq + 0.5)

    def kind(*outcomes: Outcome) -> set[str]:
        return {one.kind for one in check_publishes(truth(), [*outcomes])}

    assert kind(outcome(31, (1, 31)), outcome(32, None), outcome(77, None, log=None)) == set()
    assert kind(outcome(31, (1, 33))) == {"wrong"}
    assert kind(outcome(77, (1, 77))) == {"lost"}
    assert kind(outcome(31, (1, 31), value=b"other")) == {"wrong"}
    late = replace(outcome(31, (1, 31)), sent_at=40.0, answered_at=41.0)
    assert kind(outcome(33, (1, 33)), late) == {"order"}


def test_a_repeated_publish_is_seen_once_and_in_one_log() -> None:
    found = truth()
    headers = [("whimbrel-publisher", b"p"), ("whimbrel-seq", b"31")]
    found.add("t", 0, (1, 40), b"a", b"31", headers, 0, 40.0)
    assert found.fact("t", 0, (1, 40)) is None
    told = [Outcome("p", 31, "/t/a", b"31", LOG, (1, 31), 0, 1)]
    assert check_publishes(found, told) == []
    found.add("t", 1, (1, 40), b"a", b"31", headers, 0, 40.0)
    assert {one.kind for one in check_publishes(found, told)} == {"repeat"}


def test_subjects_are_as_the_protocol_says() -> None:
    assert subject_of("t", None) == "/t"
    assert subject_of("t", b"") == "/t/"
    assert subject_of("t", b"a/\xff%*\n") == "/t/a/%FF%25%2A%0A"
    assert subject_of("t", "ü".encode()) == "/t/ü"


def test_many_breaches_are_counted() -> None:
    text = shown(check(truth(), Seen("s", "/t/a", "now", 0, [Fresh({LOG: (0, 2)})]), LIMITS))
    assert text.startswith("lost: 19\n")
    assert len(text.splitlines()) == 6
