"""Copies of whole logs from a peer's cache, each assembled beside the log that it will replace.

Not here: asking for it (mesh/cache/state_transfer.py), when it takes its place (slot_logs.py, kafka_logs.py).
"""

from __future__ import annotations

from mesh.cache.cache import Cache
from mesh.cache.export import Import, LogHead, Part
from mesh.cache.state_transfer import TransferPage
from mesh.repeats import Repeats


class LogCopy:
    """One log's copy."""

    def __init__(self, cache: Cache, log_id: str, topic: str, repeats: Repeats | None, head: LogHead) -> None:
        """Begin with the head of its first page.

        Args:
            repeats: An empty memory of publishes, to be filled; None where clients may not publish.
        """
        self._cache = cache
        self._log_id = log_id
        self.log = cache.open(f"{log_id} (copy)", topic)
        self.repeats = repeats
        self._import = Import(cache, self.log, repeats, head)

    def take(self, now: float, part: Part, clock_ms: int | None = None) -> None:
        """The next page; `clock_ms` as for `Repeats.restore`."""
        self._import.take(now, part, clock_ms)

    def finish(self) -> None:
        """There are no more pages."""
        self._import.finish()

    def install(self) -> None:
        """Be the log: nothing else must go by its id any more."""
        self._cache.rename(self.log, self._log_id)

    def discard(self) -> None:
        """It is not wanted any more."""
        self._cache.close(self.log)


class Copies:
    """Those on their way, by log."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._copies: dict[str, LogCopy] = {}

    def take(
        self, now: float, page: TransferPage, topic: str, repeats: Repeats | None, clock_ms: int | None = None
    ) -> None:
        """A page; with a first one the copy begins anew. Other arguments as of `LogCopy`."""
        if page.head is not None:
            self.discard(page.log)
            self._copies[page.log] = LogCopy(self._cache, page.log, topic, repeats, page.head)
        self._copies[page.log].take(now, page.part, clock_ms)

    def finish(self, log_id: str) -> LogCopy:
        """The last page has come: the caller installs or discards the copy."""
        copy = self._copies.pop(log_id)
        copy.finish()
        return copy

    def discard(self, log_id: str) -> None:
        """It is not wanted any more, if there is one."""
        if (copy := self._copies.pop(log_id, None)) is not None:
            copy.discard()
