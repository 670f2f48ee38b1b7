"""Networks that are cut, in part, one way, slow, and lossy, on real sockets in namespaces of their own (network.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.trial import Trial, run_trial
from tests.support.cluster import Cluster
from tests.support.network import Network
from tests.support.require import require

pytestmark = [pytest.mark.slow, pytest.mark.netns]


def others(trial: Trial, *names: str) -> list[str]:
    return [name for name in trial.cluster.names if name not in names]


def test_five_voters_with_a_network_that_breaks(tmp_path: Path) -> None:
    require("netns")

    async def scenario(trial: Trial) -> None:
        cluster = trial.cluster
        name = trial.coordinator()
        async with trial.step(f"the coordinator {name} and another one are cut off from three"):
            minority = [name, others(trial, name)[0]]
            network.cut(minority, others(trial, *minority))
            await trial.sleep(5)
            for one in minority:
                state = (await trial.do(cluster[one].cluster_status))["cluster"]["state"]
                assert state == "degraded", f"{one} is in the minority and says {state}"
            network.heal()
        name = trial.coordinator()
        async with trial.step(f"the coordinator {name} hears the others, and they do not hear it"):
            network.cut_one_way([name], others(trial, name))
            await trial.sleep(4)
            network.heal()
        name = trial.coordinator()
        async with trial.step(f"the coordinator {name} does not hear the others, and they hear it"):
            network.cut_one_way(others(trial, name), [name])
            await trial.sleep(3)
            network.heal()
        name = trial.coordinator()
        async with trial.step(f"the coordinator {name} and one other do not reach each other; all else is well"):
            network.cut([name], others(trial, name)[-1:])
            await trial.sleep(4)
            network.heal()
        async with trial.step("delay, loss, repeats and reordering everywhere"):
            network.set_all(delay_ms=10, jitter_ms=10, loss=0.05, duplicate=0.02, reorder=0.1)
            await trial.sleep(6)
            network.heal()

    with Network("abcde") as network, Cluster(tmp_path, "abcde", network=network) as cluster:
        run_trial(cluster, scenario)


def test_three_voters_and_an_observer_that_is_far_away(tmp_path: Path) -> None:
    require("netns")

    async def scenario(trial: Trial) -> None:
        async with trial.step("an observer at the end of a thin line, under a flood"):
            network.set_many([(name, "d") for name in "abc"], bytes_per_s=100_000, delay_ms=30)
            await trial.flood(4, "abc")
            network.heal()
        async with trial.step("nobody reaches anybody", bounded=False):
            network.set_all(cut=True)
            await trial.sleep(4)
            network.heal()
        name = trial.coordinator()
        async with trial.step(f"the coordinator {name} dies while another one is cut off", bounded=False):
            other = next(one for one in "abc" if one != name)
            network.cut([other], others(trial, other))
            await trial.do(trial.cluster[name].kill)
            await trial.sleep(3)
            network.heal()
            await trial.do(trial.cluster.start, [name])

    with Network("abcd") as network, Cluster(tmp_path, "abcd", voters="abc", network=network) as cluster:
        run_trial(cluster, scenario)
