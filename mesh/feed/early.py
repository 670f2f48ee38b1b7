"""Batches that came before what precedes them: kept until that is here, within bounds.

Not here: what is applied (feed.py).
"""

from __future__ import annotations

from mesh.feed.feed_log import FeedBatch, FeedConfig, FeedLog, record_bytes


class Early:
    """Of all logs of a node."""

    def __init__(self, config: FeedConfig) -> None:
        self._config = config
        self.bytes = 0

    def keep(self, log: FeedLog, batch: FeedBatch) -> None:
        """Keep a batch, if there is room."""
        size = sum(map(record_bytes, batch.records))
        if len(log.early) < self._config.early_max and self.bytes + size <= self._config.early_bytes_max:
            log.early.append(batch)
            log.early_bytes += size
            self.bytes += size

    def take(self, log: FeedLog) -> list[FeedBatch]:
        """All batches of a log, in order; they are kept no more."""
        early = sorted(log.early, key=lambda batch: batch.before)
        self.bytes -= log.early_bytes
        log.early, log.early_bytes = [], 0
        return early
