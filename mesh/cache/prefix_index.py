"""Which subjects a pattern matches, without looking at all the others.

A subject is entered under each of its patterns from the second level on, `DEPTH` of them at most: `/flights/ORD/DEN/1`
under `/flights/ORD/*` and `/flights/ORD/DEN/*`. The first level (`/flights/*`) is nearly all that a log has, and is
looked through; deeper patterns are looked for under the deepest that is entered.

Not here: the form of subjects and patterns (subject.py), what is kept of a subject (cache.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Generic, TypeVar

from mesh.subject import patterns_of

DEPTH = 3
SLICE = 1_000
"""Subjects that are looked at in one go where that is done in slices: less than 2 ms with all that is done for each."""

T = TypeVar("T")


class PrefixIndex(Generic[T]):
    """Subject -> something, found by pattern."""

    def __init__(self, subjects: Mapping[str, T]) -> None:
        """Begin empty. `subjects` is the table of all subjects, which the owner changes along with this."""
        self._subjects = subjects
        self._under: dict[str, dict[str, T]] = {}

    def add(self, subject: str, value: T) -> None:
        """A subject that is new in the table."""
        for pattern in patterns_of(subject)[1 : DEPTH + 1]:
            under = self._under.get(pattern)
            if under is None:
                self._under[pattern] = {subject: value}
            else:
                under[subject] = value

    def remove(self, subject: str) -> None:
        """A subject that has left the table."""
        for pattern in patterns_of(subject)[1 : DEPTH + 1]:
            under = self._under[pattern]
            del under[subject]
            if not under:
                del self._under[pattern]

    def clear(self) -> None:
        """The table is empty."""
        self._under.clear()

    def matching(self, pattern: str) -> Iterator[T]:
        """What stands for the subjects that match, in no order."""
        candidates, are_all = self._candidates(pattern)
        if are_all:
            return iter(candidates.values())
        prefix = pattern[:-1]
        return (value for subject, value in candidates.items() if subject.startswith(prefix))

    def matching_in_slices(self, pattern: str) -> Iterator[list[T]]:
        """As `matching`, as of now, after each SLICE subjects that were looked at; the table may change meanwhile."""
        candidates, _ = self._candidates(pattern)
        pairs, prefix = iter([*candidates.items()]), pattern[:-1]
        for _ in range(0, max(len(candidates), 1), SLICE):
            yield [value for subject, value in islice(pairs, SLICE) if subject.startswith(prefix)]

    def most(self, pattern: str) -> int:
        """How many subjects `matching` looks at: so many match at most."""
        return len(self._candidates(pattern)[0])

    def _candidates(self, pattern: str) -> tuple[Mapping[str, T], bool]:
        """The subjects that can match, and whether all of them do."""
        levels = patterns_of(pattern[:-1])  # of the subject `/a/b/` these are `/a/*` and `/a/b/*`, the pattern itself
        if len(levels) == 1:
            return self._subjects, False
        return self._under.get(levels[min(len(levels) - 1, DEPTH)], {}), len(levels) - 1 <= DEPTH
