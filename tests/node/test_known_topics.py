"""Which of Kafka's answers about topics are believed."""

from __future__ import annotations

from node.kafka.known_topics import Known, KnownTopics, Silence

ONE, OTHER = Known(b"id-1", 2), Known(b"id-2", 1)
ZERO_ID = "A" * 22


def knowing(**topics: Known) -> KnownTopics:
    known = KnownTopics(())
    known.take(topics)
    return known


def test_topics_that_are_known_or_named_are_asked_for_though_no_list_has_them() -> None:
    known = KnownTopics(("named",))
    known.take({"known": ONE})
    assert known.to_describe({"listed"}) == ["listed", "known", "named"]


def test_a_topic_is_gone_when_two_answers_in_a_row_do_not_have_it() -> None:
    known = knowing(t=ONE)
    known.take({"t": Silence.ABSENT})
    assert known.found == {"t": ONE}
    known.take({"t": ONE})
    known.take({"t": Silence.ABSENT})
    assert known.found == {"t": ONE}
    known.take({"t": Silence.ABSENT})
    assert known.found == {}


def test_a_topic_that_may_not_be_seen_any_more_is_not_gone() -> None:
    known = knowing(t=ONE)
    for _ in range(5):
        known.take({"t": Silence.FORBIDDEN})
        assert known.found == {"t": ONE}
        assert known.forbidden == {"t"}
    known.take({"t": ONE})
    assert known.forbidden == set()


def test_no_answer_is_not_an_absence() -> None:
    known = knowing(t=ONE)
    known.take({"t": Silence.ABSENT})
    known.take({"t": Silence.UNSURE})
    known.take({"t": Silence.ABSENT})
    assert known.found == {"t": ONE}
    assert known.unsure == set()


def test_what_was_never_seen_is_not_found() -> None:
    known = KnownTopics(("a", "b", "c"))
    known.take({"a": Silence.ABSENT, "b": Silence.FORBIDDEN, "c": Silence.UNSURE})
    assert known.found == {}
    assert (known.forbidden, known.unsure) == ({"b"}, {"c"})


def test_partitions_are_never_removed_within_an_incarnation() -> None:
    known = knowing(t=ONE)
    known.take({"t": Known(ONE.id, 1)})
    assert known.found["t"].partitions == 2
    known.take({"t": Known(ONE.id, 3)})
    assert known.found["t"].partitions == 3
    known.take({"t": OTHER})
    assert known.found["t"] == OTHER


def test_without_topic_ids_the_cluster_and_the_name_are_the_identity() -> None:
    known = KnownTopics(())
    for no_id in (ZERO_ID, ""):
        first, second = (known.identify("cluster", name, no_id, 1) for name in ("a", "b"))
        assert first.id != second.id
        assert first.id != known.identify("other cluster", "a", no_id, 1).id
    known.take({"a": first, "b": second})
    assert known.lacks_ids
    assert known.identify("cluster", "a", ZERO_ID, 4) == Known(first.id, 4, is_by_name=True)


def test_a_broker_that_gives_no_ids_among_others_that_do_changes_nothing() -> None:
    known = KnownTopics(())
    named = known.identify("cluster", "t", "an id", 1)
    known.take({"t": named})
    known.take({"t": known.identify("cluster", "t", ZERO_ID, 2)})
    assert known.found["t"] == Known(b"an id", 2)
    assert not known.lacks_ids


def named(*names: str) -> KnownTopics:
    """Topics without ids, of one partition each."""
    known = KnownTopics(())
    for _ in range(2):
        known.take({name: known.identify("cluster", name, ZERO_ID, 1) for name in names})
    return known


def look(known: KnownTopics, **ends: tuple[int, int]) -> None:
    """All of them are there, and end there."""
    known.take({name: known.identify("cluster", name, ZERO_ID, 1) for name in ends})
    known.measured({(name, 0): end for name, end in ends.items()})


def test_a_topic_without_an_id_whose_end_goes_back_was_created_again() -> None:
    known = named("a", "b")
    look(known, a=(0, 6), b=(0, 6))
    look(known, a=(0, 2), b=(0, 6))
    assert known.found.keys() == {"a", "b"}
    assert known.is_in_doubt
    look(known, a=(0, 3), b=(0, 7))
    assert known.found.keys() == {"b"}, "the old one ends first"
    assert known.is_in_doubt
    look(known, a=(0, 3), b=(0, 7))
    assert known.found.keys() == {"a", "b"}
    assert known.recreated == {"a"}
    look(known, a=(0, 4), b=(0, 7))
    assert known.recreated == set()
    assert not known.is_in_doubt


def test_an_epoch_that_falls_is_another_topics_and_one_that_rises_is_a_truncation() -> None:
    known = named("a", "b")
    look(known, a=(3, 6), b=(3, 6))
    for _ in range(2):
        look(known, a=(0, 60), b=(4, 2))
    assert known.found.keys() == {"b"}


def test_one_answer_of_a_broker_that_lags_behind_is_not_believed() -> None:
    known = named("a")
    for end in ((0, 6), (0, 2), (0, 7), (0, 3), (0, 8)):
        look(known, a=end)
        assert known.found.keys() == {"a"}


def test_ends_of_topics_with_ids_are_not_asked_for() -> None:
    assert knowing(t=ONE).to_measure() == []
    assert named("a", "b").to_measure() == [("a", 0), ("b", 0)]
