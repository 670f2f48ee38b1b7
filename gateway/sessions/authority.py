"""Loads the configured authorizer, and asks one that may block in threads off the loop.

Not here: asking one that does not block, and the order in which the answers take effect (requests.py).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import gevent
from gevent.threadpool import ThreadPool

from gateway.sessions.asking import ask
from gateway.sessions.authorizer import AllowAll, Authorizer
from gateway.sessions.session import Decision, Question

GROUP = "whimbrel.authorizers"
THREADS_MAX = 16


class LoadError(ValueError):
    """The configured authorizer cannot be had; the message says which and why."""


def load(name: str, options: dict[str, Any]) -> Authorizer:
    """Make the authorizer of this name: `allow_all`, an entry point, or `module:Class`.

    Raises:
        LoadError: If there is none, or it cannot be made with these options.
    """
    try:
        return _find(name)(**options)
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(f"the authorizer {name!r} could not be made: {type(error).__name__}: {error}") from error


def _find(name: str) -> type[Authorizer]:
    if name == "allow_all":
        return AllowAll
    if ":" in name:
        module, _, attribute = name.partition(":")
        found = getattr(import_module(module), attribute, None)
    else:
        points = list(entry_points(group=GROUP, name=name))
        found = points[0].load() if points else None
    if found is None:
        raise LoadError(f"there is no authorizer {name!r}: not an entry point of {GROUP}, nor module:Class")
    if not (isinstance(found, type) and issubclass(found, Authorizer)):
        raise LoadError(f"the authorizer {name!r} is not a class derived from {Authorizer.__module__}.Authorizer")
    return found


class Authority:
    """Asks a blocking authorizer in threads; `decided` is called in the loop with each decision.

    Its third argument is what the authorizer raised besides a refusal.
    """

    def __init__(self, authorizer: Authorizer, decided: Callable[[Question, Decision, Exception | None], None]) -> None:
        self._authorizer = authorizer
        self._decided = decided
        self._threads = ThreadPool(THREADS_MAX)

    def ask(self, question: Question) -> None:
        """Have the question decided, some time."""
        gevent.spawn(self._wait, question)

    def _wait(self, question: Question) -> None:
        self._decided(question, *self._threads.apply(ask, (self._authorizer, question)))
