"""The tables of a node: of each log of a compacted topic the latest value of every key, in a store on disk.

A table has no age and no limit but the disk's: nothing leaves it but by a tombstone. It follows its log:

    OPENING --- what the store has cannot be trusted, or it has nothing ---> begun anew ---+
       |                                                                                   v
       +--> CHECKING (has Kafka lost the table's position?) ----------------------------> FILLING --> COMPLETE
                                                                                            ^            |
                      what was to be written has become too much; the store was lost -------+------------+

FILLING: Kafka is read from the table's position up to where the log stood; what the log gets meanwhile is collected,
within bounds, and written behind it. Few tables do so at a time, in small stretches: what is on its way takes memory,
and questions wait in the store behind what is written. COMPLETE: what the log gets is written about every tick, of a
subject only the last.

Rules:
- The store's position is true: the table is as the log was there.
- What was written before a question is in its answer, so a complete table answers as of the log's end.
- Kafka forgets a tombstone after a time (`delete.retention.ms`). A table that has not been current for nearly so long
  may hold values that were deleted, and is begun anew; so is one whose log was truncated or torn.

Not here: the store (store.py, keeper.py), reading Kafka (node/kafka/replay.py), who asks (node/backfill/backfill.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from mesh.feed.feed import Feed
from mesh.log import BEGINNING, Entry, Position, Truncation
from node.backfill.backfills import Backfills, Ticket
from node.backfill.questions import LatestValues, Measure, ReadTable, TableRead
from node.effects import (
    WARNING,
    AskKafka,
    AskTable,
    BeginTable,
    DropTable,
    Effects,
    OpenTable,
    TableWrite,
    WriteTables,
)
from node.logs.kafka_health import KafkaHealth
from node.tables.events import StoreChanged, TableAnswer, TableEvent, TableOpened, TablesWritten
from node.topics import Source, Topics

TOMBSTONES_S = 86_400.0
"""How long Kafka keeps tombstones, as long as it does not say: its default."""
TRUSTED = 0.9
"""Of that time, for how much of it a table can be trusted that was not current."""
TRUSTED_MIN_S = 60.0
"""A running node reads within this time what Kafka has, whatever the time that tombstones are kept."""
CURRENT_EVERY_S = 30.0
"""How often a quiet table's being current is written down."""
COLLECTED_BYTES_MAX = 16 << 20
"""Of what waits to be written of one table; beyond it Kafka is read again."""
CHANGE_BYTES = 100
"""Of a change that waits, besides its subject and value."""
FILLS_MAX = 2
"""Tables that are filled at the same time: one is read while another's stretch is written."""
RETRY_S = 1.0
PAGE_ROWS = 2_000
PAGE_BYTES = 1 << 20


class TableStage(Enum):
    OPENING = auto()
    CHECKING = auto()
    FILLING = auto()
    COMPLETE = auto()


class Table:
    """One log's."""

    def __init__(self, now: float, source: Source, tombstones_s: float) -> None:
        self.source = source
        self.tombstones_s = tombstones_s
        self.stage = TableStage.OPENING
        self.at: Position = BEGINNING
        """Its position in the store, once what was sent there has been written."""
        self.goal: Position = BEGINNING
        """Up to here it is filled from Kafka; what follows is collected."""
        self.collected: dict[str, Entry] = {}
        self.collected_bytes = 0
        self.appended = 0
        """The number of the log's entries when they were collected last."""
        self.writes = 0
        """On their way to the store."""
        self.read: TableRead | None = None
        """What was read of Kafka and waits for the store."""
        self.ticket: Ticket = 0
        """Of the question to Kafka."""
        self.retry_at: float | None = None
        self.failure = ""
        """Why Kafka could not be read for it the last time."""
        self.end_read: Position | None = None
        """The log's end when the node's own reader last found nothing behind it."""
        self.current_at = now
        """When it was last known that it lacks nothing that Kafka has."""
        self.told_at = now
        """When the store was last told so."""

    @property
    def done(self) -> float:
        """How much of it has been read, about: 0 to 1."""
        return min(1.0, (self.at[1] + 1) / (self.goal[1] + 1)) if self.goal[1] >= 0 else 1.0


