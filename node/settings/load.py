"""Reads the configuration: file, then environment, then flags.

Not here: what they mean (layers.py, effective.py). This is the only place that reads the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from node.settings.effective import Effective, combine
from node.settings.keys import KEYS
from node.settings.layers import Layer, Problem, from_environment, from_file, from_flags
from node.settings.lines import lines

MACHINE = "host name"
"""The source of a value that nobody gave and the machine has."""


def load(
    config: str | None, environment: Mapping[str, str], flags: Iterable[tuple[str, str]], host_name: str = ""
) -> Effective:
    """Read the configuration; what is wrong is in the result's `problems`.

    Args:
        config: Path of the file; None: the one that WHIMBREL_CONFIG names, or none.
        flags: Each with its value, in order: `("--set", "cache.ttl=5m")`.
        host_name: The machine's, after which the node is named if nobody says how.
    """
    path = config if config is not None else environment.get("WHIMBREL_CONFIG")
    file = _read(path) if path else Layer()
    return combine([_machine(host_name), file, from_environment(environment), from_flags(flags)])


def _machine(host_name: str) -> Layer:
    """What follows from where we run; a host name that is no name for a node says nothing."""
    layer = Layer()
    layer.put(MACHINE, "node.name", KEYS["node.name"], host_name.partition(".")[0])
    return Layer(values=layer.values)


def _read(name: str) -> Layer:
    try:
        text = Path(name).read_bytes().decode()
        content = tomllib.loads(text)
    except OSError as error:
        return Layer(unread=True, problems=[Problem(name, "", f"cannot be read: {error.strerror}")])
    except UnicodeDecodeError as error:
        return Layer(unread=True, problems=[Problem(name, "", f"not UTF-8: {error.reason} at byte {error.start}")])
    except tomllib.TOMLDecodeError as error:
        return Layer(unread=True, problems=[Problem(name, "", f"not TOML: {error}")])
    return from_file(name, content, lines(text.replace("\r\n", "\n")))
