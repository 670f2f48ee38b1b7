"""Where a position that Kafka has lost was cut off: by binary search, with holes, against the plain definition."""

from __future__ import annotations

from random import Random

from mesh.log import BEGINNING, Position, Truncation
from node.backfill.truncation import Epochs


class Log:
    """Records of a partition; counts how often it is read."""

    def __init__(self, records: list[Position], low: int | None = None, end: int | None = None) -> None:
        self.records = sorted(records, key=lambda record: record[1])
        self.low = self.records[0][1] if low is None else low
        self.end = self.records[-1][1] + 1 if end is None else end
        self.reads = 0
        self.epochs = Epochs(self.low, self.end, self.read)

    def read(self, offset: int) -> Position | None:
        self.reads += 1
        assert self.low <= offset
        return next((record for record in self.records if record[1] >= offset), None)


def issue(end: int) -> Log:
    """120 records of epoch 0, then epoch 1 up to an end."""
    return Log([(0 if offset < 120 else 1, offset) for offset in range(end)])


def test_a_place_at_or_behind_the_end_and_one_that_the_new_epoch_has_passed() -> None:
    for end in (130, 149, 150, 151, 195):
        assert issue(end).epochs.truncation((0, 149)) == Truncation((0, 119), (1, 119))
    assert issue(120).epochs.truncation((0, 149)) == Truncation((0, 119), (0, 119)), "nothing has come in its place yet"


def test_places_that_are_true_cost_one_read_for_each_epoch() -> None:
    log = issue(195)
    for place in ((1, 194), (1, 140), (1, 120), (0, 119), (0, 60), (0, 0), BEGINNING):
        assert log.epochs.truncation(place) is None
    assert log.reads == 2


def test_the_place_before_a_new_epoch_that_a_gap_or_a_floor_has_named_is_true() -> None:
    assert issue(195).epochs.truncation((1, 119)) is None
    assert issue(120).epochs.truncation((1, 119)) is None


def test_many_places_of_an_epoch_need_one_search() -> None:
    log = issue(100_000)
    for offset in range(99_999, 120, -1000):
        assert log.epochs.truncation((0, offset)) == Truncation((0, 119), (1, 119))
    assert log.reads < 140


def test_nothing_of_the_epoch_is_left() -> None:
    assert Log([(3, 0), (3, 1)]).epochs.truncation((0, 149)) == Truncation(BEGINNING, (3, -1))
    # What was before the first record is deleted: it may have been true.
    assert Log([(3, 50), (3, 60)]).epochs.truncation((0, 55)) == Truncation((0, 49), (3, 49))
    assert Log([(3, 50), (3, 60)]).epochs.truncation((0, 40)) is None, "retention's to say"


def test_an_empty_log() -> None:
    assert Log([], 0, 0).epochs.truncation((0, 5)) == Truncation(BEGINNING, BEGINNING)
    assert Log([], 9, 9).epochs.truncation((0, 8)) is None
    assert Log([], 0, 0).epochs.truncation(BEGINNING) is None


def test_a_position_that_never_was_is_lost() -> None:
    log = Log([(0, offset) for offset in range(3)])
    assert log.epochs.truncation((7, 1)) == Truncation((0, 1), (0, 1))
    assert log.epochs.truncation((7, 99)) == Truncation((0, 2), (7, 99))


def test_a_position_before_the_first_record_whose_epoch_never_was_is_lost() -> None:
    """Else whatever follows would be dropped as a repeat, and nobody would be told."""
    assert issue(195).epochs.truncation((7, -1)) == Truncation(BEGINNING, BEGINNING)
    later = Log([(3, 50), (3, 60)])
    assert later.epochs.truncation((4, 20)) == Truncation((3, 49), (3, 49))
    for true in ((3, 20), (3, -1), (1, 20), (0, 20)):
        assert later.epochs.truncation(true) is None
    assert Log([], 50, 50).epochs.truncation((4, 20)) is None, "of that epoch may be what comes"


def test_whatever_offsets_have_no_record() -> None:
    rng = Random(8)
    for _ in range(2000):
        epoch, offset = rng.randrange(3), rng.randrange(5)
        low = offset
        records = []
        for _ in range(rng.randrange(30)):
            records.append((epoch, offset))
            epoch += rng.random() < 0.2 and rng.randrange(1, 3)
            offset += 1 + (rng.random() < 0.3) * rng.randrange(1, 10)
        end = offset
        log = Log(records, low, end)
        place = (rng.randrange(6), rng.randrange(end + 5))
        found = log.epochs.truncation(place)
        above = next((record for record in records if record[0] > place[0]), None)
        if place[1] < low:
            assert (found is not None) == (bool(records) and records[0][0] < place[0])
        elif above is not None and above[1] <= place[1]:
            before = [record for record in records if record[0] <= place[0]]
            nothing = BEGINNING if low == 0 else (place[0], low - 1)
            assert found == Truncation(before[-1] if before else nothing, (above[0], above[1] - 1))
        elif place[1] >= end:
            last = records[-1] if records else (place[0], low - 1) if low else BEGINNING
            assert found == Truncation(last, last if last[0] == place[0] else place)
        elif place in records:
            assert found is None
