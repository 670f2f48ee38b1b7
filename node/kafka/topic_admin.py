"""Asks Kafka for the limits of topics, and creates topics, in a thread.

Not here: when (lanes.py, node/publishing.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from gateway.link import codes
from node.kafka.errors import NOT_ALLOWED
from node.kafka.events import TopicCreated
from node.kafka.making import made
from node.kafka.threads import Inbox, start_thread

ASK_S = 1.0
"""Longest wait for the answer to a question that a topic's first publish waits for."""
CREATE_S = 5.0
MAKE_PAUSE_S = 1.0

_MAY_PASS = {
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_CONTROLLER,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}


class LimitFound(msgspec.Struct, frozen=True, gc=False):
    """What a topic's batches may have at most, in bytes; None: Kafka did not tell, and would not if `is_final`."""

    topic: str
    limit: int | None
    is_final: bool


class TopicAdmin:
    """The thread, as the hub sees it."""

    def __init__(self, properties: dict[str, object], inbox: Inbox[Any]) -> None:
        """Start it.

        Args:
            inbox: Takes `LimitFound` and `TopicCreated`.
        """
        self._properties = properties
        self._inbox = inbox
        self._wanted: SimpleQueue[Callable[[AdminClient], None] | None] = SimpleQueue()
        """What is to be done; None: to end."""
        self._unasked: list[str] = []
        """Topics whose limits are wanted: all that wait are asked for together."""
        start_thread("kafka-topics", self._run)

    def ask_limit(self, topic: str) -> None:
        """Answered by `LimitFound`."""
        self._unasked.append(topic)
        self._wanted.put(self._ask_limits)

    def create(self, topic: str) -> None:
        """With as many partitions and replicas as the brokers give by default; answered by `TopicCreated`."""
        self._wanted.put(partial(self._create, topic))

    def stop(self) -> None:
        """End the thread, without waiting for an answer of Kafka."""
        self._wanted.put(None)

    def _run(self) -> None:
        admin: AdminClient | None = None
        while (do := self._wanted.get()) is not None:
            while admin is None:
                try:
                    admin = made(AdminClient, self._properties)
                except KafkaException:  # no token can be had, say: the producers have the same trouble, and tell
                    time.sleep(MAKE_PAUSE_S)
            do(admin)

    def _ask_limits(self, admin: AdminClient) -> None:
        topics, self._unasked = self._unasked, []
        if not topics:
            return
        resources = {topic: ConfigResource(ResourceType.TOPIC, topic) for topic in topics}
        futures = admin.describe_configs([*resources.values()], request_timeout=ASK_S)
        for topic, resource in resources.items():
            try:
                limit = futures[resource].result(timeout=2 * ASK_S).get("max.message.bytes")
                self._inbox.put(LimitFound(topic, int(limit.value) if limit is not None else None, is_final=True))
            except KafkaException as failure:
                self._inbox.put(LimitFound(topic, None, is_final=failure.args[0].code() not in _MAY_PASS))
            except TimeoutError:
                self._inbox.put(LimitFound(topic, None, is_final=False))

    def _create(self, topic: str, admin: AdminClient) -> None:
        try:
            admin.create_topics([NewTopic(topic)], request_timeout=CREATE_S)[topic].result(timeout=2 * CREATE_S)
            self._inbox.put(TopicCreated(topic))
        except KafkaException as failure:
            self._inbox.put(_not_created(topic, failure.args[0]))
        except TimeoutError:
            self._inbox.put(TopicCreated(topic, codes.KAFKA_UNAVAILABLE, "Kafka did not answer"))


def _not_created(topic: str, error: KafkaError) -> TopicCreated:
    if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return TopicCreated(topic)
    said = f"the topic does not exist and cannot be created: {error.str()}"
    if error.code() in NOT_ALLOWED:
        return TopicCreated(topic, codes.FORBIDDEN, said)
    return TopicCreated(topic, codes.KAFKA_UNAVAILABLE if error.code() in _MAY_PASS else codes.NOT_MAPPED, said)
