"""kill -9 of nodes, one by one and while others are still syncing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.kafka.embedded import EmbeddedKafka
from tests.cluster.kafka_load import TOPICS, KafkaLoad, topics
from tests.cluster.trial import KEYS, Trial, run_trial
from tests.support.cluster import Cluster, ClusterNode

pytestmark = pytest.mark.slow


async def kill_and_restart(trial: Trial, name: str, what: str, down_s: float = 2.0) -> None:
    async with trial.step(f"kill -9 of {what} {name}"):
        await trial.do(trial.cluster[name].kill)
        await trial.sleep(down_s)
        await trial.do(trial.cluster.wait_agreed)
        await trial.do(trial.cluster.start, [name])


def test_three_nodes_survive_the_death_of_coordinator_and_feeder(tmp_path: Path) -> None:
    async def scenario(trial: Trial) -> None:
        await kill_and_restart(trial, trial.coordinator(), "the coordinator")
        await kill_and_restart(trial, trial.cluster.feeder("events", 0), "a feeder")
        async with trial.step("power failure of a coordinator, with its workers"):
            name = trial.coordinator(KEYS[1])
            await trial.do(trial.cluster[name].kill_all)
            await trial.sleep(0.5)
            await trial.do(trial.cluster.start, [name])

    with EmbeddedKafka(topics()) as kafka:
        kafka_load = KafkaLoad(kafka.bootstrap)
        with Cluster(tmp_path, "abc", bootstrap=kafka.bootstrap, topics=TOPICS) as cluster:
            run_trial(cluster, scenario, kafka=kafka_load)


def test_five_voters_survive_one_dying_while_another_is_syncing(tmp_path: Path) -> None:
    """Two memories may be lost at once, so the one before the last must have synced."""

    async def scenario(trial: Trial) -> None:
        cluster = trial.cluster
        async with trial.step("kill -9 of each in turn, the next one while the last is still syncing"):
            starting: asyncio.Task[None] | None = None
            for name in "abcde":
                await trial.do(cluster[name].kill)
                if starting is not None:
                    await starting
                starting = asyncio.create_task(trial.do(start_and_sync, cluster, name))
                await trial.sleep(trial.rng.uniform(0.6, 1.6))
            if starting is not None:
                await starting

    with Cluster(tmp_path, "abcde") as cluster:
        run_trial(cluster, scenario)


def start_and_sync(cluster: Cluster, name: str) -> None:
    """Return when the node is back and has what the others have."""
    node = cluster[name]
    node.start(ready=False)
    node.wait(lambda: is_synced(node), "sync", 20)


def is_synced(node: ClusterNode) -> bool:
    members = node.cluster_status().get("cluster", {}).get("members", [])  # none while it does not answer yet
    return any(one["name"] == node.name and one["synced"] for one in members)


def test_observers_die_stand_still_and_fall_behind(tmp_path: Path) -> None:
    async def scenario(trial: Trial) -> None:
        cluster = trial.cluster
        await kill_and_restart(trial, "d", "an observer", 0.5)
        async with trial.step("kill -9 of the coordinator while an observer is still syncing"):
            name = trial.coordinator()
            await trial.do(cluster["d"].kill)
            await trial.do(cluster["d"].start, False)
            await trial.do(cluster[name].kill)
            await trial.sleep(2)
            await trial.do(cluster.start, [name])
        async with trial.step("an observer stands still under a flood, so that queues to it fill"):
            cluster["d"].pause()
            await trial.flood(5, "abc")
            cluster["d"].go_on()

    with Cluster(tmp_path, "abcd", voters="abc") as cluster:
        run_trial(cluster, scenario)
