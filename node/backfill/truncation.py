"""Whether a position is still true in a partition, and if not, where Kafka's log went on instead.

Leader epochs only rise with offsets. So a record of epoch e at offset o is gone if a record of a higher epoch stands at
or before o; where the first one stands is found by binary search, whatever offsets have no record (compaction deletes
records, a transaction's end has none). What stands after a position is asked for by single reads.

Not here: reading Kafka (node/kafka/replay.py), what the cache knows of epochs (mesh/cache/cache.py).
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.log import BEGINNING, Position, Truncation


class Epochs:
    """The leader epochs of one partition, as they are found out by fetching, and remembered."""

    def __init__(self, low: int, end: int, read: Callable[[int], Position | None]) -> None:
        """Know nothing yet.

        Args:
            low: The first offset that the partition has.
            end: The one after the last.
            read: The position of the first record at or after an offset; None if there is none.
        """
        self._low = low
        self._end = end
        self._read = read
        self._true_up_to: dict[int, int] = {}
        """Epoch -> an offset up to which no record of a higher epoch stands."""
        self._ends: dict[int, tuple[Position, Position | None]] = {}

    def truncation(self, place: Position) -> Truncation | None:
        """What became of the log if Kafka has lost the record at this position; None if it has not, as far as it shows.

        A position that can never have been there is answered as if what it claims were lost.
        """
        epoch, offset = place
        if offset < self._low:
            return self._before_low(epoch)
        if offset <= self._true_up_to.get(epoch, -1):
            return None
        found = self._read(offset) if offset < self._end else None
        if found is not None and found[0] <= epoch:
            self._true_up_to[epoch] = offset
            return None if found[0] == epoch else self._impossible(place, found)
        last, first = self._end_of(epoch)
        if first is not None:
            return Truncation(last, (first[0], first[1] - 1)) if first[1] <= offset else None
        if offset < self._end:
            return None
        # Within its epoch a log never ends sooner than before. A leader of an older epoch may not know that it is one.
        return Truncation(last, last if last[0] == epoch else place)

    def _before_low(self, epoch: int) -> Truncation | None:
        """Nothing is left of what was at a position before the first record; its epoch can only be too high."""
        first = self._read(self._low) if epoch > 0 else None
        if first is None or first[0] >= epoch:
            return None
        before = (first[0], self._low - 1)
        return Truncation(before, before)

    def _end_of(self, epoch: int) -> tuple[Position, Position | None]:
        """The last record whose epoch is not higher, and the first one whose is, if there is one yet."""
        if epoch not in self._ends:
            low, high = self._low, self._end
            last, first = BEGINNING if low == 0 else (epoch, low - 1), None
            while low < high:
                middle = (low + high) // 2
                found = self._read(middle)
                if found is not None and found[0] <= epoch:
                    last, low = found, found[1] + 1
                else:
                    first, high = found, middle
            self._ends[epoch] = last, first
        return self._ends[epoch]

    def _impossible(self, place: Position, found: Position) -> Truncation | None:
        """The record at a position is of a lower epoch: so it was made from the record that follows, or never was."""
        epoch, offset = place
        follows = self._read(offset + 1) if found[1] == offset else found
        if follows is None or follows[0] >= epoch:
            return None
        true = (found[0], offset)
        return Truncation(true, true)
