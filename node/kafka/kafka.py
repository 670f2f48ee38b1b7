"""Kafka, as the node's shell sees it: threads that read, read back, produce and find out what there is.

What the threads say comes through one inbox, in the order of each thread.

Not here: what the threads do (the other files of this folder), what follows from what they say (node/core.py).
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.link import codes
from mesh.cache.cache import ENTRY_BYTES
from node.backfill.scan import ReplayLimits
from node.effects import AskKafka, CancelQuestion, CreateTopic, FindStart, LookUpTopics, Produce, ReadFrom, StopReading
from node.kafka import discovery, producer, properties, reader, replay, tokens
from node.kafka.events import KafkaEvent, NotDelivered, Records, TopicCreated
from node.kafka.starts import Depth
from node.kafka.threads import Inbox
from node.settings import Settings

NO_PRODUCER = "no topic has publish = true: there is no producer"


class KafkaThreads:
    """The threads. They work from the start."""

    def __init__(
        self,
        settings: Settings,
        is_mapped: Callable[[str], bool],
        receive: Callable[[KafkaEvent], None],
        received: Callable[[], None],
    ) -> None:
        """Start the threads.

        Args:
            is_mapped: Whether a topic concerns this node; called from threads.
            receive: Takes one event, in the hub; `received` follows the last of a turn.

        Raises:
            TokenSourceError: The function that `kafka.oauth` names cannot be had.
        """
        self._receive = receive
        self._received = received
        # With it whoever makes a client waits for the first token: 1 s at least, 10 s if there is none. So all clients
        # are made in threads.
        kafka = settings.kafka
        oauth = {"oauth_cb": tokens.load(kafka.oauth, kafka.oauth_folder)} if kafka.oauth else {}
        reading = properties.reader(settings) | oauth
        asking = properties.admin(settings) | oauth
        inbox: Inbox[KafkaEvent] = Inbox(receive, received)
        retry_window_s = settings.publish.retry_window_s
        may_be_replaced = settings.cluster.is_on and settings.kafka.read == "feed"
        self._reader = reader.Reader(reading, inbox, may_be_replaced)
        self._producer = (
            producer.KafkaProducer(properties.producer(settings) | oauth, asking, receive, received)
            if any(rule.publish for rule in settings.topics)
            else None
        )
        self._replay = replay.Replay(
            reading,
            ReplayLimits(
                messages_max=settings.replay.messages_max,
                retry_window_ms=int(retry_window_s * 1000),
                subject_bytes_max=settings.client.subject_bytes_max,
                threads=settings.replay.concurrency,
            ),
            inbox,
        )
        self._discoverer = discovery.Discoverer(
            asking,
            settings.kafka.metadata_interval_s,
            is_mapped,
            settings.named_topics,
            Depth(settings.cache.ttl_s, retry_window_s, settings.cache.bytes_max // ENTRY_BYTES),
            inbox,
        )

    def stop(self) -> None:
        """Stop the threads; publishes that are on their way are waited for, within bounds."""
        self._discoverer.stop()
        self._replay.stop()
        if self._producer is not None:
            self._producer.stop()
        self._reader.stop()

    # Effects of the core.

    def look_up_topics(self, effect: LookUpTopics) -> None:
        self._discoverer.look_up(effect.number)

    def find_start(self, effect: FindStart) -> None:
        self._discoverer.find_start(effect.source)

    def read_from(self, effect: ReadFrom) -> None:
        self._reader.assign(effect.topic, effect.partition, effect.offset, effect.generation)

    def stop_reading(self, effect: StopReading) -> None:
        self._reader.unassign(effect.topic, effect.partition, effect.generation)

    def produce(self, effect: Produce) -> None:
        if self._producer is None:  # workers refuse such publishes, the admin listener does not
            self._refuse(NotDelivered(effect.ticket, codes.PUBLISH_DISABLED, NO_PRODUCER, effect.topic))
            return
        self._producer.produce(effect)

    def create_topic(self, effect: CreateTopic) -> None:
        if self._producer is None:
            self._refuse(TopicCreated(effect.topic, codes.PUBLISH_DISABLED, NO_PRODUCER))
            return
        self._producer.create(effect)

    def ask(self, effect: AskKafka) -> None:
        self._replay.ask(effect.ticket, effect.question)

    def cancel(self, effect: CancelQuestion) -> None:
        self._replay.cancel(effect.ticket)

    # For the shell.

    def taken(self, records: Records) -> None:
        """The core is done with a batch: the reader may go on."""
        self._reader.taken(records)

    @property
    def replay_records(self) -> int:
        """Records read back, in all."""
        return self._replay.records

    @property
    def replay_queue(self) -> int:
        """Questions that no thread has taken yet."""
        return self._replay.queue

    def _refuse(self, said: KafkaEvent) -> None:
        """Answer at once: what follows comes behind the effects of this turn."""
        self._receive(said)
        self._received()
