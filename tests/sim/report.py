"""What many runs came to: failing seeds, how often every fault and every path of recovery was taken, and times.

A path that was never taken is a failure, too: a quiet simulator is worse than none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.sim.options import FAULTS
from tests.sim.run import Result

PATHS = {
    "became candidate": "a voter stands",
    "became coordinator": "an election is won",
    "became recovering": "a new coordinator fetches a better log than its own",
    "cold starts": "a log begins",
    "logs begun anew": "all memory was lost: another log begins",
    "sent Reject": "a deposed coordinator is told",
    "sent Sync": "a replica asks for the coordinator's log",
    "sent Fetch": "a hole is asked for",
    "sent Range": "and filled",
    "sent Trimmed": "what is asked for has been let go of",
    "caches wanted": "so a cache is to be copied",
    "caches copied": "and was",
    "caches repaired": "or what it lacked",
    "repairs failed": "which no peer could give",
    "copies failed": "or could not be",
    "sent Resign": "a slot is handed over",
    "sent Recall": "a voter that lost its disk asks what it may have promised",
    "sent Recalled": "and is told",
    "amnesic starts": "a start without a disk",
    "sent AlreadyCommitted": "a publisher's retry meets what the log has",
    "repeats dropped": "a publish stands twice in a log and is told once",
    "feed repairs": "a node asks a peer for Kafka records that it missed",
    "feed copies": "a node's cache of a Kafka log is copied",
    "sent FeedBatch": "",
    "refused no_coordinator": "",
    "refused unknown": "",
    "refused full": "",
    "crashes before saving": "",
    "crashes between saving and sending": "",
    "pauses between saving and sending": "",
    "packets lost": "",
    "packets doubled": "",
    "packets late": "",
    "packets cut": "",
    "packets clogged": "",
    "publishers out of patience": "",
    "gaps told": "",
    "resumes": "",
    "runs with too much memory lost": "",
    **{f"fault: {name}": "" for name in FAULTS},
}


@dataclass(slots=True)
class Report:
    """Of all runs."""

    runs: int = 0
    acked: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Result] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)
    """Of failover runs: nothing but crashes of coordinators."""
    stalls_other: list[float] = field(default_factory=list)
    kafka_stalls: list[float] = field(default_factory=list)
    """Of failover runs, after the crash of a feeder."""
    healed: list[float] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.runs += 1
        self.acked += result.acked
        self.counts += result.counts
        if result.problem:
            self.failures.append(result)
        else:
            self.healed.append(result.healed_s)
        if result.is_failover:
            self.kafka_stalls += result.kafka_stalls
        (self.stalls if result.is_failover else self.stalls_other).extend(result.stalls)

    @property
    def never(self) -> list[str]:
        """Paths that no run has taken."""
        return [path for path in PATHS if not self.counts[path]]

    def text(self) -> str:
        """For people."""
        lines = [f"{self.runs} runs, {self.acked} publishes acknowledged"]
        for name in sorted(self.counts):
            lines.append(f"{self.counts[name]:>10}  {name}{_words(PATHS.get(name, ''))}")
        lines.append(f"stall after a crash of a coordinator, nothing else wrong: {_times(self.stalls)}")
        lines.append(f"the same with what else the seeds have (loss, delays):    {_times(self.stalls_other)}")
        lines.append(f"Kafka stall after a crash of a feeder, nothing else wrong: {_times(self.kafka_stalls)}")
        lines.append(f"from healing to agreement:                               {_times(self.healed)}")
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
