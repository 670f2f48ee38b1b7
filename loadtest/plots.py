"""Figures, and distributions of latencies and of stalls, as PNG files.

Not here: the samples (fleet.py), the table (report.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

Samples: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""Microseconds, and how many messages each stands for."""


def plot_stalls(file: Path, title: str, stalls: Mapping[str, Sequence[float]]) -> None:
    """Draw the stall of each run, in milliseconds, a row for each kind."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.9 * len(stalls)), layout="constrained")
    for row, values in enumerate(stalls.values()):
        axes.plot(values, [row] * len(values), "o", alpha=0.6)
        axes.annotate(f"{max(values):,.0f} ms", (max(values), row), (0, 8), textcoords="offset points", ha="center")
    axes.set(title=title, xlabel="longest wait in each run, ms", ylim=(-0.6, len(stalls) - 0.2), xlim=(0, None))
    axes.set_yticks(range(len(stalls)), list(stalls))
    axes.grid(axis="x", alpha=0.3)
    _save(pyplot, figure, file)


def plot_lines(
    file: Path, title: str, labels: tuple[str, str], curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> None:
    """Draw curves of (x, y), both axes from 0; `labels` are those of the axes."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, (xs, ys) in curves.items():
        axes.plot(xs, ys, "o-", label=name)
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1], xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    _save(pyplot, figure, file)


def plot_over_time(
    file: Path, times: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float | None]]]
) -> None:
    """Draw what went on over the seconds of a run: panels below each other, by their label, each with its curves."""
    pyplot = _pyplot()
    figure, rows = pyplot.subplots(len(panels), figsize=(8, 2 * len(panels)), sharex=True, layout="constrained")
    for axes, (label, curves) in zip(rows, panels.items(), strict=True):
        for name, values in curves.items():
            axes.plot(times, [float("nan") if value is None else value for value in values], ".-", label=name)
        axes.set(ylabel=label, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
        if len(curves) > 1:
            axes.legend()
    rows[-1].set(xlabel="seconds")
    _save(pyplot, figure, file)


def plot_latency(file: Path, title: str, curves: Mapping[str, Samples]) -> None:
    """Draw which share of the messages took longer than so many milliseconds, both axes logarithmic."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, (latency, weight) in curves.items():
        pairs = sorted(zip(latency, weight, strict=True))
        total = sum(weight)
        below = [0, *accumulate(messages for _, messages in pairs)][:-1]
        every = max(1, len(pairs) // 20_000)
        axes.plot(
            [value / 1000 for value, _ in pairs][::every],
            [1 - messages / total for messages in below][::every],
            label=name,
            drawstyle="steps-post",
        )
    axes.set(title=title, xlabel="latency, ms", ylabel="share of messages that took longer")
    axes.set(xscale="log", yscale="log", ylim=(1e-4, 1))
    axes.grid(which="both", alpha=0.3)
    for share, name in ((0.5, "p50"), (0.01, "p99")):
        axes.axhline(share, color="grey", linewidth=0.8, linestyle=":")
        axes.text(axes.get_xlim()[0], share, f" {name}", color="grey", va="bottom")
    axes.legend()
    _save(pyplot, figure, file)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("agg")  # no display
    from matplotlib import pyplot

    return pyplot


def _save(pyplot: Any, figure: Any, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
