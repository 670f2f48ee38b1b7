"""What auditing costs: a node with an auditor that is told of access, and one without, at the same time.

Both have the same clients, who connect to them in turn, and the same messages: what else the machine does costs both.

Not here: other loads (scattered.py), the steps of a scenario (bench.py).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from loadtest.bench import KEYS, WARM_S, Bench, Children, complete, subjects
from loadtest.node import Node
from loadtest.process import Failed, Shares
from loadtest.report import Row
from loadtest.scattered import CLIENTS, connect

RATE = 4_000
"""Messages per second in: two nodes that get them all leave the machine processor time to spare."""
ROUNDS = 8
TURN = 500
"""Clients that connect to a node before as many do to the other."""
SHARE = 0.97
"""The goal: what is left of each figure."""


def audited(bench: Bench) -> Iterator[Row]:
    """Connects, and messages, per CPU-second, beside those of the node without an auditor: medians of the rounds."""
    connects: list[float] = []
    messages: list[float] = []
    for number in range(ROUNDS):
        # Who is first would have the better caches, or the worse: each is as often.
        names = ("plain", "audited") if number % 2 == 0 else ("audited", "plain")
        topic = bench.topic(f"audited-{number}")
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            load = stack.enter_context(bench.children())
            nodes = {name: stack.enter_context(bench.node(topic, _settings(name, directory))) for name in names}
            shares = Shares({name: node.pid for name, node in nodes.items()})
            chosen = _connect(load, nodes, topic)
            used = shares.used_s()
            connects.append(used["plain"] / used["audited"])
            messages.append(_share_of_messages(bench, load, nodes, chosen))
            if not (directory / "audit.jsonl").stat().st_size:
                raise Failed("the auditor was told nothing")
        bench.say(f"of what it is without auditing: connects {connects[-1]:.3f}, messages {messages[-1]:.3f}")
    for figure, shares_left in (("connects", connects), ("msgs", messages)):
        yield Row(f"audited.{figure}_share", median(shares_left), "", None, SHARE)


def _settings(name: str, directory: Path) -> dict[str, str]:
    settings = {"cluster.data_dir": str(directory / name)}
    if name == "audited":
        settings |= {"audit.use": "log", "audit.events": "access", "audit.log.file": str(directory / "audit.jsonl")}
    return settings


def _connect(load: Children, nodes: dict[str, Node], topic: str) -> list[str]:
    """Connect half of the clients to each, in turn. Returns their subjects."""
    chosen = subjects(topic, CLIENTS // 2)
    for begin in range(0, len(chosen), TURN):
        for node in nodes.values():
            connect(node, load, chosen[begin : begin + TURN])
    return chosen


def _share_of_messages(bench: Bench, load: Children, nodes: dict[str, Node], chosen: list[str]) -> float:
    """Messages per CPU-second with auditing over those without: both nodes send the same."""
    load.producer.call("start", topic=chosen[0].split("/")[1], keys=KEYS, rate=RATE * bench.scale)
    time.sleep(WARM_S)
    shares = Shares({name: node.pid for name, node in nodes.items()})
    time.sleep(bench.seconds)
    used = shares.used_s()
    load.producer.call("stop")
    complete(load, chosen)
    return used["plain"] / used["audited"]
