"""How many machines a load needs."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.capacity import MEASURED, Load, Machines, plan
from node.cli import run

LOAD = Load(clients=1_000_000, rate=10_000, received=1)


def test_what_comes_in_costs_each_node_the_same_and_clients_are_shared_out() -> None:
    some, more = plan(LOAD), plan(replace(LOAD, clients=10_000_000))
    assert more.node_share == some.node_share
    assert some.node_share == pytest.approx(MEASURED.node_wakes + 10_000 * MEASURED.in_us / 1e6)
    assert more.nodes - 1 == pytest.approx(10 * (some.nodes - 1), rel=0.05)
    assert more.worker_share == pytest.approx(some.worker_share, rel=0.2)


def test_each_reason_decides_in_its_turn() -> None:
    assert plan(Load(clients=100, rate=100, received=1)).why == "a majority that survives"
    assert plan(LOAD).why == "connections per worker"
    assert plan(replace(LOAD, received=20)).why == "CPU of the workers"


def test_no_worker_is_fuller_than_allowed_when_nodes_are_lost() -> None:
    for received in (1, 7, 30):
        for machines in (Machines(cores=2), Machines(cores=8), Machines(cores=32, full=0.3, spare=2)):
            found = plan(replace(LOAD, received=received), machines)
            left = found.nodes - machines.spare
            moved = (found.worker_share - MEASURED.worker_wakes) * found.nodes / left
            assert MEASURED.worker_wakes + moved <= machines.full + 1e-9
            assert found.node_share <= machines.full


def test_more_than_a_node_can_take_in_needs_more_clusters() -> None:
    most = int((0.6 - MEASURED.node_wakes) * 1e6 / MEASURED.in_us)
    assert plan(replace(LOAD, rate=most)).groups == 1
    assert plan(replace(LOAD, rate=most + 1)).groups == 2


def test_the_page_says_what_the_model_says() -> None:
    page = (Path(__file__).parents[2] / "loadtest" / "SCALE.md").read_text(encoding="utf-8")
    for clients in (100_000, 1_000_000, 10_000_000):
        found = plan(Load(clients, rate=20_000, received=1))
        cells = next(line for line in page.splitlines() if line.startswith(f"| {clients:,} | 20,000 |")).split("|")
        assert cells[3].split()[0] == str(found.nodes)
        assert cells[4].strip() == found.why
        assert cells[5].strip() == f"{100 * found.node_share:.0f} / {100 * found.worker_share:.0f} %"
        assert cells[6].strip() == f"{found.memory_bytes / 2**30:.0f} GiB"
        assert cells[7].strip() == f"{found.to_clients_bps / 1e6:.0f} / {found.mesh_bps / 1e6:.0f} Mbit/s"
    assert f"`{MEASURED.node_wakes} + {MEASURED.in_us} µs × messages in per second`" in page
    worker = (
        f"{MEASURED.worker_wakes} + {MEASURED.out_us} µs × messages out per second + {MEASURED.idle_us} µs × clients"
    )
    assert f"`{worker}`" in page
    assert f"{MEASURED.connect_us} µs for a client that connects, {MEASURED.publish_us} µs for a publish" in page


def test_one_node_sends_nothing_to_others() -> None:
    found = plan(Load(clients=1000, rate=1000, received=1), Machines(spare=0))
    assert (found.nodes, found.mesh_bps) == (1, 0)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["capacity", "--clients", "1000000", "--rate", "20000"]) == 0
    assert "nodes of 8 cores" in capsys.readouterr().out
    assert run(["capacity", "--clients", "1000000", "--rate", "200000"]) == 0
    assert "clusters of" in capsys.readouterr().out
    assert run(["capacity", "--clients", "10000000", "--rate", "20000", "--received", "5", "--cores", "64"]) == 0
    assert "the network is the limit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--clients", "-5"), "--clients: found -5, expected a finite number, 0 or more"),
        (("--rate", "-1"), "--rate: found -1"),
        (("--rate", "nan"), "--rate: found nan"),
        (("--rate", "inf"), "--rate: found inf"),
        (("--received", "-1"), "--received: found -1"),
        (("--publishes", "20"), "--publishes: found 20, but they are part of the rate, which is 10"),
        (("--value-bytes", "-1"), "--value-bytes: found -1"),
        (("--cache-s", "inf"), "--cache-s: found inf"),
        (("--cores", "1"), "--cores: found 1, expected 2 or more"),
        (("--full", "1.5"), "--full: found 1.5, expected a share above 0, and at most 1"),
        (("--full", "0.2"), "--full: found 0.2, but waking up alone takes 22% of a core"),
        (("--spare", "-1"), "--spare: found -1"),
    ],
)
def test_a_wrong_number_is_named(wrong: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["capacity", "--clients", "1000", "--rate", "10", *wrong]) == 2
    assert f"whimbrel capacity: {said}" in capsys.readouterr().err
