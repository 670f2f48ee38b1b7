"""The configuration in effect: the layers put together, relations checked, and where each value came from.

Invariants:
- `settings` is always complete: what was wrong has its default, and `problems` says so.
- Relations are checked between values that are themselves right, so that one mistake is one problem.

Not here: what the layers say (layers.py), reading files (load.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from node.settings import relations
from node.settings.layers import PREFIX, Layers, Problem
from node.settings.schema import Settings

DEFAULT = "default"
"""The source of a value that was not given."""
MACHINE = "host name"
"""The source of a value that was not given and follows from the machine."""


@dataclass
class Effective:
    """A configuration with its origins."""

    settings: Settings
    sources: dict[str, str] = field(default_factory=dict)
    """Path of each value that was given -> where: `whimbrel.toml:3`, `WHIMBREL_CACHE_TTL`, `--listen`."""
    problems: list[Problem] = field(default_factory=list)
    """Everything that is wrong; if there is anything, `settings` must not be used."""
    unread: bool = False
    """Whether a file could not be read, so that its values are unknown."""

    def source(self, path: str) -> str:
        """Where a value came from."""
        return self.sources.get(path, DEFAULT)

    def missing(self) -> list[Problem]:
        """What a node needs and was not given; nothing if a file could not be read."""
        if self.unread:
            return []
        named = {problem.key.partition("[")[0] for problem in self.problems}
        return [
            Problem("", path, f"not given, expected {how}")
            for path, instead, how in relations.missing(self.settings, named)
            if not {path, instead} & named
        ]


def effective(layers: Layers) -> Effective:
    """What the layers give together."""
    layers.allow_publishing()
    found = Effective(layers.settings(), layers.sources, layers.problems, layers.unread)
    for path, other, text in relations.broken(found.settings, layers.values):
        if not layers.wrong & {path, other}:
            said = text.replace("{source}", found.source(other))
            found.problems.append(Problem(found.source(path), path, said))
    return found


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """In reading order: the file from top to bottom, the environment, the flags, then what was not given."""

    def place(problem: Problem) -> tuple[int, int]:
        source = problem.source
        if not source or source in (DEFAULT, MACHINE):
            return (3 if source else 4), 0
        if source.startswith(("--", PREFIX)):
            return (2 if source.startswith("--") else 1), 0
        line = source.rpartition(":")[2]
        return 0, int(line) if line.isdecimal() else 0

    return sorted(problems, key=place)
