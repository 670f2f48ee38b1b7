"""What the store of tables tells the node's core.

Not here: the store (store.py, keeper.py), what follows from it (tables.py).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from mesh.log import Entry, Position


class TableOpened(msgspec.Struct, gc=False):
    """Answers `OpenTable`."""

    log: str
    at: Position | None
    """The store has the latest values as they were at this position; None: it had nothing, the table is new."""
    age_s: float
    """How long ago it was last known that nothing in the table is missing or too much, by the time of day."""


class TablesWritten(msgspec.Struct, gc=False):
    """Answers `WriteTables`: all of it is in the store."""

    logs: list[str]
    bytes: int
    """Of the whole store, on disk or in memory."""


class TableAnswer(msgspec.Struct, gc=False):
    """Answers `AskTable`."""

    ticket: int
    rows: list[tuple[str, Entry]]
    is_last: bool
    """There are no more rows."""


class StoreChanged(msgspec.Struct, gc=False):
    """Tables must be opened again: the store has got lost, or another one has taken its place.

    What the core has wanted of an earlier generation is not done and not answered.
    """

    generation: int
    is_usable: bool
    """If not, nothing can be kept now: another `StoreChanged` follows when it can."""
    problem: str
    """What is wrong with it, for people; empty if nothing is."""


TableEvent: TypeAlias = TableOpened | TablesWritten | TableAnswer | StoreChanged
