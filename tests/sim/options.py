"""What a seed means: how large the cluster, how bad the network and Kafka, what clients want, which faults come.

Swarm testing (Groce et al., ISSTA 2012): each kind of fault is left out altogether in some runs, for what is always
there hides what only happens without it. Lives are short, so that there can be many.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from gateway.link.settings import TopicRule
from mesh.cache.cache import CacheConfig
from mesh.slots.forwarding import ForwardingConfig
from mesh.slots.slot import SlotConfig
from node.backfill.backfill import PageLimits
from tests.sim.network import CALM, Traffic

NAMES = ("a", "b", "c", "d", "e", "f", "g")
NAMESPACE = "c"

NODE_FAULTS = {
    "crash": 3.0,
    "crash of a coordinator": 2.0,
    "crash of a feeder": 2.0,
    "crash between effects": 3.0,
    "lost disk": 1.0,
    "full disk": 1.0,
    "pause": 2.0,
    "pause of a coordinator": 1.5,
    "one-way cut": 2.0,
    "cut": 2.0,
    "split": 2.0,
    "clog": 1.5,
    "slow node": 1.0,
    "wrong suspicion": 2.0,
    "leave": 3.0,
    "rolling restart": 1.5,
    "all at once": 2.0,
    "voters forget while one is behind": 0.5,
    "coordinator reaches one other": 1.0,
    "partial cut": 1.5,
    "ring of one-way cuts": 1.0,
    "clock of the day jumps": 1.0,
}
KAFKA_FAULTS = {
    "no Kafka for a node": 2.0,
    "no Kafka at all": 1.0,
    "partition without a leader": 2.0,
    "another leader": 2.0,
    "unclean leader": 1.0,
    "compaction": 2.0,
    "retention": 1.5,
    "topic deleted": 0.7,
    "topic created again": 0.7,
    "partition added": 0.8,
    "topic forbidden": 0.8,
    "times of records jump": 0.8,
}
CLIENT_FAULTS = {
    "connection cut": 6.0,
    "connection silent": 2.0,
    "client slow": 2.0,
    "client stalled": 2.0,
    "client crashes": 4.0,
    "client subscribes anew": 3.0,
    "worker crashes": 2.0,
    "worker stalls": 3.0,
    "everybody reconnects": 1.0,
}
LATE_FAULTS = {"coordinator heard late": 2.5, "voter starts anew twice": 2.5}
"""Only of lives that are about them: each is a story of several seconds, in which little else may happen."""
FAULTS = {**NODE_FAULTS, **KAFKA_FAULTS, **CLIENT_FAULTS, **LATE_FAULTS}
"""How often, against each other."""

HARD = {
    "crash": 4.0,
    "crash between effects": 3.0,
    "pause of a coordinator": 2.0,
    "split": 3.0,
    "cut": 3.0,
    "one-way cut": 3.0,
}
LATE = "late words"
LATE_SHARE = 0.05
LIVES: dict[str, dict[str, float]] = {
    "truncation": {
        "unclean leader": 8.0,
        "another leader": 1.0,
        "connection cut": 3.0,
        "client crashes": 3.0,
        "no Kafka for a node": 1.0,
        "crash": 1.0,
        "retention": 0.5,
        "cut": 0.5,
    },
    "discovery": {
        "partition added": 3.0,
        "topic created again": 1.0,
        "topic deleted": 0.5,
        "everybody reconnects": 4.0,
        "client crashes": 3.0,
        "no Kafka for a node": 1.0,
    },
    "times": {
        "times of records jump": 4.0,
        "clock of the day jumps": 2.0,
        "connection cut": 5.0,
        "client crashes": 1.0,
        "worker crashes": 3.0,
        "crash": 2.0,
        "no Kafka for a node": 3.0,
        "partition without a leader": 3.0,
    },
    "amnesia": {
        "voters forget while one is behind": 4.0,
        "crash": 1.0,
        "lost disk": 0.5,
        "connection cut": 2.0,
        "full disk": 0.5,
    },
    LATE: {**LATE_FAULTS, "connection cut": 1.0, "client crashes": 0.5},
    "partial": {"connection cut": 3.0, "client crashes": 1.0, "worker crashes": 1.0},
    "full disks": {"full disk": 6.0, "crash": 2.0, "crash of a coordinator": 2.0, "one-way cut": 2.0, "split": 1.0},
}
"""Lives that are about one thing."""
FAILOVER = {"crash of a coordinator": 2.0, "crash of a feeder": 1.0}
HOSTILE = Traffic(
    delay_min_s=0.0005, delay_mean_s=0.005, loss=0.02, duplicate=0.2, late=0.1, late_max_s=3.0, keeps_order=False
)
QUICK = Traffic(
    delay_min_s=0.0002, delay_mean_s=0.0005, loss=0.0, duplicate=0.0, late=0.0, late_max_s=0.0, keeps_order=True
)


@dataclass(frozen=True, kw_only=True)
class TopicOptions:
    """One of Kafka's topics."""

    name: str
    partitions: int
    is_compacted: bool
    publish: bool


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of one run. Times in seconds."""

    seed: int
    kind: str
    """What the life is about, in a word."""
    names: tuple[str, ...]
    slots: SlotConfig
    forwarding: ForwardingConfig
    slot_count: int
    has_namespace: bool
    cache: CacheConfig
    is_roomy: bool
    """Nothing ever leaves the caches: no gap is right in the cluster's own logs."""
    pages: PageLimits
    is_direct: bool
    """Every node reads Kafka for itself."""
    traffic: Traffic
    has_swim: bool
    """The real membership; else rumours."""
    is_safe: bool
    """Fewer than W voters lose their memory at once."""
    is_failover: bool
    """Nothing but crashes of coordinators and feeders, one at a time: how long does delivery stall?"""
    clock_skew: float
    topics: tuple[TopicOptions, ...]
    metadata_interval_s: float
    metadata_lag_s: float
    replay_messages_max: int
    workers: int
    """Of each node."""
    link_packets_max: int
    heartbeat_s: float
    outbox_bytes_max: int
    clients: int
    subscriptions_max: int
    """Of one client."""
    publishes_per_s: float
    records_per_s: float
    """Of Kafka's other producers."""
    subjects: tuple[str, ...]
    """Of the namespace."""
    line_s: float
    """How long a frame takes between a worker and its client, at most."""
    faults: dict[str, float] = field(default_factory=dict)
    faults_per_s: float = 0.0
    heals_per_s: float = 1.0
    safety_s: float = 4.0
    stays_cut: str = ""
    """The cut (a fault's name) with which all has to get well, for it lasts."""

    @property
    def rules(self) -> tuple[TopicRule, ...]:
        """Of Kafka's topics."""
        return tuple(TopicRule(topic.name, "json", topic.publish) for topic in self.topics)

    @property
    def namespaces(self) -> tuple[TopicRule, ...]:
        """The cluster's own topics."""
        return (TopicRule(NAMESPACE, "json", True),) if self.has_namespace else ()


