"""Nodes that stand still for longer than the others suspect them, and wake up as if nothing had been: the deposed
coordinator, the feeder that was replaced.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from node.kafka.embedded import EmbeddedKafka
from tests.cluster.kafka_load import TOPICS, KafkaLoad, topics
from tests.cluster.trial import Trial, run_trial
from tests.support.cluster import Cluster

pytestmark = pytest.mark.slow


async def pause(trial: Trial, name: str, what: str, for_s: float, workers: bool = True) -> None:
    how = "with its workers" if workers else "its workers do not"
    async with trial.step(f"{what} {name} stands still for {for_s:g} s, {how}"):
        trial.cluster[name].pause(workers)
        await trial.sleep(for_s)
        trial.cluster[name].go_on()


def test_a_coordinator_and_a_feeder_wake_up_deposed(tmp_path: Path) -> None:
    async def scenario(trial: Trial) -> None:
        name = trial.coordinator()
        await pause(trial, name, "the coordinator", 5)
        assert trial.coordinator(), "somebody coordinates"
        await pause(trial, trial.coordinator(), "the coordinator", 5, workers=False)
        await pause(trial, trial.cluster.feeder("events", 0), "a feeder", 2.5)
        for _ in range(2):  # as long as it takes to be suspected, or not quite
            await pause(trial, trial.coordinator(), "the coordinator", trial.rng.uniform(0.7, 1.6))

    with EmbeddedKafka(topics()) as kafka:
        load = KafkaLoad(kafka.bootstrap)
        with Cluster(tmp_path, "abc", bootstrap=kafka.bootstrap, topics=TOPICS) as cluster:
            run_trial(cluster, scenario, kafka=load)
