"""What goes wrong, and when: a plan that one seed decides, and the hands that carry it out.

Not here: load, subscribers and the judgement (run.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from loadtest.kafka.broker import RealKafka
from loadtest.process import tree
from tests.chaos.load import Load, Reader
from tests.chaos.proxy import Proxy
from tests.support.node import RunningNode

PROCESS_FAULTS = {
    "kill_worker": 5,
    "kill_node": 3,
    "drain_node": 2,
    "stop_worker": 4,
    "stop_node": 3,
    "kill_broker": 1,
    "burst": 3,
    "delete_records": 3,
    "delete_unread": 2,
    "add_partition": 1,
}
"""Name -> weight. One after another."""
NETWORK_FAULTS = {"cut": 3, "reset": 3, "stall": 3, "delay": 2}
"""Meanwhile, on the network of the clients behind the proxy."""
FAULTS_OF_EVERY_RUN = tuple(name for name in PROCESS_FAULTS if name not in ("burst", "add_partition", "delete_unread"))
PARTITIONS_MAX = 8


@dataclass(frozen=True, slots=True)
class Fault:
    wait_s: float
    """After the one before has ended."""
    name: str
    for_s: float


def plan(rng: Random, weights: dict[str, int], count: int, first: tuple[str, ...] = ()) -> list[Fault]:
    """A schedule: `first` in some order, then by weight."""
    names = rng.sample(first, len(first))
    names += rng.choices(list(weights), list(weights.values()), k=max(0, count - len(names)))
    return [Fault(rng.uniform(0.3, 3.0), name, rng.uniform(0.2, 3.0)) for name in names]


class Hands:
    """Carries faults out."""

    def __init__(
        self, node: RunningNode, kafka: RealKafka, proxy: Proxy, load: Load, reader: Reader, rng: Random, deletes: bool
    ) -> None:
        self.node = node
        self.kafka = kafka
        self.proxy = proxy
        self.load = load
        self.reader = reader
        self.rng = rng
        self.deletes = deletes
        self.worker_pids: set[int] = set()
        self.done: dict[str, int] = {}
        self.drain_statuses: list[int] = []

    async def carry_out(self, faults: list[Fault], until: float, at_least: int, say: Callable[[str], None]) -> None:
        """One after another, until the time (monotonic) is over and so many have been."""
        for number, fault in enumerate(faults):
            await asyncio.sleep(fault.wait_s)
            if time.monotonic() >= until and number >= at_least:
                return
            method: Callable[[float], Awaitable[str]] = getattr(self, f"_{fault.name}")
            what = await method(fault.for_s)
            self.done[fault.name] = self.done.get(fault.name, 0) + 1
            say(f"{fault.name}: {what}")

    def workers(self) -> list[int]:
        """Process ids of the node's workers, from the system."""
        pid = self.node.process.pid
        found = tree(pid)[1:]
        self.worker_pids.update(found)
        return sorted(found)

    async def _kill_worker(self, for_s: float) -> str:
        workers = self.workers()
        if not workers:
            return "there is none"
        pid = self.rng.choice(workers)
        os.kill(pid, signal.SIGKILL)
        return f"worker {pid}, -9"

    async def _kill_node(self, for_s: float) -> str:
        self.workers()
        await asyncio.to_thread(self.node.kill)
        await asyncio.sleep(for_s / 3)
        await asyncio.to_thread(self.node.start, False)
        return f"-9, started again after {for_s / 3:.1f} s"

    async def _drain_node(self, for_s: float) -> str:
        self.workers()
        status = await asyncio.to_thread(self.node.stop)
        self.drain_statuses.append(status)
        await asyncio.to_thread(self.node.start, False)
        return f"SIGTERM, exit code {status}, started again"

    async def _stop_worker(self, for_s: float) -> str:
        workers = self.workers()
        return await self._pause(self.rng.choice(workers), for_s) if workers else "there is none"

    async def _stop_node(self, for_s: float) -> str:
        return await self._pause(self.node.process.pid, for_s)

    async def _pause(self, pid: int, for_s: float) -> str:
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            os.kill(pid, signal.SIGCONT)
        return f"process {pid} stood still for {for_s:.1f} s"

    async def _kill_broker(self, for_s: float) -> str:
        await asyncio.to_thread(self.kafka.kill)
        await asyncio.sleep(for_s)
        await asyncio.to_thread(self.kafka.start)
        return f"-9, started again after {for_s:.1f} s"

    async def _burst(self, for_s: float) -> str:
        self.load.burst = 4.0
        await asyncio.sleep(for_s)
        self.load.burst = 1.0
        return f"four times the load for {for_s:.1f} s"

    async def _delete_records(self, for_s: float) -> str:
        return await self._delete(0.5) if self.deletes else "not in this run"

    async def _delete_unread(self, for_s: float) -> str:
        if not self.deletes:
            return "not in this run"
        pid = self.node.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
            return f"while the node stood still for {for_s:.1f} s: {await self._delete(1.0)}"
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _delete(self, least: float) -> str:
        """Delete a share of what the independent reader has, in each partition."""
        what = {}
        for topic, count in self.reader.partitions.items():
            for partition in range(count):
                low = int(self.reader.next_offset(topic, partition) * self.rng.uniform(least, 1.0))
                if low:
                    what[TopicPartition(topic, partition, low)] = low
                    self.reader.deleting(topic, partition, low)
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
        for future in admin.delete_records(list(what), request_timeout=10).values():
            await asyncio.to_thread(future.result, 15)
        return f"up to {sorted(what.values())}"

    async def _add_partition(self, for_s: float) -> str:
        topic = self.rng.choice(sorted(self.reader.partitions))
        total = self.reader.partitions[topic] + 1
        if total > PARTITIONS_MAX:
            return "enough of them"
        await asyncio.to_thread(self.kafka.add_partitions, topic, total)
        self.reader.partitions[topic] = total
        return f"{topic} has {total} now"

    async def _cut(self, for_s: float) -> str:
        return f"{self.proxy.cut(reset=False)} connections"

    async def _reset(self, for_s: float) -> str:
        return f"{self.proxy.cut(reset=True)} connections"

    async def _stall(self, for_s: float) -> str:
        self.proxy.stall()
        await asyncio.sleep(for_s)
        self.proxy.flow()
        return f"nothing went through for {for_s:.1f} s"

    async def _delay(self, for_s: float) -> str:
        self.proxy.delay_s = for_s / 10
        await asyncio.sleep(2 * for_s)
        self.proxy.delay_s = 0.0
        return f"{for_s / 10:.2f} s per chunk for {2 * for_s:.1f} s"


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
