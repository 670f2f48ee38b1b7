"""When a table is filled, followed, trusted and begun anew, on a whole core whose Kafka and store a test plays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.link import events as link
from mesh.log import BEGINNING, Entry, Position
from node.backfill.questions import Measure, ReadTable, TableRead
from node.effects import AskKafka, AskTable, BeginTable, OpenTable, WriteTables
from node.kafka.events import MeasureDone, TableReadDone, Unanswered
from node.tables.events import StoreChanged, TableAnswer, TableOpened, TablesWritten
from node.tables.tables import FILLS_MAX
from tests.node.cores import ALONE, OneNode, record

CONFIG = replace(ALONE, compacted=frozenset({"orders"}))
LOG = "0.x"
ROW = ("/orders/old", Entry((0, 0), None, 5, b"1", None))


class Tabled(OneNode):
    """A node whose table has been opened, with a log that ends at offset 9."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        [find] = self.find(1)
        self.generation = self.begin(find, 9, (0, 8)).generation
        self.read(self.generation, record(9))
        self.reach(self.generation)
        [opening] = self.all(OpenTable)
        assert (opening.generation, opening.log) == (0, LOG)

    def reach(self, generation: int) -> None:
        self.reach_end(generation)
        self.take()

    def opened(self, at: Position | None, age_s: float = 0.0) -> None:
        self.core.table_event(self.now, TableOpened(LOG, at, age_s))

    def asked(self) -> AskKafka:
        [asked] = self.all(AskKafka)
        return asked

    def fill(self) -> None:
        """From nothing to complete."""
        self.opened(None)
        asked = self.asked()
        self.core.kafka_event(self.now, TableReadDone(asked.ticket, TableRead([ROW], (0, 9), False)))
        [writing] = self.all(WriteTables)
        assert [(one.changes, one.at) for one in writing.writes] == [([ROW], (0, 9))]
        self.written()

    def written(self) -> None:
        self.core.table_event(self.now, TablesWritten([LOG], 1))


def test_a_new_table_is_read_from_the_beginning_and_the_node_is_ready_then() -> None:
    node = Tabled()
    assert not node.core.is_ready
    node.opened(None)
    question = node.asked().question
    assert isinstance(question, ReadTable)
    assert (question.after, question.until) == (BEGINNING, (0, 9))
    node = Tabled()
    node.fill()
    assert node.core.is_ready


def test_what_the_store_has_is_read_on_from_its_position_if_kafka_has_not_lost_that() -> None:
    node = Tabled()
    node.opened((0, 4), age_s=100)
    measure = node.asked()
    assert isinstance(measure.question, Measure)
    node.core.kafka_event(node.now, MeasureDone(measure.ticket, None))
    question = node.asked().question
    assert isinstance(question, ReadTable)
    assert question.after == (0, 4)
    assert not node.all(BeginTable)


@pytest.mark.parametrize("age_s", [80_000.0, -5.0])
def test_a_table_older_than_tombstones_are_kept_is_begun_anew(age_s: float) -> None:
    node = Tabled()
    node.opened((0, 4), age_s)
    assert len(node.all(BeginTable)) == 1
    question = node.asked().question
    assert isinstance(question, ReadTable)
    assert question.after == BEGINNING


def test_latest_values_wait_for_the_table_and_come_from_it() -> None:
    node = Tabled()
    node.subscribe(1, "/orders/*", link.Start("latest"))
    assert not [one for one in node.told() if isinstance(one, link.Answer)]
    node.fill()
    [ask] = node.all(AskTable)
    assert (ask.subject, ask.after) == ("/orders/*", "")
    node.core.table_event(node.now, TableAnswer(ask.ticket, [ROW], True))
    told = node.told()
    assert [one.answer for one in told if isinstance(one, link.Answer)] == ["fresh"]
    [page] = [one for one in told if isinstance(one, link.Page)]
    assert b"/orders/old" in page.data
    assert page.live == {LOG: (0, 9)}


