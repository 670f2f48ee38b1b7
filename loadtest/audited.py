"""What auditing costs: the same connects and messages with an auditor that is told of access, and without, in turn.

Not here: other loads (scattered.py), the steps of a scenario (bench.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from loadtest.bench import KEYS, Bench, cpu_of, steady, subjects
from loadtest.process import Failed, Shares
from loadtest.report import Row
from loadtest.scattered import CLIENTS, connect

RATE = 10_000
"""Messages per second in: half of what is full load, so that the machine has processor time to spare."""
ROUNDS = 4
SHARE = 0.97
"""The goal: what is left of each figure."""


def audited(bench: Bench) -> Iterator[Row]:
    """Connects, and messages, per CPU-second; the floor is the same without an auditor."""
    connects: dict[str, list[float]] = {"plain": [], "audited": []}
    messages: dict[str, list[float]] = {"plain": [], "audited": []}
    with tempfile.TemporaryDirectory() as directory:
        for number in range(ROUNDS):
            for name in ("plain", "audited") if number % 2 == 0 else ("audited", "plain"):
                file = Path(directory, f"audit-{number}.jsonl")
                settings = {"audit.use": "log", "audit.events": "access", "audit.log.file": str(file)}
                topic = bench.topic(f"{name}-{number}")
                chosen = subjects(topic, CLIENTS)
                with bench.children() as load, bench.node(topic, settings if name == "audited" else {}) as node:
                    shares = Shares({"server": node.pid})
                    connect(node, load, chosen)
                    connects[name].append(CLIENTS / cpu_of(shares))
                    found = steady(bench, node, load, chosen, KEYS, RATE * bench.scale)
                    messages[name].append(found.per_cpu_s(0))
                if name == "audited" and not file.stat().st_size:
                    raise Failed("the auditor was told nothing")
                bench.say(
                    f"{name}: {connects[name][-1]:,.0f} connects, {messages[name][-1]:,.0f} messages per CPU-second"
                )
    for figure, by_name in (("connects", connects), ("msgs", messages)):
        plain, told = median(by_name["plain"]), median(by_name["audited"])
        yield Row(f"audited.{figure}_per_cpu_s", told, "1/s", plain, SHARE * plain)
