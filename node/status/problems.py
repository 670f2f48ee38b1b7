"""What a person should know of a node, in sentences, for as long as it is so.

Not here: the document that shows them (document.py).
"""

from __future__ import annotations

from collections import Counter

from node.audit.audit import Auditors
from node.cluster.network import Network
from node.core import NodeCore
from node.logs.kafka_health import WITHOUT_IDS_TEXT, forbidden_text
from node.settings import Settings
from node.workers import Workers

READ_ERROR_SHOWN_S = 10.0
UNMAPPED_SHOWN_S = 60.0
STALLED_SHOWN_AFTER_S = 3.0
UNPUBLISHED_SHOWN_S = 600.0
"""Unless one succeeds before: perhaps nobody publishes any more."""
STOOD_STILL_SHOWN_S = 60.0


def cluster_problems(core: NodeCore, network: Network | None) -> list[str]:
    """Of the cluster."""
    if network is None:
        return []
    found = []
    slots = core.slots
    if slots.is_amnesic:
        found.append(
            "this voter does not know what it promised (its disk is new, or was lost) and takes no part until it has "
            f"heard from {', '.join(slots.missing_voters)}"
        )
    alive = core.peers.alive()
    missing = [voter for voter in slots.config.voters if voter not in alive]
    if missing:
        found.append(f"of the voters {', '.join(missing)} cannot be reached")
    if slots.cannot_save:
        found.append(
            "this voter cannot save what it promises (is its disk full?): it lets no other node coordinate its slots"
        )
    found += [f"node {listener} does not hear node {speaker}" for speaker, listener in slots.missing_links]
    obstacles = Counter(one.text for slot in slots.by_number if (one := slots.obstacle(slot.number)) is not None)
    for why, count in obstacles.items():
        found.append(f"{count} of {len(slots.by_number)} slots take no publishes now: {why}")
    return found + core.peers.problems() + network.problems()


def notes(core: NodeCore) -> list[str]:
    """What is as it should be, and has a price."""
    return [WITHOUT_IDS_TEXT] if core.kafka_health.lacks_ids else []


def missing_topics(settings: Settings, core: NodeCore) -> list[str]:
    """Topics that are named in the configuration, not by a glob, and that Kafka does not have."""
    health = core.kafka_health
    has = core.topics.sources.keys() | health.unsure | health.forbidden
    return [name for name in settings.named_topics if core.topics.known and name not in has]


def undescribed(topic: str) -> str:
    """Of a topic whose configuration this node may not see, and whose mapping does not say what it is."""
    return (
        f"topic {topic!r}: this node's user may not see its configuration (it lacks the right DESCRIBE_CONFIGS on it), "
        "so it is taken for one that is not compacted. If it is, allow that, or say `compacted = true` in [[topics]]"
    )


class Problems:
    """Of everything."""

    def __init__(
        self, settings: Settings, core: NodeCore, workers: Workers, network: Network | None, audit: Auditors | None
    ) -> None:
        self._settings = settings
        self._core = core
        self._workers = workers
        self._network = network
        self._audit = audit
        self._ran: set[int] = set()
        """Indexes of workers that were ready at some time."""
        self._unmapped = 0
        self._unmapped_at: float | None = None

    def second(self, now: float) -> None:
        """Once a second."""
        self._ran.update(worker.settings.index for worker in self._workers.all if worker.stats)
        if self._core.intake.unmapped > self._unmapped:
            self._unmapped = self._core.intake.unmapped
            self._unmapped_at = now

    def now(self, now: float) -> list[str]:
        """All problems that exist now."""
        return [
            *(["this node drains: its clients are told to move"] if self._core.slots.is_leaving else ()),
            *cluster_problems(self._core, self._network),
            *(self._kafka(now) if self._settings.uses_kafka else ()),
            *self._tables(),
            *self._records(now),
            *self._core.key_sets.problems(),
            *self._dead_workers(),
            *self._killed_workers(now),
            *(self._audit.problems(now) if self._audit is not None else ()),
        ]

    def _kafka(self, now: float) -> list[str]:
        found = []
        health = self._core.kafka_health
        if health.error:
            found.append(f"Kafka has not answered for {now - health.since:.0f} s: {health.error}")
        elif health.read_error and now - health.read_error_at < READ_ERROR_SHOWN_S:
            found.append(f"reading Kafka: {health.read_error}")
        forbidden = health.forbidden | {topic for topic, _ in health.unreadable}
        found += [forbidden_text(topic, health.missing_right(topic)) for topic in sorted(forbidden)]
        for (topic, partition), stable, high in health.hanging(now, self._settings.kafka.stuck_after_s):
            found.append(
                f"{topic} [{partition}]: a transaction that is neither committed nor aborted holds up what was written "
                f"since: it cannot be read (last stable offset {stable}, high watermark {high})"
            )
        if health.producer_error:
            found.append(f"nothing can be published into Kafka: {health.producer_error}")
        for topic, ago_s, reason in health.unpublished(now, UNPUBLISHED_SHOWN_S):
            found.append(
                f"topic {topic!r}: Kafka did not answer for the last publish into it, {ago_s:.0f} s ago: {reason}"
            )
        if not health.error:
            for reason, wheres in health.unread(now, STALLED_SHOWN_AFTER_S).items():
                topic, partition = wheres[0]
                others = f" and {len(wheres) - 1} other partitions" if len(wheres) > 1 else ""
                found.append(f"{topic} [{partition}]{others}: {reason}")
        for topic in sorted(health.unsure):
            found.append(f"topic {topic!r}: Kafka lists it, and does not say now what partitions it has")
        for topic, partition in sorted(health.leaderless):
            found.append(f"{topic} [{partition}] has no leader in Kafka: nobody can read it")
        found += [undescribed(topic) for topic in sorted(health.undescribed) if not self._core.tables.is_said(topic)]
        missing = missing_topics(self._settings, self._core)
        return found + [f"topic {topic!r} does not exist in Kafka (yet)" for topic in missing]

    def _tables(self) -> list[str]:
        tables = self._core.tables
        failures = dict.fromkeys(tables.failures())
        return [*([tables.problem] if tables.problem else ()), *failures]

    def _records(self, now: float) -> list[str]:
        if self._unmapped_at is None or now - self._unmapped_at >= UNMAPPED_SHOWN_S:
            return []
        intake = self._core.intake
        records = "1 record" if intake.unmapped == 1 else f"{intake.unmapped} records"
        return [f"{records} could not be mapped; the last: {intake.unmapped_last}"]

    def _dead_workers(self) -> list[str]:
        return [
            f"worker {worker.settings.index} does not run"
            for worker in self._workers.all
            if not worker.stats and (worker.settings.index in self._ran or worker.restarts)
        ]

    def _killed_workers(self, now: float) -> list[str]:
        return [
            f"worker {worker.settings.index} stood still and was killed, {now - worker.stood_still_at:.0f} s ago"
            for worker in self._workers.all
            if worker.stood_still_at is not None and now - worker.stood_still_at < STOOD_STILL_SHOWN_S
        ]
