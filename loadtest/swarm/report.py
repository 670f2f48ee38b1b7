"""The report of a run: one page with tables and plots, for people, and the same for programs.

Not here: Locust's own (`--html`), the figures (hooks.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from loadtest.plots import plot_latency, plot_over_time


@dataclass(frozen=True, slots=True)
class Moment:
    """What was going on at a time of the run."""

    at_s: float
    users: int
    received_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    """Of what was received since the moment before."""
    faults: int


@dataclass(frozen=True, slots=True)
class Report:
    """All that it says."""

    requests: Mapping[str, tuple[int, int, Sequence[float | None]]]
    """By name: how many, how many failed, p50, p95 and p99 in milliseconds."""
    moments: Sequence[Moment]
    receipts: Mapping[int, int]
    """Messages by microseconds from sending to receipt."""
    faults: Mapping[str, int]
    errors: Mapping[str, int]
    """What failed, in words, and how often."""
    limits: Sequence[tuple[str, str]]
    """Each with what was found where it was exceeded."""


def write(directory: Path, report: Report) -> Path:
    """Write `index.html`, its plots, and `report.json` with the same figures. Returns the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    plots = []
    if report.receipts:
        curve = (list(report.receipts), list(report.receipts.values()))
        plot_latency(directory / "latency.png", "From sending to receipt", {"receive": curve})
        plots.append("latency.png")
    if report.moments:
        times = [moment.at_s for moment in report.moments]
        panels: dict[str, dict[str, list[float | None]]] = {
            "users": {"users": [moment.users for moment in report.moments]},
            "received per second": {"received": [moment.received_per_s for moment in report.moments]},
            "receive, ms": {
                "p50": [moment.p50_ms for moment in report.moments],
                "p99": [moment.p99_ms for moment in report.moments],
            },
            "faults": {"faults": [moment.faults for moment in report.moments]},
        }
        plot_over_time(directory / "run.png", times, panels)
        plots.append("run.png")
    (directory / "report.json").write_text(json.dumps(asdict(report)))
    page = directory / "index.html"
    page.write_text(_page(report, plots))
    return page


def _page(report: Report, plots: Sequence[str]) -> str:
    requests = [
        [name, f"{count:,}", f"{failed:,}", *(_ms(value) for value in values)]
        for name, (count, failed, values) in report.requests.items()
    ]
    faults = [[what, f"{count:,}"] for what, count in sorted(report.faults.items())]
    limits = [[limit, f"exceeded: {found}" if found else "kept"] for limit, found in report.limits]
    errors = [[what, f"{count:,}"] for what, count in report.errors.items()]
    parts = [
        "<!doctype html><meta charset=utf-8><title>Load</title>"
        "<style>body{font:15px sans-serif;margin:2em;max-width:60em}"
        "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:right}"
        "td:first-child,th:first-child{text-align:left}img{max-width:100%}</style><h1>Load</h1>",
        _table(["", "count", "failed", "p50 ms", "p95 ms", "p99 ms"], requests),
        "<h2>Limits</h2>" + _table(["limit", ""], limits) if limits else "",
        "<h2>Messages missing, repeated, out of order</h2>" + (_table(["", "count"], faults) if faults else "<p>None."),
        "<h2>Failures</h2>" + _table(["", "count"], errors) if errors else "",
        *(f'<p><img src="{plot}" alt="">' for plot in plots),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line("th", head) + "".join(line("td", row) for row in rows) + "</table>"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
