"""Replays a day of real flights, faster than real time and over and over: where each flight is at any moment.

`FlightReplay` turns elapsed time into Kafka records. A flight is a key in topic `flights`: an update a second while it
is in the air, one more when it has landed, and a tombstone half a minute later. An airport is a key in topic
`airports`, updated with each departure and arrival. Each round over the day begins while the last flights of the one
before are still in the air, so the sky is equally full at any time; flights of another round have other keys.

Invariants:
- The same flights and the same elapsed times give the same records.
- `progress` of a flight never falls; its first is 0, its last 1, and `landed` is said once.

Not here: reading the files, Kafka (producer.py).
"""

from __future__ import annotations

import heapq
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

FLIGHTS, AIRPORTS = "flights", "airports"
"""The topics."""

UPDATE_S = 1.0
"""Time between two positions of a flight, in elapsed time."""
_FORGET_S = 30.0
"""Time from landing to the tombstone, in elapsed time."""
_TAXI_S, _MILES_PER_S = 28 * 60, 7.8 / 60
"""A rough estimate of how long a flight takes for its distance: the records do not say."""


@dataclass(frozen=True, slots=True)
class Airport:
    iata: str
    name: str
    city: str
    state: str
    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Flight:
    departs_s: float
    """Since the beginning of the day."""
    origin: str
    destination: str
    distance_mi: int
    delay_min: int

    @property
    def duration_s(self) -> float:
        return _TAXI_S + self.distance_mi / _MILES_PER_S


class FlightRecord(NamedTuple):
    """A record to produce; a value of None is a tombstone."""

    topic: str
    key: str
    value: str | None


@dataclass(slots=True)
class _Airborne:
    key: str
    flight: Flight
    departed_s: float
    """In elapsed time, as are the others."""
    lands_s: float
    is_announced: bool
    """Whether its departure has been counted."""
    has_landed: bool = False


