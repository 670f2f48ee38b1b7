"""Asks what cannot be answered at once: authorizers that block, in threads off the loop; those that need keys, later.

Not here: finding and making the authorizer (loading.py), asking one that answers at once, and the order in which the
answers take effect (requests.py).
"""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from gateway.sessions.asking import ask
from gateway.sessions.session import Decision, Question
from whimbrel_server import Authorizer

THREADS_MAX = 16
KEYS_WAIT_S = 5.0
"""How long a client waits for keys: longer than the node takes to fetch them (node/tokens/fetch.py)."""


class Authority:
    """Asks; `decided` is called in the loop with each decision.

    Its third argument is what the authorizer raised besides a refusal. `want_keys` has the node fetch the keys of a
    URL; `keys_came` says that it has answered.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        decided: Callable[[Question, Decision, Exception | None], None],
        want_keys: Callable[[str], None],
    ) -> None:
        self._authorizer = authorizer
        self._decided = decided
        self._want_keys = want_keys
        self._threads = ThreadPool(THREADS_MAX)
        self._awaited: dict[str, Event] = {}
        """By URL: keys that the node was asked for."""

    def ask(self, question: Question) -> None:
        """Have the question decided, some time."""
        gevent.spawn(self._wait, question)

    def keys_came(self, url: str) -> None:
        """The node has said what it has."""
        awaited = self._awaited.pop(url, None)
        if awaited is not None:
            awaited.set()

    def _wait(self, question: Question) -> None:
        if self._authorizer.blocks:
            self._decided(question, *self._threads.apply(ask, (self._authorizer, question)))
            return
        decision, failure = ask(self._authorizer, question)
        if decision.instead is not None:
            decision, failure = self._threads.apply(ask, (decision.instead, question))
        elif decision.wants:
            self._wait_for_keys(decision.wants)
            decision, failure = ask(self._authorizer, question)
        self._decided(question, decision, failure)

    def _wait_for_keys(self, url: str) -> None:
        awaited = self._awaited.get(url)
        if awaited is None:
            awaited = self._awaited[url] = Event()
            self._want_keys(url)
        if not awaited.wait(KEYS_WAIT_S) and self._awaited.get(url) is awaited:
            del self._awaited[url]  # lost on the link: the next asks again
