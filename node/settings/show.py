"""The effective configuration as a TOML file, with where each value came from in comments.

Invariants:
- What is written, read as a file, gives the same settings again, but for secrets, which are `***`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from node.settings.effective import Effective
from node.settings.keys import KEYS, LISTS, SECTIONS, masked, toml, toml_name, toml_text

LIST_AFTER = {"cluster": "namespaces", "kafka": "topics"}
"""Section -> the list that is shown after it."""


def show(effective: Effective, in_effect: Mapping[str, str | int | tuple[str, ...]] | None = None) -> str:
    """The whole configuration, sources in a column of comments.

    Args:
        in_effect: Path of a key -> what its value comes to on this machine, said behind its source.
    """
    rows = list(_rows(effective, in_effect or {}))
    width = max(len(text) for text, source in rows if source and len(text) <= 60)
    return "".join(f"{text:{width}}  # {source}\n" if source else f"{text}\n" for text, source in rows)


def _rows(effective: Effective, in_effect: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Lines without their comments, and the comments; no comment for a table's header."""
    settings = effective.settings
    for section in SECTIONS:
        yield f"[{section}]", ""
        tables: list[tuple[str, dict[str, str]]] = []
        for key in KEYS.values():
            if key.section != section:
                continue
            value = key.get(settings)
            if key.kind == "properties":
                tables.append((key.path, value))
            elif key.kind == "rest":
                yield from _table(effective, section, value)
            else:
                shown = masked(key.path, value) if value else value  # whether there is a secret is none
                means = f", that is {toml_text(in_effect[key.path])}" if key.path in in_effect else ""
                yield f"{key.name} = {toml(key, shown)}", effective.source(key.path) + means
        yield "", ""
        for path, table in tables:
            if table:
                yield f"[{path}]", ""
                yield from _table(effective, path, table)
                yield "", ""
        if section in LIST_AFTER:
            yield from _list(effective, LIST_AFTER[section])


def _table(effective: Effective, path: str, table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        at = f"{path}.{name}"
        yield f"{toml_name(name)} = {toml_text(masked(at, value))}", effective.source(at)


def _list(effective: Effective, section: str) -> Iterator[tuple[str, str]]:
    for index, entry in enumerate(getattr(effective.settings, section)):
        yield f"[[{section}]]", ""
        for key in LISTS[section].values():
            source = effective.source(f"{section}[{index}].{key.name}")
            yield f"{key.name} = {toml(key, getattr(entry, key.attribute))}", source
        yield "", ""
