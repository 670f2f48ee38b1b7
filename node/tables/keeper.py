"""The thread that keeps the tables: does what the core wants done with the store, in order, and answers by the inbox.

So whatever was written before a question is in its answer. The store is a file in the node's data directory, of which
one process has the lock. Where that cannot be (no room, no right, another node's, a fault of the disk), tables are kept
in memory, within bounds, and it is said; the file is tried again now and then. What is damaged is thrown away: all of
it is in Kafka.

Nothing is opened or made before the first table is.

Not here: what stands in the store and when it can be trusted (tables.py).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from node.effects import AskTable, BeginTable, DropTable, OpenTable, TableEffect, WriteTables
from node.kafka.threads import Inbox, start_thread
from node.tables.events import StoreChanged, TableAnswer, TableEvent, TableOpened, TablesWritten
from node.tables.rows import DamagedError
from node.tables.store import IN_MEMORY, TableStore

FOLDER, FILE, LOCK = "tables", "latest.db", "lock"
MEMORY_BYTES_MAX = 1 << 30
"""Of tables that are kept in memory."""
RETRY_S = 30.0
"""How often the file is tried again."""
ROOM_BYTES = 64 << 20
"""Besides what the tables take, to go back to the file."""

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class TablesInUseError(Exception):
    """Another node keeps its tables there; the message says what to do."""


class TableKeeper:
    """The thread, as the hub sees it."""

    def __init__(self, directory: Path | None, bytes_max: int, inbox: Inbox[TableEvent], is_given: bool = True) -> None:
        """Begin without a thread; it starts with the first table.

        Args:
            directory: The node's, for what must survive a restart; None: it is not known where that is.
            bytes_max: Of the file.
            is_given: Whether the configuration names the directory. One that nobody chose may be another node's.

        Raises:
            TablesInUseError: If another process has tables in the directory that was given.
        """
        self._folder = directory / FOLDER if directory is not None else None
        self._bytes_max = bytes_max
        self._inbox = inbox
        self._commands: SimpleQueue[TableEffect | None] = SimpleQueue()
        self._is_started = False
        self._store: TableStore | None = None
        self._is_on_disk = False
        self._generation = 0
        self._retry_at = 0.0
        self._lock: int | None = None
        if is_given and self._folder is not None and self._folder.is_dir():
            with suppress(PermissionError):
                self._take_lock(self._folder)

    def do(self, effect: TableEffect) -> None:
        """Do this in the thread, after all earlier effects."""
        if not self._is_started:
            self._is_started = True
            self._thread = start_thread("tables", self._run)
        self._commands.put(effect)

    def stop(self) -> None:
        """Do all that was asked for, then end the thread."""
        if self._is_started:
            self._commands.put(None)
            self._thread.join(timeout=5)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # The thread.

    def _run(self) -> None:
        self._open()
        while True:
            try:
                command = self._commands.get(timeout=RETRY_S)
            except Empty:
                command = None
            else:
                if command is None:
                    break
            self._return_to_disk()
            if command is not None and self._store is not None and command.generation == self._generation:
                try:
                    self._obey(self._store, command)
                except (sqlite3.Error, DamagedError) as error:
                    self._lost(error)
        if self._store is not None:
            self._store.close()

    def _obey(self, store: TableStore, command: TableEffect) -> None:
        now_s = time.time()
        match command:
            case OpenTable(log=log, tombstones_s=tombstones_s):
                at, current_s = store.opened(log, tombstones_s, now_s)
                self._inbox.put(TableOpened(log, at, now_s - current_s))
            case BeginTable(log=log):
                store.begin_anew(log, now_s)
            case DropTable(log=log):
                store.drop(log)
            case WriteTables(writes=writes):
                store.write([(one.log, one.changes, one.at, now_s if one.is_current else None) for one in writes])
                self._inbox.put(TablesWritten([one.log for one in writes], store.bytes))
            case AskTable():
                rows, is_last = store.page(
                    command.log, command.subject, command.after, command.rows_max, command.bytes_max
                )
                self._inbox.put(TableAnswer(command.ticket, rows, is_last))

    def _open(self) -> None:
        """The first time."""
        try:
            self._store = self._open_file()
            self._is_on_disk = True
        except (sqlite3.Error, DamagedError, OSError, TablesInUseError) as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        """Go on with another store: a new file if this one is damaged, else memory."""
        problem = f"{error}"
        if self._store is not None:
            with suppress(sqlite3.Error):
                self._store.close()
        was_in_memory, self._store = self._store is not None and not self._is_on_disk, None
        self._is_on_disk = False
        if not was_in_memory and _is_damage(error):
            problem = f"the tables in {self._folder} were damaged ({error}): they are made again from Kafka"
            try:
                self._throw_away()
                self._store = self._open_file()
                self._is_on_disk = True
            except (sqlite3.Error, DamagedError, OSError, TablesInUseError) as another:
                problem = f"{another}"
        if not self._is_on_disk:
            self._retry_at = time.monotonic() + RETRY_S
            where = f"in {self._folder}" if self._folder is not None else "on disk"
            if was_in_memory:
                problem = (
                    f"the latest values of compacted topics cannot be kept {where}, and are too many for memory "
                    f"({MEMORY_BYTES_MAX >> 20} MiB): {problem}"
                )
            else:
                self._store = TableStore(IN_MEMORY, MEMORY_BYTES_MAX)
                problem = f"the latest values of compacted topics are kept in memory, they cannot be {where}: {problem}"
        self._changed(problem)

    def _return_to_disk(self) -> None:
        if self._is_on_disk or time.monotonic() < self._retry_at or self._folder is None:
            return
        self._retry_at = time.monotonic() + RETRY_S
        needed = ROOM_BYTES + (self._store.bytes if self._store is not None else MEMORY_BYTES_MAX)
        try:
            if shutil.disk_usage(_existing(self._folder)).free < needed:
                return
            store = self._open_file()
            if store.bytes_free < needed - ROOM_BYTES:
                store.close()
                return
        except (sqlite3.Error, DamagedError, OSError, TablesInUseError):
            return
        if self._store is not None:
            self._store.close()
        self._store, self._is_on_disk = store, True
        self._changed("")

    def _changed(self, problem: str) -> None:
        self._generation += 1
        self._inbox.put(StoreChanged(self._generation, self._store is not None, problem))

    def _open_file(self) -> TableStore:
        if self._folder is None:
            raise OSError("cluster.data_dir is not set, and there is no home directory")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock(self._folder)
        store = TableStore(str(self._folder / FILE), self._bytes_max)
        try:
            store.drop_stale(time.time())
        except BaseException:
            store.close()
            raise
        return store

    def _throw_away(self) -> None:
        assert self._folder is not None
        for file in self._folder.glob(f"{FILE}*"):
            file.unlink()

    def _take_lock(self, folder: Path) -> None:
        if self._lock is not None:
            return
        held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(held)
            raise TablesInUseError(
                f"{folder}: another node keeps its tables there: each needs a name and a cluster.data_dir of its own"
            ) from error
        self._lock = held


def _is_damage(error: Exception) -> bool:
    return isinstance(error, DamagedError) or getattr(error, "sqlite_errorname", "").startswith(_DAMAGED)


def _existing(folder: Path) -> Path:
    """The nearest directory above that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())
