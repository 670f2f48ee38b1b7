"""Processes that have another cluster key or cluster name and share an address list with this one, so that one of the
two is configured wrongly.

Neither can open what the other sends. Whoever gets such a datagram answers with a notice (seal.py), so that both sides
know of the other, and a person can be told on both.

    datagram with a wrong digest -> Strangers -> notice to its sender;  either -> addresses that a person is told of

Nothing here can be authenticated. Somebody who can send datagrams can have an address shown, and nothing more: all is
bounded, and no notice is longer than what it answers.

Not here: digests (seal.py), sentences for people (node/cluster/network.py).
"""

from __future__ import annotations

from dataclasses import dataclass

OVER_AFTER_S = 5.0
"""A stranger that was not heard of for this time is gone, or has been put right. Members ask their join addresses every
second."""
NOTICE_INTERVAL_S = 0.9
"""One address gets at most one notice in this time."""
STRANGERS_MAX = 16
"""Addresses that are remembered, and so notices in one interval."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """A datagram with another key or cluster name was received."""

    address: str
    refused: bytes = b""
    """The digest of its datagram, which was not opened; empty if it told that it does not open ours."""


class Strangers:
    """Those that were heard of lately. Does no I/O, reads no clock."""

    def __init__(self) -> None:
        self._heard_at: dict[str, float] = {}
        self._answered_at: dict[str, float] = {}

    def heard(self, now: float, stranger: Stranger) -> bool:
        """Note a stranger. Returns whether to answer it with a notice."""
        self._forget(now)
        address = stranger.address
        if address not in self._heard_at and len(self._heard_at) >= STRANGERS_MAX:
            return False
        self._heard_at[address] = now
        if not stranger.refused or now - self._answered_at.get(address, -NOTICE_INTERVAL_S) < NOTICE_INTERVAL_S:
            return False
        self._answered_at[address] = now
        return True

    def addresses(self, now: float) -> list[str]:
        """Where they are, sorted."""
        self._forget(now)
        return sorted(self._heard_at)

    def _forget(self, now: float) -> None:
        for address in [address for address, at in self._heard_at.items() if now - at > OVER_AFTER_S]:
            del self._heard_at[address]
            self._answered_at.pop(address, None)
