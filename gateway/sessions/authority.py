"""Loads the configured authorizer and asks it: at once if it never blocks, else in threads off the loop.

Not here: the order in which the answers take effect (session.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import gevent
from gevent.threadpool import ThreadPool

from gateway.link.logs import event
from gateway.sessions.authorizer import AllowAll, Authorizer, Decision, Question, answer

GROUP = "whimbrel.authorizers"
THREADS_MAX = 16

log = logging.getLogger(__name__)


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
        raise LoadError(f"the authorizer {name!r} is not a class derived from gateway.authorizer.Authorizer")
    return found


class Authority:
    """Asks the authorizer; `decided` is called in the loop with each answer."""

    def __init__(self, authorizer: Authorizer, decided: Callable[[Question, Decision], None]) -> None:
        self._authorizer = authorizer
        self._decided = decided
        self._threads = ThreadPool(THREADS_MAX) if authorizer.blocks else None
        self.failures = 0

    def ask(self, question: Question) -> None:
        """Have the question answered, now or later."""
        if self._threads is None:
            self._tell(question, *answer(self._authorizer, question))
        else:
            gevent.spawn(self._wait, self._threads, question)

    def _wait(self, threads: ThreadPool, question: Question) -> None:
        self._tell(question, *threads.apply(answer, (self._authorizer, question)))

    def _tell(self, question: Question, decision: Decision, failure: Exception | None) -> None:
        if failure is not None:
            self.failures += 1
            event(log, "authorizer_failed", question=question.kind, error=f"{type(failure).__name__}: {failure}")
        self._decided(question, decision)
