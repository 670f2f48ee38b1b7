"""A machine's store of tables: what was written survives a crash of the process, all of one write or nothing.

It may be found to be lost at any time.

Not here: what the core makes of it (node/tables/tables.py).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mesh.log import Entry, Position
from mesh.subject import is_pattern
from node.effects import AskTable, BeginTable, DropTable, OpenTable, TableEffect, WriteTables
from node.tables.events import StoreChanged, TableAnswer, TableEvent, TableOpened, TablesWritten
from tests.sim.setting import Setting

TABLE_S = 0.02
"""How long it takes for one thing, at most."""
LOST = 0.002
"""How often, of what is wanted of it, it is found to be lost."""


class _Table:
    def __init__(self, now_s: float) -> None:
        self.rows: dict[str, Entry] = {}
        self.at: Position | None = None
        self.current_s = now_s


class TableDisk:
    """One machine's."""

    def __init__(self, setting: Setting, rng: Random, wall_ms: Callable[[], int]) -> None:
        """Begin with nothing on it.

        Args:
            wall_ms: The machine's time of day.
        """
        self._setting = setting
        self._rng = rng
        self._wall_ms = wall_ms
        self._tables: dict[str, _Table] = {}
        self._generation = 0
        self._opened = 0
        self._free_at = 0.0
        """When its thread has done all that it is to do."""
        self._put: Callable[[TableEvent], None] = lambda event: None

    def open(self, put: Callable[[TableEvent], None]) -> None:
        """A process begins with it; what an earlier one wanted and is not done yet never will be."""
        self._opened += 1
        self._generation = 0
        self._put = put

    def do(self, effect: TableEffect) -> None:
        """After all that was wanted before, in its time."""
        self._free_at = max(self._free_at, self._setting.now) + self._rng.random() * TABLE_S
        self._setting.schedule.at(self._free_at, self._turn, self._opened, effect)

    def _turn(self, opened: int, effect: TableEffect) -> None:
        if opened == self._opened:
            for event in self._done(effect, self._wall_ms() / 1000):
                self._setting.counts[f"tables say {type(event).__name__}"] += 1
                self._put(event)

    def _done(self, effect: TableEffect, now_s: float) -> list[TableEvent]:
        if effect.generation != self._generation:
            return []
        if self._rng.random() < LOST:
            self._tables.clear()
            self._generation += 1
            return [StoreChanged(self._generation, True, "it was lost")]
        match effect:
            case OpenTable(log=log):
                table = self._tables.setdefault(log, _Table(now_s))
                return [TableOpened(log, table.at, now_s - table.current_s)]
            case BeginTable(log=log):
                self._tables[log] = _Table(now_s)
            case DropTable(log=log):
                self._tables.pop(log, None)
            case WriteTables(writes=writes):
                for one in writes:
                    self._write(self._tables[one.log], one.changes, one.at, now_s if one.is_current else None)
                return [TablesWritten([one.log for one in writes], 0)]
            case AskTable():
                return [self._answer(effect)]
        return []

    def _write(self, table: _Table, changes: list[tuple[str, Entry]], at: Position, current_s: float | None) -> None:
        for subject, entry in changes:
            if entry.value is None:
                table.rows.pop(subject, None)
            else:
                table.rows[subject] = entry
        table.at = at
        table.current_s = table.current_s if current_s is None else current_s

    def _answer(self, ask: AskTable) -> TableAnswer:
        rows = self._tables[ask.log].rows
        if not is_pattern(ask.subject):
            return TableAnswer(ask.ticket, [(ask.subject, rows[ask.subject])] if ask.subject in rows else [], True)
        found = [one for one in sorted(rows) if one.startswith(ask.subject[:-1]) and one > ask.after]
        most = self._rng.randint(1, 3)
        return TableAnswer(ask.ticket, [(one, rows[one]) for one in found[:most]], len(found) <= most)
