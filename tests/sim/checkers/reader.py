"""One subscription of one application, in one life of it, judged from outside.

Whatever its place covers, it has been handed, in order, or a gap says that it cannot be had: `floor` is where the
coverage of a log begins, `settled` how far it has been checked. In the cluster's own logs what is due may become known
only later, so what was covered is looked at once more at the end (`recheck`).

Not here: what a log holds (truth.py), where a subscription starts and how it is made (apps/).
"""

from __future__ import annotations

from collections.abc import Mapping

from mesh.log import BEGINNING, Position
from tests.sim.broker.log import PartitionLog, Seen, covers
from tests.sim.checkers.truth import Truth
from tests.sim.checkers.violation import Violation
from whimbrel.events import Ended, Gap, Live, Resumed, Subscribed, SubscriptionStatus
from whimbrel.message import Message
from whimbrel.start import Latest, Place, Since, Start

END: Position = (1 << 60, 0)
KNOWN_AFTER_S = 2.5
"""A record that stood so long before its topic was deleted is known to every node that reaches Kafka."""


class Limits:
    """What the options allow a gap to say."""

    def __init__(self, is_roomy: bool, replay_messages_max: int) -> None:
        self.is_roomy = is_roomy
        self.replay_messages_max = replay_messages_max


class Reader:
    """The subscription, from when the application begins with it until it ends or crashes."""

    def __init__(
        self, truth: Truth, limits: Limits, name: str, subject: str, start: Start, place: Mapping[str, Position | None]
    ) -> None:
        """Begin.

        Args:
            place: What an earlier life has had, if it goes on from there.
        """
        self.name = name
        self.subject = subject
        self.start = start
        self.got_count = 0
        self.gaps_told: dict[str, int] = {}
        """How often each reason was given."""
        self._truth = truth
        self._limits = limits
        self._floor: dict[str, Position] = {log: at for log, at in place.items() if at is not None}
        self._settled: dict[str, Position] = dict(self._floor)
        self._answered_at: dict[str, Position] = {}
        """The place at the last answer to a new subscription."""
        self._got: dict[str, dict[Position, str]] = {}
        self._last: dict[tuple[str, str], Position] = {}
        self._snapshots: dict[tuple[str, str], Position] = {}
        self._earlier: dict[tuple[str, str], Position] = {}
        """Those that came before the last answer to a new subscription."""
        self._covered: list[tuple[str, Position, Position]] = []
        self._is_fresh = self._is_answer = False

    # What the application is handed and told.

    def message(self, message: Message) -> None:
        """A message."""
        self.got_count += 1
        log, at, subject = message.log, message.at, message.subject
        if not covers(self.subject, subject):
            raise Violation(f"{self} is handed {subject}")
        if self._is_gone(log):
            return  # until a node has looked again, it takes what librdkafka reads of a new topic for the old one's
        self._check_value(message)
        if message.snapshot:
            self._snapshot(message)
            return
        got = self._got.setdefault(log, {})
        if at in got:
            raise Violation(f"{self} is handed {at} of {log} twice")
        last = self._last.get((log, subject))
        if last is not None and at < last:
            raise Violation(f"{self} is handed {at} of {subject} in {log} after {last}")
        floor = self._floor.get(log)
        if floor is not None and at <= floor:
            raise Violation(f"{self} is handed {at} of {log}, though it begins after {floor}")
        if floor is not None:
            self._check_due(log, subject, floor if last is None else max(floor, last), at, before=True)
        got[at] = subject
        self._last[log, subject] = at

    def status(self, status: SubscriptionStatus) -> None:
        """Anything else that the application is told."""
        match status:
            case Subscribed():
                self._close()
                self._is_fresh = self._is_answer = True
                self._answered_at.clear()
                self._earlier = self._snapshots.copy()
            case Resumed():
                self._is_fresh = False
            case Gap():
                self._gap(status.log, status.start, status.end, status.why)
            case Ended():
                self._end(status.log)
            case Live() if self._is_fresh and isinstance(self.start, Latest):
                for log in status.logs:
                    self._check_snapshots(log)

    def place(self, place: Place) -> None:
        """Everything up to here is said to have been handed over."""
        for log, at in place.items():
            if at is None:
                continue
            self._truth.log(log)
            if self._is_answer:
                self._answered_at[log] = at
                self._check_since(log, at)
            settled = self._settled.get(log)
            if settled is None:
                self._floor[log] = self._settled[log] = at
            elif at > settled:
                self._check_due(log, self.subject, settled, at, before=False)
                self._settled[log] = at
        self._is_answer = False

    # At the end.

    def lacks(self, log_id: str) -> Position | None:
        """The first message of a log that it should have and has not."""
        floor = self._floor.get(log_id)
        if floor is None:
            return BEGINNING
        got = self._got.get(log_id, {})
        for due in self._truth.log(log_id).between(self.subject, floor, END):
            if due.is_due and due.at not in got:
                return due.at
        return None

    def recheck(self) -> None:
        """Look once more at all that was covered of the cluster's own logs."""
        self._close()
        for log, after, to in self._covered:
            if log in self._truth.slots:
                self._check_due(log, self.subject, after, to, before=False)

    def __str__(self) -> str:
        return f"{self.name} ({self.subject})"

    # Private.

    def _check_since(self, log_id: str, answered: Position) -> None:
        """It begins before the first record that is not older than asked for."""
        partition = self._truth.kafka.logs.get(log_id)
        if not isinstance(self.start, Since) or partition is None or partition.is_gone or partition.was_truncated:
            return
        assert isinstance(self.start.time, int)
        for seen in partition.between(self.subject, BEGINNING, answered):
            if seen.is_due and seen.record.time >= self.start.time and not self._truth.has_clock_jumped:
                raise Violation(
                    f"{self} from {self.start} begins after {answered} of {log_id}, but {seen.at} is not older"
                )

    def _is_gone(self, log: str) -> bool:
        """Whether it was one of Kafka's logs, and exists no more."""
        partition = self._truth.kafka.logs.get(log)
        return partition is not None and partition.is_gone

    def _check_value(self, message: Message) -> None:
        log, at, value = message.log, message.at, message.value
        if self._truth.is_own(self.subject):
            self._truth.slot(log).learn(at, message.subject, value, str(self))
            return
        partition = self._truth.kafka.logs.get(log)
        seen = partition.by_position.get(at) if partition is not None else None
        if seen is None:
            raise Violation(f"{self} is handed {value!r} at {at} of {log}, where nothing was ever committed")
        if (seen.record.value, seen.subject) != (value, message.subject):
            raise Violation(f"{self} is handed {value!r} at {at} of {log}, where {seen.record.value!r} stands")
        if seen.is_repeat:
            assert seen.original is not None
            raise Violation(f"{self} is handed {value!r} at {at} of {log}, which repeats {seen.original.at}")

    def _check_due(self, log: str, subject: str, after: Position, to: Position, before: bool) -> None:
        """Everything due there has been handed over."""
        if self._is_gone(log):
            return
        got = self._got.get(log, {})
        for due in self._truth.log(log).between(subject, after, to):
            if due.at <= self._earlier.get((log, due.subject), BEGINNING):
                continue  # a later value of its subject came with an answer before: this would be a step back
            if due.is_due and due.at not in got and (due.at < to or not before):
                what = "is handed" if before else "has, it is said, everything up to"
                raise Violation(f"{self} {what} {to} of {log}, but was never handed {due.at}")

    def _snapshot(self, message: Message) -> None:
        log, at, subject = message.log, message.at, message.subject
        before = self._snapshots.get((log, subject))
        if before is not None and before >= at:
            raise Violation(f"{self} is handed the snapshot {at} of {subject} in {log} after {before}")
        self._snapshots[log, subject] = at
        answered = self._answered_at.get(log)
        if answered is None:
            return
        later = next((due for due in self._truth.log(log).between(subject, at, answered) if due.is_due), None)
        if later is not None:
            raise Violation(
                f"{self} is handed the snapshot {at} of {subject} in {log}, though {later.at} was the latest"
            )

    def _check_snapshots(self, log_id: str) -> None:
        """Every subject's latest value was handed over: where a cache surely has them."""
        partition = self._truth.kafka.logs.get(log_id)
        answered = self._answered_at.get(log_id)
        if partition is None or answered is None or partition.is_gone:
            return
        topic = self._truth.kafka.topics.get(partition.topic)
        if topic is None or not (topic.is_compacted or self._limits.is_roomy) or self._truth.has_clock_jumped:
            return
        if not self._limits.is_roomy or partition.was_truncated:
            return
        latest: dict[str, Seen] = {}
        for seen in partition.between(self.subject, BEGINNING, answered):
            if not seen.is_lost and not seen.is_repeat:
                latest[seen.subject] = seen
        for subject, seen in latest.items():
            has = max(self._snapshots.get((log_id, subject), BEGINNING), self._last.get((log_id, subject), BEGINNING))
            if seen.is_due and seen.record.value is not None and has < seen.at:
                raise Violation(f"{self} was not handed the latest value of {subject}, {seen.at} of {log_id}")

    def _gap(self, log: str, start: Position | None, end: Position | None, why: str) -> None:
        self.gaps_told[why] = self.gaps_told.get(why, 0) + 1
        if self._truth.is_own(self.subject):
            self._check_own_gap(log, why)
        else:
            self._check_kafka_gap(log, start, end, why)
        settled = self._settled.get(log)
        if settled is not None and start is not None and start > settled:
            self._check_due(log, self.subject, settled, start, before=False)
        if end is None:
            self._forget(log)
            return
        if log in self._floor:
            self._covered.append((log, self._floor[log], self._settled[log]))
        self._floor[log] = self._settled[log] = end
        for key in [key for key in self._last if key[0] == log]:
            del self._last[key]
        got = self._got.get(log, {})
        for at in [at for at in got if at > end]:
            del got[at]

    def _check_own_gap(self, log: str, why: str) -> None:
        nothing = not any(
            True for _ in self._truth.log(log).between(self.subject, self._settled.get(log, BEGINNING), END)
        )
        if self._limits.is_roomy and not self._truth.is_broken and not (why == "memory_lost" and nothing):
            raise Violation(f"{self} is told of a gap in {log} ({why}), though nothing was ever let go of")

    def _check_kafka_gap(self, log: str, start: Position | None, end: Position | None, why: str) -> None:
        """It is true, and it is needed."""
        partition = self._truth.kafka.logs.get(log)
        if partition is None:
            raise Violation(f"{self} is told of a gap in {log}, which never was")
        words = f"{self} is told of a gap in {log} from {start} to {end} ({why})"
        if end is None or why == "log_gone":
            if not partition.is_gone and partition.topic not in self._truth.kafka.was_forbidden:
                raise Violation(f"{words}, but the log is there")
            return
        if why == "truncated":
            if not partition.was_truncated and not partition.is_gone:  # of a new topic a node may ask for the old one
                raise Violation(f"{words}, but Kafka has lost nothing")
            return
        if why == "unreadable":
            if partition.topic not in self._truth.kafka.was_forbidden and not partition.is_gone:
                raise Violation(f"{words}, but it could always be read")
            return
        if why == "replay_limit" and self._is_replay_limited(partition, start, end):
            return
        kept = self._kept(partition, start, end)
        if kept is not None:
            raise Violation(f"{words}, but Kafka still has {kept.at}")

    def _is_replay_limited(self, partition: PartitionLog, start: Position | None, end: Position) -> bool:
        return self._limits.replay_messages_max < partition.end

    def _kept(self, partition: PartitionLog, start: Position | None, end: Position) -> Seen | None:
        after = start if start is not None else self._floor.get(partition.id, end)
        if partition.is_gone:
            return None
        return next((one for one in partition.between(self.subject, after, end) if one.is_due), None)

    def _end(self, log: str) -> None:
        """It is told that a log is gone and that it has had all of it."""
        partition = self._truth.kafka.logs.get(log)
        if partition is None:
            raise Violation(f"{self} is told that {log} has ended, which never was one of Kafka's")
        if not partition.is_gone and partition.topic not in self._truth.kafka.was_forbidden:
            raise Violation(f"{self} is told that {log} has ended, but it is there")
        settled = self._settled.get(log)
        is_again = partition.topic in self._truth.kafka.topics  # a node may have read the new topic for the old one
        if settled is not None and not self._truth.kafka.was_away and not is_again:
            got = self._got.get(log, {})
            for due in partition.between(self.subject, settled, END):
                if due.is_due and due.at not in got and due.shown_at < partition.gone_at - KNOWN_AFTER_S:
                    raise Violation(f"{self} is told that it has had all of {log}, but was never handed {due.at}")
        self._forget(log)

    def _forget(self, log: str) -> None:
        if log in self._floor:
            self._covered.append((log, self._floor.pop(log), self._settled.pop(log)))
        for key in [key for key in self._last if key[0] == log]:
            del self._last[key]

    def _close(self) -> None:
        for log, floor in self._floor.items():
            self._covered.append((log, floor, self._settled[log]))
        self._floor.clear()
        self._settled.clear()
