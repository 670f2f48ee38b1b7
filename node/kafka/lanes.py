"""In how large batches publishes go to each topic, and what is sent again when Kafka takes a batch for too large.

Kafka's limit (`max.message.bytes` of the topic) is one of whole batches: of a batch that exceeds it Kafka takes no
record. So the limit is asked for before a topic's first publish, and batches stay below it. Where Kafka does not tell
(the right to describe the topic's configuration is lacking) they stay below what the Java producer sends. Where it does
not answer in time, too, and publishes do not wait for it a second time: it is asked again beside them.

    produce -> limit asked for -> sent, in order -> delivered
                                    -> batch too large -> all that is on its way has ended -> asked again -> sent again

A topic's publishes go through one producer, so that their order is kept. Only those that are on their way while a
limit is lowered may be overtaken. A core.

Not here: producers and asking (producer.py).
"""

from __future__ import annotations

from collections import deque

import msgspec

from node.effects import Produce

BATCH_BYTES_MAX = 1 << 19
"""Nothing is gained by larger ones; the limit of a topic is 1 MiB if nobody has set it."""
UNKNOWN_BATCH_BYTES = 16 * 1024
"""As the Java producer does by default: what people try a limit with."""
SINGLE = 1
"""Each record is a batch of its own."""
BATCH_OVERHEAD, RECORD_OVERHEAD, HEADER_OVERHEAD = 61, 36, 10
"""At most, in Kafka's format of 0.11 and later."""


class SendBatched(msgspec.Struct, frozen=True, gc=False):
    """Give the publish to the producer whose batches have this size."""

    batch_bytes: int
    produce: Produce


class AskLimit(msgspec.Struct, frozen=True, gc=False):
    """Ask for a topic's limit; answered by `Lanes.answered`."""

    topic: str


class _Lane:
    __slots__ = (
        "again", "in_flight", "is_asked", "is_held", "is_provisional", "limit", "next_size", "size", "waiting", "was",
    )  # fmt: skip

    def __init__(self) -> None:
        self.is_held = True
        """Nothing is sent: the first limit is not known, or batches get another size once nothing is on its way."""
        self.size = UNKNOWN_BATCH_BYTES
        """Of batches."""
        self.next_size: int | None = None
        """Of batches from when nothing is on its way."""
        self.was: int | None = None
        """The size of batches at which Kafka found one too large."""
        self.limit: int | None = None
        """As far as Kafka tells."""
        self.is_asked = False
        """A question is on its way."""
        self.is_provisional = False
        """Kafka did not answer: ask again."""
        self.in_flight: dict[int, Produce] = {}
        self.waiting: deque[Produce] = deque()
        self.again: list[Produce] = []


class Lanes:
    """Of all topics."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._outputs: list[SendBatched | AskLimit] = []

    # Inputs.

    def produce(self, produce: Produce) -> None:
        """Send this after all earlier publishes to the same topic."""
        lane = self._lanes.get(produce.topic)
        if lane is None:
            lane = self._lanes[produce.topic] = _Lane()
            self._ask(produce.topic, lane)
        elif lane.is_provisional:
            self._ask(produce.topic, lane)
        if lane.is_held:
            lane.waiting.append(produce)
        else:
            self._send(lane, produce)

    def answered(self, topic: str, limit: int | None, *, is_final: bool) -> None:
        """Kafka's limit of a topic.

        Args:
            limit: None: Kafka does not tell.
            is_final: Asking again would not help.
        """
        lane = self._lanes[topic]
        lane.is_asked = False
        if (lane.was is not None and lane.in_flight) or not (lane.is_held or is_final):
            return  # asked too early, or nothing new: what is sent goes on as it does
        lane.limit, lane.is_provisional = limit, not is_final
        size = UNKNOWN_BATCH_BYTES if limit is None else batch_bytes(limit)
        if lane.was is not None and size >= lane.was:
            size = SINGLE  # whatever the limit is, it is not what Kafka goes by
        if lane.is_held or size != lane.size:
            lane.is_held, lane.next_size = True, size
            self._look(topic, lane)

    def ended(self, produce: Produce) -> None:
        """Kafka has it, or is not sent it again."""
        lane = self._lanes[produce.topic]
        del lane.in_flight[produce.ticket]
        self._look(produce.topic, lane)

    def too_large(self, produce: Produce) -> bool:
        """Kafka, or the producer, found it or its batch too large; whether it is sent again."""
        lane = self._lanes[produce.topic]
        alone_fits = record_bytes(produce) <= (UNKNOWN_BATCH_BYTES if lane.limit is None else lane.limit)
        is_again = alone_fits and lane.size != SINGLE
        del lane.in_flight[produce.ticket]
        if is_again:
            lane.again.append(produce)
            lane.is_held, lane.was, lane.next_size = True, lane.size, None
        self._look(produce.topic, lane)
        return is_again

    # Output.

    def take(self) -> list[SendBatched | AskLimit]:
        """Outputs since the last call, in order."""
        outputs, self._outputs = self._outputs, []
        return outputs

    # Private.

    def _ask(self, topic: str, lane: _Lane) -> None:
        if not lane.is_asked:
            lane.is_asked = True
            self._outputs.append(AskLimit(topic))

    def _send(self, lane: _Lane, produce: Produce) -> None:
        lane.in_flight[produce.ticket] = produce
        self._outputs.append(SendBatched(lane.size, produce))

    def _look(self, topic: str, lane: _Lane) -> None:
        """Once nothing is on its way: send what is held, or ask what size it may have."""
        if lane.in_flight:
            return
        if lane.next_size is not None:
            waiting = [*sorted(lane.again, key=lambda one: one.ticket), *lane.waiting]
            lane.size, lane.next_size, lane.was, lane.is_held = lane.next_size, None, None, False
            lane.again = []
            lane.waiting.clear()
            for produce in waiting:
                self._send(lane, produce)
        elif lane.was is not None:
            self._ask(topic, lane)


def batch_bytes(limit: int) -> int:
    """The size of batches for a limit: a power of two, so that there are few producers, however many limits.

    Brokers may compress a batch anew before they measure it, and what cannot be compressed grows a little.
    """
    return min(1 << (max(limit - limit // 8, 1).bit_length() - 1), BATCH_BYTES_MAX)


def record_bytes(produce: Produce) -> int:
    """What the record takes at most in a batch of its own, not compressed."""
    headers = sum(len(name.encode()) + len(value or b"") + HEADER_OVERHEAD for name, value in produce.headers)
    return BATCH_OVERHEAD + RECORD_OVERHEAD + len(produce.key or b"") + len(produce.value or b"") + headers
