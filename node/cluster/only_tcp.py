"""Addresses of nodes that TCP reaches and UDP does not, as behind a firewall that was opened for TCP alone. A core.

Membership hears nothing from there, so no cluster forms and no link is made; a connection says that a node is there.

Not here: connections (greeting.py), who is not heard (mesh/membership/membership.py).
"""

from __future__ import annotations

from collections.abc import Collection

SILENT_S = 2.0
"""An address is tried after this time of silence; a node that has just started may need a moment."""
AGAIN_S = 2.0


def only_tcp_text(address: str) -> str:
    """For people."""
    return (
        f"UDP does not pass between this node and {address}, where TCP reaches a node: let UDP pass to its port and to "
        "that of this node, both ways (cluster.listen)"
    )


class OnlyTcp:
    """Which addresses to try by TCP, and what came of it."""

    def __init__(self) -> None:
        self._try_at: dict[str, float] = {}
        """When each address from which nothing is heard is tried next."""
        self._found: set[str] = set()

    @property
    def found(self) -> list[str]:
        """Those that only TCP reaches, sorted."""
        return sorted(self._found)

    def second(self, now: float, unheard: Collection[str]) -> list[str]:
        """Once a second: those to try now.

        Args:
            unheard: Addresses where a node is expected and from which nothing is heard by UDP.
        """
        for address in self._try_at.keys() - {*unheard}:
            del self._try_at[address]
            self._found.discard(address)
        for address in unheard:
            self._try_at.setdefault(address, now + SILENT_S)
        due = [address for address, at in self._try_at.items() if now >= at]
        self._try_at.update(dict.fromkeys(due, now + AGAIN_S))
        return sorted(due)

    def tried(self, address: str, is_there: bool) -> bool:
        """Whether a node answered by TCP; returns whether that is news of a trouble."""
        if address not in self._try_at:
            return False  # it was heard meanwhile
        is_news = is_there and address not in self._found
        if is_there:
            self._found.add(address)
        else:
            self._found.discard(address)
        return is_news
