"""What must hold for subjects of namespaces, judged from outside: what all subscribers and publishers wrote down.

There is no Kafka to compare with. The truth is put together from what they say, who must agree:

- one position of a log has one message, whoever saw it or was told of it;
- a publish stands at one position, however often it was sent, and that is where its acknowledgement says;
- every subscriber gets, once and in order, everything after its beginning that was acknowledged or that any other
  subscriber got: what was delivered to one is committed, and so due to all;
- all see the messages of a subject in the same order, and `prev` names the one before;
- a publish that was sent after another one of the same log was acknowledged stands behind it;
- nothing comes that nobody published, and a gap is not said at all, unless so many voters lost their memory at once
  that the cluster may begin new logs. Then only what the old logs had may be lost, or come again in the new.

Each publish must have a value of its own. Not here: who subscribes and publishes (clients.py), Kafka's subjects
(tests/support/checker.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from typing import TypeAlias

from tests.support.checker import Breach, Fresh, Gapped, Got, Live, Outcome, Seen
from tests.support.truth import BEFORE_ALL, Position, covers

Place: TypeAlias = tuple[str, Position]
Message: TypeAlias = tuple[str, bytes | None]
"""Subject and value."""


class Checker:
    """All histories of one run.

    `memory_lost`: so many voters lost their memory at once that logs may have begun anew.
    """

    def __init__(self, seens: Sequence[Seen], outcomes: Sequence[Outcome], memory_lost: bool = False) -> None:
        self.seens = seens
        self.outcomes = outcomes
        self.memory_lost = memory_lost
        self.breaches: list[Breach] = []
        self.places: dict[Place, Message] = {}
        """What stands where."""
        self.prevs: dict[Place, Position] = {}
        """The position of the subject's message before, of those that anybody knows of."""
        self.logs: dict[str, list[str]] = defaultdict(list)
        """By slot, in the order in which they appeared."""

    def run(self) -> list[Breach]:
        """Everything that is wrong."""
        self._collect()
        self._publishes_stand_once()
        self._acknowledgements_follow_time()
        self._all_see_one_order()
        for seen in self.seens:
            self._subscriber(seen)
        self.breaches += [Breach("lost", text) for text in self._lost()]
        return self.breaches

    def unfinished(self) -> list[str]:
        """What subscribers lack, to be waited for before `run`."""
        self._collect()
        self.breaches.clear()
        return list(self._lost())

    def _breach(self, kind: str, text: str) -> None:
        self.breaches.append(Breach(kind, text))

    # What there is, from all that anybody says.

    def _collect(self) -> None:
        for who, place, message in self._said():
            known = self.places.setdefault(place, message)
            if known != message:
                self._breach("split", f"{place[0]} {place[1]} is {message} for {who}, and was {known}")
            if place[0] not in self.logs[slot := _slot(place[0])]:
                self.logs[slot].append(place[0])
        by_subject: dict[tuple[str, str], list[Position]] = defaultdict(list)
        for (log, at), (subject, _) in self.places.items():
            by_subject[log, subject].append(at)
        for (log, _), positions in by_subject.items():
            for before, at in pairwise(sorted(positions)):
                self.prevs[log, at] = before
        if not self.memory_lost:
            for slot, logs in self.logs.items():
                if len(logs) > 1:
                    self._breach("lost", f"slot {slot} has had more than one log: {logs}")

    def _said(self) -> Iterator[tuple[str, Place, Message]]:
        for seen in self.seens:
            for got in seen.got:
                yield seen.name, (got.log, got.at), (got.subject, got.value)
        for one in sorted(self.outcomes, key=lambda one: one.answered_at):
            if one.log is not None and one.at is not None:
                yield f"publisher {one.publisher}", (one.log, one.at), (one.subject, one.value)

    # What publishers were told.

    def _publishes_stand_once(self) -> None:
        stands: dict[Message, list[Place]] = defaultdict(list)
        for place, message in self.places.items():
            stands[message].append(place)
        for one in self.outcomes:
            what = f"{one.subject} {one.value!r}"
            found = sorted(stands.pop((one.subject, one.value), []))
            logs = [log for log, _ in found]
            if len(found) > 1 and not (self.memory_lost and len(set(logs)) == len(logs)):
                self._breach("repeat", f"{what} stands at {found}")
            if one.log is not None and one.at is None and not found and not self._may_be_gone(one.log):
                self._breach("lost", f"{what} was acknowledged in {one.log}, and nobody has got it")
            if one.log is not None and one.at is None and found and one.log not in logs:
                self._breach("ack", f"{what} was acknowledged in {one.log}, and stands at {found}")
        for message, found in stands.items():
            self._breach("phantom", f"{message} at {found} was published by nobody")

    def _acknowledgements_follow_time(self) -> None:
        by_log: dict[str, list[Outcome]] = defaultdict(list)
        for one in self.outcomes:
            if one.log is not None and one.at is not None:
                by_log[one.log].append(one)
        for log, same in by_log.items():
            answered = sorted(same, key=lambda one: one.answered_at)
            newest, done = BEFORE_ALL, 0
            for one in sorted(same, key=lambda one: one.sent_at):
                while answered[done].answered_at < one.sent_at:
                    newest = max(newest, answered[done].at or BEFORE_ALL)
                    done += 1
                if one.at is not None and one.at < newest:
                    self._breach("order", f"{log} {one.at} ({one.value!r}) was sent after {newest} was acknowledged")

    # What subscribers got.

    def _all_see_one_order(self) -> None:
        """Compare what each pair has in common, with no regard to positions."""
        lists: dict[str, dict[str, list[bytes | None]]] = defaultdict(dict)
        for seen in self.seens:
            for got in seen.got:
                if not got.snapshot:
                    lists[got.subject].setdefault(seen.name, []).append(got.value)
        for subject, by_name in lists.items():
            for (one, mine), (other, theirs) in combinations(by_name.items(), 2):
                common = set(mine) & set(theirs)
                first = [value for value in mine if value in common]
                second = [value for value in theirs if value in common]
                if first != second and len(first) == len(second):
                    where = next(n for n, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
                    text = f"{subject}: {one} has {first[where]!r} where {other} has {second[where]!r}"
                    self._breach("order", text)

    def _subscriber(self, seen: Seen) -> None:
        had: dict[Place, bool] = {}
        last: dict[tuple[str, str], Position] = {}
        gaps: list[tuple[str, Position, Position]] = []
        newest_log: dict[str, str] = {}
        begins: dict[str, Position] = {}
        waiting: set[str] = set()
        for one in seen.noted:
            match one:
                case Fresh():
                    begins, waiting = dict(one.at), set(one.waiting) - one.at.keys()
                case Live():
                    begins |= {log: at for log, at in one.at.items() if log in waiting}
                    waiting -= one.at.keys()
                case Gapped():
                    if not self.memory_lost:
                        self._breach("gap", f"{seen.name}: {one.log} after {one.start} to {one.end} ({one.why})")
                    if one.end is not None:
                        gaps.append((one.log, one.start or BEFORE_ALL, one.end))
                case Got():
                    self._got(seen, one, had, last)
                    self._place_is_right(seen, one, gaps, newest_log)
                    if not one.snapshot and one.log not in waiting and one.at <= begins.get(one.log, BEFORE_ALL):
                        self._breach("early", f"{seen.name}: {one.log} {one.at}, but it begins at {begins[one.log]}")

    def _got(self, seen: Seen, got: Got, had: dict[Place, bool], last: dict[tuple[str, str], Position]) -> None:
        where = f"{seen.name}: {got.subject} {got.log} {got.at}"
        place = (got.log, got.at)
        if not covers(seen.subject, got.subject):
            self._breach("wrong", f"{where} is not what it subscribed to")
        if place in had:
            self._breach("repeat", f"{where} came twice")
        elif got.at < last.get((got.log, got.subject), BEFORE_ALL):
            self._breach("order", f"{where} came after {last[got.log, got.subject]}")
        had[place] = True
        last[got.log, got.subject] = max(got.at, last.get((got.log, got.subject), BEFORE_ALL))
        if got.prev is not None and got.prev != self.prevs.get(place):
            # One that nobody else knows of either is gone, or was never there; both are wrong.
            if place in self.prevs or got.prev in {at for log, at in self.places if log == got.log}:
                self._breach("wrong", f"{where} has prev {got.prev}, the one before is {self.prevs.get(place)}")
            elif self._is_told_to_all(got):
                self._breach("lost", f"{where} has prev {got.prev}, which nobody has got")

    def _is_told_to_all(self, got: Got) -> bool:
        """Whether the message before must be known: somebody has been there since the log's beginning."""
        return any(
            isinstance(one, Fresh) and got.prev is not None and one.at.get(got.log, BEFORE_ALL) < got.prev
            for seen in self.seens
            if covers(seen.subject, got.subject)
            for one in seen.noted[:1]
        )

    def _place_is_right(
        self, seen: Seen, got: Got, gaps: list[tuple[str, Position, Position]], newest_log: dict[str, str]
    ) -> None:
        where = f"{seen.name}: {got.subject} {got.log} {got.at}"
        if any(log == got.log and start < got.at <= end for log, start, end in gaps):
            self._breach("gap", f"{where} came although a gap was said to cover it")
        logs = self.logs[slot := _slot(got.log)]
        newest = newest_log.setdefault(slot, got.log)
        if logs.index(got.log) < logs.index(newest):
            self._breach("order", f"{where} is of the log before {newest}")
        else:
            newest_log[slot] = got.log

    # What subscribers did not get.

    def _lost(self) -> Iterator[str]:
        for seen in self.seens:
            fresh = next((one for one in seen.noted if isinstance(one, Fresh)), None)
            if fresh is None:
                yield f"{seen.name} was never answered"
                continue
            begins = _begins(seen.noted, fresh)
            had = {(got.log, got.at) for got in seen.got}
            gaps = [one for one in seen.noted if isinstance(one, Gapped)]
            for (log, at), (subject, value) in self.places.items():
                if (log, at) in had or not covers(seen.subject, subject) or self._may_be_gone(log):
                    continue
                begin = begins.get(log, BEFORE_ALL)
                if begin is None or at <= begin or any(_is_in(gap, log, at) for gap in gaps):
                    continue
                yield f"{seen.name}: {subject} {log} {at} ({value!r}) never came"

    def _may_be_gone(self, log: str) -> bool:
        """Whether the log has ended because too many lost their memory."""
        return self.memory_lost and log != next(reversed(self.logs[_slot(log)]), log)


def check(seens: Sequence[Seen], outcomes: Sequence[Outcome], memory_lost: bool = False) -> list[Breach]:
    """Everything that is wrong with a run; empty if all promises were kept."""
    return Checker(seens, outcomes, memory_lost).run()


def _slot(log: str) -> str:
    return log.partition(".")[0]


def _begins(noted: Iterable[object], fresh: Fresh) -> dict[str, Position | None]:
    """After what the subscription begins in each log; None: it has been waiting ever since."""
    found: dict[str, Position | None] = dict.fromkeys(fresh.waiting)
    found.update(fresh.at)
    for one in noted:
        if isinstance(one, Live):
            found.update({log: at for log, at in one.at.items() if found.get(log, at) is None})
    return found


def _is_in(gap: Gapped, log: str, at: Position) -> bool:
    return gap.log == log and (gap.start or BEFORE_ALL) < at and (gap.end is None or at <= gap.end)
