"""Publishes on their way into Kafka or into the mesh, and what became of them.

A publish is confirmed when it has been read back from its log: then it is committed, its position is known, and
subscribers of this node have been sent it. The delivery report alone confirms it too, after `READ_BACK_S`, without
a position. Publisher, seq and subject name a publish: the same one again, while it is on its way, waits for the same
outcome, and afterwards gets the original one as long as that is remembered.

Not here: repeats that reach the log all the same (mesh/repeats.py), writing into Kafka (node/kafka/producer.py).
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from gateway.link import codes
from gateway.link.events import Publish, Published, Refused
from mesh.histogram import Histogram
from mesh.log import Headers, Position
from mesh.repeats import Attempt, PublishKey
from mesh.slots.slot_log import Item
from mesh.subject import to_key, topic_of
from node.effects import CreateTopic, Effects, Produce
from node.interest import WorkerId
from node.logs.look_ups import LookUps
from node.publish_mark import mark
from node.topics import Topics

READ_BACK_S = 2.0
"""How long a delivered publish waits to be read back before it is confirmed without its position."""
GRACE_S = 5.0
"""How long after its timeout a publish waits for the producer to say what became of it."""


class PublishingConfig(msgspec.Struct, frozen=True):
    """Limits of the publishes of one node."""

    timeout_s: float
    """After this the producer gives up."""
    in_flight_max: int
    remembered_max: int
    """Outcomes kept for retries."""
    creates: frozenset[str] = frozenset()
    """Names of the mapping's rules whose topics are created when a client publishes into one that does not exist."""


class _Flight:
    __slots__ = ("attempt", "deadline", "delivered_to", "is_held", "publish_key", "since", "ticket", "waiters")

    def __init__(self, ticket: int, publish_key: PublishKey, now: float, deadline: float) -> None:
        self.ticket = ticket
        self.since = now
        self.publish_key = publish_key
        self.deadline = deadline
        self.delivered_to = ""
        self.attempt: Attempt | None = None
        """Of a publish into Kafka."""
        self.is_held = False
        """It is not known yet whether its topic exists."""
        self.waiters: list[tuple[WorkerId, int]] = []


class _Held:
    """Publishes into a topic that Kafka does not have, as far as is known."""

    __slots__ = ("is_creating", "look_up", "publishes")

    def __init__(self, look_up: int) -> None:
        self.look_up = look_up
        """The request after whose answer it is known for sure."""
        self.is_creating = False
        self.publishes: list[tuple[_Flight, Publish]] = []


