"""Which workers want live messages of a subject, in which encoding.

Invariant: a worker is told of a subject's live messages from the first page that made one of its subscriptions
live until it drops the subject.

Not here: who of a worker's clients gets them (gateway/sessions/fan_out.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from mesh.subject import is_pattern, patterns_of

WorkerId: TypeAlias = int


class Interest:
    """Subjects and patterns, and the workers that hold subscriptions to them."""

    def __init__(self) -> None:
        self._exact: tuple[dict[str, tuple[WorkerId, ...]], ...] = ({}, {})
        self._patterns: tuple[dict[str, tuple[WorkerId, ...]], ...] = ({}, {})
        self._held: dict[WorkerId, set[tuple[int, str]]] = {}

    def __len__(self) -> int:
        return sum(len(held) for held in self._held.values())

    @property
    def workers(self) -> list[WorkerId]:
        """Workers that want anything at all."""
        return [worker for worker, held in self._held.items() if held]

    def add(self, worker: WorkerId, subject: str, encoding: int) -> None:
        """The worker wants this subject or pattern from now on. Adding twice changes nothing."""
        held = self._held.setdefault(worker, set())
        if (encoding, subject) not in held:
            held.add((encoding, subject))
            table = self._table(subject, encoding)
            table[subject] = (*table.get(subject, ()), worker)

    def drop(self, worker: WorkerId, subject: str, encoding: int) -> None:
        """The worker does not want it any more. Dropping what is not held changes nothing."""
        held = self._held.get(worker, set())
        if (encoding, subject) in held:
            held.remove((encoding, subject))
            table = self._table(subject, encoding)
            left = tuple(one for one in table[subject] if one != worker)
            if left:
                table[subject] = left
            else:
                del table[subject]

    def forget(self, worker: WorkerId) -> None:
        """The worker is gone."""
        for encoding, subject in list(self._held.get(worker, ())):
            self.drop(worker, subject, encoding)
        self._held.pop(worker, None)

    def finder(self, encoding: int) -> Callable[[str], Iterable[WorkerId] | None]:
        """A function that finds the workers that want a subject, each once; good until the interest changes.

        Nearly always there are no patterns, and then looking up is all there is to it.
        """
        exact, patterns = self._exact[encoding], self._patterns[encoding]
        if not patterns:
            return exact.get

        def find(subject: str) -> Iterable[WorkerId]:
            found = dict.fromkeys(exact.get(subject, ()))
            for pattern in patterns_of(subject):
                found.update(dict.fromkeys(patterns.get(pattern, ())))
            return found

        return find

    def _table(self, subject: str, encoding: int) -> dict[str, tuple[WorkerId, ...]]:
        return (self._patterns if is_pattern(subject) else self._exact)[encoding]
