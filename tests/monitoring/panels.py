"""The panels of the Grafana dashboard, drawn from a Prometheus: Grafana itself is in no package source of the tests.

Not here: the dashboard (ansible/roles/monitoring/files/whimbrel-dashboard.json).
"""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[2] / "ansible" / "roles" / "monitoring" / "files" / "whimbrel-dashboard.json"
COLUMNS = 3


def panels() -> list[dict[str, Any]]:
    """Those that are charts, in order."""
    found = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] == "timeseries"]


def series_of(prometheus: str, panel: dict[str, Any], start: float, end: float) -> list[tuple[str, list[Any]]]:
    """The lines of a panel: what the legend says, and (time, value) pairs.

    Raises:
        OSError: Prometheus refused the query, or does not answer.
    """
    lines = []
    for target in panel["targets"]:
        query = target["expr"].replace("$node", ".*")
        asked = {"query": query, "start": start, "end": end, "step": 1}
        with urllib.request.urlopen(f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(asked)}") as answer:
            for found in json.load(answer)["data"]["result"]:
                legend = target.get("legendFormat", "")
                for name, value in found["metric"].items():
                    legend = legend.replace("{{" + name + "}}", value)
                lines.append((legend, [(float(at), float(value)) for at, value in found["values"]]))
    return lines


def draw(drawn: list[tuple[str, list[tuple[str, list[Any]]]]], file: Path) -> None:
    """A picture of panels, each with its title and lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.dates import AutoDateLocator, DateFormatter

    rows = -(-len(drawn) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(6 * COLUMNS, 2.8 * rows), squeeze=False)
    for axis in axes.flat[len(drawn) :]:
        axis.axis("off")
    for axis, (title, lines) in zip(axes.flat, drawn, strict=False):
        axis.set_title(title, fontsize=11, loc="left")
        for legend, points in lines:
            axis.plot(
                [datetime.fromtimestamp(at, UTC) for at, _ in points], [value for _, value in points], label=legend
            )
        axis.xaxis.set_major_locator(AutoDateLocator(maxticks=5))
        axis.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        if lines:
            axis.legend(fontsize=8, loc="upper left")
    figure.tight_layout()
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, dpi=80)
    pyplot.close(figure)
