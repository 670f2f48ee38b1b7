"""Each breach of a promise is found in a history that was made up for it, and a good history has none."""

from __future__ import annotations

from tests.cluster.checker import Checker, check
from tests.support.checker import Fresh, Gapped, Got, Live, Noted, Outcome, Seen
from tests.support.truth import Position

LOG, NEXT_LOG, SUBJECT = "s3.aaaa", "s3.bbbb", "/chat/k1"


def got(
    seq: int,
    value: str,
    prev: int | None = None,
    *,
    epoch: int = 1,
    log: str = LOG,
    subject: str = SUBJECT,
    snapshot: bool = False,
) -> Got:
    before = None if prev is None else (1, prev)
    return Got(subject, log, (epoch, seq), before, value.encode(), (), 1_700_000_000_000, snapshot)


def fresh(seq: int = -1, log: str = LOG) -> Fresh:
    return Fresh({log: (1, seq)})


def published(seq: int, value: str, *, log: str | None = LOG, epoch: int = 1, sent: float = 0.0) -> Outcome:
    """One that was sent when its number says, unless told otherwise."""
    at: Position | None = (epoch, seq) if log else None
    began = sent or float(seq + 1)
    return Outcome("publisher", seq, SUBJECT, value.encode(), log, at, began, began + 0.5)


def seen(*noted: Noted, name: str = "ann", subject: str = SUBJECT) -> Seen:
    return Seen(name, subject, "now", noted=list(noted))


ALL: list[Noted] = [fresh(), got(0, "a"), got(1, "b", 0), got(2, "c", 1)]
PUBLISHED = [published(0, "a"), published(1, "b"), published(2, "c")]


def kinds(seens: list[Seen], outcomes: list[Outcome] = PUBLISHED, memory_lost: bool = False) -> set[str]:
    return {breach.kind for breach in check(seens, outcomes, memory_lost)}


def test_what_is_right_is_not_found_wrong() -> None:
    late = seen(fresh(1), got(2, "c", 1), name="late")
    with_snapshot = seen(fresh(1), got(1, "b", 0, snapshot=True), got(2, "c", 1), name="latest")
    waiting = seen(Fresh({}, (LOG,)), Live({LOG: (1, 0)}), got(1, "b", 0), got(2, "c", 1), name="waiting")
    pattern = seen(*ALL, name="pattern", subject="/chat/*")
    other = seen(fresh(), name="other", subject="/chat/k2")
    assert check([seen(*ALL), late, with_snapshot, waiting, pattern, other], PUBLISHED) == []


def test_a_publish_without_an_answer_may_have_come_or_not() -> None:
    unknown = published(7, "d", log=None)
    assert kinds([seen(*ALL)], [*PUBLISHED, unknown]) == set()
    assert kinds([seen(*ALL, got(3, "d", 2))], [*PUBLISHED, unknown]) == set()


def test_an_acknowledgement_without_a_position_is_looked_up() -> None:
    placeless = Outcome("publisher", 9, SUBJECT, b"d", LOG, None, 9.0, 9.5)
    assert kinds([seen(*ALL, got(3, "d", 2))], [*PUBLISHED, placeless]) == set()
    assert kinds([seen(*ALL)], [*PUBLISHED, placeless]) == {"lost"}
    elsewhere = Outcome("publisher", 9, SUBJECT, b"d", "s4.x", None, 9.0, 9.5)
    assert kinds([seen(*ALL, got(3, "d", 2))], [*PUBLISHED, elsewhere]) == {"ack"}


def test_an_acknowledged_publish_that_one_did_not_get_is_lost() -> None:
    assert kinds([seen(*ALL), seen(*ALL[:-1], name="bob")]) == {"lost"}
    assert kinds([seen(*ALL[:-1])]) == {"lost"}


def test_what_one_got_is_due_to_all_though_nobody_was_told() -> None:
    unknown = published(7, "d", log=None)
    assert kinds([seen(*ALL, got(3, "d", 2)), seen(*ALL, name="bob")], [*PUBLISHED, unknown]) == {"lost"}


def test_who_was_never_answered_has_lost_all() -> None:
    assert kinds([seen(*ALL), seen(name="bob")]) == {"lost"}


def test_prev_that_nobody_knows_is_a_loss_if_somebody_was_there() -> None:
    unknown: list[Noted] = [fresh(), got(5, "c", 4)]
    assert kinds([seen(*unknown)], [published(5, "c")]) == {"lost"}
    assert kinds([seen(fresh(4), got(5, "c", 4))], [published(5, "c")]) == set()


def test_one_position_with_two_messages_is_a_split() -> None:
    other = seen(fresh(), got(0, "a"), got(1, "x", 0), got(2, "c", 1), name="bob")
    outcomes = [*PUBLISHED, published(7, "x", log=None)]
    assert kinds([seen(*ALL), other], outcomes) == {"split"}
    assert kinds([seen(*ALL)], [*PUBLISHED[:2], published(2, "x"), published(3, "c", log=None)]) == {"split"}


