"""Reads all partitions of the node: a native thread that polls Kafka and hands batches of records to the hub.

Partitions are assigned with explicit offsets, without a consumer group, so nothing is ever rebalanced. `poll` waits
for the first record, `consume(n, 0)` takes what else is there: waiting for a full batch would cost 5 ms each. When the
hub is behind, the thread waits; librdkafka's own queues are bounded.

The core is told which partitions Kafka answers for (stalls.py): soon, where another node can read in this one's place.

Not here: where to start (discovery.py), what records mean (node/intake.py).
"""

from __future__ import annotations

import time
from collections import deque
from operator import methodcaller

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from mesh.log import Headers
from node.kafka.errors import NOT_ALLOWED
from node.kafka.events import (
    EndReached,
    Flow,
    KafkaEvent,
    NotAllowed,
    OutOfRange,
    ReadError,
    Record,
    Records,
    Watermarks,
    Where,
)
from node.kafka.figures import Figures, decode
from node.kafka.making import made
from node.kafka.stalls import EVERY_S, Stalls, stall_s
from node.kafka.threads import Inbox, start_thread

BATCH_MAX = 500
POLL_S = 0.1
"""Longest wait before commands are looked at again."""
BEHIND_BYTES_MAX = 64 * 1024 * 1024
"""Records handed over and not yet taken by the hub, at which the thread waits."""
WATERMARKS_EVERY_S = 1.0
MAKE_PAUSE_S = 1.0

_OUT_OF_RANGE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}


class Reader:
    """The thread, as the hub sees it."""

    def __init__(self, properties: dict[str, object], inbox: Inbox[KafkaEvent], may_be_replaced: bool) -> None:
        every_s = EVERY_S if may_be_replaced else WATERMARKS_EVERY_S
        # Above what the user has set: nothing but this takes statistics.
        self._properties = {**properties, "statistics.interval.ms": int(every_s * 1000), "stats_cb": self._look}
        self._watermarks_at = 0.0
        self._stalls = Stalls(stall_s(int(str(properties["fetch.wait.max.ms"])) / 1000), every_s)
        self._inbox = inbox
        self._commands: deque[tuple[int, str, int, int | None]] = deque()
        self._obeyed = 0
        """The generation of the last command that the thread has obeyed."""
        self._handed = 0
        self._taken = 0
        self._stopping = False
        self._assigned: dict[tuple[str, int], None] = {}
        self._thread = start_thread("kafka-reader", self._run)

    def assign(self, topic: str, partition: int, offset: int, generation: int) -> None:
        """Read a partition from this offset, whether it is read already or not.

        Args:
            generation: Higher than that of any command before: batches that were read earlier have a lower one.
        """
        self._commands.append((generation, topic, partition, offset))

    def unassign(self, topic: str, partition: int, generation: int) -> None:
        """Stop reading a partition."""
        self._commands.append((generation, topic, partition, None))

    def taken(self, batch: Records) -> None:
        """The hub is done with a batch."""
        self._taken += batch.size

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping = True
        self._thread.join(timeout=5)

    def _run(self) -> None:
        consumer = self._make()
        while consumer is not None and not self._stopping:
            while self._commands:
                self._command(consumer, *self._commands.popleft())
            first = consumer.poll(POLL_S)
            if first is not None:
                self._hand_over(self._obeyed, [first, *consumer.consume(BATCH_MAX - 1, 0)])
            while self._handed - self._taken > BEHIND_BYTES_MAX and not self._stopping:
                time.sleep(0.001)
        if consumer is not None:
            consumer.close()

    def _make(self) -> Consumer | None:
        while not self._stopping:
            try:
                return made(Consumer, self._properties)
            except KafkaException:  # no token can be had, say: discovery has the same trouble, and tells
                time.sleep(MAKE_PAUSE_S)
        return None

    def _command(self, consumer: Consumer, generation: int, topic: str, partition: int, offset: int | None) -> None:
        if (topic, partition) in self._assigned:
            del self._assigned[topic, partition]
            consumer.incremental_unassign([TopicPartition(topic, partition)])
        if offset is not None:
            self._assigned[topic, partition] = None
            consumer.incremental_assign([TopicPartition(topic, partition, offset)])
        if offset is not None:
            self._stalls.assigned(topic, partition)
        else:
            self._stalls.unassigned(topic, partition)
        self._obeyed = generation

    def _look(self, figures: str) -> None:
        """librdkafka calls this from within `poll` and `consume`."""
        seen = decode(figures)
        verdicts = self._stalls.look(seen)
        if verdicts.stalled or verdicts.flowing:
            self._inbox.put(Flow(self._obeyed, verdicts.stalled, verdicts.flowing))
        if time.monotonic() >= self._watermarks_at:
            self._watermarks_at = time.monotonic() + WATERMARKS_EVERY_S - EVERY_S / 2
            self._inbox.put(Watermarks(self._ends(seen)))

    def _hand_over(self, generation: int, messages: list[Message]) -> None:
        records: list[Record] = []
        size = 0
        for message in messages:
            error = message.error()
            if error is None:
                records.append(record_of(message))
                size += 200 + len(message)
                continue
            self._put(generation, records, size)
            records, size = [], 0
            code, topic, partition = error.code(), message.topic(), message.partition()
            if code == KafkaError._PARTITION_EOF:
                self._inbox.put(EndReached(generation, topic, partition, message.offset()))
            elif code in _OUT_OF_RANGE and topic is not None:
                self._inbox.put(OutOfRange(generation, topic, partition))
            elif code in NOT_ALLOWED and topic is not None:
                self._inbox.put(NotAllowed(generation, topic, partition))
            elif code != KafkaError.GROUP_AUTHORIZATION_FAILED:  # librdkafka looks for a group that nobody needs
                self._inbox.put(ReadError(error.str(), None if topic is None else (topic, partition)))
        self._put(generation, records, size)

    def _put(self, generation: int, records: list[Record], size: int) -> None:
        if records:
            self._handed += size
            self._inbox.put(Records(generation, records, size, time.monotonic()))

    def _ends(self, seen: Figures) -> dict[Where, tuple[int, int]]:
        ends = {}
        for where in self._assigned:
            partition = seen.partition(where)
            if partition is not None and partition.hi_offset >= 0 and partition.ls_offset >= 0:
                ends[where] = (partition.hi_offset, partition.ls_offset)
        return ends


def record_of(message: Message) -> Record:
    """A record as the intake takes it; without headers whose names are no text: they cannot be shown to anyone."""
    try:
        headers: Headers | None = _headers(message)
    except (UnicodeDecodeError, SystemError):  # confluent-kafka's, of one such name
        headers = _with_text_names(message)
    kind, stamp = message.timestamp()
    return (
        message.topic(),
        message.partition(),
        message.offset(),
        message.leader_epoch() or 0,
        message.key(),
        message.value(),
        stamp if kind else -1,
        headers,
    )


def _with_text_names(message: Message) -> Headers | None:
    """The other headers: the second time confluent-kafka gives them all, with nothing at all in place of such a name.

    That must not be touched, but Python can tell what it looks like.
    """
    try:
        headers: Headers | None = _headers(message)
    except (UnicodeDecodeError, SystemError):
        return None
    return [header for header in headers or () if not repr(header).startswith("(<NULL>")]


_headers = methodcaller("headers")
"""Not `message.headers()`: of a name that is no text it returns a value and sets an exception as well. A call that the
interpreter has specialised does not look at that, and the exception comes out somewhere else.
"""
