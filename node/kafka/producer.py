"""Produces into Kafka: publishes in, reports out, and whether Kafka lets this node produce at all.

    Produce -> lanes.py -> one producer per size of batches (producer_thread.py) -> reports -> lanes.py -> core
                        -> topic_admin.py: what a topic's limit is; topics to be created

Everything here happens in the hub; `produce` never blocks.

Not here: what a publish is, retries of clients (node/publishing.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError

from gateway.link import codes
from node.effects import CreateTopic, Produce
from node.kafka.errors import NOT_ALLOWED
from node.kafka.events import Delivered, KafkaEvent, NotDelivered, ProducerState, TopicCreated
from node.kafka.lanes import BATCH_BYTES_MAX, AskLimit, Lanes, SendBatched
from node.kafka.producer_thread import Fate, ProducerThread, Report
from node.kafka.threads import Inbox
from node.kafka.topic_admin import LimitFound, TopicAdmin

FORBIDDEN_FOR_S = 1.0
"""How long nothing is sent to a topic after Kafka has refused it: each refusal delays what is for other topics."""

_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
_NO_TOPIC = {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION}


class KafkaProducer:
    """All producers of the node, as the hub sees them."""

    def __init__(
        self,
        properties: dict[str, object],
        admin_properties: dict[str, object],
        receive: Callable[[KafkaEvent], None],
        received: Callable[[], None],
    ) -> None:
        """Start the threads.

        Args:
            receive: Takes one event, in the hub; `received` follows the last of a turn.
        """
        self._properties = properties
        self._receive = receive
        self._inbox: Inbox[Report | ProducerState | LimitFound | TopicCreated] = Inbox(self._take, received)
        self._lanes = Lanes()
        self._threads: dict[int, ProducerThread] = {}
        self._states: dict[int, ProducerState] = {}
        """What is wrong with each producer."""
        self._forbidden: dict[str, tuple[float, str]] = {}
        """Topics into which Kafka did not let this node write: until when that holds, and what it said."""
        self._admin = TopicAdmin(admin_properties, self._inbox)
        self._thread(BATCH_BYTES_MAX)  # at once: it finds out whether Kafka lets this node produce

    def produce(self, produce: Produce) -> None:
        """Send it, in a batch that its topic takes; the report comes as `Delivered` or `NotDelivered`."""
        until, said = self._forbidden.get(produce.topic, (0.0, ""))
        if time.monotonic() < until:
            self._receive(NotDelivered(produce.ticket, codes.FORBIDDEN, said))
            return
        self._lanes.produce(produce)
        self._perform()

    def create(self, effect: CreateTopic) -> None:
        """Create a topic; answered by `TopicCreated`."""
        self._admin.create(effect.topic)

    def stop(self) -> None:
        """Wait for what is on its way, within bounds."""
        self._admin.stop()
        for thread in self._threads.values():
            thread.stop()
        for thread in self._threads.values():
            thread.join()

    def _thread(self, batch_bytes: int) -> ProducerThread:
        found = self._threads.get(batch_bytes)
        if found is None:
            found = self._threads[batch_bytes] = ProducerThread(self._properties, batch_bytes, self._inbox)
        return found

    def _perform(self) -> None:
        for output in self._lanes.take():
            match output:
                case SendBatched():
                    self._thread(output.batch_bytes).produce(output.produce)
                case AskLimit():
                    self._admin.ask_limit(output.topic)

    def _take(self, said: Report | ProducerState | LimitFound | TopicCreated) -> None:
        match said:
            case Report():
                self._report(said)
            case ProducerState():
                self._states[said.batch_bytes] = said
                wrong = next((one for one in self._states.values() if one.error), said)
                self._receive(wrong)
            case LimitFound():
                self._lanes.answered(said.topic, said.limit, is_final=said.is_final)
            case TopicCreated():
                self._receive(said)
        self._perform()

    def _report(self, report: Report) -> None:
        produce, fate = report.produce, report.fate
        if fate is None:
            self._lanes.ended(produce)
            self._receive(Delivered(produce.ticket, produce.topic, report.partition))
            return
        if fate.code in _TOO_LARGE and fate.is_by_kafka:
            if self._lanes.too_large(produce):
                return
        else:
            self._lanes.ended(produce)
        self._receive(self._not_delivered(produce, fate))

    def _not_delivered(self, produce: Produce, fate: Fate) -> NotDelivered:
        topic, ticket, reason = produce.topic, produce.ticket, fate.reason
        if fate.code in _TOO_LARGE:
            return NotDelivered(ticket, codes.MESSAGE_TOO_LARGE, reason, topic)
        if fate.code in _NO_TOPIC:
            return NotDelivered(ticket, codes.NOT_MAPPED, f"the topic does not exist: {reason}", topic)
        if fate.code in NOT_ALLOWED:
            said = f"Kafka does not allow it: {reason}"
            if fate.code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                self._forbidden[topic] = (time.monotonic() + FORBIDDEN_FOR_S, said)
            return NotDelivered(ticket, codes.FORBIDDEN, said, topic)
        if fate.is_unsent:
            return NotDelivered(ticket, codes.KAFKA_UNAVAILABLE, reason, topic)
        return NotDelivered(ticket, codes.OUTCOME_UNKNOWN, reason, topic)
