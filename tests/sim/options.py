"""What a seed means: how large the cluster, how bad the network, which faults and how often.

Swarm testing (Groce et al., ISSTA 2012): each kind of fault is left out altogether in some runs, for what is always
there hides what only happens without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from mesh.cache.cache import CacheConfig
from mesh.slots.forwarding import ForwardingConfig
from mesh.slots.slot import SlotConfig
from tests.sim.network import CALM, Traffic

NAMES = ("a", "b", "c", "d", "e", "f", "g")

FAULTS = {
    "crash": 3.0,
    "crash of a coordinator": 3.0,
    "crash of a feeder": 1.0,
    "crash in a turn": 2.0,
    "lost disk": 1.0,
    "pause": 3.0,
    "pause of a coordinator": 2.0,
    "one-way cut": 3.0,
    "cut": 2.0,
    "split": 2.0,
    "clog": 2.0,
    "slow node": 1.0,
    "wrong suspicion": 3.0,
    "leave": 2.0,
    "rolling restart": 0.5,
    "all at once": 0.5,
    "clock of the day jumps": 1.0,
    "no Kafka": 1.0,
    "subscriber moves": 6.0,
}
"""How often, against each other."""

HARD = {
    "crash": 4.0,
    "crash in a turn": 3.0,
    "pause of a coordinator": 2.0,
    "split": 3.0,
    "cut": 3.0,
    "one-way cut": 3.0,
}
CRASHES = {"crash of a coordinator": 2.0, "crash of a feeder": 1.0}
HOSTILE = Traffic(
    delay_min_s=0.0005, delay_mean_s=0.005, loss=0.02, duplicate=0.2, late=0.1, late_max_s=3.0, keeps_order=False
)
CALM_FAILOVER = Traffic(
    delay_min_s=0.0002, delay_mean_s=0.0005, loss=0.0, duplicate=0.0, late=0.0, late_max_s=0.0, keeps_order=True
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of one run. Times in seconds."""

    seed: int
    names: tuple[str, ...]
    slots: SlotConfig
    forwarding: ForwardingConfig
    slot_count: int
    cache: CacheConfig
    cache_is_roomy: bool
    """Nothing ever leaves the caches: no gap is right."""
    traffic: Traffic
    has_swim: bool
    """The real membership; else rumours."""
    is_safe: bool
    """Fewer than W voters lose their memory at once."""
    is_failover: bool
    """Nothing but crashes of coordinators, one at a time: how long do publishes stall?"""
    clock_skew: float
    subjects: tuple[str, ...]
    publishers: int
    subscribers: int
    window: int
    publishes_per_s: float
    patience_s: float
    line_s: float
    faults: dict[str, float] = field(default_factory=dict)
    faults_per_s: float = 0.0
    heals_per_s: float = 1.0
    safety_s: float = 6.0
    kafka_logs: int = 0
    page_rows_max: int = 25
    """Of a cache that is copied: small, so that copies are broken off half-way."""


def draw(seed: int) -> Options:
    """The options of a seed."""
    rng = Random(f"options {seed}")
    kind = rng.random()
    is_failover, is_hostile = kind < 0.08, kind > 0.85
    voters = rng.choices((1, 3, 5), (0.04, 0.72, 0.24))[0]
    observers = rng.choice((0, 0, 1, 2)) if voters < 5 else rng.choice((0, 0, 0, 1))
    if is_failover:
        voters, observers = 3, rng.choice((0, 1))
    names = NAMES[: voters + observers]
    is_roomy = rng.random() < 0.5
    return Options(
        seed=seed,
        names=names,
        slots=_slots(rng, names[:voters]),
        forwarding=ForwardingConfig(
            timeout_s=rng.choice((2.0, 3.0, 5.0)), pending_max=rng.choice((6, 1000, 1000)), unavailable_s=2.0
        ),
        slot_count=rng.choice((1, 2, 2, 3)),
        cache=CacheConfig(
            ttl_s=1000.0 if is_roomy else rng.choice((1.0, 3.0, 1000.0)),
            messages_per_subject=10_000 if is_roomy else rng.choice((3, 10, 30)),
            bytes_max=1 << 26 if is_roomy or rng.random() < 0.5 else 30_000,
            snapshot_ttl_s=1000.0 if is_roomy else rng.choice((1.0, 1000.0)),
        ),
        cache_is_roomy=is_roomy,
        traffic=CALM_FAILOVER if is_failover else HOSTILE if is_hostile else _traffic(rng),
        has_swim=is_failover or rng.random() < 0.5,
        is_safe=is_failover or rng.random() < 0.85,
        is_failover=is_failover,
        clock_skew=rng.choice((0.0, 0.001, 0.02)),
        subjects=tuple(f"/c/{number}" for number in range(rng.choice((1, 3, 6)))),
        publishers=3 if is_failover else rng.choice((1, 2, 3)),
        subscribers=rng.choice((1, 2, 3)),
        window=8 if is_failover else rng.choice((1, 3, 8)),
        publishes_per_s=20.0 if is_failover else rng.choice((4.0, 10.0, 20.0)),
        patience_s=rng.choice((0.5, 2.0, 8.0)),
        line_s=rng.choice((0.002, 0.05, 0.3)),
        faults=CRASHES if is_failover else HARD if is_hostile else _faults(rng),
        faults_per_s=0.15 if is_failover else 4.0 if is_hostile else rng.choice((0.3, 0.8, 1.5, 3.0)),
        heals_per_s=rng.choice((0.3, 1.0, 2.0)),
        safety_s=rng.choice((4.0, 6.0, 8.0)) if not is_failover else 15.0,
        page_rows_max=rng.choice((5, 25, 1000)),
        kafka_logs=2 if is_failover else rng.choice((0, 0, 1, 2)),
    )


def _slots(rng: Random, voters: tuple[str, ...]) -> SlotConfig:
    n = len(voters)
    quorums = rng.choice([(0, 0), (0, 0), (2, 4)]) if n == 5 else (0, 0)
    return SlotConfig(
        voters=voters,
        commit_quorum=quorums[0],
        elect_quorum=quorums[1],
        range_items_max=rng.choice((3, 10, 500)),
        tail_items_max=rng.choice((20, 20, 60, 20_000)),
        uncommitted_max=rng.choice((10, 10_000, 10_000)),
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


def _faults(rng: Random) -> dict[str, float]:
    return {name: weight for name, weight in FAULTS.items() if rng.random() < 0.55}


def quiet(seed: int, voters: int, observers: int, tail_items_max: int = 20_000) -> Options:
    """Nothing happens by itself: for tests that know what is to happen."""
    names = NAMES[: voters + observers]
    return replace(
        draw(seed),
        names=names,
        slots=SlotConfig(voters=names[:voters], tail_items_max=tail_items_max),
        forwarding=ForwardingConfig(),
        slot_count=1,
        traffic=CALM,
        has_swim=True,
        is_safe=False,
        is_failover=False,
        publishers=0,
        subscribers=0,
        faults={},
        kafka_logs=0,
    )
