"""CPU time of a node and its workers, thread by thread, from /proc/PID/task.

A thread is known by the name that the system has for it: librdkafka, ZeroMQ and the node's own threads give
themselves one. A Python thread without one is counted by number.

Not here: whole processes (process.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loadtest.process import TICKS_PER_S, tree
from loadtest.report import columns


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds of a thread, and how much of it the kernel had."""

    all_s: float
    kernel_s: float


def threads(pid: int) -> dict[str, Cpu]:
    """So far, by process and thread: `node hub`, `node kafka-reader`, `worker 1 main`. Dead threads are missing."""
    found: dict[str, Cpu] = {}
    for index, process in enumerate(tree(pid)):
        role = f"worker {index}" if index else "node"
        unnamed = 0
        own = ""
        for task in sorted(Path(f"/proc/{process}/task").glob("*"), key=lambda path: int(path.name)):
            try:
                head, _, rest = (task / "stat").read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            name, fields = head.partition("(")[2], rest.split()
            if int(task.name) == process:
                own, name = name, "main" if index else "hub"
            elif name == own:
                unnamed += 1
                name = f"thread {unnamed}"
            user_s, kernel_s = int(fields[11]) / TICKS_PER_S, int(fields[12]) / TICKS_PER_S
            earlier = found.get(f"{role} {name}", Cpu(0, 0))
            found[f"{role} {name}"] = Cpu(earlier.all_s + user_s + kernel_s, earlier.kernel_s + kernel_s)
    return found


def compilers_s(pid: int) -> float:
    """CPU seconds that the compilers of a JVM have taken; those that have ended are missing."""
    return sum(cpu.all_s for name, cpu in threads(pid).items() if "Compiler" in name)


def since(before: dict[str, Cpu], after: dict[str, Cpu]) -> dict[str, Cpu]:
    """What each thread took between two moments."""
    none = Cpu(0, 0)
    return {
        name: Cpu(now.all_s - before.get(name, none).all_s, now.kernel_s - before.get(name, none).kernel_s)
        for name, now in after.items()
    }


def threads_table(used: dict[str, Cpu], seconds: float, messages: int) -> str:
    """Share of a core, and microseconds per message out, of each thread that takes a thousandth of a core or more."""
    lines = [("thread", "share of a core", "µs per message", "of which kernel")]
    everything = Cpu(sum(one.all_s for one in used.values()), sum(one.kernel_s for one in used.values()))
    most_first = sorted(used.items(), key=lambda item: -item[1].all_s)
    for name, cpu in [*most_first, ("sum", everything)]:
        if cpu.all_s >= seconds / 1000:
            each, kernel = (f"{part * 1e6 / max(1, messages):.2f}" for part in (cpu.all_s, cpu.kernel_s))
            lines.append((name, f"{cpu.all_s / seconds:.1%}", each, kernel))
    return columns(lines, left=(0,))
