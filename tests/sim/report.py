"""What many runs came to: failing seeds, how often every fault, path and effect was taken, and times.

A path that was never taken is a failure, too: a quiet simulator is worse than none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import get_args

from node.effects import CreateTopic, Effect, FetchKeys, SaveKeys, SaveRevocations
from node.kafka.events import KafkaEvent, ProducerState, TopicCreated
from tests.sim.machines import paths
from tests.sim.options import FAULTS, LIVES
from tests.sim.run import Result

OF_TOKENS = (FetchKeys, SaveKeys, SaveRevocations)
"""Effects of lives that are not simulated: its clients have no tokens."""
OF_RIGHTS = (CreateTopic, ProducerState, TopicCreated)
"""Its Kafka lets every node produce, and no mapping has topics created (tests/field/test_producing.py does)."""
PATHS = {
    **{f"fault: {name}": "" for name in FAULTS},
    **{f"kind of life: {name}": "" for name in LIVES},
    **dict.fromkeys(paths.PATHS, ""),
    "promises not saved": "a full disk",
    "repeats behind records whose times jump": "by more than the window in which a repeat is known",
    "voters forgot what the survivor has not": "W voters lost their memory, and one that was behind has its own",
    "lives that went on with a partial cut": "",
    "lives that went on with a ring of one-way cuts": "",
    "sent Relayed": "by way of another node",
    **{f"effect {one.__name__}": "of a node's core" for one in get_args(Effect) if one not in OF_TOKENS + OF_RIGHTS},
    **{f"Kafka says {one.__name__}": "to a node's core" for one in get_args(KafkaEvent) if one not in OF_RIGHTS},
}


@dataclass(slots=True)
class Report:
    """Of all runs."""

    runs: int = 0
    acked: int = 0
    handed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Result] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    healed: list[float] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """One more run."""
        self.runs += 1
        self.acked += result.acked
        self.handed += result.handed
        self.counts += result.counts
        self.waits += result.waits
        if result.problem:
            self.failures.append(result)
        else:
            self.healed.append(result.healed_s)

    @property
    def never(self) -> list[str]:
        """Paths that no run has taken."""
        return [path for path in PATHS if not self.counts[path]]

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.runs} runs, {self.acked} publishes acknowledged, {self.handed} messages handed to applications"
        ]
        for name in sorted(self.counts):
            lines.append(f"{self.counts[name]:>10}  {name}{_words(PATHS.get(name, ''))}")
        lines.append(f"publishes while coordinators and feeders crash, nothing else wrong: {_times(self.waits)}")
        lines.append(f"from healing to wellness: {_times(self.healed)}")
        lines += [f"NEVER TAKEN: {path}" for path in self.never]
        for failure in self.failures:
            lines.append(f"seed {failure.seed}: {failure.problem}")
            if failure.where:
                lines.append(failure.where)
        if self.failures:
            lines.append(f"failing seeds: {' '.join(str(failure.seed) for failure in self.failures)}")
        return "\n".join(lines)


def _words(words: str) -> str:
    return f": {words}" if words else ""


def _times(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    parts = [f"{name} {ordered[min(len(ordered) - 1, int(len(ordered) * share))]:.2f}" for name, share in (
        ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0),
    )]  # fmt: skip
    return f"{len(ordered)} times, {', '.join(parts)} s"
