"""What the cache does not have: whom backfills' and catch-ups' questions go to, and their answers back.

    latest values -> the log's table
    entries       -> a peer's cache, which costs Kafka nothing -> no peer has them: Kafka
    places        -> Kafka, or the slots where the log is one of theirs

Not here: what asks (backfill/), how each finds out (mesh/cache/peer_scan.py, tables/, kafka/replay.py,
logs/slot_ends.py).
"""

from __future__ import annotations

from mesh.cache.peer_scan import NotHeld, PeerScan, PeerScanEvent
from mesh.log import Gap, Position, Truncation
from mesh.slots.slots import Slots
from node.backfill.backfills import Backfills, Ticket
from node.backfill.catch_ups import CatchUps
from node.backfill.questions import KafkaQuestion, LatestValues, Locate, Measure, Scan, Scanned
from node.durations import Durations
from node.effects import AskKafka, CancelQuestion, Effects
from node.logs.kafka_health import KafkaHealth
from node.logs.slot_ends import SlotEnds
from node.tables.tables import Tables

SCAN_BYTES_MAX = 1 << 20
"""Of one answer from a peer's cache."""


class History:
    """All questions of a node that are on their way."""

    def __init__(
        self,
        backfills: Backfills,
        catch_ups: CatchUps,
        scan: PeerScan,
        tables: Tables,
        slots: Slots,
        kafka_health: KafkaHealth,
        durations: Durations,
        effects: Effects,
    ) -> None:
        self.peers: list[str] = []
        """Whose caches can be asked."""
        self._backfills = backfills
        self._catch_ups = catch_ups
        self._scan = scan
        self._tables = tables
        self._slot_ends = SlotEnds(slots)
        self._kafka_health = kafka_health
        self._durations = durations
        self._effects = effects
        self._scans: dict[Ticket, Scan] = {}
        """Questions that peers are asked."""

    def settle(self, now: float) -> bool:
        """Ask the questions that are due, and cancel those no longer needed. Returns whether there was a question."""
        cancelled = [*self._backfills.take_cancelled(), *self._catch_ups.take_cancelled()]
        asked = [*self._backfills.take_questions(), *self._catch_ups.take_questions()]
        if not (cancelled or asked):
            return False
        questions = dict(asked)
        for ticket in dict.fromkeys(cancelled):
            if questions.pop(ticket, None) is None:  # else nobody was asked yet
                self._cancel(ticket)
        for ticket, question in questions.items():
            self._ask(now, ticket, question)
        return bool(questions)

    def tick(self, now: float) -> None:
        """About every 50 ms."""
        for ticket, exists in self._slot_ends.tick(now):
            if exists:
                self._backfills.measured(ticket, None)
            else:
                self._backfills.ended_before(ticket)

    # Answers.

    def peer_scanned(self, now: float, event: PeerScanEvent) -> None:
        """A peer has answered, or none could."""
        question = self._scans.pop(event.ticket)
        if isinstance(event, NotHeld):
            self._ask_log(now, event.ticket, question)
        else:
            self._tell_scanned(event.ticket, Scanned(question.after, [], event.found, event.reached))

    def scanned(self, now: float, ticket: Ticket, scanned: Scanned) -> None:
        """Kafka has answered `Scan`."""
        self._durations.answered(now, ticket)
        self._tell_scanned(ticket, scanned)

    def located(self, now: float, ticket: Ticket, position: Position | None) -> None:
        """Kafka has answered `Locate`."""
        self._durations.answered(now, ticket)
        self._backfills.located(ticket, position)

    def measured(self, now: float, ticket: Ticket, truncation: Truncation | None) -> None:
        """Kafka has answered `Measure`."""
        self._durations.answered(now, ticket)
        self._backfills.measured(ticket, truncation)

    def unanswered(self, ticket: Ticket) -> None:
        """Kafka could not be asked."""
        self._durations.given_up(ticket)
        self._tell_unanswered(ticket)

    # Private.

    def _cancel(self, ticket: Ticket) -> None:
        if self._scans.pop(ticket, None) is not None:
            self._scan.cancel(ticket)
        elif not self._slot_ends.cancel(ticket):
            self._durations.given_up(ticket)
            self._effects.add(CancelQuestion(ticket))

    def _ask(self, now: float, ticket: Ticket, question: KafkaQuestion) -> None:
        if isinstance(question, LatestValues):
            self._tables.ask(ticket, question)
        elif isinstance(question, Scan) and self.peers:
            self._scans[ticket] = question
            self._scan.ask(
                now, ticket, question.source.log_id, question.subject, question.after, question.until,
                question.messages_max, SCAN_BYTES_MAX, self.peers,
            )  # fmt: skip
        else:
            self._ask_log(now, ticket, question)

    def _ask_log(self, now: float, ticket: Ticket, question: KafkaQuestion) -> None:
        if not question.source.is_slot:
            if self._kafka_health.is_leaderless(question.source):
                self._tell_unanswered(ticket)  # a thread would wait for it in vain
            else:
                self._durations.asked(now, ticket)
                self._effects.add(AskKafka(ticket, question))
            return
        # A slot's log is nowhere but in the caches.
        match question:
            case Scan():
                gap = Gap(question.source.log_id, question.after, question.until, "retention")
                self._tell_scanned(ticket, Scanned(question.until, [gap], [], question.until))
            case Locate():
                self._backfills.located(ticket, None)
            case Measure():
                self._slot_ends.ask(now, ticket, question)

    def _tell_scanned(self, ticket: Ticket, scanned: Scanned) -> None:
        """One of the two has asked."""
        self._backfills.scanned(ticket, scanned)
        self._catch_ups.scanned(ticket, scanned)

    def _tell_unanswered(self, ticket: Ticket) -> None:
        self._backfills.unanswered(ticket)
        self._catch_ups.unanswered(ticket)