class Publishing:
    """Takes publishes, the producer's reports and what the logs turn out to hold."""

    def __init__(
        self, config: PublishingConfig, topics: Topics, look_ups: LookUps, effects: Effects, boot: str
    ) -> None:
        """Begin with none on its way.

        Args:
            boot: Names this start of the node, as no other start of any node is named; without a dot.
        """
        self.config = config
        self._topics = topics
        self._look_ups = look_ups
        self._effects = effects
        self._flights: dict[PublishKey, _Flight] = {}
        self._by_ticket: dict[int, _Flight] = {}
        self._held: dict[str, _Held] = {}
        """By topic."""
        self._remembered: OrderedDict[PublishKey, tuple[str, Position]] = OrderedDict()
        self._boot = boot
        self._ticket = 0
        self._events: list[tuple[WorkerId, Published | Refused]] = []
        self._items: list[Item] = []
        self._confirmed_since: list[float] = []
        """When those came in that were confirmed since the last `take_events`."""
        self.publish_s = Histogram()
        """From when a publish came in until it was confirmed."""
        self.accepted = 0
        self.failed_count = 0
        self.retries_recognised = 0

    @property
    def in_flight(self) -> int:
        """Publishes that have no outcome yet."""
        return len(self._flights)

    # Inputs.

    def publish(self, now: float, wall_ms: int, worker: WorkerId, publish: Publish) -> None:
        """A client publishes; the worker has checked that it may.

        Args:
            wall_ms: The time of a message to a namespace. (Kafka's messages get theirs from Kafka.)
        """
        publish_key = (publish.publisher, publish.seq, publish.subject)
        remembered = self._remembered.get(publish_key)
        if remembered is not None:
            self.retries_recognised += 1
            self._events.append((worker, Published(publish.pid, *remembered)))
            return
        flight = self._flights.get(publish_key)
        if flight is not None:
            self.retries_recognised += 1
            flight.waiters.append((worker, publish.pid))
            return
        if len(self._flights) >= self.config.in_flight_max:
            reason = f"{self.config.in_flight_max} publishes are on their way already (publish.queue)"
            self.failed_count += 1
            self._events.append((worker, Refused(publish.pid, codes.QUEUE_FULL, reason)))
            return
        self._ticket += 1
        flight = _Flight(self._ticket, publish_key, now, now + self.config.timeout_s + GRACE_S)
        flight.waiters.append((worker, publish.pid))
        self._flights[publish_key] = self._by_ticket[self._ticket] = flight
        if topic_of(publish.subject) in self._topics.namespaces:
            item = Item(
                publish.subject, publish.publisher, publish.seq, publish.value, publish.headers or None, wall_ms
            )
            self._items.append(item)
            return
        if self._topics.is_absent(topic_of(publish.subject)):
            self._hold(flight, publish, now + self.config.timeout_s)
        else:
            self._produce(flight, publish)

    def looked_up(self, number: int) -> None:
        """What there is in Kafka is known as of after the request of this number."""
        for topic, held in [*self._held.items()]:
            if not self._topics.is_absent(topic):
                del self._held[topic]
                for flight, publish in held.publishes:
                    flight.is_held = False
                    flight.deadline += self.config.timeout_s + GRACE_S
                    self._produce(flight, publish)
            elif held.look_up <= number and not held.is_creating:
                rule = self._topics.rule_of_kafka(topic)
                if rule is not None and rule.name in self.config.creates:
                    held.is_creating = True
                    self._effects.add(CreateTopic(topic))
                else:
                    self._refuse_held(topic, codes.NOT_MAPPED, f"Kafka has no topic {topic!r} that this node may see")
        if self._held:
            self._look_ups.ask()

    def topic_created(self, topic: str, code: int, reason: str) -> None:
        """Answers `CreateTopic`; brokers may need a moment until they know of the topic."""
        if code:
            self._refuse_held(topic, code, reason)
        else:
            self._look_ups.ask()

    def delivered(self, now: float, ticket: int, log_id: str) -> None:
        """Kafka has acknowledged it; `log_id` may be empty if the log is not known."""
        flight = self._by_ticket.get(ticket)
        if flight is not None:
            flight.delivered_to = log_id or "?"
            flight.deadline = now + READ_BACK_S

    def failed(self, ticket: int, code: int, reason: str) -> None:
        """Kafka did not take it, or the producer gave up."""
        flight = self._by_ticket.get(ticket)
        if flight is not None:
            self._refuse(flight, code, reason)

    def refused(self, publish_key: PublishKey, code: int, reason: str) -> None:
        """The mesh did not take it, or did not say in time whether it did."""
        flight = self._flights.get(publish_key)
        if flight is not None:
            self._refuse(flight, code, reason)

    def applied(self, publish_key: PublishKey, log_id: str, at: Position, attempt: Attempt | None = None) -> None:
        """A log holds this publish, first at `at`.

        Args:
            attempt: Which was read just now, of a log that others write into as well: only by its own attempt is one
                confirmed that is on its way.
        """
        self._remembered[publish_key] = (log_id, at)
        if len(self._remembered) > self.config.remembered_max:
            self._remembered.popitem(last=False)
        flight = self._flights.get(publish_key)
        if flight is not None and attempt in (None, flight.attempt):
            self._confirm(flight, log_id, at)

    def forget(self, worker: WorkerId) -> None:
        """The worker is gone: it needs no more answers."""
        for flight in self._flights.values():
            flight.waiters = [one for one in flight.waiters if one[0] != worker]

    def tick(self, now: float) -> None:
        """Once a second or more often."""
        for flight in [one for one in self._flights.values() if one.deadline <= now]:
            if flight.delivered_to:
                self._confirm(flight, flight.delivered_to, None)
            elif flight.is_held:
                self._refuse(flight, codes.KAFKA_UNAVAILABLE, "Kafka does not say whether it has the topic")
                self._forget_held(flight)
            else:
                self._refuse(flight, codes.OUTCOME_UNKNOWN, "the producer did not say what became of it")

    # Outputs.

    def take_events(self, now: float) -> list[tuple[WorkerId, Published | Refused]]:
        """What to tell the workers, behind the live messages that the publishes have become."""
        for since in self._confirmed_since:
            self.publish_s.observe(now - since)
        self._confirmed_since.clear()
        events, self._events = self._events, []
        return events

    def take_items(self) -> list[Item]:
        """What to give to the slots, in order."""
        items, self._items = self._items, []
        return items

    # Private.

    def _hold(self, flight: _Flight, publish: Publish, deadline: float) -> None:
        """Until it is known for sure whether the topic exists: it may be new."""
        topic = topic_of(publish.subject)
        held = self._held.get(topic)
        if held is None:
            held = self._held[topic] = _Held(self._look_ups.surely_fresh)
            self._look_ups.ask()
        flight.is_held, flight.deadline = True, deadline
        held.publishes.append((flight, publish))

    def _refuse_held(self, topic: str, code: int, reason: str) -> None:
        held = self._held.pop(topic, None)
        for flight, _ in held.publishes if held is not None else ():
            self._refuse(flight, code, reason)

    def _forget_held(self, flight: _Flight) -> None:
        topic = topic_of(flight.publish_key[2])
        held = self._held[topic]
        held.publishes = [one for one in held.publishes if one[0] is not flight]
        if not held.publishes:
            del self._held[topic]

    def _produce(self, flight: _Flight, publish: Publish) -> None:
        topic, key = to_key(publish.subject)
        marks, flight.attempt = mark(flight.publish_key, f"{self._boot}-{flight.ticket}")
        headers: Headers = [*publish.headers, *marks]
        partitions = len(self._topics.of(topic))
        self._effects.add(Produce(flight.ticket, topic, key, publish.value, headers, publish.publisher, partitions))

    def _confirm(self, flight: _Flight, log_id: str, at: Position | None) -> None:
        self._remove(flight)
        self._confirmed_since.append(flight.since)
        self.accepted += 1
        self._events.extend((worker, Published(pid, log_id, at)) for worker, pid in flight.waiters)

    def _refuse(self, flight: _Flight, code: int, reason: str) -> None:
        self._remove(flight)
        self.failed_count += 1
        self._events.extend((worker, Refused(pid, code, reason)) for worker, pid in flight.waiters)

    def _remove(self, flight: _Flight) -> None:
        del self._flights[flight.publish_key]
        del self._by_ticket[flight.ticket]