def test_what_came_is_written_before_a_question_is_asked() -> None:
    node = Tabled()
    node.fill()
    node.read(node.generation, record(10, b"a", b"1"), record(11, b"a", None))
    node.subscribe(1, "/orders/*", link.Start("latest"))
    effects = [one for one in node.effects if isinstance(one, WriteTables | AskTable)]
    assert [type(one) for one in effects] == [WriteTables, AskTable]
    [writing] = node.all(WriteTables)
    assert [(subject, entry.at, entry.value) for subject, entry in writing.writes[0].changes] == [
        ("/orders/a", (0, 11), None)
    ]


def test_a_store_that_is_lost_is_filled_again_and_questions_are_asked_again() -> None:
    node = Tabled()
    node.fill()
    node.subscribe(1, "/orders/*", link.Start("latest"))
    assert len(node.all(AskTable)) == 1
    node.core.table_event(node.now, StoreChanged(1, True, "it was lost"))
    assert [one.generation for one in node.all(OpenTable)] == [1]
    node.fill()
    node.now += 1.1
    node.core.tick(node.now)
    [ask] = node.all(AskTable)
    assert ask.generation == 1


class Partitioned(OneNode):
    """A node with tables of many partitions, all opened and empty."""

    def __init__(self, partitions: int) -> None:
        super().__init__(CONFIG)
        for find in self.find(partitions):
            number = find.source.partition
            generation = self.begin(find, 9, (0, 8)).generation
            self.read(generation, record(9, partition=number))
            self.reach_end(generation, number)
        for opening in self.all(OpenTable):
            self.core.table_event(self.now, TableOpened(opening.log, None, 0.0))
        self.asked = self.all(AskKafka)
        """Questions to Kafka that have not been answered."""
        self.was_asked = dict.fromkeys(range(partitions), 0)
        self.most = 0

    def pass_time(self) -> None:
        self.now += 1.1
        self.core.tick(self.now)

    def step(self, is_answering: bool = True) -> None:
        """Kafka answers one question, and the store writes what is to be written."""
        self.most = max(self.most, len(self.asked))
        asked = self.asked.pop(0)
        assert isinstance(asked.question, ReadTable)
        self.was_asked[asked.question.source.partition] += 1
        reached = min((0, asked.question.after[1] + 5), asked.question.until)
        answer = TableReadDone(asked.ticket, TableRead([ROW], reached, False))
        self.core.kafka_event(self.now, answer if is_answering else Unanswered(asked.ticket, "it does not answer"))
        for writing in self.all(WriteTables):
            self.core.table_event(self.now, TablesWritten([one.log for one in writing.writes], 1))
        self.asked += self.all(AskKafka)


def test_few_tables_are_filled_at_a_time_and_all_in_the_end() -> None:
    node = Partitioned(20)
    while node.asked:
        node.step()
    assert node.most == FILLS_MAX
    assert node.core.tables.complete_count == 20
    assert node.core.is_ready


def test_a_table_that_cannot_be_read_keeps_none_from_its_turn() -> None:
    node = Partitioned(6)
    for _ in range(6):
        node.step(is_answering=False)
    assert [*node.was_asked.values()] == [1] * 6
    assert not node.asked
    node.pass_time()
    assert node.core.is_ready, "it has read what can be read, and says what cannot"
    node.asked += node.all(AskKafka)
    while node.asked:
        node.step()
    assert node.most == FILLS_MAX
    assert node.core.tables.complete_count == 6


def test_what_comes_while_a_table_waits_for_its_turn_is_read_then() -> None:
    node = Partitioned(3)
    last = node.core.topics.by_partition["orders", 2]
    node.read(last.generation, record(10, partition=2), record(11, partition=2))
    questions = []
    while node.asked:
        questions += [one.question for one in node.asked if isinstance(one.question, ReadTable)]
        node.step()
    assert {one.until for one in questions if one.source is last} == {(0, 11)}
    assert node.core.tables.complete_count == 3