def draw(seed: int) -> Options:
    """The options of a seed."""
    rng = Random(f"options {seed}")
    if Random(f"late {seed}").random() < LATE_SHARE:  # of its own, so that what other seeds mean stays
        return _live(rng, seed, LATE)
    if rng.random() < 0.3:
        return _live(rng, seed, rng.choice([life for life in LIVES if life != LATE]))
    kind = rng.choices(("mixed", "slots", "kafka", "clients", "hostile", "failover"), (30, 16, 24, 15, 9, 6))[0]
    return _draw(rng, seed, kind)


def draw_life(seed: int, life: str) -> Options:
    """What a seed means if its life is of this kind."""
    return _live(Random(f"options {seed}"), seed, life)


def _draw(rng: Random, seed: int, kind: str) -> Options:
    is_failover = kind == "failover"
    voters = rng.choices((1, 3, 5), {"kafka": (50, 45, 5), "clients": (50, 50, 0)}.get(kind, (6, 78, 16)))[0]
    observers = rng.choice((0, 0, 1)) if voters < 5 else 0
    if is_failover:
        voters, observers = 3, 0
    names = NAMES[: voters + observers]
    is_roomy = is_failover or rng.random() < 0.6
    has_namespace = kind in ("slots", "hostile", "failover") or rng.random() < 0.6
    topics = () if kind in ("slots", "hostile") and rng.random() < 0.8 else _topics(rng, is_failover)
    if not topics:
        has_namespace = True
    return Options(
        seed=seed,
        kind=kind,
        names=names,
        slots=slot_config(rng, names[:voters]),
        forwarding=ForwardingConfig(
            timeout_s=rng.choice((2.0, 3.0)), pending_max=rng.choice((6, 1000, 1000)), unavailable_s=2.0
        ),
        slot_count=rng.choice((1, 2, 2, 3)),
        has_namespace=has_namespace,
        cache=_cache(rng, is_roomy),
        is_roomy=is_roomy,
        pages=PageLimits(rng.choice((2, 10, 100)), rng.choice((400, 2000))),
        is_direct=not is_failover and rng.random() < 0.15,
        traffic=QUICK if is_failover else HOSTILE if kind == "hostile" else _traffic(rng),
        has_swim=is_failover or rng.random() < 0.4,
        is_safe=is_failover or rng.random() < 0.85,
        is_failover=is_failover,
        clock_skew=rng.choice((0.0, 0.001, 0.02)),
        topics=topics,
        metadata_interval_s=rng.choice((0.5, 1.0, 2.0)),
        metadata_lag_s=rng.choice((0.0, 0.0, 0.5)),
        replay_messages_max=10_000 if rng.random() < 0.85 else 20,
        workers=rng.choice((1, 1, 2)),
        link_packets_max=rng.choice((3, 20, 1000)),
        heartbeat_s=rng.choice((0.5, 1.0)),
        outbox_bytes_max=rng.choice((6_000, 30_000)),
        clients=3 if is_failover else rng.choice((2, 3, 4)),
        subscriptions_max=rng.choice((1, 2, 3)),
        publishes_per_s=rng.choice((2.0, 5.0, 10.0)),
        records_per_s=20.0 if is_failover else rng.choice((3.0, 10.0, 25.0)),
        subjects=tuple(f"/{NAMESPACE}/{number}" for number in range(rng.choice((1, 3, 6)))),
        line_s=rng.choice((0.002, 0.02, 0.15)),
        faults=FAILOVER if is_failover else HARD if kind == "hostile" else _faults(rng, kind, bool(topics)),
        faults_per_s=0.2 if is_failover else 4.0 if kind == "hostile" else rng.choice((0.8, 2.0, 4.0)),
        heals_per_s=rng.choice((0.5, 1.0, 2.0)),
        safety_s=7.0 if is_failover else rng.choice((2.0, 3.0, 4.0)),
    )


