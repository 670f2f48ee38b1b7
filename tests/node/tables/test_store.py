"""The store of tables on a real disk: what was written is there, whole, and what is damaged is found to be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mesh.log import Entry, Position
from node.tables.rows import DamagedError
from node.tables.store import IN_MEMORY, TableStore

DAY_S = 86_400.0


def entry(seq: int, value: bytes | None = b"1") -> Entry:
    return Entry((3, seq), None, 1000, value, [("h", b"\x00")])


def write(store: TableStore, changes: dict[str, Entry], at: Position, current_s: float | None = None) -> None:
    store.write([("0.x", [*changes.items()], at, current_s)])


def opened(path: str = IN_MEMORY, bytes_max: int = 1 << 30) -> TableStore:
    store = TableStore(path, bytes_max)
    store.opened("0.x", DAY_S, 100.0)
    return store


def test_it_survives_with_its_position_and_time(tmp_path: Path) -> None:
    path = str(tmp_path / "t.db")
    store = TableStore(path, 1 << 30)
    assert store.opened("0.x", DAY_S, 100.0) == (None, 100.0)
    write(store, {"/t/a": entry(1), "/t/b": entry(2)}, (3, 2), 120.0)
    write(store, {"/t/a": entry(4, b"4"), "/t/b": entry(5, None)}, (3, 9))
    store.close()
    store = TableStore(path, 1 << 30)
    assert store.opened("0.x", DAY_S, 200.0) == ((3, 9), 120.0)
    assert store.page("0.x", "/t/*", "", 10, 1000) == ([("/t/a", entry(4, b"4"))], True)
    assert store.page("0.x", "/t/b", "", 10, 1000) == ([], True)


def test_pages_are_in_order_and_have_all_and_nothing_else() -> None:
    store = opened()
    subjects = [f"/t/{number:04}" for number in range(1000)] + ["/t/a/1", "/t/a/2", "/t/é", "/t/\U0001f600"]
    write(store, {subject: entry(number) for number, subject in enumerate(subjects)}, (3, 2000))
    found: list[str] = []
    after, is_last = "", False
    while not is_last:
        rows, is_last = store.page("0.x", "/t/*", after, 300, 1 << 20)
        found += [subject for subject, _ in rows]
        after = rows[-1][0]
    assert found == sorted(subjects, key=str.encode)
    assert [one for one, _ in store.page("0.x", "/t/a/*", "", 10, 1 << 20)[0]] == ["/t/a/1", "/t/a/2"]
    rows, is_last = store.page("0.x", "/t/*", "", 300, 1)
    assert (len(rows), is_last) == (1, False)


def test_a_table_that_is_begun_anew_or_dropped_is_empty() -> None:
    store = opened()
    write(store, {"/t/a": entry(1)}, (3, 1), 150.0)
    store.begin_anew("0.x", 300.0)
    assert store.opened("0.x", DAY_S, 400.0) == (None, 300.0)
    assert store.page("0.x", "/t/*", "", 10, 1000) == ([], True)
    store.drop("0.x")
    with pytest.raises(DamagedError):
        store.page("0.x", "/t/*", "", 10, 1000)


def test_what_kafka_may_have_forgotten_the_tombstones_of_is_dropped() -> None:
    store = opened()
    store.opened("1.x", 2 * DAY_S, 100.0)
    assert store.drop_stale(100.0 + 1.5 * DAY_S) == 1
    assert store.opened("1.x", DAY_S, 500.0)[1] == 100.0
    assert store.opened("0.x", DAY_S, 500.0)[1] == 500.0


def test_all_of_a_write_or_nothing(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "t.db"), bytes_max=1 << 20)
    write(store, {"/t/a": entry(1)}, (3, 1))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        write(store, {f"/t/{number}": entry(2, bytes(10_000)) for number in range(200)}, (3, 300))
    assert store.opened("0.x", DAY_S, 0.0)[0] == (3, 1)
    assert [one for one, _ in store.page("0.x", "/t/*", "", 10, 1 << 20)[0]] == ["/t/a"]


def test_a_row_that_was_changed_by_something_else_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = opened(str(path))
    write(store, {"/t/a": entry(1, b"a value that can be found")}, (3, 1))
    store.close()
    path.write_bytes(path.read_bytes().replace(b"can be found", b"was changed!"))
    with pytest.raises(DamagedError):
        TableStore(str(path), 1 << 30).page("0.x", "/t/a", "", 1, 1000)
