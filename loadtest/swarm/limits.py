"""What a run must keep to: limits as a user writes them, and which of them were exceeded. A core.

    receive.p99=50      at most 50 ms for 99 % of what was received
    connect.p95=1000    the same for connect, subscribe, resume, publish
    failures=0          at most so many failures of any kind

Not here: where the figures come from (hooks.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NAMES = ("connect", "subscribe", "resume", "publish", "receive")
_FORM = re.compile(r"(?:(?P<name>[a-z]+)\.p(?P<percent>\d{1,2}(?:\.\d+)?)|failures)=(?P<most>\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. `name` is empty for failures."""

    name: str
    share: float
    most: float
    """Milliseconds, or failures."""

    def __str__(self) -> str:
        return f"{self.name}.p{self.share * 100:g}={self.most:g}" if self.name else f"failures={self.most:g}"


def parse(text: str) -> Limit:
    """A limit as written.

    Raises:
        ValueError: It is none; with what is expected.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or (found["name"] is not None and found["name"] not in NAMES):
        raise ValueError(
            f"{text!r} is no limit: expected failures=N or NAME.pNN=MILLISECONDS, NAME of {', '.join(NAMES)}"
        )
    if found["name"] is None:
        return Limit("", 0, float(found["most"]))
    return Limit(found["name"], float(found["percent"]) / 100, float(found["most"]))


def exceeded(
    limits: Sequence[Limit], percentile_ms: Callable[[str, float], float | None], failures: int
) -> list[tuple[Limit, str]]:
    """Limits that were not kept, each with what was found. A percentile of nothing is not kept."""
    found = []
    for limit in limits:
        if not limit.name:
            if failures > limit.most:
                found.append((limit, f"{failures} failures"))
            continue
        ms = percentile_ms(limit.name, limit.share)
        if ms is None:
            found.append((limit, "nothing was measured"))
        elif ms > limit.most:
            found.append((limit, f"{ms:.1f} ms"))
    return found
