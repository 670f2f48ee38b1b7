"""Which server to try next, and after what pause (PROTOCOL section 11)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from ipaddress import ip_address, ip_network
from random import Random
from urllib.parse import urlsplit

FIRST_PAUSE_S_MAX = 0.25
ASKED_PAUSE_S_MAX = 60.0
PAUSE_S_MAX = 20.0
AGAIN_PAUSE_S_MIN = 0.1
AGAIN_PAUSE_S_MAX = 2.0
"""A cluster that has lost a node takes messages again after about a second."""


def pause_s(attempt: int, rng: Random) -> float:
    """Seconds before attempt 1, 2, ...: random, so that many clients do not come back in one instant."""
    return rng.uniform(0, min(FIRST_PAUSE_S_MAX * 2 ** min(attempt - 1, 20), PAUSE_S_MAX))


def asked_pause_s(reason: str) -> float:
    """The N of a reason with `retry after N s` in it; 0 without (section 10)."""
    found = re.search(r"retry after ([0-9]{1,6}(?:[.][0-9]{1,6})?) s", reason)
    return min(float(found[1]), ASKED_PAUSE_S_MAX) if found is not None else 0.0


def again_pause_s(refusals: int, rng: Random) -> float:
    """Seconds before a request that was refused for now is sent again, on a connection that is there (section 10)."""
    longest = min(FIRST_PAUSE_S_MAX * 2 ** min(refusals - 1, 20), AGAIN_PAUSE_S_MAX)
    return max(AGAIN_PAUSE_S_MIN, rng.uniform(0, longest))


def loss_pause_s(losses: int, rng: Random) -> float:
    """Seconds before a subscription is resumed of which messages are missing time and again (section 7, rule 7)."""
    return max(AGAIN_PAUSE_S_MIN, pause_s(losses, rng))


def server_url(server: str) -> str:
    """A server as people write it (`host:port`, http(s):// or ws(s)://) as a WebSocket address.

    A path that ends with `/` is what a proxy has in front of the node; another one is taken as it is.

    Raises:
        TypeError, ValueError: If it is no address of a server.
    """
    if not isinstance(server, str):
        raise TypeError(f"not a server's address (such as ws://host:8080): {server!r}")
    parts = urlsplit(server if "://" in server else f"ws://{server}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    try:
        right = scheme in ("ws", "wss") and parts.hostname and parts.port != 0  # the port is read here, if it can be
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"not a server's address (such as ws://host:8080): {server!r}")
    path = parts.path or "/"
    return parts._replace(scheme=scheme, path=f"{path}v1/ws" if path.endswith("/") else path).geturl()


class _Reach(IntEnum):
    """From where a host can be reached."""

    NOWHERE = 0
    MACHINE = 1
    NETWORK = 2
    ANYWHERE = 3


_PRIVATE = [
    ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10"),
    )
]
"""What is reached from within a network only: RFC 1918, 6598, 3927, 4193 and 4291. `is_private` has more."""


def may_learn(server: str, via: str) -> bool:
    """Whether an address that a node told may be used by a client that has reached the node at the address `via`.

    A node behind a proxy knows only what it is called inside. An address of the own machine or a private network means
    something else here, unless the client is there itself; and who came encrypted never goes on in the clear.
    """
    named, came = urlsplit(server), urlsplit(via)
    if came.scheme == "wss" and named.scheme != "wss":
        return False
    if named.hostname == came.hostname:
        return True
    reach = _reach(named.hostname or "")
    return reach is not _Reach.NOWHERE and reach >= _reach(came.hostname or "")


def _reach(host: str) -> _Reach:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return _Reach.MACHINE
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return _Reach.ANYWHERE
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified:
        return _Reach.NOWHERE
    if address.is_loopback:
        return _Reach.MACHINE
    return _Reach.NETWORK if any(address in network for network in _PRIVATE) else _Reach.ANYWHERE


class Servers:
    """The servers that are known, and which of them have been tried since the last success."""

    def __init__(self, configured: Iterable[str], *, learn: bool = True) -> None:
        self._configured = list(dict.fromkeys(map(server_url, configured)))
        if not self._configured:
            raise ValueError("a client needs at least one server")
        self._learn = learn
        self._known = self._configured
        self._tried: set[str] = set()
        self.attempts = 0
        """Since the last success."""

    def told(self, servers: Iterable[str], via: str) -> None:
        """A node that was reached at `via` named the servers that there are. Those configured always stay."""
        named = [server for server in servers if server] if self._learn else []
        usable = []
        for server in named:
            try:
                address = server_url(server)
            except ValueError:
                continue
            if may_learn(address, via):
                usable.append(address)
        if named:
            self._known = list(dict.fromkeys([*self._configured, *usable]))

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
