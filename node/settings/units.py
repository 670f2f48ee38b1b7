"""Durations and sizes as people write them: `10m`, `1h30m`, `500ms`; `512MiB`, `1MB`.

Invariant: what `format_*` writes, `parse_*` reads back to the same value.

Not here: limits of a value (fields.py).
"""

from __future__ import annotations

import math
import re

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
_BYTES = {"TiB": 1 << 40, "GiB": GIB, "MiB": MIB, "KiB": KIB, "TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 1000}
_BYTES_OF = {unit.lower(): count for unit, count in _BYTES.items()} | {"b": 1, "": 1}

_NUMBER = r"\d+(?:\.\d+)?(?:e-?\d{1,3})?"
_PART = rf"({_NUMBER})\s*(us|ms|[dhms])\s*"
_SIZE = re.compile(rf"({_NUMBER})\s*([A-Za-z]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of `10m`, `1h30m`, `500ms`, or of a plain number, which is seconds.

    Raises:
        ValueError: If it is none of these.
    """
    text = text.strip()
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return _finite(float(text))
    if not re.fullmatch(rf"(?:{_PART})+", text, re.ASCII):
        raise ValueError("not a duration")
    return _finite(sum(float(count) * _SECONDS[unit] for count, unit in re.findall(_PART, text, re.ASCII)))


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
    unit = _BYTES_OF.get(found[2].lower()) if found else None
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
    count, unit = min((size // count, unit) for unit, count in {**_BYTES, "B": 1}.items() if size % count == 0)
    return f"{count}{unit}" if size else "0B"


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
