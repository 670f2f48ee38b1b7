"""Tables of text for people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_NUMBER = re.compile(r"[\d,.-]+( ms)?|\?|-|down|")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Columns as wide as needed, numbers aligned to the right; nothing without rows."""
    if not rows:
        return
    yield ""
    rows = [tuple(map(printable, row)) for row in rows]
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    to_right = [all(map(_NUMBER.fullmatch, column[1:])) for column in columns]
    for row in (tuple(name.upper() for name in head), *rows):
        cells = zip(row, widths, to_right, strict=True)
        yield "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells)


def printable(line: str) -> str:
    """Escape what is not printable: names from a node must not control the terminal."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in line)
