"""Asks an authorizer that may block in threads off the loop.

Not here: finding and making it (loading.py), asking one that does not block, and the order in which the answers take
effect (requests.py).
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.threadpool import ThreadPool

from gateway.sessions.asking import ask
from gateway.sessions.session import Decision, Question
from whimbrel_server import Authorizer

THREADS_MAX = 16


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
