"""Restarts as people make them, one node after another, and as power failures make them, all at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.kafka.embedded import EmbeddedKafka
from tests.cluster.kafka_load import TOPICS, KafkaLoad, topics
from tests.cluster.trial import Trial, run_trial
from tests.support.checker import Gapped
from tests.support.cluster import Cluster

pytestmark = pytest.mark.slow


def test_a_rolling_restart_is_not_noticed(tmp_path: Path) -> None:
    async def scenario(trial: Trial) -> None:
        cluster = trial.cluster
        for name in cluster.names:
            async with trial.step(f"planned restart of {name}"):
                assert await trial.do(cluster[name].stop) == 0
                await trial.do(cluster.start, [name])
        for pair in ("bc", "ca"):
            async with trial.step(f"planned restart of {pair[0]} and {pair[1]} at once", bounded=False):
                # The one that stays is handed all slots, and knows that it has everything: no memory is lost.
                assert await asyncio.gather(*(trial.do(cluster[name].stop) for name in pair)) == [0, 0]
                await trial.do(cluster.start, pair)

    with EmbeddedKafka(topics()) as kafka:
        load = KafkaLoad(kafka.bootstrap)
        with Cluster(tmp_path, "abc", bootstrap=kafka.bootstrap, topics=TOPICS) as cluster:
            trial = run_trial(cluster, scenario, kafka=load)
    assert min(step.publish_stall_s - step.queued_s for step in trial.steps) <= 2.0


def test_all_nodes_at_once_lose_what_was_only_in_memory_and_say_so(tmp_path: Path) -> None:
    async def scenario(trial: Trial) -> None:
        cluster = trial.cluster
        async with trial.step("kill -9 of all nodes", bounded=False):
            await trial.do(cluster.kill_all)
            await trial.do(cluster.start)
        async with trial.step("planned stop of all nodes", bounded=False):
            await trial.do(cluster.stop_all)
            await trial.do(cluster.start)
        async with trial.step("one voter loses its disk as well"):
            await trial.do(cluster["b"].kill)
            cluster["b"].lose_disk()
            await trial.do(cluster.start, ["b"])

    with EmbeddedKafka(topics()) as kafka:
        load = KafkaLoad(kafka.bootstrap)
        with Cluster(tmp_path, "abc", bootstrap=kafka.bootstrap, topics=TOPICS) as cluster:
            trial = run_trial(cluster, scenario, kafka=load, memory_lost=True)
    for seen in trial.chat:
        told = {one.why for one in seen.noted if isinstance(one, Gapped)}
        assert told, f"{seen.name} was not told that anything is missing"
