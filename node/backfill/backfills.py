"""All subscriptions of all workers that are on their way to live, and what each is waiting for.

What workers are to be told goes straight to the node's effects, so that it stands before the live batches that follow.
Questions are taken by the core, which knows who can answer them.

Not here: one subscription's way (backfill.py), live messages (node/intake.py), answering questions (node/core.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway.link.events import Answer, FromNode, LogEnded, LogGap, NewLog, Page, Subscribe, Waiting
from mesh.log import Entry, Gap, Position, Truncation
from mesh.subject import topic_of
from node.backfill.backfill import Backfill, PageLimits
from node.backfill.log_backfill import LogBackfill
from node.backfill.questions import KafkaQuestion, Scanned
from node.effects import Effects
from node.fair_queue import FairQueue
from node.interest import Interest, WorkerId
from node.logs.look_ups import LookUps
from node.topics import Source, Topics

Ticket: TypeAlias = int
"""Names a question."""

BackfillId: TypeAlias = tuple[WorkerId, int]
ClientId: TypeAlias = tuple[WorkerId, int]
"""A worker and its number for a client."""


class Backfills:
    """Takes workers' requests, news of logs and answers; take the questions after each."""

    def __init__(
        self, topics: Topics, interest: Interest, limits: PageLimits, look_ups: LookUps, effects: Effects
    ) -> None:
        self._topics = topics
        self._interest = interest
        self._look_ups = look_ups
        self._effects = effects
        self._limits = limits
        self._backfills: dict[BackfillId, Backfill] = {}
        self._by_topic: dict[str, dict[BackfillId, None]] = {}
        self._turns: dict[ClientId, dict[BackfillId, None]] = {}
        """Backfills that may be able to go on, by client."""
        self._queue = FairQueue[ClientId]()
        """Those clients, each once."""
        self._asked: dict[Ticket, tuple[BackfillId, LogBackfill]] = {}
        self._ticket = 0
        self._questions: list[tuple[Ticket, KafkaQuestion]] = []
        self._cancelled: list[Ticket] = []
        self.begun = 0
        self.gaps_told: Counter[str] = Counter()
        """By reason."""

    def __len__(self) -> int:
        return len(self._backfills)

    # Inputs from workers.

    def subscribe(self, worker: WorkerId, subscribe: Subscribe) -> None:
        """A subscription begins."""
        backfill = Backfill(worker, subscribe, self._limits)
        self.begun += 1
        topic = topic_of(subscribe.subject)
        self._backfills[worker, subscribe.sid] = backfill
        self._by_topic.setdefault(topic, {})[worker, subscribe.sid] = None
        self._soon(backfill)

    def more(self, worker: WorkerId, sid: int) -> None:
        """The worker asks for a subscription's next page."""
        backfill = self._backfills.get((worker, sid))
        if backfill is not None:
            backfill.more()
            self._soon(backfill)

    def cancel(self, worker: WorkerId, sid: int) -> None:
        """A subscription ended before it was live."""
        backfill = self._backfills.get((worker, sid))
        if backfill is not None:
            self._remove(backfill)

    def caught_up(self, worker: WorkerId, topic: str) -> None:
        """The worker is not behind any more in a log of this topic."""
        for backfill in self._of(topic):
            if backfill.worker == worker:
                self._soon(backfill)

    def forget(self, worker: WorkerId) -> None:
        """The worker is gone, or has lost its place: it asks again for what was not answered."""
        for backfill in [one for one in self._backfills.values() if one.worker == worker]:
            self._remove(backfill)

    # Inputs from Kafka and the mesh.

    def topics_changed(self, begun: list[Source], ended: list[tuple[Source, bool]]) -> None:
        """Topics or partitions appeared or are gone (already so in `Topics`).

        Of each that is gone `ended` says whether all of it was read.
        """
        for source, was_read in ended:
            for backfill in self._of(source.topic):
                backfill.remove_log(source.log_id, was_read)
            if was_read:
                ended_event = LogEnded(source.topic, source.log_id, self._topics.share_of(source))
                self._tell(source.topic, source.log_id, ended_event)
            else:
                end = None if source.log is None else source.log.end
                self._log_gap(source, Gap(source.log_id, end, None, source.why_gone))
        for source in begun:
            for backfill in self._of(source.topic):
                known = self._topics.of_subject(backfill.subject) or {}
                if backfill.opened and source.log_id in known and source.log_id not in backfill.logs:
                    (backfill.add_log if source.is_new else backfill.join_log)(source)
        if begun or ended:
            for backfill in self._backfills.values():
                self._soon(backfill)

    def looked_up(self, number: int) -> None:
        """What there is in Kafka is known as of after the request of this number (after `topics_changed`)."""
        waiting = [one for one in self._backfills.values() if one.has_unknown and not self._is_of_slots(one)]
        for backfill in waiting:
            if backfill.look_up <= number:
                backfill.give_up_unknown()
                self._soon(backfill)
        if any(one.has_unknown for one in waiting):
            self._look_ups.ask()

    def slots_known(self) -> None:
        """Every slot's log is the one that its coordinator has now: another one that a client names is gone."""
        for backfill in [one for one in self._backfills.values() if one.has_unknown and self._is_of_slots(one)]:
            backfill.give_up_unknown()
            self._soon(backfill)

    def log_opened(self, source: Source) -> None:
        """A log that is new since the node was watching can be read from its beginning."""
        assert source.log is not None
        self._begin_live(source, source.log.floor)
        self.log_loaded(source)

    def log_loaded(self, source: Source) -> None:
        """A log has been read up to its end for the first time."""
        assert source.log is not None
        if source.is_late and not source.is_new:
            # Subscriptions that are live without it are live in it from here; what it had before is not theirs.
            if (before := self._topics.ended_at(source.log_id)) is not None and before < source.log.end:
                self._log_gap(source, Gap(source.log_id, before, source.log.end, "unreadable"))
            self._begin_live(source, source.log.end)
        for backfill in self._of(source.topic):
            self._soon(backfill)

    def table_completed(self, source: Source) -> None:
        """All latest values of a log can be had."""
        for backfill in self._of(source.topic):
            self._soon(backfill)

    def log_torn(self, topic: str, gap: Gap) -> None:
        """The node itself missed entries of a log."""
        self.gaps_told[gap.why] += 1
        self._tell(topic, gap.log, LogGap(topic, gap))

    def _log_gap(self, source: Source, gap: Gap) -> None:
        self.gaps_told[gap.why] += 1
        self._tell(source.topic, source.log_id, LogGap(source.topic, gap, self._topics.share_of(source)))

    def _begin_live(self, source: Source, at: Position) -> None:
        source.live_from = at
        share = self._topics.share_of(source)
        self._tell(source.topic, source.log_id, NewLog(source.topic, source.log_id, at, share))

    def scanned(self, ticket: Ticket, scanned: Scanned) -> None:
        """Answers `Scan`."""
        if (found := self._answered(ticket)) is not None:
            backfill, log = found
            backfill.scanned(log, scanned)
            self._soon(backfill)

    def latest_found(self, ticket: Ticket, rows: list[tuple[str, Entry]], is_last: bool) -> None:
        """Answers `LatestValues`."""
        if (found := self._answered(ticket)) is not None:
            backfill, log = found
            backfill.latest_found(log, rows, is_last)
            self._soon(backfill)

    def located(self, ticket: Ticket, position: Position | None) -> None:
        """Answers `Locate`."""
        if (found := self._answered(ticket)) is not None:
            backfill, log = found
            backfill.located(log, position)
            self._soon(backfill)

    def measured(self, ticket: Ticket, truncation: Truncation | None) -> None:
        """Answers `Measure`."""
        if (found := self._answered(ticket)) is not None:
            backfill, log = found
            backfill.measured(log, truncation)
            self._soon(backfill)

    def ended_before(self, ticket: Ticket) -> None:
        """Answers `Measure` of a slot's log."""
        if (found := self._answered(ticket)) is not None:
            backfill, log = found
            backfill.ended_before(log)
            self._soon(backfill)

    def unanswered(self, ticket: Ticket) -> None:
        """Kafka could not be asked."""
        if (found := self._answered(ticket)) is not None:
            backfill, log = found
            backfill.postpone(log)
            self._soon(backfill)

    def retry(self, why: Callable[[str], str]) -> None:
        """About once a second: ask Kafka again, and tell who has no answer yet that it is waiting, and why.

        Args:
            why: What those of a topic wait for.
        """
        self._queue.forget_paid()
        for backfill in [one for one in self._backfills.values() if one.is_stuck]:
            backfill.retry()
            self._soon(backfill)
            if not backfill.answer_sent and not backfill.waiting_told:
                backfill.waiting_told = True
                is_read_back = backfill.is_asking and not self._is_of_slots(backfill)
                told = "it is being read back from Kafka" if is_read_back else why(topic_of(backfill.subject))
                if self._interest.is_behind(backfill.worker, topic_of(backfill.subject)):
                    told = "clients that were here before are caught up first"
                self._effects.to_worker(backfill.worker, Waiting(backfill.sid, told))

    # Work.

    @property
    def has_work(self) -> bool:
        """Whether a backfill can go on."""
        return bool(self._queue)

    def work(self) -> None:
        """Make one page for the client whose turn it is.

        That is the client for which least has been done: who wants little does not wait for those who want much.

        What is asked for is done here, in slices, and not when it is asked for: so live messages, publishes and what
        other clients want come in between, and what was cancelled meanwhile has cost nothing.
        """
        client = self._queue.pop()
        due = self._turns.pop(client)
        backfill_id = next(iter(due))
        del due[backfill_id]
        if due:
            self._turns[client] = due
        self._queue.charge(client, self._step(self._backfills[backfill_id]))
        if client in self._turns:
            self._queue.push(client)

    # Outputs.

    def take_questions(self) -> list[tuple[Ticket, KafkaQuestion]]:
        """What to find out; answer each by its ticket."""
        questions, self._questions = self._questions, []
        return questions

    def new_ticket(self) -> Ticket:
        """A number for a question, unique among all parts of the core."""
        self._ticket += 1
        return self._ticket

    def take_cancelled(self) -> list[Ticket]:
        """Questions whose answers are no longer needed."""
        cancelled, self._cancelled = self._cancelled, []
        return cancelled

    # Private.

    def _open(self, backfill: Backfill, sources: dict[str, Source]) -> None:
        ended = {one: at for one in backfill.begin.place if (at := self._topics.ended_at(one)) is not None}
        if backfill.begin.place:
            for log_id in self._topics.of(topic_of(backfill.subject)).keys() - sources.keys():
                if (named := backfill.begin.place.get(log_id)) is not None:
                    ended[log_id] = named  # of the namespace, but never of this subject: nothing can be missing
        backfill.open(sources, ended)
        if backfill.unknown and not self._is_of_slots(backfill):
            backfill.look_up = self._look_ups.surely_fresh
            self._look_ups.ask()

    def _is_of_slots(self, backfill: Backfill) -> bool:
        return topic_of(backfill.subject) in self._topics.namespaces

    def _soon(self, backfill: Backfill) -> None:
        """It may be able to go on."""
        due = self._turns.get(backfill.client)
        if due is None:
            due = self._turns[backfill.client] = {}
            self._queue.push(backfill.client)
        due[backfill.worker, backfill.sid] = None

    def _step(self, backfill: Backfill) -> int:
        """Bring a backfill further; what it cost."""
        if self._interest.is_behind(backfill.worker, topic_of(backfill.subject)):
            return 0  # until `caught_up`
        if not backfill.opened:
            sources = self._topics.of_subject(backfill.subject)
            if sources is None:
                return 0
            if (whole := backfill.at_once(sources)) is not None:
                self._say(backfill, whole)
                self._remove(backfill)
                return 1
            self._open(backfill, sources)
        cost = backfill.cost
        events, questions, over = backfill.step()
        self._say(backfill, events)
        for log, question in questions:
            log.ticket = self.new_ticket()
            self._asked[log.ticket] = ((backfill.worker, backfill.sid), log)
            self._questions.append((log.ticket, question))
        if over:
            self._remove(backfill)
        elif backfill.is_unfinished:
            self._soon(backfill)
        return backfill.cost - cost

    def _say(self, backfill: Backfill, events: Sequence[Answer | Page]) -> None:
        for event in events:
            if isinstance(event, Page) and (event.live or event.final):
                self._interest.add(backfill.worker, backfill.subject, backfill.encoding)
            if event.gaps:
                self.gaps_told.update(gap.why for gap in event.gaps)
            self._effects.to_worker(backfill.worker, event)

    def _answered(self, ticket: Ticket) -> tuple[Backfill, LogBackfill] | None:
        found = self._asked.pop(ticket, None)
        if found is None:
            return None
        backfill_id, log = found
        backfill = self._backfills.get(backfill_id)
        if backfill is None or backfill.logs.get(log.source.log_id) is not log:
            return None
        return backfill, log

    def _remove(self, backfill: Backfill) -> None:
        for log in backfill.logs.values():
            if self._asked.pop(log.ticket, None) is not None:
                self._cancelled.append(log.ticket)
        del self._backfills[backfill.worker, backfill.sid]
        due = self._turns.get(backfill.client, {})
        due.pop((backfill.worker, backfill.sid), None)
        if not due:
            self._turns.pop(backfill.client, None)
            self._queue.discard(backfill.client)
        topic = topic_of(backfill.subject)
        del self._by_topic[topic][backfill.worker, backfill.sid]
        if not self._by_topic[topic]:
            del self._by_topic[topic]

    def _of(self, topic: str) -> list[Backfill]:
        return [self._backfills[one] for one in self._by_topic.get(topic, ())]

    def _tell(self, topic: str, log_id: str, event: FromNode) -> None:
        """News of a log; who is behind in it hears of them in its turn (catch_ups.py)."""
        behind = self._interest.behind(topic, log_id)
        for worker in self._interest.workers:
            if worker not in behind:
                self._effects.to_worker(worker, event)