def test_a_publish_at_two_positions_is_a_repeat() -> None:
    assert kinds([seen(*ALL, got(3, "b", 2))]) == {"repeat"}
    assert kinds([seen(*ALL)], [*PUBLISHED[:2], published(2, "c"), published(5, "c")]) == {"repeat", "lost"}


def test_a_message_that_comes_twice_is_a_repeat() -> None:
    assert kinds([seen(*ALL, got(2, "c", 1))]) == {"repeat"}


def test_positions_out_of_order_are_found() -> None:
    assert kinds([seen(fresh(), got(0, "a"), got(2, "c", 1), got(1, "b", 0))]) == {"order"}
    assert kinds([seen(fresh(), got(0, "a"), got(0, "b", epoch=3), got(1, "c"))], []) >= {"order"}


def test_another_order_for_another_subscriber_is_found_without_positions() -> None:
    swapped: list[Noted] = [fresh(), got(0, "a"), got(1, "c", 0), got(2, "b", 1)]
    found = check([seen(*ALL), seen(*swapped, name="bob")], PUBLISHED)
    assert {breach.kind for breach in found} == {"split", "order"}


def test_a_publish_that_stands_before_one_acknowledged_earlier_is_found() -> None:
    outcomes = [published(0, "a"), published(2, "c", sent=1.6), published(1, "b", sent=2.2)]
    assert kinds([seen(*ALL)], outcomes) == {"order"}
    overlapping = [published(0, "a"), published(2, "c", sent=1.6), published(1, "b", sent=2.0)]
    assert kinds([seen(*ALL)], overlapping) == set()


def test_what_nobody_published_is_a_phantom() -> None:
    assert kinds([seen(*ALL, got(3, "?", 2))]) == {"phantom"}


def test_a_wrong_prev_is_found() -> None:
    assert kinds([seen(fresh(), got(0, "a"), got(1, "b", 0), got(2, "c", 0))]) == {"wrong"}


def test_a_message_of_another_subject_is_found() -> None:
    assert kinds([seen(*ALL), seen(*ALL, name="bob", subject="/chat/k2")]) == {"wrong"}


def test_a_message_from_before_the_beginning_is_found() -> None:
    assert kinds([seen(*ALL), seen(fresh(1), got(1, "b", 0), got(2, "c", 1), name="bob")]) == {"early"}


def test_a_gap_is_found_and_excuses_what_it_covers() -> None:
    gap = Gapped(LOG, (1, 0), (1, 1), "retention", 5.0)
    gapped = seen(fresh(), got(0, "a"), gap, got(2, "c", 1), name="bob")
    assert kinds([seen(*ALL), gapped]) == {"gap"}
    assert kinds([seen(*ALL), gapped], memory_lost=True) == set()
    told_wrong = seen(*ALL[:2], gap, *ALL[2:], name="bob")
    assert kinds([seen(*ALL), told_wrong], memory_lost=True) == {"gap"}


def test_a_new_log_is_a_loss_unless_so_many_lost_their_memory() -> None:
    gone = Gapped(LOG, (1, 1), None, "log_gone", 5.0)
    after: list[Noted] = [gone, got(0, "d", log=NEXT_LOG, epoch=9)]
    outcomes = [*PUBLISHED, published(0, "d", log=NEXT_LOG, epoch=9, sent=8.0)]
    all_of_it, less = seen(*ALL, *after), seen(*ALL[:-1], *after, name="bob")
    assert kinds([all_of_it, less], outcomes) == {"lost", "gap"}
    assert kinds([all_of_it, less], outcomes, memory_lost=True) == set()
    assert kinds([all_of_it, seen(*ALL, gone, name="bob")], outcomes, memory_lost=True) == {"lost"}


def test_a_publish_may_come_again_in_a_new_log_only() -> None:
    again = got(0, "c", log=NEXT_LOG, epoch=9)
    assert kinds([seen(*ALL, again)], memory_lost=True) == set()
    assert kinds([seen(*ALL, got(3, "c", 2), again)], memory_lost=True) == {"repeat"}


def test_an_old_log_after_a_new_one_is_found() -> None:
    back = seen(fresh(), got(0, "a"), got(0, "d", log=NEXT_LOG, epoch=9), got(1, "b", 0), got(2, "c", 1))
    outcomes = [*PUBLISHED, published(0, "d", log=NEXT_LOG, epoch=9, sent=8.0)]
    assert "order" in kinds([back], outcomes, memory_lost=True)


def test_what_is_still_to_come_is_told() -> None:
    assert Checker([seen(*ALL), seen(*ALL[:-1], name="bob")], PUBLISHED).unfinished() == [
        "bob: /chat/k1 s3.aaaa (1, 2) (b'c') never came"
    ]
    assert Checker([seen(*ALL)], PUBLISHED).unfinished() == []


def test_all_pairs_are_compared() -> None:
    """Also those that have nothing in common with the one between them."""
    swapped = seen(fresh(), got(0, "a"), got(2, "c", 1), got(1, "b", 0), name="bob")
    found = check([seen(*ALL), seen(fresh(5), name="between"), swapped], PUBLISHED)
    assert "/chat/k1: ann has b'b' where bob has b'c'" in [breach.text for breach in found]
