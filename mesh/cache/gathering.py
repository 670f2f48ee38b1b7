"""Entries of many subjects of a log, gathered in slices: a log may have a million subjects.

Between two slices entries may come and leave. Those that come are behind where the log ended at the beginning, and are
not gathered; of those that left too early the floors tell, at the time at which a subject is looked at.

Not here: which subjects (prefix_index.py), who waits for the entries (node/backfill/backfill.py).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from mesh.cache.prefix_index import SLICE
from mesh.cache.subject_log import SubjectLog, position_of
from mesh.log import Entry, Position


class Gathering:
    """The first entries after a position, in log order, once `slices` has come to its end."""

    def __init__(self, subjects: Iterable[list[SubjectLog]], end: Position, position: Position, most: int) -> None:
        """Nothing is done yet.

        Args:
            subjects: In slices.
            end: Where the log ends now.
            most: How many entries at most.
        """
        self.found: list[tuple[str, Entry]] = []
        """The entries, each with its subject."""
        self.reached = end
        """These are all up to here."""
        self.is_complete = True
        """Whether nothing of the subjects had left that is after the position."""
        self._subjects = subjects
        self._position = position
        self._most = most

    def slices(self) -> Iterator[None]:
        """Go on with each; others may have their turn in between."""
        position, end = self._position, self.reached
        behind: list[SubjectLog] = []
        firsts: list[Position] = []
        count = 0
        for number, subjects in enumerate(self._subjects):
            if number:
                yield
            for one in subjects:
                self._look_at(one)
                entries = one.entries
                if entries and entries[-1].at > position:
                    index = bisect_right(entries, position, key=position_of)
                    count += len(entries) - index
                    behind.append(one)
                    firsts.append(entries[index].at)
        if not firsts or (first := min(firsts)) > end:
            return
        # No more than `most` entries can stand within so many positions of one epoch.
        cut = end if count <= self._most else min(end, (first[0], first[1] + self._most - 1))
        for start in range(0, len(behind), SLICE):
            if start:
                yield
            for one in behind[start : start + SLICE]:
                self._look_at(one)
                entries = one.entries
                index = bisect_right(entries, position, key=position_of)
                last = bisect_right(entries, cut, index, key=position_of)
                self.found += [(one.subject, entry) for entry in entries[index:last]]
        self.found.sort(key=_position_of_pair)
        if cut < end and self.found:
            self.reached = self.found[-1][1].at

    def _look_at(self, one: SubjectLog) -> None:
        if one.floor > self._position:
            self.is_complete = False


def _position_of_pair(pair: tuple[str, Entry]) -> Position:
    return pair[1].at
