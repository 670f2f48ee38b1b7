"""The line in which each key of a TOML text stands, which `tomllib` does not tell, nor any library that we found.

A statement of TOML ends with its line, or goes on in the next one if it cannot be parsed so far. So the text is cut
into statements by parsing, and each statement, parsed alone, says which keys it sets.

Not here: what the keys mean (layers.py).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]
"""Where a value is: names of tables and keys, and numbers of entries in arrays of tables."""


def lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every table header and every key of a text that is valid TOML."""
    found: dict[Path, int] = {}
    entries: dict[Path, int] = {}
    table: Path = ()
    statement, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if statement.lstrip().startswith("["):
            table = _header(parsed, entries)
            found.setdefault(table, first)
            if isinstance(table[-1], int):
                found.setdefault(table[:-1], first)
        else:
            found |= {table + path: first for path in _paths(parsed)}
        statement, first = "", number + 1
    return found


def line_of(found: Mapping[Path, int], path: Path) -> int:
    """The line of a value, or of the closest table around it that has one; 0 if there is none."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, 0)


def _header(parsed: dict[str, Any], entries: dict[Path, int]) -> Path:
    """The table that `[a.b]` or `[[a.b]]` opens; `entries` has the last entry of each array of tables so far."""
    path: Path = ()
    value: Any = parsed
    while value and isinstance(value, dict):
        name, value = next(iter(value.items()))
        path += (name,)
        if isinstance(value, list):
            entries[path] = entries.get(path, -1) + 1
            return (*path, entries[path])
        if path in entries:
            path += (entries[path],)
    return path


def _paths(value: Any) -> Iterator[Path]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (name,)
        yield from ((name, *path) for path in _paths(item))
