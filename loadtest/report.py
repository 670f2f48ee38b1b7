"""Rows of the benchmark, as a table for people and as bench.json for programs. A core.

Not here: measuring (scenarios.py), plots (plots.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    name: str
    value: float
    unit: str
    floor: float | None
    """The same measured without Whimbrel, in the same run; None where there is no such thing."""
    goal: float | None = None
    """What this version must reach."""
    stretch: float | None = None
    """What would be better still."""
    less_is_better: bool = False
    values: tuple[float, ...] = ()
    """What `value` was chosen of, where that is the worst of several runs."""

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None

    def reaches(self, goal: float) -> bool:
        return self.value <= goal if self.less_is_better else self.value >= goal


def percentile(latency: Sequence[int], weight: Sequence[int], share: float) -> float:
    """The smallest value that at least `share` of all messages do not exceed; `weight` is messages per value.

    Raises:
        ValueError: There are no values.
    """
    if not latency:
        raise ValueError("no samples")
    pairs = sorted(zip(latency, weight, strict=True))
    sums = list(accumulate(messages for _, messages in pairs))
    wanted = share * sums[-1]
    return next(value for (value, _), so_far in zip(pairs, sums, strict=True) if so_far >= wanted)


def as_json(row: Row) -> dict[str, str | float | list[float | None] | None]:
    """The row; `values` is there only if it has some."""
    found: dict[str, str | float | list[float | None] | None] = {
        "name": row.name,
        "value": _rounded(row.value),
        "unit": row.unit,
        "floor": _rounded(row.floor),
        "ratio": _rounded(row.ratio),
        "goal": _rounded(row.goal),
    }
    return {**found, "values": [_rounded(each) for each in row.values]} if row.values else found


def table(rows: Sequence[Row]) -> str:
    """Columns for a terminal. A goal that is not reached is marked."""
    lines = [("", "value", "unit", "floor", "ratio", "goal", "stretch")]
    for row in rows:
        lines.append(
            (
                row.name,
                words(row.value),
                row.unit,
                words(row.floor),
                f"{row.ratio:.2f}" if row.ratio is not None else "-",
                words(row.goal) + _mark(row, row.goal),
                words(row.stretch) + _mark(row, row.stretch),
            )
        )
    return columns(lines, left=(0, 2))


def columns(lines: Sequence[tuple[str, ...]], left: Sequence[int]) -> str:
    """Lines of cells for a terminal; the columns `left` begin at the left, the others end at the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _mark(row: Row, goal: float | None) -> str:
    return "" if goal is None else " ok" if row.reaches(goal) else " NO"


def words(number: float | None) -> str:
    """A figure for people."""
    if number is None:
        return "-"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2f}"


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
