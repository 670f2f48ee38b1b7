"""One run: Kafka, load, a node, subscribers and publishers, faults; then quiet, and the judgement.

A seed decides the settings of the node, who subscribes to what, the load and the schedule of faults. What the
machine does in between it does not decide: a seed that failed once may pass the next time.

Not here: what must hold (tests/support/checker.py).
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from loadtest.kafka.broker import RealKafka
from loadtest.process import is_running
from tests.chaos.cast import Cast
from tests.chaos.faults import (
    FAULTS_OF_EVERY_RUN,
    NETWORK_FAULTS,
    PROCESS_FAULTS,
    Fault,
    Hands,
    cpu_s,
    plan,
    resident_mb,
)
from tests.chaos.load import EVENTS, NOTES, PARTITIONS, Load, Reader
from tests.chaos.proxy import Proxy
from tests.support.checker import Breach, Limits, check, check_publishes, shown
from tests.support.node import RunningNode
from tests.support.patience import PATIENCE_S
from tests.support.truth import Truth

NODE_MB_MAX = 400.0
WORKER_MB_MAX = 200.0
IDLE_CPU_MAX = 0.35
"""Share of a core that a process may take when nothing is produced."""
BAD_LINES = re.compile(r"Traceback|link_failed|Assertion|exception was never|Fatal Python|Segmentation")


@dataclass(frozen=True, slots=True)
class Profile:
    """How the node is configured."""

    name: str
    settings: dict[str, str]
    replay_messages: int
    deletes: bool
    cache_is_roomy: bool


def profile(rng: Random) -> Profile:
    """Small or roomy: cache, replay, link and outbox, each by chance."""
    settings: dict[str, str] = {"publish.timeout": "3s"}
    names = []
    cache = rng.choice(["roomy", "few", "short", "bytes", "few"])
    match cache:
        case "few":
            settings |= {"cache.messages_per_subject": str(rng.choice([1, 3, 20]))}
        case "short":
            settings |= {"cache.ttl": "2s", "cache.snapshot_ttl": "4s"}
        case "bytes":
            settings |= {"cache.bytes": rng.choice(["64KiB", "256KiB", "1MiB"])}
    names.append(f"cache {cache}")
    replay, deletes = 100_000, False
    if cache != "roomy":
        deletes = rng.random() < 0.5
        if rng.random() < 0.35:
            replay = rng.choice([20, 200, 1000])
            settings |= {"replay.messages": str(replay)}
            names.append(f"replay of {replay}")
    if deletes:
        names.append("deletions")
    if rng.random() < 0.5:
        settings |= {"client.outbox_bytes": rng.choice(["4KiB", "16KiB"])}
        names.append("small outbox and pages")
    return Profile(", ".join(names), settings, replay, deletes, cache == "roomy")


@dataclass(slots=True)
class Report:
    """What came of a run."""

    seed: int
    profile: str
    breaches: list[Breach] = field(default_factory=list)
    """Of promises to subscribers and publishers."""
    faults: list[str] = field(default_factory=list)
    """Of the node itself: memory, processors, processes, log."""
    numbers: dict[str, object] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    """Faults that were carried out."""

    @property
    def passed(self) -> bool:
        return not self.breaches and not self.faults

    def __str__(self) -> str:
        parts = [f"seed {self.seed} ({self.profile}): {'passed' if self.passed else 'FAILED'}"]
        parts += [f"  {name}: {value}" for name, value in self.numbers.items()]
        parts += [f"  {fault}" for fault in self.faults]
        return "\n".join(parts + ([shown(self.breaches)] if self.breaches else []))


class Run:
    """Everything that takes part."""

    def __init__(
        self, kafka: RealKafka, directory: Path, seed: int, seconds: float, rate: int, say: Callable[[str], None]
    ) -> None:
        rng = Random(seed)
        self.profile = profile(rng)
        self.report = Report(seed, self.profile.name)
        self.seconds = seconds
        self._say = say
        self._began = time.monotonic()
        settings = {"node.run_dir": str(directory), "kafka.metadata_interval": "500ms", **self.profile.settings}
        topics = f'[{{name = "{EVENTS}"}}, {{name = "{NOTES}", value = "text"}}]'
        self.node = RunningNode(directory, kafka.bootstrap, topics, publish=NOTES, workers=2, settings=settings)
        self.load = Load(kafka.bootstrap, rng.randrange(2**32), rate)
        self.reader = Reader(kafka.bootstrap)
        self.proxy = Proxy(self.node.port)
        self.hands = Hands(
            self.node, kafka, self.proxy, self.load, self.reader, Random(rng.randrange(2**32)), self.profile.deletes
        )
        self.cast = Cast(self.node, self.proxy, rng)
        self.process_faults = plan(rng, PROCESS_FAULTS, 500, FAULTS_OF_EVERY_RUN)
        self.network_faults = plan(rng, NETWORK_FAULTS, 500)
        self.node_mb = self.worker_mb = 0.0

    def say(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f} s  {text}")

    async def run(self) -> Report:
        self.say(f"seed {self.report.seed}: {self.profile.name}; {self.profile.settings}")
        self.reader.start()
        self.load.start()
        await asyncio.to_thread(self.node.start)
        await self.proxy.start()
        watch = asyncio.create_task(self._watch())
        try:
            self.cast.start()
            await self._go_wrong(self.process_faults, self.network_faults)
            self.cast.stop_publishing()
            await asyncio.to_thread(self.load.stop)
            await self.cast.publishers_done()
            self.say("quiet; waiting until everything has arrived")
            truth = await asyncio.to_thread(self.reader.truth)
            await self._settle(truth)
            await self._look_at_idle()
        finally:
            watch.cancel()
            await self.cast.stop()
            await self.proxy.stop()
        await self._end()
        await asyncio.to_thread(self._judge, truth)
        return self.report

    async def _go_wrong(self, process: list[Fault], network: list[Fault]) -> None:
        until = time.monotonic() + self.seconds
        await asyncio.gather(
            self.hands.carry_out(process, until, len(FAULTS_OF_EVERY_RUN), self.say),
            self.hands.carry_out(network, until, 1, self.say),
        )
        await asyncio.sleep(max(0.0, until - time.monotonic()))

    async def _settle(self, truth: Truth) -> None:
        """Wait until everything has arrived; not longer than something arrives."""
        arrived, since = self._arrived(), time.monotonic()
        while (waiting := self.cast.unfinished(truth)) and time.monotonic() - since < PATIENCE_S:
            await asyncio.sleep(0.3)
            if (now := self._arrived()) != arrived:
                arrived, since = now, time.monotonic()
        self.say(f"waited for {waiting} in vain" if waiting else "everything has arrived")

    def _arrived(self) -> int:
        return sum(len(seen.noted) for seen in self.cast.seen)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.node_mb = max(self.node_mb, resident_mb(self.node.process.pid))
            self.worker_mb = max([self.worker_mb, *map(resident_mb, self.hands.workers())])

    async def _look_at_idle(self) -> None:
        await asyncio.sleep(1)
        slow = await asyncio.to_thread(self.node.metric, "whimbrel_worker_slow_consumers_total")
        self.report.numbers["slow consumers cut off since the workers' last start"] = slow
        self.report.numbers["status at the end"] = self.cast.summary(await asyncio.to_thread(self.node.status))
        pids = [self.node.process.pid, *self.hands.workers()]
        before = {pid: cpu_s(pid) for pid in pids}
        await asyncio.sleep(2)
        shares = {pid: (cpu_s(pid) - used) / 2 for pid, used in before.items()}
        self.report.numbers["idle CPU, shares of a core"] = [round(share, 2) for share in shares.values()]
        if max(shares.values()) > IDLE_CPU_MAX:
            self.report.faults.append(f"a process spins: {shares}")

    def _wait_until_nobody_is_connected(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while any((left := self.node.status()["clients"]).values()):
            if time.monotonic() > deadline:
                self.report.faults.append(f"all clients have left, and the node still has {left}")
                return
            time.sleep(0.3)

    async def _end(self) -> None:
        faults = self.report.faults
        await asyncio.to_thread(self._wait_until_nobody_is_connected)
        pids = {self.node.process.pid, *self.hands.worker_pids, *self.hands.workers()}
        status = await asyncio.to_thread(self.node.stop)
        statuses = [*self.hands.drain_statuses, status]
        if any(statuses):
            faults.append(f"exit codes of SIGTERM: {statuses}")
        await asyncio.sleep(0.2)
        if left := [pid for pid in pids if is_running(pid)]:
            faults.append(f"processes are left: {left}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.node.port))
            except OSError as error:
                faults.append(f"the node's port is not free: {error}")
        if self.node_mb > NODE_MB_MAX or self.worker_mb > WORKER_MB_MAX:
            faults.append(f"too much memory: node {self.node_mb:.0f} MB, worker {self.worker_mb:.0f} MB")
        bad = [line for line in self.node.log.splitlines() if BAD_LINES.search(line)]
        faults += [f"the node's log ({self.node.log_file}): {line}" for line in bad[:5]]

    def _judge(self, truth: Truth) -> None:
        report = self.report
        limits = Limits(self.profile.replay_messages, self.profile.cache_is_roomy)
        for seen in self.cast.seen:
            report.breaches += check(truth, seen, limits)
        outcomes = self.cast.outcomes
        report.breaches += check_publishes(truth, outcomes)
        report.faults += self.cast.complaints
        report.done = self.hands.done
        report.numbers |= {
            "records": sum(len(facts) for facts in truth.facts.values()),
            "messages received": sum(len(seen.got) for seen in self.cast.seen),
            "gaps said": self.cast.gaps,
            "publishes": f"{len(outcomes)}, acknowledged {sum(one.log is not None for one in outcomes)}",
            "what went wrong": report.done,
            "connections": self.cast.connections,
            "memory": f"node {self.node_mb:.0f} MB, worker {self.worker_mb:.0f} MB",
            "cut-off links": self.node.log.count("worker_cut_off"),
        }
        if not any(seen.got for seen in self.cast.seen) or not truth.facts:
            report.faults.append("nothing was received at all: this run shows nothing")


def create_topics(kafka: RealKafka) -> None:
    for topic, partitions in PARTITIONS.items():
        kafka.create_topic(topic, partitions)
