"""What every part of a run shares: its options, time, counters and transcript.

Not here: the parts (world.py puts them together).
"""

from __future__ import annotations

from collections import Counter

from tests.sim.options import Options
from tests.sim.schedule import Schedule
from tests.sim.transcript import Transcript


class Setting:
    """Of one run."""

    def __init__(self, options: Options, transcript: Transcript | None) -> None:
        self.options = options
        self.schedule = Schedule()
        self.counts: Counter[str] = Counter()
        self.transcript = transcript

    @property
    def now(self) -> float:
        return self.schedule.now

    def say(self, who: str, words: str) -> None:
        """A line of the transcript."""
        if self.transcript is not None:
            self.transcript.line(self.schedule.now, who, words)
