"""The fleet as a process against the bare server: it keeps count, and it notices what a server does wrong."""

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from loadtest.bare import Bare
from loadtest.bench import expected
from loadtest.fleet import Fleet, Seen, now_us
from loadtest.payload import key_name
from loadtest.plots import plot_latency
from loadtest.process import Child, Failed, Shares, cpu_s, resident_kb, tree
from loadtest.report import percentile

pytestmark = pytest.mark.slow

CLIENTS = 200
SUBJECTS = [f"/t/{key_name(index % 20).decode()}" for index in range(CLIENTS)]


class Losing(Bare):
    """Loses one message."""

    def _message(self, subject: str, value: bytes) -> bytes:
        frame = super()._message(subject, value)
        return b"" if self._seq == 50 else frame


@pytest.fixture
def fleet() -> Iterator[Child]:
    with Child("fleet", partial(Fleet, 1)) as child:
        yield child


@pytest.fixture
def bare() -> Iterator[Child]:
    with Child("bare server", Bare) as child:
        yield child


def test_every_message_is_received_and_timed(fleet: Child, bare: Child, tmp_path: Path) -> None:
    fleet.call("connect", port=bare.call("port"), subjects=SUBJECTS, tracked_every=10)
    begin = now_us()
    fleet.call("sample", begin_us=begin, end_us=begin + 10**7)
    work = bare.call("scatter", topic="t", keys=20, rate=500, seconds=0.4)
    assert work["writes"] == 200 * CLIENTS / 20
    assert work["send_cpu_s"] > 0
    assert fleet.call("until", received=work["writes"], timeout_s=60) == work["writes"]
    seen: Seen = fleet.call("seen")
    assert (seen["live"], seen["losses"], seen["repeated"], seen["faults"]) == (CLIENTS, 0, 0, Counter())
    latency, weight = fleet.call("samples")
    assert sum(weight) == work["writes"]
    assert 0 < percentile(latency, weight, 0.5) < 60_000_000
    plot_latency(tmp_path / "plots" / "x.png", "x", {"here": (latency, weight)})
    assert (tmp_path / "plots" / "x.png").read_bytes().startswith(b"\x89PNG")


def test_coalesced_messages_are_all_counted(fleet: Child, bare: Child) -> None:
    fleet.call("connect", port=bare.call("port"), subjects=["/t/hot"] * 20, tracked_every=10)
    bare.call("hot", subject="/t/hot", rate=5000, seconds=0.4, together=25)
    assert fleet.call("until", received=40_000, timeout_s=60) == 40_000
    seen: Seen = fleet.call("seen")
    assert not seen["faults"]
    assert seen["reads"] < 10_000


def test_a_lost_message_shows(fleet: Child) -> None:
    with Child("losing server", Losing) as losing:
        fleet.call("connect", port=losing.call("port"), subjects=SUBJECTS, tracked_every=7)
        losing.call("scatter", topic="t", keys=20, rate=1000, seconds=0.4)
        fleet.call("until", received=399 * CLIENTS // 20, timeout_s=60)
    seen: Seen = fleet.call("seen")
    assert seen["faults"]["missing"] == CLIENTS // 20
    assert seen["faults"]["chain"] > 0


def test_all_clients_come_back_after_a_cut(fleet: Child, bare: Child) -> None:
    fleet.call("connect", port=bare.call("port"), subjects=SUBJECTS, tracked_every=1)
    fleet.call("cut")
    joins = fleet.call("rejoined", count=CLIENTS, timeout_s=60)
    assert len(joins) == CLIENTS
    assert max(joins) > 10_000, "they pause at random before they come back"
    seen: Seen = fleet.call("seen")
    assert (seen["live"], seen["losses"], seen["faults"]) == (CLIENTS, CLIENTS, Counter())


def test_a_server_that_is_not_there_is_said(fleet: Child) -> None:
    with Child("bare server", Bare) as gone:
        port = gone.call("port")
    with pytest.raises(Failed, match="200 of 200 clients did not become live"):
        fleet.call("connect", port=port, subjects=SUBJECTS, tracked_every=1, timeout_s=0.3)


def test_a_child_that_fails_or_dies_is_said(bare: Child) -> None:
    with pytest.raises(Failed, match="KeyError"):
        bare.call("hot", subject="/nobody", rate=100, seconds=0.1, together=1)
    assert bare.call("port") > 0, "it goes on"
    bare._process.kill()
    with pytest.raises(Failed, match="the bare server died"):
        bare.call("port")


def test_what_a_process_costs_is_read_with_its_descendants(fleet: Child, bare: Child) -> None:
    me = os.getpid()
    assert {me, fleet.pid, bare.pid} <= set(tree(me))
    assert resident_kb(me) >= resident_kb(fleet.pid) + resident_kb(bare.pid)
    shares = Shares({"bare server": bare.pid})
    before = cpu_s(me)
    fleet.call("connect", port=bare.call("port"), subjects=SUBJECTS * 10, tracked_every=1)
    assert 0.03 < shares.used_s()["bare server"] <= cpu_s(me) - before
    assert "bare server" in shares.words()


def test_what_is_due_to_clients() -> None:
    chosen = ["/t/k00001", "/t/k00001", "/t/k00002"]
    assert expected(Counter({1: 5, 2: 3, 3: 100}), chosen) == 13


def test_each_is_cut_once_stays_away_and_comes_back(fleet: Child, bare: Child) -> None:
    fleet.call("connect", port=bare.call("port"), subjects=SUBJECTS, tracked_every=1)
    fleet.call("cut_each", within_s=0.3, away_s=0.5)
    joins = fleet.call("rejoined", count=CLIENTS, timeout_s=60)
    seen: Seen = fleet.call("seen")
    assert len(joins) == CLIENTS
    assert (seen["live"], seen["losses"], seen["faults"]) == (CLIENTS, CLIENTS, Counter())


def test_clients_that_roam_find_the_server_that_is_there(fleet: Child, bare: Child) -> None:
    with Child("another bare server", Bare) as other:
        for server in (bare, other):
            fleet.call("connect", port=server.call("port"), subjects=SUBJECTS, tracked_every=1)
        fleet.call("roam")
    fleet.call("rejoined", count=3 * CLIENTS, timeout_s=60)
    assert fleet.call("seen")["live"] == 2 * CLIENTS
    begin = now_us()
    fleet.call("sample", begin_us=begin, end_us=begin + 10**8)
    work = bare.call("scatter", topic="t", keys=20, rate=500, seconds=0.2)
    assert work["writes"] == 100 * 2 * CLIENTS / 20
    assert fleet.call("until", received=work["writes"], timeout_s=60) == work["writes"]
    due, latency, weight = fleet.call("timed")
    assert len(due) == len(latency) == len(weight) > 0
    assert all(begin <= each for each in due)
