"""The figures that librdkafka gives of itself (`statistics.interval.ms`), as far as they are looked at here.

Meanings: librdkafka's STATISTICS.md.
"""

from __future__ import annotations

import msgspec

from node.kafka.events import Where


class BrokerFigures(msgspec.Struct, gc=False):
    """A connection."""

    nodeid: int
    """Negative for addresses so whose broker it does not know."""
    state: str
    rxidle: int
    """Microseconds since something was received; -1 if nothing ever was."""
    waitresp_cnt: int
    """Answers that it owes."""


class PartitionFigures(msgspec.Struct, gc=False):
    """One that it knows of."""

    broker: int
    """From which it is fetched; negative while it is not."""
    fetch_state: str
    hi_offset: int = -1
    """The high watermark; negative while it is not known."""
    ls_offset: int = -1
    """The last stable offset; negative while it is not known."""


class TopicFigures(msgspec.Struct, gc=False):
    """One that it knows of."""

    partitions: dict[str, PartitionFigures]


class Figures(msgspec.Struct, gc=False):
    """Of one client."""

    ts: int
    """Microseconds of a monotonic clock."""
    brokers: dict[str, BrokerFigures]
    topics: dict[str, TopicFigures]

    def partition(self, where: Where) -> PartitionFigures | None:
        """One partition's, if it knows it."""
        topic = self.topics.get(where[0])
        return None if topic is None else topic.partitions.get(str(where[1]))


decode = msgspec.json.Decoder(Figures).decode
"""From what librdkafka hands to `stats_cb`."""
