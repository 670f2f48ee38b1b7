"""Revoked tokens, known to every node: broadcast at once, requested by nodes that lack some, kept for a time.

What is revoked only grows, and two sets are put together in any order with the same outcome. So no coordinator decides
and no majority is needed: a revocation holds wherever it has been heard of, also while the cluster is cut in two.

Invariants:
- an entry holds here until `left_s` after it came, and never shorter than where it came from;
- nodes that hear each other have the same entries about a second later, also one that has just started.

Not here: what an entry covers (gateway/sessions/revoked.py), keeping entries on disk (node/tokens/store.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TypeAlias

import msgspec

EVERYONE = ""
BEACON_S = 1.0
ENTRIES_MAX = 100_000
PACKET_ENTRIES_MAX = 1000
_LONGER_S = 1.0
"""How much longer an entry must hold to be news: it gets shorter on its way between nodes."""


class Revocation(msgspec.Struct, array_like=True, frozen=True):
    """Revokes the tokens that match all given criteria and were issued before a time."""

    issued_before: float
    """Seconds since 1970."""
    left_s: float
    """How long it still holds."""
    token_id: str | None = None
    name: str | None = None
    """The name of the token's bearer."""


class RevocationsBeacon(msgspec.Struct, array_like=True, tag="rv_beacon", gc=False):
    """The sender holds entries, with this digest."""

    digest: int


class RevocationsWanted(msgspec.Struct, array_like=True, tag="rv_wanted", gc=False):
    """The sender does not hold what the receiver does."""


class RevocationsSaid(msgspec.Struct, array_like=True, tag="rv_said", gc=False):
    """Entries that the sender holds."""

    entries: list[Revocation]


RevocationsPacket: TypeAlias = RevocationsBeacon | RevocationsWanted | RevocationsSaid

_Key: TypeAlias = tuple[str | None, str | None]


class TooManyRevocations(ValueError):
    """There is no room for another."""


class Revocations:
    """All revocations that this node knows."""

    def __init__(self) -> None:
        self._entries: dict[_Key, tuple[float, float]] = {}
        """`issued_before`, and until when it holds, in `now`."""
        self._digest: int | None = 0
        """None: to be computed."""
        self._digests: dict[str, int] = {}
        """By node, what it said last that it holds."""
        self._sends: list[tuple[str, RevocationsPacket]] = []
        self._news: list[Revocation] = []
        self._tick_at = 0.0
        self._is_alone = True

    def __len__(self) -> int:
        return len(self._entries)

    def all(self, now: float) -> list[Revocation]:
        """Every entry that holds."""
        return [
            Revocation(issued_before, until - now, *key)
            for key, (issued_before, until) in self._entries.items()
            if until > now
        ]

    def revoke(self, now: float, entry: Revocation) -> None:
        """Add a revocation, as this node's operator wants.

        Raises:
            TooManyRevocations: If there are ENTRIES_MAX already.
        """
        if len(self._entries) >= ENTRIES_MAX and (entry.token_id, entry.name) not in self._entries:
            raise TooManyRevocations(f"there are {ENTRIES_MAX} revocations: revoke by --issued-before")
        if self._take(now, [entry]) and not self._is_alone:
            self._sends.append((EVERYONE, RevocationsSaid([entry])))

    def loaded(self, now: float, entries: Iterable[Revocation]) -> None:
        """Take what was kept on disk."""
        self._take(now, entries)

    def receive(self, now: float, sender: str, boot: str, packet: RevocationsPacket) -> None:
        """What another node says."""
        match packet:
            case RevocationsSaid(entries):
                if self._take(now, entries):
                    self._sends.append((sender, RevocationsBeacon(self.digest)))  # the node that revoked waits for it
            case RevocationsBeacon(digest):
                self._digests[sender] = digest
                if digest != self.digest:
                    self._sends.append((sender, RevocationsWanted()))
            case RevocationsWanted():
                entries = self.all(now)
                for at in range(0, len(entries), PACKET_ENTRIES_MAX):
                    self._sends.append((sender, RevocationsSaid(entries[at : at + PACKET_ENTRIES_MAX])))

    def is_held_by(self, node: str) -> bool:
        """Whether another node has said that it holds what this one does."""
        return self._digests.get(node) == self.digest

    def members(self, now: float, alive: list[str]) -> None:
        """These nodes live, this one among them."""
        self._digests = {name: digest for name, digest in self._digests.items() if name in alive}
        self._is_alone = len(alive) <= 1

    def tick(self, now: float) -> None:
        """About every 50 ms."""
        if now < self._tick_at or not self._entries:
            return
        self._tick_at = now + BEACON_S
        over = [key for key, (_, until) in self._entries.items() if until <= now]
        for key in over:
            del self._entries[key]
            self._digest = None
        if self._entries and not self._is_alone:
            self._sends.append((EVERYONE, RevocationsBeacon(self.digest)))

    @property
    def digest(self) -> int:
        """The same wherever the entries are the same, however long they hold."""
        if self._digest is None:
            rows = sorted(repr((key, issued_before)) for key, (issued_before, _) in self._entries.items())
            self._digest = zlib.crc32("\n".join(rows).encode("utf-8", "surrogatepass"))
        return self._digest

    def take_sends(self) -> list[tuple[str, RevocationsPacket]]:
        """Packets with their destinations."""
        sends, self._sends = self._sends, []
        return sends

    def take_news(self) -> list[Revocation]:
        """Entries that were not known before, or hold longer, or for more."""
        news, self._news = self._news, []
        return news

    def _take(self, now: float, entries: Iterable[Revocation]) -> bool:
        """Whether there was anything new."""
        is_any = False
        for entry in entries:
            key = entry.token_id, entry.name
            issued_before, until = self._entries.get(key, (float("-inf"), now))
            is_new = entry.issued_before > issued_before
            is_longer = now + entry.left_s > until + _LONGER_S
            if entry.left_s <= 0 or not (is_new or is_longer):
                continue
            if key not in self._entries and len(self._entries) >= ENTRIES_MAX:
                continue
            self._entries[key] = max(entry.issued_before, issued_before), max(now + entry.left_s, until)
            self._digest = None if is_new else self._digest
            self._news.append(entry)
            is_any = True
        return is_any
