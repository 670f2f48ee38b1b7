"""Batches that came before the ones that they follow: kept until those are here, within bounds.

Not here: what is applied, and the repair of the hole (feed.py).
"""

from __future__ import annotations

from mesh.feed.feed_log import FeedBatch, record_bytes


class ReorderBuffer:
    """Of all logs of a node."""

    def __init__(self, batches_max: int, bytes_max: int) -> None:
        """Begin empty.

        Args:
            batches_max: Of one log.
            bytes_max: Of all logs.
        """
        self._batches_max = batches_max
        self._bytes_max = bytes_max
        self._batches: dict[str, list[tuple[FeedBatch, int]]] = {}
        """By log, each with its bytes."""
        self.bytes = 0

    def keep(self, batch: FeedBatch) -> None:
        """Keep a batch if there is room; else the hole is repaired beyond it."""
        size = sum(map(record_bytes, batch.records))
        kept = self._batches.setdefault(batch.log, [])
        if len(kept) < self._batches_max and self.bytes + size <= self._bytes_max:
            kept.append((batch, size))
            self.bytes += size

    def take(self, log: str) -> list[FeedBatch]:
        """All batches of a log in its order; they are kept no more."""
        kept = self._batches.pop(log, [])
        self.bytes -= sum(size for _, size in kept)
        return sorted((batch for batch, _ in kept), key=lambda batch: batch.before)