class FlightReplay:
    """All flights of all rounds. Call `advance` with rising times."""

    def __init__(
        self, airports: Mapping[str, Airport], flights: Iterable[Flight], day_s: float, acceleration: float
    ) -> None:
        """Args:
        day_s: The length of a round, in the flights' own time.
        acceleration: Seconds of the flights' time in a second of elapsed time.
        """
        self._airports = airports
        self.flights = sorted(flights, key=lambda flight: flight.departs_s)
        """One round, in the order of departure."""
        assert self.flights
        self._round_s = day_s / acceleration
        self._acceleration = acceleration
        self._round = 0
        self._next = 0
        self._due: list[tuple[float, int, _Airborne]] = []
        self._departed = 0
        self._departures: Counter[str] = Counter()
        self._arrivals: Counter[str] = Counter()
        # Elapsed time 0 is the beginning of the second round: the flights of the first fill the sky.
        self._depart_until(0.0)
        self._due = [entry for entry in self._due if entry[2].lands_s > 0.0]
        heapq.heapify(self._due)

    def opening(self) -> list[FlightRecord]:
        """The first records: one for each airport."""
        return [self._airport(iata) for iata in self._airports]

    def advance(self, elapsed_s: float) -> list[FlightRecord]:
        """All records up to this time that were not returned before, in the order of time."""
        self._depart_until(elapsed_s)
        records: list[FlightRecord] = []
        while self._due and self._due[0][0] <= elapsed_s:
            at_s, number, airborne = heapq.heappop(self._due)
            next_s = self._happen(at_s, airborne, records)
            if next_s is not None:
                heapq.heappush(self._due, (next_s, number, airborne))
        return records

    @property
    def in_the_air(self) -> int:
        return sum(not airborne.has_landed for _, _, airborne in self._due)

    def _depart_until(self, elapsed_s: float) -> None:
        while True:
            begins_s = (self._round - 1) * self._round_s
            if self._next == len(self.flights):
                self._round, self._next = self._round + 1, 0
                continue
            flight = self.flights[self._next]
            if begins_s + flight.departs_s / self._acceleration > elapsed_s:
                return
            # The round and the place in the day distinguish flights of the same route.
            key = f"{flight.origin}/{flight.destination}/{self._round}-{self._next:04}"
            # Departures are known to the minute: spread them over the minute, always in the same way.
            spread_s = zlib.crc32(key.encode()) % 600 / 10
            departed_s = begins_s + (flight.departs_s + spread_s) / self._acceleration
            lands_s = departed_s + flight.duration_s / self._acceleration
            is_old = departed_s < 0.0  # only when the replay begins
            first_s = min(departed_s % UPDATE_S, lands_s) if is_old else departed_s
            self._next += 1
            self._departed += 1
            heapq.heappush(self._due, (first_s, self._departed, _Airborne(key, flight, departed_s, lands_s, is_old)))

    def _happen(self, at_s: float, airborne: _Airborne, records: list[FlightRecord]) -> float | None:
        """Append the records of a flight at this time; the time of its next record, if any."""
        if airborne.has_landed:
            records.append(FlightRecord(FLIGHTS, airborne.key, None))
            return None
        flight = airborne.flight
        if not airborne.is_announced:
            airborne.is_announced = True
            self._departures[flight.origin] += 1
            records.append(self._airport(flight.origin))
        if at_s >= airborne.lands_s:
            airborne.has_landed = True
            records.append(self._position(airborne, 1.0))
            self._arrivals[flight.destination] += 1
            records.append(self._airport(flight.destination))
            return at_s + _FORGET_S
        progress = (at_s - airborne.departed_s) / (airborne.lands_s - airborne.departed_s)
        records.append(self._position(airborne, progress))
        return min(at_s + UPDATE_S, airborne.lands_s)

    def _position(self, airborne: _Airborne, progress: float) -> FlightRecord:
        flight = airborne.flight
        begin, end = self._place(flight.origin), self._place(flight.destination)
        lat, lon = along_great_circle(begin, end, progress)
        # At its destination a flight has no course: use the farther end.
        heading = course((lat, lon), end) if progress < 0.5 else course((lat, lon), begin) + 180
        value = {
            "flight": airborne.key,
            "from": flight.origin,
            "to": flight.destination,
            "lat": round(lat, 3),
            "lon": round(lon, 3),
            "heading": round(heading) % 360,
            "progress": round(progress, 4),
            "delay_min": flight.delay_min,
            "state": "landed" if airborne.has_landed else "airborne",
        }
        return FlightRecord(FLIGHTS, airborne.key, json.dumps(value, separators=(",", ":")))

    def _place(self, iata: str) -> tuple[float, float]:
        return self._airports[iata].lat, self._airports[iata].lon

    def _airport(self, iata: str) -> FlightRecord:
        airport = self._airports[iata]
        value = {
            "iata": iata,
            "name": airport.name,
            "city": airport.city,
            "state": airport.state,
            "lat": airport.lat,
            "lon": airport.lon,
            "departures": self._departures[iata],
            "arrivals": self._arrivals[iata],
        }
        return FlightRecord(AIRPORTS, iata, json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def along_great_circle(begin: tuple[float, float], end: tuple[float, float], fraction: float) -> tuple[float, float]:
    """The point at this fraction (0 to 1) of the shortest way; (latitude, longitude) in degrees.

    The ends must not be antipodes: then there is no one shortest way.
    """
    a, b = _unit_vector(begin), _unit_vector(end)
    angle = math.acos(max(-1.0, min(1.0, math.fsum(x * y for x, y in zip(a, b, strict=True)))))
    if angle < 1e-12:
        return begin
    assert angle < math.pi - 1e-9
    from_a, from_b = math.sin((1 - fraction) * angle), math.sin(fraction * angle)
    x, y, z = (from_a * p + from_b * q for p, q in zip(a, b, strict=True))
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def course(begin: tuple[float, float], end: tuple[float, float]) -> float:
    """The direction in which the shortest way begins: degrees from 0 to 360, clockwise from north."""
    lat_a, lat_b = math.radians(begin[0]), math.radians(end[0])
    dlon = math.radians(end[1] - begin[1])
    east = math.sin(dlon) * math.cos(lat_b)
    north = math.cos(lat_a) * math.sin(lat_b) - math.sin(lat_a) * math.cos(lat_b) * math.cos(dlon)
    return math.degrees(math.atan2(east, north)) % 360


def _unit_vector(point: tuple[float, float]) -> tuple[float, float, float]:
    lat, lon = math.radians(point[0]), math.radians(point[1])
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
