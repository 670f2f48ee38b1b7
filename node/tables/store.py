"""The latest values of compacted topics in an SQLite database: of each log a table, subject -> entry, and the position
at which it is complete.

Rows and position change in one transaction: whatever happens to the process or the machine, a table is as it was at its
position. (WAL with `synchronous=NORMAL`: the last transactions may be lost with the machine, never half of one.)

Values stand in the order in which they were first written, beside an index of the subjects: with random keys that
writes a tenth of what a table ordered by subject does. Many rows go into one statement, because the interpreter is
given up and got back once for each.

Not here: the thread that calls it, and what becomes of its errors (keeper.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mesh.log import Entry, Position
from mesh.subject import is_pattern
from node.tables.rows import DamagedError, pack, unpack

FORMAT = 1
PAGE_BYTES = 8192
CACHE_BYTES = 32 << 20
"""Of pages in memory, the indexes above all."""
CHECKPOINT_PAGES = 4000
"""After so many pages what was written goes from the WAL into the database."""
CHUNK = 400
"""Rows in one statement."""
IN_MEMORY = ":memory:"


class TableStore:
    """One database. Every method may raise sqlite3.Error, and DamagedError if it is not what was written."""

    def __init__(self, path: str, bytes_max: int) -> None:
        """Open or make it.

        Args:
            path: Of the file, or IN_MEMORY.
            bytes_max: Of the database; more is an error, as a full disk is.
        """
        self._db = sqlite3.connect(path, isolation_level=None, timeout=0.0)
        try:
            self._set_up(bytes_max)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """What was written stays."""
        self._db.close()

    def opened(self, log: str, tombstones_s: float, now_s: float) -> tuple[Position | None, float]:
        """Where a log's table is complete and since when by the time of day; it is made if there is none.

        Args:
            tombstones_s: For how long it can be of use without being current.
        """
        found = self._db.execute("SELECT epoch, seq, current_s FROM logs WHERE log = ?", (log,)).fetchone()
        if found is None:
            self._make(log, tombstones_s, now_s)
            return None, now_s
        self._db.execute("UPDATE logs SET tombstones_s = ? WHERE log = ?", (tombstones_s, log))
        epoch, seq, current_s = found
        return (None if seq is None else (epoch, seq)), current_s

    def begin_anew(self, log: str, now_s: float) -> None:
        """Empty a log's table."""
        found = self._db.execute("SELECT tombstones_s FROM logs WHERE log = ?", (log,)).fetchone()
        self.drop(log)
        self._make(log, found[0] if found is not None else 0.0, now_s)

    def drop(self, log: str) -> None:
        """Remove a log's table, if there is one."""
        found = self._db.execute("SELECT number FROM logs WHERE log = ?", (log,)).fetchone()
        if found is not None:
            self._db.execute("BEGIN")
            self._db.execute(f"DROP TABLE rows_{found[0]}")
            self._db.execute("DELETE FROM logs WHERE log = ?", (log,))
            self._db.execute("COMMIT")

    def drop_stale(self, now_s: float) -> int:
        """Remove tables that are too old, because Kafka may have forgotten tombstones since. Returns their number."""
        stale = self._db.execute("SELECT log FROM logs WHERE current_s + tombstones_s < ?", (now_s,)).fetchall()
        for (log,) in stale:
            self.drop(log)
        return len(stale)

    def write(self, writes: Sequence[tuple[str, Sequence[tuple[str, Entry]], Position, float | None]]) -> None:
        """Bring tables up to positions, all at once.

        Args:
            writes: Log, changes in order (a tombstone removes the row; one change of a subject), position, and the
                time of day if the table is current.
        """
        self._db.execute("BEGIN")
        try:
            for log, changes, at, current_s in writes:
                self._write(log, changes, at, current_s)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def page(
        self, log: str, subject: str, after: str, rows_max: int, bytes_max: int
    ) -> tuple[list[tuple[str, Entry]], bool]:
        """Rows of a subject or pattern behind another subject, in order of subjects; and whether these are the last."""
        number = self._number(log)
        if not is_pattern(subject):
            found = self._db.execute(f"SELECT entry FROM rows_{number} WHERE subject = ?", (subject,)).fetchone()
            return ([] if found is None else [(subject, unpack(found[0]))]), True
        prefix = subject[:-1]  # with its slash; `0` is the character that follows it
        cursor = self._db.execute(
            f"SELECT subject, entry FROM rows_{number} WHERE subject > ? AND subject < ? ORDER BY subject",
            (max(after, prefix), prefix[:-1] + "0"),
        )
        rows: list[tuple[str, Entry]] = []
        size = 0
        for name, row in cursor:
            if rows and (len(rows) >= rows_max or size + len(row) > bytes_max):
                cursor.close()
                return rows, False
            rows.append((name, unpack(row)))
            size += len(row)
        return rows, True

    @property
    def bytes(self) -> int:
        """Of the database; the WAL comes on top of it."""
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        return pages * PAGE_BYTES

    @property
    def bytes_free(self) -> int:
        """What it may still take."""
        limit, pages, free = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("max_page_count", "page_count", "freelist_count")
        )
        return int(limit - pages + free) * PAGE_BYTES

    # Private.

    def _set_up(self, bytes_max: int) -> None:
        for pragma in (
            f"page_size = {PAGE_BYTES}",
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"cache_size = -{CACHE_BYTES // 1024}",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            f"journal_size_limit = {2 * CHECKPOINT_PAGES * PAGE_BYTES}",
            f"max_page_count = {max(bytes_max // PAGE_BYTES, 16)}",
        ):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT):
            raise DamagedError(f"it has format {version}, this version has {FORMAT}")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS logs (number INTEGER PRIMARY KEY AUTOINCREMENT, log TEXT NOT NULL UNIQUE, "
            "epoch INTEGER, seq INTEGER, current_s REAL NOT NULL, tombstones_s REAL NOT NULL)"
        )
        self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _make(self, log: str, tombstones_s: float, now_s: float) -> None:
        self._db.execute("BEGIN")
        made = self._db.execute(
            "INSERT INTO logs (log, current_s, tombstones_s) VALUES (?, ?, ?)", (log, now_s, tombstones_s)
        )
        self._db.execute(
            f"CREATE TABLE rows_{made.lastrowid} "
            "(id INTEGER PRIMARY KEY, subject TEXT NOT NULL UNIQUE, entry BLOB NOT NULL)"
        )
        self._db.execute("COMMIT")

    def _number(self, log: str) -> int:
        found = self._db.execute("SELECT number FROM logs WHERE log = ?", (log,)).fetchone()
        if found is None:
            raise DamagedError(f"the table of {log} is gone")
        number: int = found[0]
        return number

    def _write(self, log: str, changes: Sequence[tuple[str, Entry]], at: Position, current_s: float | None) -> None:
        number = self._number(log)
        puts = [(subject, pack(entry)) for subject, entry in changes if entry.value is not None]
        for begin in range(0, len(puts), CHUNK):
            chunk = puts[begin : begin + CHUNK]
            self._db.execute(
                f"INSERT INTO rows_{number} (subject, entry) VALUES {','.join(['(?,?)'] * len(chunk))} "
                "ON CONFLICT (subject) DO UPDATE SET entry = excluded.entry",
                [item for pair in chunk for item in pair],
            )
        gone = [subject for subject, entry in changes if entry.value is None]
        for begin in range(0, len(gone), CHUNK):
            names = gone[begin : begin + CHUNK]
            self._db.execute(f"DELETE FROM rows_{number} WHERE subject IN ({','.join('?' * len(names))})", names)
        self._db.execute(
            "UPDATE logs SET epoch = ?, seq = ?, current_s = coalesce(?, current_s) WHERE number = ?",
            (*at, current_s, number),
        )
