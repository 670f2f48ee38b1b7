"""Finds classes of other people's by name: one that is built in, an entry point, or `module:Class`.

Not here: making and using them (gateway/sessions/loading.py, node/audit/loading.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from gateway.link.imports import imported

T = TypeVar("T")


class LoadError(ValueError):
    """What is configured cannot be had; the message says which and why."""


def make(
    kind: str, base: type[T], built_in: Mapping[str, type[T] | str], name: str, options: dict[str, Any], folder: str
) -> T:
    """Make an object of the class of this name.

    Args:
        kind: What it is called, such as authorizer; entry points are those of the group `whimbrel.authorizers`.
        base: What the class derives from.
        built_in: Classes, or where to find them (`module:Class`) if they are imported only by those who use them.
        folder: Where a module is looked for besides Python's own path, after it; empty: nowhere.

    Raises:
        LoadError: If there is none, or it cannot be made with these options.
    """
    try:
        return _find(kind, base, built_in, name, folder)(**options)
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(f"the {kind} {name!r} could not be made: {type(error).__name__}: {error}") from error


def _find(kind: str, base: type[T], built_in: Mapping[str, type[T] | str], name: str, folder: str) -> type[T]:
    found: Any = built_in.get(name)
    if isinstance(found, type):
        return found
    group = f"whimbrel.{kind}s"
    if isinstance(found, str):
        found = imported(found)
    elif ":" in name:
        found = _of_module(kind, name, folder)
    else:
        points = list(entry_points(group=group, name=name))
        found = points[0].load() if points else None
    if found is None:
        known = ", ".join(built_in)
        raise LoadError(
            f"there is no {kind} {name!r}: not built in ({known}), no entry point of {group}, nor module:Class"
        )
    if not (isinstance(found, type) and issubclass(found, base)):
        raise LoadError(f"the {kind} {name!r} is not a class derived from whimbrel_server.{base.__name__}")
    return found


def _of_module(kind: str, name: str, folder: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        found = imported(name, folder)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        where = f" or in {folder}" if folder else ""
        raise LoadError(f"there is no {kind} {name!r}: no module {module!r} on Python's path{where}") from error
    if found is None:
        file = getattr(sys.modules[module], "__file__", None)
        raise LoadError(f"there is no {kind} {name!r}: {file or module} has no {attribute!r}")
    return found
