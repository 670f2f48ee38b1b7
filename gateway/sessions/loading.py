"""Finds and makes the configured authorizer: one that is built in, an entry point, or `module:Class`.

Run as a program it only says what is wrong with one (`whimbrel check-config` does that): standard input has a line of
JSON with the arguments of `load`.

Not here: asking it (authority.py, asking.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

import msgspec

from gateway.authorizers.allow_all import AllowAll
from gateway.authorizers.jwt import Jwt
from gateway.authorizers.rules import StaticRules
from gateway.authorizers.webhook import Webhook
from gateway.link.imports import imported
from whimbrel_server import Authorizer

GROUP = "whimbrel.authorizers"
BUILT_IN: Mapping[str, type[Authorizer]] = {"allow_all": AllowAll, "jwt": Jwt, "rules": StaticRules, "webhook": Webhook}


class LoadError(ValueError):
    """The configured authorizer cannot be had; the message says which and why."""


def load(name: str, options: dict[str, Any], folder: str = "") -> Authorizer:
    """Make the authorizer of this name.

    Args:
        folder: Where a module is looked for besides Python's own path, after it.

    Raises:
        LoadError: If there is none, or it cannot be made with these options.
    """
    try:
        return _find(name, folder)(**options)
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(f"the authorizer {name!r} could not be made: {type(error).__name__}: {error}") from error


def _find(name: str, folder: str) -> type[Authorizer]:
    if name in BUILT_IN:
        return BUILT_IN[name]
    if ":" in name:
        found = imported(name, folder)
    else:
        points = list(entry_points(group=GROUP, name=name))
        found = points[0].load() if points else None
    if found is None:
        known = ", ".join(BUILT_IN)
        raise LoadError(
            f"there is no authorizer {name!r}: not built in ({known}), no entry point of {GROUP}, nor module:Class"
        )
    if not (isinstance(found, type) and issubclass(found, Authorizer)):
        raise LoadError(f"the authorizer {name!r} is not a class derived from whimbrel_server.Authorizer")
    return found


class _Asked(msgspec.Struct):
    name: str
    options: dict[str, Any]
    folder: str


def main() -> int:
    """Say on standard error why it cannot be had, if so."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=_Asked)
    try:
        load(asked.name, asked.options, asked.folder)
    except LoadError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
