"""How long processes stood in the queue for a processor, as Linux counts it: a bound in time must not blame on them
what the machine did to them. Where the machine has nothing else to do that is next to nothing, and the bound is strict.

Only the thread that a process began with counts, in which our processes do what has to be in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path


def queued_s(pids: Iterable[int]) -> dict[int, float]:
    """Seconds by process, since each began; those that are gone are missing, all where the system does not count."""
    found = {}
    for pid in pids:
        try:
            found[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        except OSError:
            pass
    return found


def queued_between(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """All of them together, from one reading to another, those that began in between included."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
