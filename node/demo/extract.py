"""Make the demo's data from the npm package `vega-datasets` (node/demo/data/README.md); run by hand, once.

    npm pack vega-datasets@3.2.1 && tar xzf vega-datasets-3.2.1.tgz
    pip install pyarrow
    python -m node.demo.extract package

Not here: what the demo makes of the data (flights.py).
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

Point: TypeAlias = tuple[float, float]
"""Longitude, latitude in degrees."""
Line: TypeAlias = list[Point]

_BEGIN, _END = datetime(2001, 3, 15, 15), datetime(2001, 3, 16, 1)
"""UTC. The ten hours of a Thursday in which most flights are in the air."""
_AIRPORTS = 20
_HOURS_BEHIND_UTC = {
    hours: states.split()
    for hours, states in {5: "FL GA MA MI NC NJ NY PA", 6: "IL MN MO TX", 7: "AZ CO", 8: "CA NV WA"}.items()
}
"""In March 2001, before summer time, of the states that the busiest airports are in."""
_TOLERANCE_DEGREES = 0.03
_RING_POINTS_MIN = 6
_MAP_WEST, _MAP_EAST, _MAP_SOUTH = -130.0, -60.0, 24.0
"""The map shows the contiguous states."""


def main() -> None:
    """Write flights.csv, airports.csv and land.json from an unpacked vega-datasets package."""
    parser = argparse.ArgumentParser(prog="python -m node.demo.extract", description=main.__doc__)
    parser.add_argument("package", type=Path, help="the directory `package` of the npm package")
    source = parser.parse_args().package / "data"
    here = Path(__file__).parent
    table = importlib.import_module("pyarrow.parquet").read_table(source / "flights-3m.parquet")
    busiest = [iata for iata, _ in Counter(table.column("origin").to_pylist()).most_common(_AIRPORTS)]
    airports = _airports(source / "airports.csv", busiest)
    _write_csv(here / "data" / "airports.csv", airports.values())
    _write_csv(here / "data" / "flights.csv", _flights(table, airports))
    land = _land(json.loads((source / "us-10m.json").read_text()))
    (here.parent.parent / "gateway" / "page" / "land.json").write_text(json.dumps(land, separators=(",", ":")) + "\n")


def _airports(file: Path, wanted: list[str]) -> dict[str, dict[str, Any]]:
    with file.open(newline="", encoding="utf-8") as lines:
        found = {row["iata"]: row for row in csv.DictReader(lines) if row["iata"] in wanted}
    return {
        iata: {
            "iata": iata,
            "name": found[iata]["name"],
            "city": found[iata]["city"],
            "state": found[iata]["state"],
            "lat": round(float(found[iata]["latitude"]), 4),
            "lon": round(float(found[iata]["longitude"]), 4),
        }
        for iata in sorted(wanted)
    }


def _flights(table: Any, airports: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    compute = importlib.import_module("pyarrow.compute")
    near = compute.and_(
        compute.greater(table["date"], _BEGIN - timedelta(days=1)),
        compute.less(table["date"], _END + timedelta(days=1)),
    )
    behind = {state: timedelta(hours=hours) for hours, states in _HOURS_BEHIND_UTC.items() for state in states}
    found = []
    for row in table.filter(near).to_pylist():
        if row["origin"] in airports and row["destination"] in airports:
            # The source has the local time of the origin.
            departed = row["date"] + behind[airports[row["origin"]]["state"]]
            if _BEGIN <= departed < _END:
                found.append(
                    {
                        "departed_utc": departed.isoformat(timespec="minutes"),
                        "origin": row["origin"],
                        "destination": row["destination"],
                        "distance_mi": row["distance"],
                        "delay_min": row["delay"],
                    }
                )
    return sorted(found, key=lambda flight: tuple(flight.values()))


def _write_csv(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _land(topology: dict[str, Any]) -> dict[str, Any]:
    """`land`: rings to fill. `borders`: lines between states."""
    arcs = [_arc(arc, topology["transform"]) for arc in topology["arcs"]]
    rings = [
        _joined([_directed(arcs, index) for index in ring])
        for polygon in topology["objects"]["land"]["arcs"]
        for ring in polygon
    ]
    states = [_indexes(state) for state in topology["objects"]["states"]["geometries"] if state.get("type")]
    shared = [index for index, users in Counter(i for state in states for i in state).items() if users == 2]
    borders = _merged([arcs[index] for index in sorted(shared)])
    return {
        "source": "vega-datasets us-10m.json, from the US Census Bureau; see node/demo/data/README.md",
        "land": [ring for ring in map(_simplified, rings) if len(ring) >= _RING_POINTS_MIN and _is_shown(ring)],
        "borders": [line for line in map(_simplified, borders) if _is_shown(line)],
    }


def _arc(arc: list[list[int]], transform: dict[str, list[float]]) -> Line:
    # TopoJSON 2.1.3 and 2.1.4: whole numbers, each the difference to the one before.
    x = y = 0
    points = []
    for dx, dy in arc:
        x, y = x + dx, y + dy
        points.append(
            (
                x * transform["scale"][0] + transform["translate"][0],
                y * transform["scale"][1] + transform["translate"][1],
            )
        )
    return points


def _directed(arcs: list[Line], index: int) -> Line:
    return arcs[index] if index >= 0 else arcs[~index][::-1]


def _indexes(geometry: dict[str, Any]) -> set[int]:
    polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
    return {max(index, ~index) for polygon in polygons for ring in polygon for index in ring}


def _joined(lines: list[Line]) -> Line:
    whole = list(lines[0])
    for line in lines[1:]:
        whole += line[1:]
    return whole


def _merged(lines: list[Line]) -> list[Line]:
    """Join lines that meet where no third one does, so that there is more to simplify."""
    meeting = Counter(end for line in lines for end in (line[0], line[-1]))
    merged: list[Line] = []
    by_end: dict[Point, Line] = {}
    for line in lines:
        for end in (line[0], line[-1]):
            other = by_end.pop(end, None)
            if other is None or other is line:
                continue
            by_end.pop(other[0], None)
            by_end.pop(other[-1], None)
            merged.remove(other)
            before = other if other[-1] == end else other[::-1]
            line = _joined([before, line if line[0] == end else line[::-1]])
        merged.append(line)
        by_end.update((end, line) for end in (line[0], line[-1]) if meeting[end] == 2)
    return merged


def _simplified(line: Line) -> Line:
    """Douglas and Peucker 1973. A ring keeps its first point and the one farthest from it."""
    if line[0] == line[-1] and len(line) > 3:
        far = max(range(len(line)), key=lambda i: _distance(line[i], line[0], line[0]))
        halves = [_kept(line[: far + 1]), _kept(line[far:])]
    else:
        halves = [_kept(line)]
    return [(round(x, 2), round(y, 2)) for x, y in _joined(halves)]


def _kept(line: Line) -> Line:
    if len(line) < 3:
        return line
    far = max(range(1, len(line) - 1), key=lambda i: _distance(line[i], line[0], line[-1]))
    if _distance(line[far], line[0], line[-1]) <= _TOLERANCE_DEGREES:
        return [line[0], line[-1]]
    return _joined([_kept(line[: far + 1]), _kept(line[far:])])


def _distance(point: Point, begin: Point, end: Point) -> float:
    dx, dy = end[0] - begin[0], end[1] - begin[1]
    length2 = dx * dx + dy * dy
    along = 0.0
    if length2:
        along = ((point[0] - begin[0]) * dx + (point[1] - begin[1]) * dy) / length2
        along = min(1.0, max(0.0, along))
    x, y = begin[0] + along * dx - point[0], begin[1] + along * dy - point[1]
    return float((x * x + y * y) ** 0.5)


def _is_shown(line: Line) -> bool:
    return all(_MAP_WEST < x < _MAP_EAST and y > _MAP_SOUTH for x, y in line)


if __name__ == "__main__":
    main()
