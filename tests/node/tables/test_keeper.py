"""The thread that keeps the tables: what becomes of a file that is damaged, cannot be had, or is another node's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

import pytest

from mesh.log import Entry
from node.effects import AskTable, OpenTable, TableWrite, WriteTables
from node.tables.events import StoreChanged, TableAnswer, TableEvent, TableOpened, TablesWritten
from node.tables.keeper import TableKeeper, TablesInUseError
from tests.support.patience import PATIENCE_S

E = TypeVar("E")
ROW = ("/t/a", Entry((0, 1), None, 5, b"1", None))


class Kept:
    """A keeper, and what it says."""

    def __init__(self, directory: Path | None, bytes_max: int = 1 << 30) -> None:
        self.events: Queue[TableEvent] = Queue()
        inbox: Any = self.events
        self.keeper = TableKeeper(directory, bytes_max, inbox)

    def next(self, kind: type[E]) -> E:
        event = self.events.get(timeout=PATIENCE_S)
        assert isinstance(event, kind), event
        return event

    def write(self, generation: int, row: tuple[str, Entry] = ROW) -> None:
        self.keeper.do(OpenTable(generation, "0.x", 86_400.0))
        self.next(TableOpened)
        self.keeper.do(WriteTables(generation, [TableWrite("0.x", [row], row[1].at, True)]))

    def ask(self, generation: int) -> None:
        self.keeper.do(AskTable(generation, 7, "0.x", "/t/*", "", 10, 1000))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    one = Kept(tmp_path)
    yield one
    one.keeper.stop()


def test_what_was_written_before_a_question_is_in_its_answer_and_after_a_restart(kept: Kept, tmp_path: Path) -> None:
    assert [*tmp_path.iterdir()] == []
    kept.write(0)
    kept.ask(0)
    assert kept.next(TablesWritten).logs == ["0.x"]
    assert kept.next(TableAnswer) == TableAnswer(7, [ROW], True)
    kept.keeper.stop()
    again = Kept(tmp_path)
    again.keeper.do(OpenTable(0, "0.x", 86_400.0))
    opened = again.next(TableOpened)
    again.keeper.stop()
    assert opened.at == (0, 1)
    assert 0 <= opened.age_s < 86_400


@pytest.mark.parametrize("damage", ["header", "all", "none"])
def test_a_damaged_file_is_thrown_away_and_it_is_said(tmp_path: Path, damage: str) -> None:
    first = Kept(tmp_path)
    first.write(0)
    first.keeper.stop()
    file = tmp_path / "tables" / "latest.db"
    data = file.read_bytes()
    file.write_bytes({"header": b"\x55" * 100 + data[100:], "all": b"\x55" * len(data), "none": data}[damage])
    kept = Kept(tmp_path)
    kept.keeper.do(OpenTable(0, "0.x", 86_400.0))
    if damage == "none":
        assert kept.next(TableOpened).at == (0, 1)
    else:
        changed = kept.next(StoreChanged)
        assert (changed.generation, changed.is_usable) == (1, True)
        assert "damaged" in changed.problem
        kept.keeper.do(OpenTable(1, "0.x", 86_400.0))
        assert kept.next(TableOpened).at is None
    kept.keeper.stop()


def test_without_a_directory_tables_are_in_memory_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = Kept(tmp_path / "file")
    kept.keeper.do(OpenTable(0, "0.x", 86_400.0))
    changed = kept.next(StoreChanged)
    assert changed.is_usable
    assert "in memory" in changed.problem
    kept.write(1)
    kept.next(TablesWritten)
    kept.ask(1)
    assert kept.next(TableAnswer).rows == [ROW]
    kept.keeper.stop()


def test_a_file_that_is_full_is_left_as_it_is_and_memory_takes_over(tmp_path: Path) -> None:
    kept = Kept(tmp_path, bytes_max=1 << 20)
    kept.write(0)
    kept.next(TablesWritten)
    kept.keeper.do(
        WriteTables(0, [TableWrite("0.x", [("/t/b", Entry((0, 2), None, 5, bytes(2 << 20), None))], (0, 2), True)])
    )
    changed = kept.next(StoreChanged)
    assert changed.is_usable
    assert "full" in changed.problem
    kept.keeper.do(OpenTable(1, "0.x", 86_400.0))
    assert kept.next(TableOpened).at is None
    kept.keeper.stop()


def test_two_nodes_do_not_keep_their_tables_in_the_same_directory(kept: Kept, tmp_path: Path) -> None:
    kept.write(0)
    with pytest.raises(TablesInUseError, match=r"cluster\.data_dir"):
        Kept(tmp_path)
