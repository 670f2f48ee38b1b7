"""Two checkouts measured in alternation: what one's figures cost beside the other's. A core.

The machine drifts, and others use it: only runs that follow each other can be compared. So each *round* measures both,
and a figure's *cost* is one over the other of the same round, turned so that above 1 is worse. Over all rounds the
median of the costs is given with an interval that holds the true median in four cases of five or more, whatever their
distribution: from the order of the values alone (the sign test).

Not here: measuring (scenarios.py), the rows of a single run (report.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

from loadtest.report import Row, columns, words

SURE = 0.8
"""How often an interval holds the true median, at least; of fewer than `ROUNDS_MIN` it is their range, less sure."""
ROUNDS_MIN = 4
"""With fewer no interval is so sure."""
LIMIT = 1.05
"""What costs more is a loss."""


@dataclass(frozen=True, slots=True)
class Beside:
    """One figure of both checkouts, round by round."""

    name: str
    unit: str
    other: tuple[float, ...]
    here: tuple[float, ...]
    less_is_better: bool
    floors: tuple[float, ...]
    """Here's floor over the other's: far from 1, the machine was not the same for both."""

    @property
    def costs(self) -> list[float]:
        pairs = zip(self.other, self.here, strict=True)
        return [here / other if self.less_is_better else other / here for other, here in pairs]

    @property
    def verdict(self) -> str:
        """Against `LIMIT`, by the whole interval; of fewer than `ROUNDS_MIN` rounds nothing follows."""
        if len(self.here) < ROUNDS_MIN:
            return "open"
        low, high = interval(self.costs)
        return "LOSS" if low > LIMIT else "kept" if high <= LIMIT else "open"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which the median lies of what `values` were drawn from, as surely as `SURE` says."""
    ordered, dropped = sorted(values), 0
    while 1 - 2 * _tail(len(ordered), dropped + 1) >= SURE:
        dropped += 1
    return ordered[dropped], ordered[-1 - dropped]


def _tail(count: int, dropped: int) -> float:
    return float(sum(comb(count, each) for each in range(dropped + 1)) / 2**count)


def compare(rounds: Sequence[tuple[Sequence[Row], Sequence[Row]]]) -> list[Beside]:
    """Pair the rows of each round, (the other's, ours), by name; what only one has in a round is left out."""
    pairs: dict[str, list[tuple[Row, Row]]] = {}
    for other, here in rounds:
        theirs = {row.name: row for row in other}
        for row in here:
            if row.name in theirs and row.value > 0 and theirs[row.name].value > 0:
                pairs.setdefault(row.name, []).append((theirs[row.name], row))
    return [_beside(found) for found in pairs.values()]


def _beside(pairs: Sequence[tuple[Row, Row]]) -> Beside:
    first = pairs[0][1]
    return Beside(
        name=first.name,
        unit=first.unit,
        other=tuple(other.value for other, _ in pairs),
        here=tuple(here.value for _, here in pairs),
        less_is_better=first.less_is_better,
        floors=tuple(here.floor / other.floor for other, here in pairs if here.floor and other.floor),
    )


def beside_table(found: Sequence[Beside]) -> str:
    """Columns for a terminal."""
    lines: list[tuple[str, ...]] = [
        ("", "other", "here", "unit", "cost", "from", "to", "rounds", f"> {LIMIT}?", "floors")
    ]
    for one in found:
        low, high = interval(one.costs)
        figures = (f"{each:.3f}" for each in (median(one.costs), low, high))
        floors = f"{median(one.floors):.2f}" if one.floors else "-"
        both = words(median(one.other)), words(median(one.here))
        lines.append((one.name, *both, one.unit, *figures, str(len(one.here)), one.verdict, floors))
    return columns(lines, left=(0, 3))


def beside_json(one: Beside) -> dict[str, object]:
    """All that was measured of the figure, round by round."""
    low, high = interval(one.costs)
    return {
        "name": one.name,
        "unit": one.unit,
        "other": [round(each, 3) for each in one.other],
        "here": [round(each, 3) for each in one.here],
        "costs": [round(each, 4) for each in one.costs],
        "cost": round(median(one.costs), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "verdict": one.verdict,
    }
