"""The line in which each key of a TOML text stands, which `tomllib` does not tell, nor any library that we found.

A statement of TOML ends with its line, or goes on in the next one if it cannot be parsed so far. So the text is cut
into statements by parsing, and each statement, parsed alone, says which key it sets or which table it opens.

Not here: what the keys mean (layers.py).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

TomlPath = tuple[str | int, ...]
"""Where a value is: names of tables and keys, and numbers of entries in arrays of tables."""


def lines(text: str) -> dict[TomlPath, int]:
    """The line, from 1, of every table header and every statement of a text that is valid TOML."""
    found: dict[TomlPath, int] = {}
    entries: dict[TomlPath, int] = {}
    table: TomlPath = ()
    statement, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            value: Any = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        is_header = statement.lstrip().startswith("[")
        path = () if is_header else table
        while isinstance(value, dict) and value:
            name, value = next(iter(value.items()))
            path += (name,)
            found.setdefault(path, first)
            if is_header and isinstance(value, list):
                entries[path] = entries.get(path, -1) + 1
            if is_header and path in entries:
                path += (entries[path],)
                found.setdefault(path, first)
        table = path if is_header else table
        statement, first = "", number + 1
    return found


def line_of(found: Mapping[TomlPath, int], path: TomlPath) -> int:
    """The line of a value, or of the closest table around it that has one; 0 if there is none."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, 0)
