"""The replay of flights: geometry, order of what happens, rounds, determinism, and the data that comes with it."""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node.demo.flights import AIRPORTS, FLIGHTS, Airport, Flight, FlightRecord, FlightReplay, along_great_circle, course
from node.demo.producer import load_replay

EARTH_MILES = 3958.8
DAY_S = 10 * 3600

WEST = Airport("WST", "West", "Westville", "CA", 34.0, -118.0)
EAST = Airport("EST", "East", "Eastville", "NY", 40.6, -73.8)
AIRPORTS_OF_TWO = {"WST": WEST, "EST": EAST}

places = st.tuples(st.floats(-89, 89), st.floats(-180, 180))


def miles(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Haversine: another formula than the one under test."""
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (*a, *b))
    h = math.sin((lat_b - lat_a) / 2) ** 2
    h += math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_MILES * math.asin(min(1.0, math.sqrt(h)))


def run(replay: FlightReplay, until_s: float, step_s: float = 0.25) -> list[tuple[float, FlightRecord]]:
    steps = round(until_s / step_s)
    return [(n * step_s, record) for n in range(1, steps + 1) for record in replay.advance(n * step_s)]


def by_flight(records: list[tuple[float, FlightRecord]]) -> dict[str, list[tuple[float, Any]]]:
    found: dict[str, list[tuple[float, Any]]] = defaultdict(list)
    for at_s, record in records:
        if record.topic == FLIGHTS:
            found[record.key].append((at_s, None if record.value is None else json.loads(record.value)))
    return found


@given(places, places)
def test_a_great_circle_begins_and_ends_where_it_should(a: tuple[float, float], b: tuple[float, float]) -> None:
    assume(miles(a, b) < 12_000)
    assert miles(along_great_circle(a, b, 0.0), a) < 0.1
    assert miles(along_great_circle(a, b, 1.0), b) < 0.1


@given(places, places, st.floats(0, 1))
def test_a_great_circle_is_the_shortest_way_at_even_speed(
    a: tuple[float, float], b: tuple[float, float], fraction: float
) -> None:
    assume(miles(a, b) < 12_000)
    point = along_great_circle(a, b, fraction)
    assert miles(a, point) == pytest.approx(fraction * miles(a, b), abs=0.1)
    assert miles(point, b) == pytest.approx((1 - fraction) * miles(a, b), abs=0.1)


def test_courses_are_clockwise_from_north() -> None:
    assert course((0, 0), (10, 0)) == pytest.approx(0)
    assert course((0, 0), (0, 10)) == pytest.approx(90)
    assert course((0, 0), (-10, 0)) == pytest.approx(180)
    assert course((0, 0), (0, -10)) == pytest.approx(270)


def one_flight(departs_s: float = 3600.0) -> FlightReplay:
    return FlightReplay(AIRPORTS_OF_TWO, [Flight(departs_s, "WST", "EST", 2475, -7)], DAY_S, 60)


def test_a_flight_from_its_departure_to_its_tombstone() -> None:
    records = by_flight(run(one_flight(), 600))
    (key,) = records
    assert key == "WST/EST/1-0000"
    *positions, (forgotten_at, tombstone) = records[key]
    assert tombstone is None
    (departed_at, first), (landed_at, last) = positions[0], positions[-1]
    assert 60 <= departed_at <= 61.25  # known to the minute, spread over it
    assert (first["lat"], first["lon"]) == (WEST.lat, WEST.lon)
    assert first["progress"] == 0
    assert (last["lat"], last["lon"]) == (EAST.lat, EAST.lon)
    assert last["progress"] == 1
    assert [value["state"] for _, value in positions] == ["airborne"] * (len(positions) - 1) + ["landed"]
    duration_s = Flight(0, "WST", "EST", 2475, 0).duration_s / 60
    assert landed_at - departed_at == pytest.approx(duration_s, abs=0.26)
    assert forgotten_at - landed_at == pytest.approx(30, abs=0.26)
    assert {value["delay_min"] for _, value in positions} == {-7}
    assert {(value["flight"], value["from"], value["to"]) for _, value in positions} == {(key, "WST", "EST")}


def test_a_flight_tells_its_place_once_a_second_and_never_goes_back() -> None:
    (records,) = by_flight(run(one_flight(), 600)).values()
    positions = records[:-1]
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(positions[:-1])]
    assert set(gaps) == {1.0}
    progress = [value["progress"] for _, value in positions]
    assert progress == sorted(progress)
    assert len(set(progress)) == len(progress)
    assert all(0 <= value["heading"] < 360 for _, value in positions)
    # From California to New York: first north-east, last south-east.
    assert 45 < positions[0][1]["heading"] < 90 < positions[-1][1]["heading"] < 135


def test_airports_count_departures_and_arrivals() -> None:
    replay = one_flight()
    opening = {record.key: json.loads(record.value or "") for record in replay.opening()}
    assert opening["WST"] == {
        "iata": "WST",
        "name": "West",
        "city": "Westville",
        "state": "CA",
        "lat": 34.0,
        "lon": -118.0,
        "departures": 0,
        "arrivals": 0,
    }
    changes = [record for _, record in run(replay, 1200) if record.topic == AIRPORTS]
    counts = [(c.key, json.loads(c.value or "")) for c in changes]
    assert [(iata, v["departures"], v["arrivals"]) for iata, v in counts] == [
        ("WST", 1, 0),
        ("EST", 0, 1),
        ("WST", 2, 0),
        ("EST", 0, 2),
    ]


def test_the_sky_is_full_from_the_beginning() -> None:
    """A flight that left near the end of the round before is on its way when the replay begins."""
    replay = one_flight(departs_s=DAY_S - 3600)
    assert replay.in_the_air == 1
    ((key, positions),) = by_flight(run(replay, 3)).items()
    assert key == "WST/EST/0-0000"
    expected = 3600 / Flight(0, "WST", "EST", 2475, 0).duration_s
    assert positions[0][1]["progress"] == pytest.approx(expected, abs=0.02)


def test_each_round_has_keys_of_its_own() -> None:
    found = by_flight(run(one_flight(), 3 * DAY_S / 60, step_s=1))
    assert list(found) == ["WST/EST/1-0000", "WST/EST/2-0000", "WST/EST/3-0000"]


def test_the_same_times_give_the_same_records() -> None:
    assert run(load_replay(60), 20) == run(load_replay(60), 20)


def test_how_often_one_asks_changes_nothing_but_when_one_knows() -> None:
    def ordered(step_s: float) -> list[FlightRecord]:
        return [record for _, record in run(load_replay(60), 20, step_s)]

    assert ordered(0.05) == ordered(5)


def test_the_data_that_comes_with_the_demo() -> None:
    replay = load_replay(60)
    airports = {record.key: json.loads(record.value or "") for record in replay.opening()}
    assert len(airports) == 20
    assert 300 <= replay.in_the_air <= 800
    records = run(replay, 30, 1)
    per_second = [sum(at_s == second for at_s, _ in records) for second in range(1, 31)]
    assert all(300 <= count <= 800 for count in per_second)
    for flight, positions in by_flight(records).items():
        origin, destination, _ = flight.split("/")
        begin = airports[origin]["lat"], airports[origin]["lon"]
        end = airports[destination]["lat"], airports[destination]["lon"]
        for _, value in positions:
            if value is not None:
                here = value["lat"], value["lon"]
                assert miles(begin, here) + miles(here, end) == pytest.approx(miles(begin, end), rel=0.01)


def test_the_distances_in_the_data_are_those_between_the_airports() -> None:
    """Coordinates and flights come from different sources: a mix-up would show here."""
    replay = load_replay(60)
    airports = {record.key: json.loads(record.value or "") for record in replay.opening()}
    for flight in replay.flights:
        a, b = airports[flight.origin], airports[flight.destination]
        assert miles((a["lat"], a["lon"]), (b["lat"], b["lon"])) == pytest.approx(flight.distance_mi, rel=0.02, abs=5)
