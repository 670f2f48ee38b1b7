"""Durations and sizes as people write them: `10m`, `1h30m`, `500ms`; `512MiB`, `1MB`.

Invariants:
- What `format_*` writes, `parse_*` reads back to the same value.

Not here: limits of a value (schema.py).
"""

from __future__ import annotations

import math
import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
_BYTES = {
    "TiB": 1024 * GIB,
    "GiB": GIB,
    "MiB": MIB,
    "KiB": KIB,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 1000,
    "B": 1,
}
_BYTES_BY_NAME = {unit.lower(): size for unit, size in _BYTES.items()}

_NUMBER = r"(\d+(?:\.\d+)?(?:e-?\d{1,3})?)"
_PART = re.compile(_NUMBER + r"\s*(us|ms|[dhms])\s*", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)
_SIZE = re.compile(_NUMBER + r"\s*([A-Za-z]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of `10m`, `1h30m`, `500ms`, or of a plain number, which is seconds.

    Raises:
        ValueError: If it is none of these.
    """
    text = text.strip()
    if _PLAIN.fullmatch(text):
        return _finite(float(text))
    total, end = 0.0, 0
    while end < len(text):
        part = _PART.match(text, end)
        if part is None:
            raise ValueError("not a duration")
        total += float(part[1]) * _SECONDS[part[2]]
        end = part.end()
    if not text:
        raise ValueError("not a duration")
    return _finite(total)


def format_duration(seconds: float) -> str:
    """The duration in its largest unit that gives a whole number; else in seconds."""
    for unit, size in _SECONDS.items():
        count = round(seconds / size) if seconds / size < 1e15 else 0
        if count and count * size == seconds and parse_duration(f"{count}{unit}") == seconds:
            return f"{count}{unit}"
    return f"{seconds!r}s".replace("+", "") if seconds else "0s"


def parse_size(text: str) -> int:
    """Bytes of `512MiB` (binary), `1MB` (decimal), or of a plain number, which is bytes. Case means nothing.

    Raises:
        ValueError: If it is none of these, or not a whole number of bytes.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = _BYTES_BY_NAME.get(found[2].lower() or "b") if found else None
    if found is None or unit is None:
        raise ValueError("not a size")
    if found[1].isdigit():
        return int(found[1]) * unit
    size = _finite(float(found[1]) * unit)
    if not size.is_integer():
        raise ValueError("not a whole number of bytes")
    return int(size)


def format_size(size: int) -> str:
    """The size in the unit that gives the smallest whole number."""
    count, unit = min((size // factor, unit) for unit, factor in _BYTES.items() if size % factor == 0)
    return f"{count}{unit}" if size else "0B"


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