def _live(rng: Random, seed: int, life: str) -> Options:
    """A life that is about one thing, with what it needs."""
    drawn = _draw(rng, seed, "slots" if life in ("amnesia", "partial", "full disks", LATE) else "mixed")
    options = replace(
        drawn,
        kind=life,
        faults={name: weight for name, weight in LIVES[life].items() if weight > 2 or rng.random() < 0.7},
        faults_per_s=rng.choice((2.0, 4.0)),
    )
    if life in ("truncation", "discovery", "times") and not options.topics:
        options = replace(options, topics=_topics(rng, False))
    match life:
        case "truncation" if rng.random() < 0.7:
            cache = CacheConfig(
                ttl_s=rng.choice((0.3, 0.7, 2.0)),
                messages_per_subject=rng.choice((1, 3, 10)),
                bytes_max=1 << 26,
                snapshot_ttl_s=rng.choice((0.3, 1.0, 1000.0)),
            )
            return replace(options, cache=cache, is_roomy=False)
        case "discovery":
            return replace(options, metadata_interval_s=rng.choice((1.0, 3.0)), metadata_lag_s=rng.choice((0.0, 0.5)))
        case "times":
            topics = tuple(replace(topic, publish=True) for topic in options.topics)
            return replace(options, topics=topics, publishes_per_s=10.0, line_s=0.15)
        case "late words":
            traffic = replace(HOSTILE, late=0.2, late_max_s=1.5)
            return replace(
                options, traffic=traffic, slot_count=1, publishes_per_s=20.0, faults_per_s=0.7, heals_per_s=0.01,
                safety_s=8.0,
            )  # fmt: skip
        case "amnesia":
            return replace(options, is_safe=False, publishes_per_s=10.0)
        case "partial":
            traffic = replace(options.traffic, loss=rng.choice((0.0, 0.02, 0.05)), late=0.0)
            cut = rng.choice(("partial cut", "ring of one-way cuts"))
            if rng.random() < 0.4:
                names = NAMES[:5]
                options = replace(options, names=names, slots=slot_config(rng, names))
            return replace(options, has_swim=True, traffic=traffic, safety_s=4.0, clients=3, stays_cut=cut)
    return options


