"""A real Kafka with three brokers that loses a leader while a node dies; a node that is cut off from Kafka alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from tests.cluster.kafka_load import TOPICS, KafkaLoad, topics
from tests.cluster.trial import Trial, run_trial
from tests.support.cluster import Cluster
from tests.support.network import Network
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.netns, pytest.mark.real_kafka]


def test_a_leader_and_a_node_die_together(tmp_path: Path) -> None:
    require("java", "maven", "netns")

    async def scenario(trial: Trial) -> None:
        cluster = trial.cluster
        feeder = cluster.feeder("events", 0)
        async with trial.step(f"kill -9 of a leader and of the feeder {feeder}", bounded=False):
            broker = kafka.leader("events", 0)
            await trial.do(kafka.kill, broker)
            await trial.do(cluster[feeder].kill)
            await trial.sleep(3)
            await trial.do(cluster.start, [feeder], False)
            await trial.do(kafka.start, broker)
        feeder = cluster.feeder("events", 0)
        async with trial.step(f"the feeder {feeder} cannot reach Kafka, the others can", agree=False, bounded=False):
            network.cut([feeder], ["kafka"])
            await trial.sleep(4)
            network.heal()

    with (
        Network("abc", outside=("test", "kafka")) as network,
        RealKafka(tmp_path / "kafka", brokers=3, host=network.addresses["kafka"]) as kafka,
    ):
        for topic, partitions in topics().items():
            kafka.create_topic(topic, partitions)
        with Cluster(tmp_path, network=network, bootstrap=kafka.bootstrap, topics=TOPICS) as cluster:
            run_trial(cluster, scenario, kafka=KafkaLoad(kafka.bootstrap))
