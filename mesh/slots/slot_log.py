"""The log of one slot as a node holds it in memory: the recent items, and in which epoch each was appended.

Items are counted from the log's beginning: item `i` has *index* `i`, whatever its epoch. Clients see positions
instead: (epoch, seq), where seq counts from 0 within the epoch. The table of epochs translates.

    index       0   1   2 | 3   4 | 5  ...           table  [(1, 0), (4, 3), (6, 5)]
    position  1,0 1,1 1,2 | 4,0 4,1 | 6,0 ...

Invariants:
- `base` <= index of every item held < `end`; items below `base` were committed and have been let go of.
- The table ascends in both columns and has no epoch without an item but, perhaps, the last.
- Log matching: two logs of one lineage that have an item of the same epoch at the same index are equal up to there,
  for an epoch has one coordinator and that appends in order. (Raft, Ongaro and Ousterhout 2014, section 5.3)

Not here: who may append (replication.py), what subscribers can still read of it (cache/cache.py).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeAlias

import msgspec

from mesh.log import Headers, Position
from mesh.repeats import PublishKey

EpochTable: TypeAlias = list[tuple[int, int]]
"""(epoch, index of its first item), ascending."""

ITEM_BYTES = 300
"""Memory of an item besides its value and headers, about."""


class Item(msgspec.Struct, array_like=True, gc=False):
    """One publish as it stands in the log of a slot."""

    subject: str
    publisher: str
    number: int
    """The publisher's own sequence number."""
    value: bytes | None
    headers: Headers | None
    time: int
    """Milliseconds since 1970 at the node where it came in, for people."""
    clock: int = 0
    """Milliseconds of the log's own clock, stamped by the coordinator; it goes on over elections and never back."""

    @property
    def publish_key(self) -> PublishKey:
        """What names the publish."""
        return self.publisher, self.number, self.subject


def item_bytes(item: Item) -> int:
    """Memory of an item, about."""
    size = ITEM_BYTES + len(item.value or b"")
    if item.headers:
        size += sum(len(name) + len(value or b"") for name, value in item.headers)
    return size


class SlotLog:
    """Items from `base` to `end`."""

    __slots__ = ("base", "bytes", "clock", "end", "items", "table")

    def __init__(self, base: int = 0, table: EpochTable | None = None, clock: int = 0) -> None:
        self.base = base
        self.end = base
        self.items: list[Item] = []
        self.table: EpochTable = list(table or ())
        self.clock = clock
        """The log's clock at its last item, in milliseconds."""
        self.bytes = 0

    def begin_epoch(self, epoch: int) -> None:
        """What is appended from here on is of this epoch."""
        assert not self.table or epoch > self.table[-1][0], (epoch, self.table)
        if self.table and self.table[-1][1] == self.end:
            self.table.pop()  # it had no item
        self.table.append((epoch, self.end))

    def append(self, items: list[Item]) -> None:
        """Append items of the last epoch."""
        assert self.table
        if items:
            self.items.extend(items)
            self.end += len(items)
            self.clock = items[-1].clock
            self.bytes += sum(map(item_bytes, items))

    def slice(self, first: int, most: int, bytes_max: int) -> list[Item]:
        """Items from an index on, as many as the limits allow, at least one if there is one."""
        assert first >= self.base
        items = self.items[first - self.base : first - self.base + most]
        size = 0
        for count, item in enumerate(items):
            size += item_bytes(item)
            if size > bytes_max and count:
                return items[:count]
        return items

    def position(self, index: int) -> Position:
        """The position of an index that the table reaches; of the one before the first epoch, BEGINNING."""
        table = self.table
        if table and index >= table[-1][1]:
            epoch, first = table[-1]
            return epoch, index - first
        row = bisect_right(table, index, key=_first_index) - 1
        if row < 0:
            return (0, -1)
        epoch, first = table[row]
        return epoch, index - first

    def between(self, first: int, end: int) -> list[tuple[Position, Item]]:
        """Items from one index up to another (exclusive), each with its position."""
        found: list[tuple[Position, Item]] = []
        while first < end:
            epoch, seq = self.position(first)
            row = bisect_right(self.table, first, key=_first_index)
            stop = min(end, self.table[row][1]) if row < len(self.table) else end
            items = self.items[first - self.base : stop - self.base]
            found += [((epoch, number), item) for number, item in enumerate(items, seq)]
            first = stop
        return found

    def index_of(self, position: Position) -> int:
        """The index of a position that stands in the log, or of the end of its epoch if it is past that."""
        epoch, seq = position
        row = bisect_right(self.table, epoch, key=_epoch) - 1
        if row < 0:
            return -1
        found, first = self.table[row]
        last = (self.table[row + 1][1] if row + 1 < len(self.table) else self.end) - 1
        return min(first + seq, last) if found == epoch else last

    def common(self, table: EpochTable, end: int) -> int:
        """Up to which index (exclusive) this log is surely equal to another that has this table and end."""
        best = 0
        others = {epoch: (first, table[row + 1][1] if row + 1 < len(table) else end)
                  for row, (epoch, first) in enumerate(table)}  # fmt: skip
        for row, (epoch, first) in enumerate(self.table):
            mine = self.table[row + 1][1] if row + 1 < len(self.table) else self.end
            other_first, other_end = others.get(epoch, (0, 0))
            if epoch in others and first == other_first:
                best = max(best, min(mine, other_end))
        return best

    def adopt(self, first: int, items: list[Item], table: EpochTable, clock: int) -> None:
        """Become another log: keep what is below `first`, then these items; the other's table and clock."""
        assert self.base <= first <= self.end, (first, self.base, self.end)
        del self.items[first - self.base :]
        self.items.extend(items)
        self.end = first + len(items)
        self.table = list(table)
        self.clock = self.items[-1].clock if self.items else clock
        self.bytes = sum(map(item_bytes, self.items))

    def trim(self, committed: int, items_max: int, bytes_max: int) -> None:
        """Let go of the oldest committed items beyond the limits, many at once."""
        if len(self.items) <= items_max and self.bytes <= bytes_max:
            return
        count, size = 0, self.bytes
        most = min(len(self.items), committed - self.base)
        while count < most and (len(self.items) - count > items_max // 2 or size > bytes_max // 2):
            size -= item_bytes(self.items[count])
            count += 1
        del self.items[:count]
        self.base += count
        self.bytes = size
        # The row of the item before `base` stays: its position is known.
        row = bisect_right(self.table, self.base - 1, key=_first_index) - 1
        if row > 0:
            del self.table[:row]


def _first_index(row: tuple[int, int]) -> int:
    return row[1]


def _epoch(row: tuple[int, int]) -> int:
    return row[0]
