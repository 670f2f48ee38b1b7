"""Durations and sizes, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.settings.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600.0),
        ("500ms", 0.5),
        ("2h", 7200.0),
        ("1h30m", 5400.0),
        (" 1 h 30 m ", 5400.0),
        ("1d", 86400.0),
        ("250us", 0.00025),
        ("1.5s", 1.5),
        ("0s", 0.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("1e-3s", 0.001),
    ],
)
def test_durations_have_units_or_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize(
    "text", ["", " ", "m", "10 minutes", "10M", "-5m", "1h-5m", "5mm", "nan", "inf", "1,5s", "1e999s", "٣s", "5 m x"]
)
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.floats(min_value=0, max_value=1e12, allow_nan=False))
def test_a_written_duration_is_read_back_exactly(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.5, "500ms"), (60.0, "1m"), (90.0, "90s"), (5400.0, "90m"), (86400.0, "1d"), (1.5, "1500ms")],
)
def test_durations_are_written_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MiB", 512 << 20),
        ("1MB", 1_000_000),
        ("1 kB", 1000),
        ("1KiB", 1024),
        ("1kib", 1024),
        ("2GiB", 2 << 30),
        ("1TB", 10**12),
        ("0.5KiB", 512),
        ("1.5MB", 1_500_000),
        ("7", 7),
        ("7B", 7),
        ("0", 0),
    ],
)
def test_sizes_have_units_or_are_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "12XB", "-1MB", "0.3B", "1.0001kB", "1e999", "1 MiB MiB", "0x10", "٣MB"])
def test_other_text_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@given(st.integers(min_value=0, max_value=1 << 70))
def test_a_written_size_is_read_back_exactly(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_sizes_are_written_in_the_unit_that_fits() -> None:
    assert [format_size(size) for size in (0, 1, 1024, 1000, 512 << 20, 1500)] == [
        "0B",
        "1B",
        "1KiB",
        "1kB",
        "512MiB",
        "1500B",
    ]
