"""Which server to try next, and after what pause (PROTOCOL section 11)."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from urllib.parse import urlsplit

FIRST_PAUSE_S_MAX = 0.25
PAUSE_S_MAX = 20.0
AGAIN_PAUSE_S_MIN = 0.1
AGAIN_PAUSE_S_MAX = 2.0
"""A cluster that has lost a node takes messages again after about a second."""


def pause_s(attempt: int, rng: Random) -> float:
    """Seconds before attempt 1, 2, ...: random, so that many clients do not come back in one instant."""
    return rng.uniform(0, min(FIRST_PAUSE_S_MAX * 2 ** min(attempt - 1, 20), PAUSE_S_MAX))


def again_pause_s(refusals: int, rng: Random) -> float:
    """Seconds before a request that was refused for now is sent again, on a connection that is there (section 10)."""
    longest = min(FIRST_PAUSE_S_MAX * 2 ** min(refusals - 1, 20), AGAIN_PAUSE_S_MAX)
    return max(AGAIN_PAUSE_S_MIN, rng.uniform(0, longest))


def loss_pause_s(losses: int, rng: Random) -> float:
    """Seconds before a subscription is resumed of which messages are missing time and again (section 7, rule 7)."""
    return max(AGAIN_PAUSE_S_MIN, pause_s(losses, rng))


def server_url(server: str) -> str:
    """A server as people write it (`host:port`, http(s):// or ws(s)://, path optional) as a WebSocket address.

    Raises:
        ValueError: If it is none.
    """
    parts = urlsplit(server if "://" in server else f"ws://{server}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    try:
        right = scheme in ("ws", "wss") and parts.hostname and parts.port != 0  # the port is read here, if it can be
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"not a server's address (such as ws://host:8080): {server!r}")
    return parts._replace(scheme=scheme, path=parts.path if parts.path.strip("/") else "/v1/ws").geturl()


class Servers:
    """The servers that are known, and which of them have been tried since the last success."""

    def __init__(self, configured: Iterable[str]) -> None:
        self._configured = list(dict.fromkeys(map(server_url, configured)))
        if not self._configured:
            raise ValueError("a client needs at least one server")
        self._known = self._configured
        self._tried: set[str] = set()
        self.attempts = 0
        """Since the last success."""

    def told(self, servers: Iterable[str]) -> None:
        """A server named all servers. Those configured stay, in case the named ones cannot be reached from here."""
        named = []
        for server in servers:
            try:
                named.append(server_url(server))
            except ValueError:
                continue
        self._known = list(dict.fromkeys([*named, *self._configured])) if named else self._known

    def next(self, rng: Random) -> str:
        """The server to try now."""
        untried = [server for server in self._known if server not in self._tried]
        if not untried:
            self._tried.clear()
            untried = self._known
        server = rng.choice(untried)
        self._tried.add(server)
        return server

    def next_pause_s(self, rng: Random) -> float:
        """Seconds before the next attempt."""
        self.attempts += 1
        return pause_s(self.attempts, rng)

    def succeeded(self, server: str) -> None:
        """The server said `welcome`. Should it be lost, another one is tried first."""
        self.attempts = 0
        self._tried = {server}
