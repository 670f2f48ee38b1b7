"""Membership measured: how soon a killed member is found, who is accused wrongly, and what it costs.

    python -m loadtest.mesh.membership

Real processes and UDP on this machine with 3, 10 and 50 members (of the 50, 45 share five processes), the simulator
with 500; beside them the package swim-protocol in the same sizes, as it comes. Prints a table; writes
artifacts/membership.json and artifacts/membership.png. Takes about three minutes.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from loadtest.mesh.membership_cluster import Cluster
from loadtest.mesh.membership_simulated import Cluster as SimulatedCluster
from loadtest.mesh.membership_simulated import Weather
from mesh.membership.packets import MemberChanged, MemberState

ARTIFACTS = Path("artifacts")
BEGAN = time.monotonic()
KINDS = ("whimbrel", "swim-protocol")
SIMULATED = 500
SIMULATED_LOSS = 0.05
LOSS = 0.2
LOSS_S = 20.0
Result = dict[str, Any]


def measure(kind: str, size: int, rounds: int) -> Result:
    """Forming, cost when nothing happens, kills."""
    with Cluster(kind, size) as cluster:
        formed_s = cluster.wait_formed(45.0)
        use = cluster.use(4.0)
        began = time.monotonic()
        kills = cluster.kill_rounds(rounds, 20.0)
        killed = [child.members[0][0] for child in cluster.victims[:rounds]]
        false = cluster.false_alarms(began, killed)
    return {"kind": kind, "members": size, "formed_s": formed_s, **use, **kills, "false": false}


def trouble(kind: str, size: int) -> Result:
    """Loss, then pauses, of members that are all healthy."""
    with Cluster(kind, size, loss=LOSS) as cluster:
        cluster.wait_formed(60.0)
        began = time.monotonic()
        time.sleep(LOSS_S)
        lossy = cluster.false_alarms(began, [])
    with Cluster(kind, size) as cluster:
        cluster.wait_formed(60.0)
        time.sleep(1.0)
        short = cluster.pause(1.0, 4.0)
        long = cluster.pause(8.0, 6.0)
    return {"kind": kind, "members": size, "loss": lossy, "pause_1_s": short, "pause_8_s": long}


def simulate(size: int) -> Result:
    """The same in the simulator; the CPU is that of the whole simulation, per member."""
    cluster = SimulatedCluster(1)
    names = [f"m{i}" for i in range(size)]
    for name in names:
        cluster.start(name)
    cluster.acquaint()
    cluster.run(3)
    sent = sum(process.sent for process in cluster.processes.values())
    sent_bytes = sum(process.sent_bytes for process in cluster.processes.values())
    cpu = time.process_time()
    cluster.run(5)
    used = time.process_time() - cpu
    sent = sum(process.sent for process in cluster.processes.values()) - sent
    sent_bytes = sum(process.sent_bytes for process in cluster.processes.values()) - sent_bytes
    suspect: list[float] = []
    dead: list[float] = []
    missed = 0
    for name in (names[7], names[size // 2]):
        at = cluster.now
        cluster.kill(name)
        cluster.run(9)
        suspect += [when - at for when in cluster.when(name, MemberState.SUSPECT, at).values()]
        found = [when - at for when in cluster.when(name, MemberState.DEAD, at).values()]
        dead += found
        missed += len(cluster.processes) - len(found)
    seen = len(cluster.events)
    cluster.weather = Weather(loss=SIMULATED_LOSS)
    cluster.run(5)
    states = [event.state for _, _, event in cluster.events[seen:] if isinstance(event, MemberChanged)]
    return {
        "kind": "simulator",
        "members": size,
        "formed_s": None,
        "cpu_percent": 100 * used / 5 / size,
        "datagrams_per_s": sent / 5 / size,
        "bytes_per_s": sent_bytes / 5 / size,
        "suspect_s": sorted(suspect),
        "dead_s": sorted(dead),
        "missed": [missed],
        "false": {"suspect": len(cluster.wrongly_dead()), "dead": len(cluster.wrongly_dead())},
        "loss_5_s": {"suspect": states.count(MemberState.SUSPECT), "dead": states.count(MemberState.DEAD)},
    }


def tried(measurement: Callable[..., Result], kind: str, size: int, *rest: int) -> Result:
    """One that fails is said to have failed; the others count all the same."""
    try:
        return measurement(kind, size, *rest)
    except Exception as error:
        return {"kind": kind, "members": size, "failed": f"{type(error).__name__}: {error}"}


def everything() -> Result:
    """All measurements, those that hardly use the machine side by side."""
    with ThreadPoolExecutor(8) as threads, ProcessPoolExecutor(1) as processes:

        def together(*jobs: tuple[Any, ...]) -> list[Result]:
            futures: list[Future[Result]] = [threads.submit(tried, *job) for job in jobs]
            return [future.result() for future in futures]

        say("3 and 10 members ...")
        small = together(
            (measure, "whimbrel", 3, 6),
            (measure, "whimbrel", 10, 5),
            (measure, "swim-protocol", 3, 3),
            (measure, "swim-protocol", 10, 3),
        )
        say("50 members ...")
        large = together((measure, "whimbrel", 50, 4))
        say("loss and pauses ...")
        troubles = together((trouble, "whimbrel", 10), (trouble, "swim-protocol", 10))
        say("500 members in the simulator; 50 of swim-protocol, which keep the machine busy ...")
        simulated = processes.submit(simulate, SIMULATED)
        large += together((measure, "swim-protocol", 50, 2))
        simulation = simulated.result()
    runs = sorted([*small, *large], key=lambda run: (KINDS.index(run["kind"]), run["members"]))
    return {"cores": os.cpu_count(), "load": os.getloadavg()[0], "runs": [*runs, simulation], "trouble": troubles}


def table(found: Result) -> str:
    """What a person wants to see."""
    lines = [
        f"{'':24}{'formed':>8}{'suspect s':>16}{'dead s':>24}{'missed':>8}{'false':>7}"
        f"{'datagrams/s':>13}{'bytes/s':>9}{'CPU %':>7}",
        f"{'':24}{'s':>8}{'first - last':>16}{'first / median / last':>24}{'':>8}{'dead':>7}"
        f"{'per member':>13}{'':>9}{'':>7}",
    ]
    for run in found["runs"]:
        name = f"{run['kind']}, {run['members']}"
        if "failed" in run:
            lines.append(f"{name:24}{run['failed']}")
            continue
        suspect, dead = run["suspect_s"], run["dead_s"]
        formed = "-" if run["formed_s"] is None else f"{run['formed_s']:.1f}"
        suspected = f"{suspect[0]:.1f} - {suspect[-1]:.1f}" if suspect else "never"
        died = f"{dead[0]:.2f} / {statistics.median(dead):.2f} / {dead[-1]:.2f}" if dead else "never"
        lines.append(
            f"{name:24}{formed:>8}{suspected:>16}{died:>24}{run['missed'][0]:>8}{run['false']['dead']:>7}"
            f"{run['datagrams_per_s']:>13.1f}{run['bytes_per_s']:>9.0f}{run['cpu_percent']:>7.2f}"
        )
    lines.append("")
    for run in found["trouble"]:
        name = f"{run['kind']}, {run['members']}"
        if "failed" in run:
            lines.append(f"{name:24}{run['failed']}")
            continue
        loss, short, long = run["loss"], run["pause_1_s"], run["pause_8_s"]
        lines.append(
            f"{name:24}{LOSS:.0%} loss for {LOSS_S:.0f} s: healthy ones called suspect {loss['suspect']} times, "
            f"dead {loss['dead']} times"
        )
        for paused_s, pause in ((1, short), (8, long)):
            lines.append(
                f"{'':24}SIGSTOP {paused_s} s: dead at {pause['called_dead_by']} of {run['members'] - 1}, "
                f"all see it back {pause['back_after_s']:.2f} s after SIGCONT; "
                f"healthy ones called dead {pause['false_dead']} times, it accused {pause['accused_by_it']}"
            )
    simulated = found["runs"][-1]["loss_5_s"]
    lines.append(
        f"{'simulator, ' + str(SIMULATED):24}{SIMULATED_LOSS:.0%} loss for 5 s: healthy ones called suspect "
        f"{simulated['suspect']} times, dead {simulated['dead']} times"
    )
    lines.append(f"{found['cores']} cores, load average at the end {found['load']:.1f}")
    return "\n".join(lines)


def plot(found: Result, path: Path) -> None:
    """How the detection times are distributed: what share of the observers knew after how long."""
    plt.switch_backend("Agg")
    figure, axes = plt.subplots(figsize=(9, 5))
    for run in found["runs"]:
        dead = run.get("dead_s")
        if dead:
            shares = [(i + 1) / len(dead) for i in range(len(dead))]
            style = "--" if run["kind"] == "swim-protocol" else "-"
            axes.step(dead, shares, style, where="post", label=f"{run['kind']}, {run['members']} members")
    axes.set_xlabel("seconds from kill -9 to dead")
    axes.set_ylabel("share of observers")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGAN:4.0f} s  {text}", file=sys.stderr, flush=True)


def main() -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    found = everything()
    say("done")
    (ARTIFACTS / "membership.json").write_text(json.dumps(found, indent=1))
    plot(found, ARTIFACTS / "membership.png")
    print(table(found))


if __name__ == "__main__":
    main()
