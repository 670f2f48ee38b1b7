"""A feeder that loses Kafka alone: another node reads in its place, and no subscriber waits for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from tests.cluster.clients import times_of
from tests.cluster.kafka_load import TOPICS, KafkaLoad, topics
from tests.cluster.trial import AFTER_S, KAFKA_SUBJECTS, Step, Trial, longest_pause, run_trial
from tests.support.cluster import Cluster
from tests.support.network import Network
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.netns, pytest.mark.real_kafka]

ROUNDS = 3
"""At most: most of them have to be good, for the machine may be busy, but not most of the time."""
CUT_S = 8.0
STALL_MAX_S = 3.0
"""Generous: 1.5 s is the goal, which a machine that does much else does not always reach. Besides what processes queue
for a processor."""


def test_a_feeder_that_loses_kafka_alone_is_replaced(tmp_path: Path) -> None:
    require("java", "maven", "netns")
    stalls: list[float] = []

    async def scenario(trial: Trial) -> None:
        while sum(stall <= STALL_MAX_S for stall in stalls) <= ROUNDS // 2 and len(stalls) < ROUNDS:
            feeder = trial.cluster.feeder("events", 0)
            async with trial.step(f"the feeder {feeder} cannot reach Kafka", agree=False, bounded=False) as step:
                network.cut([feeder], ["kafka"])
                await trial.sleep(CUT_S)
            by_node = stalls_of(trial, step)
            trial.say(", ".join(f"{name} {stall:.2f} s" for name, stall in by_node.items()))
            stalls.append(max(by_node.values()) - step.queued_s)
            network.heal()
            async with trial.step("it can again"):
                await trial.sleep(4)

    with (
        Network("abc", outside=("test", "kafka")) as network,
        RealKafka(tmp_path / "kafka", host=network.addresses["kafka"]) as kafka,
    ):
        for topic, partitions in topics().items():
            kafka.create_topic(topic, partitions)
        with Cluster(tmp_path, network=network, bootstrap=kafka.bootstrap, topics=TOPICS) as cluster:
            run_trial(cluster, scenario, kafka=KafkaLoad(kafka.bootstrap, per_second=500))
    assert sum(stall <= STALL_MAX_S for stall in stalls) > ROUNDS // 2, stalls


def stalls_of(trial: Trial, step: Step) -> dict[str, float]:
    """The longest time in which a subscriber at a node got nothing of one of the busy subjects, during a step."""
    return {
        seen.name: longest_pause(times_of(seen), step.begin, step.end + AFTER_S, KAFKA_SUBJECTS)
        for seen in trial.events
        if seen.name.startswith("at ")
    }
