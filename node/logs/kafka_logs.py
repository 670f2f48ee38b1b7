"""Kafka's logs as the cluster shares them: what the feed and catch-ups say, for the cache, the workers and the reader.

    a source appears -> its cache is copied from a peer that has it, else filled from Kafka -> open to the feed
    Feed: Read, Stop -> this node's own reader;  Apply -> intake;  Repair -> catch-up -> intake

Not here: who feeds (mesh/feed/feed.py), reading (kafka/bridge.py), the mesh's own logs (slot_logs.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.link.logs import event
from mesh.cache.cache import Log
from mesh.cache.export import Import
from mesh.cache.state_transfer import StateTransfer, StateTransferEvent, TransferDone, TransferFailed, TransferPage
from mesh.feed.feed import Feed
from mesh.feed.feed_log import Apply, FeedEvent, Read, Repair, Stop
from mesh.log import Position
from mesh.repeats import Repeats
from node.intake import Record
from node.topics import Source

if TYPE_CHECKING:
    from node.kafka.bridge import Bridge
    from node.node import Node

log = logging.getLogger(__name__)

PEERS_WAIT_S = 3.0
"""How long a node that is to join others waits for them before it fills its cache from Kafka."""


class _Copy:
    """A log on its way from a peer."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.log: Log | None = None
        self.repeats: Repeats | None = None
        self.into: Import | None = None


class Feeding:
    """The feed, wired to the other parts of the node."""

    def __init__(self, node: Node, feed: Feed, catch_up: StateTransfer, joins: bool) -> None:
        """Begin.

        Args:
            joins: Whether this node knows of others that it may copy from.
        """
        self._node = node
        self._feed = feed
        self._catch_up = catch_up
        self._joins = joins
        self._started_at = time.monotonic()
        self._copies: dict[str, _Copy] = {}
        self._waiting: list[Source] = []
        """Sources that appeared before any peer did."""
        self._sources: dict[str, Source] = {}
        """Those that are open to the feed, by log."""
        self.fed = 0
        """Records that came from feeders."""
        self.peers: list[str] = []
        """Living peers with links and a cache that is filled."""

    @property
    def _bridge(self) -> Bridge:
        assert self._node.bridge is not None
        return self._node.bridge

    def source_of(self, log_id: str) -> Source | None:
        """A Kafka log, if others may be answered from it."""
        return self._sources.get(log_id)

    # From Kafka's side.

    def fill(self, source: Source) -> bool:
        """A source appeared; whether its cache is filled from a peer (else the caller fills it from Kafka)."""
        if source.is_new or not self._joins:
            return False
        if self.peers:
            self._copies[source.log_id] = _Copy(source)
            self._catch_up.ask(time.monotonic(), source.log_id, None, self.peers)
        elif time.monotonic() - self._started_at < PEERS_WAIT_S:
            self._waiting.append(source)
        else:
            return False
        return True

    def tick(self) -> None:
        """Go on with sources that wait for a peer."""
        if self._waiting and (self.peers or time.monotonic() - self._started_at >= PEERS_WAIT_S):
            waiting, self._waiting = self._waiting, []
            for source in waiting:
                if not self.fill(source):
                    self._bridge.begin(source)

    def opened(self, source: Source) -> None:
        """This node's own reader fills a log from here on."""
        assert source.log is not None
        self._open(source, filled=False)

    def reached(self, source: Source) -> None:
        """This node's own reader has got to the end."""
        self._feed.reached(time.monotonic(), source.log_id)

    def applied(self, source: Source, before: Position, records: Sequence[Record], is_torn: bool) -> None:
        """This node's own reader has delivered records, and they are in the cache."""
        assert source.log is not None
        self._feed.applied(time.monotonic(), source.log_id, before, source.log.end, records, is_torn)

    def ended(self, source: Source) -> None:
        """A log is gone."""
        now = time.monotonic()
        self._catch_up.cancel(now, source.log_id)
        self._feed.close(now, source.log_id)
        self._sources.pop(source.log_id, None)
        copy = self._copies.pop(source.log_id, None)
        if copy is not None and copy.log is not None:
            self._node.cache.close(copy.log)
        self._waiting = [one for one in self._waiting if one is not source]

    def stalled(self, source: Source) -> None:
        """Kafka does not answer this node's own reader."""
        self._feed.doubt(time.monotonic(), source.log_id)

    def flowing(self, source: Source) -> None:
        """Kafka answers this node's own reader."""
        self._feed.trust(time.monotonic(), source.log_id)

    # From the feed.

    def happened(self, said: FeedEvent) -> None:
        """One event of the feed."""
        source = self._sources.get(said.log)
        if source is None:
            return
        match said:
            case Read():
                self._bridge.read_on(source)
            case Stop():
                self._bridge.stop_reading(source)
            case Apply():
                assert source.log is not None
                self.fed += len(said.records)
                if said.is_torn:
                    source.torn = source.log.end
                self._node.take_in(said.records, source.generation)
                self._node.cache.advance(source.log, said.after)
            case Repair():
                self._catch_up.ask(time.monotonic(), said.log, said.after, said.peers)

    # From catch-ups.

    def caught_up(self, said: StateTransferEvent) -> None:
        """One event of a catch-up of a Kafka log."""
        if said.log in self._copies:
            self._copied(self._copies[said.log], said)
        elif said.log in self._sources:
            self._repaired(self._sources[said.log], said)

    def _repaired(self, source: Source, said: StateTransferEvent) -> None:
        now = time.monotonic()
        node, held = self._node, source.log
        assert held is not None
        match said:
            case TransferPage():
                node.hand_out(node.intake.repair(held, [source], said.part.entries))
                self._feed.moved(now, said.log, held.end)
            case TransferDone():
                node.cache.advance(held, said.head.end)
                if source.repeats is not None:
                    source.repeats.forget_before(said.head.oldest_publish)
                self._feed.repaired(now, said.log, held.end)
            case TransferFailed():
                self._feed.unrepaired(now, said.log)

    def _copied(self, copy: _Copy, said: StateTransferEvent) -> None:
        cache, source = self._node.cache, copy.source
        match said:
            case TransferPage():
                if said.head is not None:
                    self._void(copy)
                    copy.log = cache.open(source.log_id, source.topic)
                    if source.rule.publish:
                        copy.repeats = Repeats(int(self._node.settings.publish.retry_window_s * 1000))
                    copy.into = Import(cache, copy.log, copy.repeats, said.head)
                assert copy.into is not None
                copy.into.take(time.monotonic(), said.part)
            case TransferDone():
                assert copy.into is not None
                assert copy.log is not None
                copy.into.finish()
                del self._copies[said.log]
                source.log, source.repeats = copy.log, copy.repeats
                event(log, "log_copied", 10, topic=source.topic, partition=source.partition, entries=copy.log.held)
                self._bridge.prepare(source)
                self._open(source, filled=True)
                self._bridge.loaded(source)
            case TransferFailed():
                self._void(copy)
                del self._copies[said.log]
                self._bridge.begin(source)

    def _void(self, copy: _Copy) -> None:
        if copy.log is not None:
            self._node.cache.close(copy.log)
            copy.log = None

    def _open(self, source: Source, filled: bool) -> None:
        assert source.log is not None
        self._sources[source.log_id] = source
        self._feed.open(time.monotonic(), source.log_id, source.log.end, filled)