def slot_config(rng: Random, voters: tuple[str, ...]) -> SlotConfig:
    """Small limits, so that they are met."""
    quorums = rng.choice([(0, 0), (0, 0), (2, 4)]) if len(voters) == 5 else (0, 0)
    return SlotConfig(
        voters=voters,
        commit_quorum=quorums[0],
        elect_quorum=quorums[1],
        range_items_max=rng.choice((3, 10, 500)),
        tail_items_max=rng.choice((20, 20, 60, 20_000)),
        uncommitted_max=rng.choice((10, 10_000, 10_000)),
    )


def quiet(seed: int, voters: int, observers: int, tail_items_max: int = 20_000) -> Options:
    """One slot, and nothing happens by itself: for tests that know what is to happen."""
    names = NAMES[: voters + observers]
    return replace(
        draw(seed),
        names=names,
        slots=SlotConfig(voters=names[:voters], tail_items_max=tail_items_max),
        forwarding=ForwardingConfig(),
        slot_count=1,
        has_namespace=True,
        traffic=CALM,
        has_swim=True,
        is_safe=False,
        is_failover=False,
        topics=(),
        clients=0,
        workers=1,
        faults={},
    )


def _topics(rng: Random, is_failover: bool) -> tuple[TopicOptions, ...]:
    return tuple(
        TopicOptions(
            name=f"k{number}",
            partitions=rng.choice((1, 1, 2, 3)),
            is_compacted=not is_failover and rng.random() < 0.3,
            publish=rng.random() < 0.7,
        )
        for number in range(1 if is_failover else rng.choice((1, 1, 2)))
    )


def _cache(rng: Random, is_roomy: bool) -> CacheConfig:
    if is_roomy:
        return CacheConfig(ttl_s=1000.0, messages_per_subject=10_000, bytes_max=1 << 26, snapshot_ttl_s=1000.0)
    return CacheConfig(
        ttl_s=rng.choice((0.7, 2.0, 1000.0)),
        messages_per_subject=rng.choice((3, 10, 30)),
        bytes_max=1 << 26 if rng.random() < 0.6 else 12_000,
        snapshot_ttl_s=rng.choice((1.0, 1000.0)),
    )


def _traffic(rng: Random) -> Traffic:
    return Traffic(
        delay_min_s=rng.choice((0.0001, 0.001, 0.01)),
        delay_mean_s=rng.choice((0.0005, 0.003, 0.01, 0.04)),
        loss=rng.choice((0.0, 0.0, 0.02, 0.05, 0.15)),
        duplicate=rng.choice((0.0, 0.0, 0.02, 0.1)),
        late=rng.choice((0.0, 0.0, 0.01, 0.05)),
        late_max_s=rng.choice((0.5, 2.0, 4.0)),
        keeps_order=rng.random() < 0.4,
    )


def _faults(rng: Random, kind: str, has_kafka: bool) -> dict[str, float]:
    weights = {"slots": (1.0, 0.0, 0.5), "kafka": (0.5, 2.0, 0.7), "clients": (0.2, 0.3, 2.0)}.get(
        kind, (1.0, 1.0, 1.0)
    )
    found: dict[str, float] = {}
    for faults, weight in zip((NODE_FAULTS, KAFKA_FAULTS, CLIENT_FAULTS), weights, strict=True):
        if weight and (has_kafka or faults is not KAFKA_FAULTS):
            found |= {name: one * weight for name, one in faults.items() if rng.random() < 0.55}
    return found
