"""Which workers want live messages of a subject, in which encoding.

Invariants:
- a worker is told of a subject's live messages from the first page that made one of its subscriptions live until it
  drops the subject, but for those of the logs in which it is behind;
- a worker that lost its place is behind in every log, until it has said from where it wants to be caught up.

Not here: who of a worker's clients gets them (gateway/sessions/fan_out.py), how a worker is caught up
(backfill/catch_ups.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from mesh.log import Place
from mesh.subject import PREFIXES_TRIED_MAX, is_pattern, patterns_of, topic_of

WorkerId: TypeAlias = int
Finder: TypeAlias = Callable[[str], Sequence[WorkerId] | None]


class Interest:
    """Subjects and patterns, and the workers that hold subscriptions to them."""

    def __init__(self) -> None:
        self._exact: tuple[dict[str, tuple[WorkerId, ...]], ...] = ({}, {})
        self._patterns: tuple[dict[str, dict[str, tuple[WorkerId, ...]]], ...] = ({}, {})
        """Topic -> the patterns of it without their `*`."""
        self._held: dict[WorkerId, set[tuple[int, str]]] = {}
        self._lost: set[WorkerId] = set()
        """Behind in every log."""
        self._behind: dict[WorkerId, dict[str, set[str]]] = {}
        """Worker -> topic -> logs."""

    def __len__(self) -> int:
        return sum(len(held) for held in self._held.values())

    @property
    def workers(self) -> list[WorkerId]:
        """Workers with any interest."""
        return [worker for worker, held in self._held.items() if held]

    def held(self, worker: WorkerId) -> Collection[tuple[int, str]]:
        """What a worker wants: encodings and subjects or patterns."""
        return self._held.get(worker, ())

    def add(self, worker: WorkerId, subject: str, encoding: int) -> None:
        """The worker wants this subject or pattern from now on. Adding twice changes nothing."""
        held = self._held.setdefault(worker, set())
        if (encoding, subject) not in held:
            held.add((encoding, subject))
            if is_pattern(subject):
                table, name = self._patterns[encoding].setdefault(topic_of(subject), {}), subject[:-1]
            else:
                table, name = self._exact[encoding], subject
            table[name] = (*table.get(name, ()), worker)

    def drop(self, worker: WorkerId, subject: str, encoding: int) -> None:
        """The worker does not want it any more. Dropping what is not held changes nothing."""
        held = self._held.get(worker, set())
        if (encoding, subject) not in held:
            return
        held.remove((encoding, subject))
        if not is_pattern(subject):
            _take_out(self._exact[encoding], subject, worker)
            return
        topic = topic_of(subject)
        patterns = self._patterns[encoding][topic]
        _take_out(patterns, subject[:-1], worker)
        if not patterns:
            del self._patterns[encoding][topic]

    def forget(self, worker: WorkerId) -> None:
        """The worker is gone."""
        for encoding, subject in list(self._held.get(worker, ())):
            self.drop(worker, subject, encoding)
        self._held.pop(worker, None)
        self._behind.pop(worker, None)
        self._lost.discard(worker)

    def finder(self, encoding: int, topic: str, without: Collection[WorkerId] = ()) -> Finder:
        """A function that finds the workers that want a subject of a topic; good until the interest changes.

        Nearly always the topic has no patterns, and then looking up is all there is to it.

        Args:
            without: Workers that are not to be found.
        """
        exact, patterns = self._exact[encoding], self._patterns[encoding].get(topic, {})
        if not patterns and not without:
            return exact.get
        has_many = len(patterns) > PREFIXES_TRIED_MAX

        def find(subject: str) -> Sequence[WorkerId]:
            found = exact.get(subject, ())
            if has_many:  # each client may have a pattern of its own: the cost of a record must not grow with them
                matching = [patterns.get(pattern[:-1], ()) for pattern in patterns_of(subject)]
            else:
                matching = [workers for prefix, workers in patterns.items() if subject.startswith(prefix)]
            for workers in matching:
                found += tuple(worker for worker in workers if worker not in found)
            return [worker for worker in found if worker not in without] if without else found

        return find

    # Workers that are behind.

    def lose(self, worker: WorkerId) -> None:
        """The worker has lost its place, in every log."""
        self._behind.pop(worker, None)
        self._lost.add(worker)

    def find_again(self, worker: WorkerId) -> None:
        """The worker has said up to where it has each log: from now on it is behind only where `fall_behind` says."""
        self._lost.discard(worker)

    def fall_behind(self, worker: WorkerId, topic: str, log_id: str) -> None:
        """The worker gets no live messages of this log until it is caught up."""
        self._behind.setdefault(worker, {}).setdefault(topic, set()).add(log_id)

    def catch_up(self, worker: WorkerId, topic: str, log_id: str) -> None:
        """The worker has all of this log."""
        topics = self._behind[worker]
        topics[topic].remove(log_id)
        if not topics[topic]:
            del topics[topic]
            if not topics:
                del self._behind[worker]

    def behind(self, topic: str, log_id: str) -> Collection[WorkerId]:
        """The workers that get no live messages of a log for now."""
        if not self._behind and not self._lost:
            return ()
        return self._lost | {worker for worker, topics in self._behind.items() if log_id in topics.get(topic, ())}

    def is_behind(self, worker: WorkerId, topic: str) -> bool:
        """Whether the worker is behind in a log of this topic."""
        return worker in self._lost or topic in self._behind.get(worker, ())

    def ends_for(self, worker: WorkerId, ends: dict[str, Place]) -> dict[str, Place]:
        """Topic -> log -> position, of those logs in which the worker is not behind."""
        if worker in self._lost:
            return {}
        behind = self._behind.get(worker)
        if behind is None:
            return ends
        return {
            topic: {log: at for log, at in place.items() if log not in behind.get(topic, ())}
            for topic, place in ends.items()
        }


def _take_out(table: dict[str, tuple[WorkerId, ...]], name: str, worker: WorkerId) -> None:
    left = tuple(one for one in table[name] if one != worker)
    if left:
        table[name] = left
    else:
        del table[name]