class Tables:
    """All of a node."""

    def __init__(
        self,
        topics: Topics,
        backfills: Backfills,
        feed: Feed,
        health: KafkaHealth,
        effects: Effects,
        compacted: frozenset[str],
    ) -> None:
        """Begin without any.

        Args:
            compacted: Names of the mapping's rules whose topics are compacted, whatever Kafka says.
        """
        self._topics = topics
        self._backfills = backfills
        self._feed = feed
        self._health = health
        self._effects = effects
        self._compacted = compacted
        self._tombstones_s: Mapping[str, float] = {}
        self._tables: dict[str, Table] = {}
        self._tickets: dict[Ticket, Table] = {}
        """Questions to Kafka."""
        self._asked: set[Ticket] = set()
        """Questions to the store."""
        self._turns: dict[str, Table] = {}
        """Those that are being read from Kafka."""
        self._due: dict[str, Table] = {}
        """Those that wait for a turn."""
        self._generation = 0
        """Of the store."""
        self._is_usable = True
        self.problem = ""
        """What is wrong with the store."""
        self.bytes = 0
        """Of the store, when something was last written."""
        self.rebuilt = 0
        """Tables that had to be built again."""
        self.changes_read = 0
        """Changes that were read from Kafka to fill tables."""
        self._second_at = 0.0

    # Questions.

    @property
    def is_loaded(self) -> bool:
        """Whether all tables are complete that can be now."""
        return not self._is_usable or all(
            table.stage is TableStage.COMPLETE or table.failure for table in self._tables.values()
        )

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._tables)

    @property
    def complete_count(self) -> int:
        """Those that have all latest values."""
        return sum(table.stage is TableStage.COMPLETE for table in self._tables.values())

    def is_said(self, topic: str) -> bool:
        """Whether the configuration says that a topic is compacted."""
        rule = self._topics.rule_of_kafka(topic)
        return rule is not None and rule.name in self._compacted

    def failures(self) -> list[str]:
        """What cannot be read from Kafka just now, for people."""
        return [
            f"the latest values of {table.source.topic} [{table.source.partition}] cannot be read: {table.failure}"
            for table in self._tables.values()
            if table.failure and table.stage is not TableStage.COMPLETE
        ]

    def why(self, topic: str) -> str:
        """Why a topic's latest values cannot be had now; empty if they can."""
        waiting = [
            table
            for table in self._tables.values()
            if table.source.topic == topic and table.stage is not TableStage.COMPLETE
        ]
        if not waiting:
            return ""
        if not self._is_usable:
            return self.problem
        failure = next((table.failure for table in waiting if table.failure), "")
        if failure:
            return f"the topic's latest values cannot be read from Kafka: {failure}"
        done = sum(table.done for table in waiting) / len(waiting)
        return f"the topic's latest values are being read from Kafka ({done:.0%})"

    # Inputs: what there is.

    def found(self, now: float, tombstones_s: Mapping[str, float]) -> None:
        """Kafka has told which topics are compacted, and for how long it keeps their tombstones."""
        self._tombstones_s = tombstones_s
        for topic, sources in self._topics.sources.items():
            is_table = topic in tombstones_s or self.is_said(topic)
            for source in sources.values():
                if source.is_table is not is_table:
                    source.is_table = is_table
                    self._turned(now, source)

    def log_loaded(self, now: float, source: Source) -> None:
        """A log can be followed, from its end on."""
        if not source.is_table or source.log_id in self._tables:
            return
        assert source.log is not None
        source.log.keeps_latest = False
        tombstones_s = self._tombstones_s.get(source.topic, TOMBSTONES_S)
        table = self._tables[source.log_id] = Table(now, source, tombstones_s)
        self._open(table)

    def ended(self, source: Source) -> None:
        """A log is gone, or is no table any more."""
        source.is_table_complete = False
        table = self._tables.pop(source.log_id, None)
        if table is not None:
            self._tickets.pop(table.ticket, None)
            self._end_turn(table)
            self._effects.add(DropTable(self._generation, source.log_id))

    # Inputs: what a log gets.

    def follow(self, source: Source) -> None:
        """Entries may have been appended to a table's log. Call before any of them can have left again."""
        table = self._tables.get(source.log_id)
        log = source.log
        if table is None or log is None or table.stage not in (TableStage.FILLING, TableStage.COMPLETE):
            return
        if source.log_id in self._due:  # it will be read up to where the log is then
            return
        count, table.appended = log.appended - table.appended, log.appended
        if count > log.held:  # some have left again
            self._overflow(table)
            return
        for found in log.newest(count):
            entry = found.entries[-1]
            if found.subject not in table.collected:
                table.collected_bytes += CHANGE_BYTES + len(found.subject) + len(entry.value or b"")
            table.collected[found.subject] = entry
        if table.collected_bytes > COLLECTED_BYTES_MAX:
            if self._is_free(table):
                self._write([table])
            else:
                self._overflow(table)

    def lost(self, source: Source) -> None:
        """A log was truncated or torn: what stands in its table may not be true."""
        table = self._tables.get(source.log_id)
        if table is not None and table.stage is not TableStage.OPENING:
            self._begin_anew(table)

    def end_read(self, source: Source) -> None:
        """The node's own reader has found nothing behind the log's end."""
        table = self._tables.get(source.log_id)
        if table is not None and source.log is not None:
            table.end_read = source.log.end

    # Inputs: answers of the store.

    def table_event(self, now: float, event: TableEvent) -> None:
        """What the store has to say."""
        match event:
            case TableOpened():
                table = self._tables.get(event.log)
                if table is not None and table.stage is TableStage.OPENING:
                    self._opened(now, table, event)
            case TablesWritten():
                self.bytes = event.bytes
                for log_id in event.logs:
                    table = self._tables.get(log_id)
                    if table is not None:
                        table.writes = max(table.writes - 1, 0)
                        self._take_read(table)
            case TableAnswer():
                self._asked.discard(event.ticket)
                self._backfills.latest_found(event.ticket, event.rows, event.is_last)
            case StoreChanged():
                self._generation = event.generation
                self._is_usable = event.is_usable
                self.problem = event.problem
                self._effects.log("tables_opened_again", WARNING, problem=event.problem)
                for ticket in self._asked:
                    self._backfills.unanswered(ticket)
                self._asked.clear()
                for table in self._tables.values():
                    self._open(table)

    # Inputs: answers of Kafka.

    def measured(self, ticket: Ticket, truncation: Truncation | None) -> None:
        """Answers `Measure`, if this asked."""
        table = self._tickets.pop(ticket, None)
        if table is not None:
            table.failure = ""
            if truncation is None:
                self._fill(table)
            else:
                self._begin_anew(table)

    def was_read(self, ticket: Ticket, read: TableRead) -> None:
        """Answers `ReadTable`."""
        table = self._tickets.pop(ticket, None)
        if table is None:
            return
        table.failure = ""
        if read.is_lost:
            self._begin_anew(table)
            return
        self.changes_read += len(read.changes)
        table.read = read
        self._take_read(table)

    def unanswered(self, now: float, ticket: Ticket, reason: str) -> None:
        """Kafka could not be asked."""
        table = self._tickets.pop(ticket, None)
        if table is not None:
            table.failure = reason
            table.retry_at = now + RETRY_S
            self._end_turn(table)

    # Inputs: the clock, and who asks.

    def tick(self, now: float) -> None:
        """About every 50 ms: write what was collected, and try again what failed."""
        self._write([table for table in self._tables.values() if table.collected and self._is_free(table)])
        if now >= self._second_at:
            self._second_at = now + RETRY_S
            for table in self._tables.values():
                self._second(now, table)
            due = [one for one in self._tables.values() if one.current_at > one.told_at + CURRENT_EVERY_S]
            self._write([table for table in due if self._is_free(table)])

    def ask(self, ticket: Ticket, question: LatestValues) -> None:
        """Ask for rows; the answer comes with the ticket."""
        table = self._tables.get(question.source.log_id)
        if table is None or table.stage is not TableStage.COMPLETE:
            self._backfills.unanswered(ticket)
            return
        if table.collected:
            self._write([table])
        self._asked.add(ticket)
        self._effects.add(
            AskTable(
                self._generation, ticket, table.source.log_id, question.subject, question.after, PAGE_ROWS, PAGE_BYTES
            )
        )

    # Private.

    def _turned(self, now: float, source: Source) -> None:
        """A topic's configuration has changed, or is known now."""
        if source.is_table and source.loaded:
            self.log_loaded(now, source)
        elif not source.is_table and source.log is not None:
            source.log.keeps_latest = True
            self.ended(source)

    def _open(self, table: Table) -> None:
        self._move(table, TableStage.OPENING)
        table.writes = 0
        if self._is_usable:
            self._effects.add(OpenTable(self._generation, table.source.log_id, table.tombstones_s))

    def _opened(self, now: float, table: Table, event: TableOpened) -> None:
        """What the store has is used if it can be trusted."""
        table.current_at = table.told_at = now - event.age_s
        if event.at is None:
            table.at = BEGINNING
            self._fill(table)
        elif not 0 <= event.age_s < table.tombstones_s * TRUSTED:
            self._begin_anew(table)
        else:
            table.at = event.at
            self._move(table, TableStage.CHECKING)
            self._check(table)

    def _begin_anew(self, table: Table) -> None:
        self.rebuilt += 1
        source = table.source
        self._effects.log("table_begun_anew", topic=source.topic, partition=source.partition, log=source.log_id)
        self._effects.add(BeginTable(self._generation, source.log_id))
        table.at = BEGINNING
        self._fill(table)

    def _fill(self, table: Table) -> None:
        """Read from Kafka what the table lacks, up to the log's end; what follows there is collected from here on."""
        self._move(table, TableStage.FILLING)
        self._aim(table)
        self._go_on(table)

    def _aim(self, table: Table) -> None:
        log = table.source.log
        assert log is not None
        table.goal = log.end
        table.appended = log.appended
        table.collected.clear()
        table.collected_bytes = 0

    def _overflow(self, table: Table) -> None:
        """What was collected is too much, or not all: Kafka has it, too."""
        if table.stage is TableStage.FILLING:
            self._aim(table)
        else:
            self._fill(table)

    def _go_on(self, table: Table) -> None:
        """The next step of a fill."""
        if table.at >= table.goal:
            self._move(table, TableStage.COMPLETE)
            table.source.is_table_complete = True
            self._backfills.table_completed(table.source)
        elif table.source.log_id in self._turns:
            self._ask(table, ReadTable(table.source, table.at, table.goal))
        else:
            table.retry_at = None
            self._due[table.source.log_id] = table
            self._give_turns()

    def _give_turns(self) -> None:
        while self._due and len(self._turns) < FILLS_MAX:
            log_id, table = next(iter(self._due.items()))
            del self._due[log_id]
            self._turns[log_id] = table
            self._aim(table)
            self._go_on(table)

    def _end_turn(self, table: Table) -> None:
        self._due.pop(table.source.log_id, None)
        if self._turns.pop(table.source.log_id, None) is not None:
            self._give_turns()

    def _take_read(self, table: Table) -> None:
        """Have what was read written, once what was written before is."""
        if table.read is None or table.writes or table.stage is not TableStage.FILLING:
            return
        read, table.read = table.read, None
        table.at = max(table.at, read.reached)
        self._send([TableWrite(table.source.log_id, read.changes, table.at, False)])
        table.writes += 1
        self._go_on(table)

    def _check(self, table: Table) -> None:
        self._ask(table, Measure(table.source, table.at))

    def _ask(self, table: Table, question: Measure | ReadTable) -> None:
        table.retry_at = None
        table.ticket = self._backfills.new_ticket()
        self._tickets[table.ticket] = table
        self._effects.add(AskKafka(table.ticket, question))

    def _move(self, table: Table, stage: TableStage) -> None:
        """Into another stage: what was on its way for the one before is not wanted any more."""
        table.stage = stage
        self._tickets.pop(table.ticket, None)
        table.read, table.retry_at = None, None
        self._end_turn(table)
        if stage is not TableStage.COMPLETE:
            table.source.is_table_complete = False
            table.collected.clear()
            table.collected_bytes = 0

    def _is_free(self, table: Table) -> bool:
        return table.stage is TableStage.COMPLETE and not table.writes

    def _write(self, tables: list[Table]) -> None:
        """Bring complete tables to the ends of their logs."""
        writes = []
        for table in tables:
            log = table.source.log
            assert log is not None
            changes, table.collected, table.collected_bytes = [*table.collected.items()], {}, 0
            table.at = log.end
            table.writes += 1
            is_current = table.current_at > table.told_at
            table.told_at = table.current_at
            writes.append(TableWrite(log.id, changes, table.at, is_current))
        if writes:
            self._send(writes)

    def _send(self, writes: list[TableWrite]) -> None:
        self._effects.add(WriteTables(self._generation, writes))

    def _second(self, now: float, table: Table) -> None:
        if table.retry_at is not None and now >= table.retry_at and not self._health.is_leaderless(table.source):
            (self._check if table.stage is TableStage.CHECKING else self._go_on)(table)
        if table.stage is not TableStage.COMPLETE or not self._is_level(now, table):
            return
        if now - table.current_at > max(table.tombstones_s * TRUSTED, TRUSTED_MIN_S):
            self._begin_anew(table)
        table.current_at = now

    def _is_level(self, now: float, table: Table) -> bool:
        """Whether the log has everything that Kafka has, as far as this node knows."""
        source = table.source
        if self._health.error or self._health.is_leaderless(source) or source.log is None:
            return False
        is_read = table.end_read is not None and table.end_read == source.log.end
        return is_read or self._health.lag(source) == 0 or self._feed.is_level(now, source.log_id)
