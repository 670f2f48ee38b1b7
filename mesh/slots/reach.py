"""Who hears whom among the nodes, and how to reach one that does not hear this one.

Every node sends a beacon ten times a second. Who gets none of a living node's is *deaf* to it, and says so in its own
beacons; whoever hears that passes it on, so all know all links that are missing (as in link-state routing, OSPF,
RFC 2328). What is for a node that is deaf to this one goes through one that hears this one and that it hears, or
through several. So with a majority of voters connected by any path slots go on as if all links were there; nothing
moves, and nothing moves back.

Rules:
- A link counts as missing after DEAF_S, and as there again only after it was well for WELL_S.
- While all links are there, nothing of this is sent.
- Only voters pass on what others say: whoever passes something on could forge it.

Not here: what is sent (slots.py), who is alive (membership/membership.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import msgspec

from mesh.slots.slot import NEVER, NodeName

DEAF_S = 0.4
WELL_S = 1.0
SHOWN_S = 2.0
"""A link that is missing for so long is worth telling people: on a busy machine a beacon may just be late."""
FORGET_S = 1.5
"""What a node said is forgotten when it was not said again for so long."""
STEP_S_MAX = 0.2
"""A node that stood still for longer has heard nobody and is to blame itself: that time does not count."""


class Deafness(msgspec.Struct, array_like=True, gc=False):
    """The living nodes that `node` does not hear. `number` rises with each beacon of that start (`boot`) of it."""

    node: NodeName
    boot: str
    number: int
    deaf_to: list[NodeName]


class Relayed(msgspec.Struct, array_like=True, tag="relayed", gc=False):
    """Packets of `origin`, that start of it, on their way: to the first of `route`, from there to the next."""

    route: list[NodeName]
    origin: NodeName
    boot: str
    payload: bytes


class _Heard:
    __slots__ = ("at", "boot", "seen_at", "well_since")

    def __init__(self, now: float) -> None:
        self.boot = ""
        self.at = now
        """When a beacon came directly, or the node became alive."""
        self.seen_at = NEVER
        """When one came, by whatever way."""
        self.well_since = NEVER


class Reach:
    """What one node knows of the links. Time is that in which this node ran."""

    def __init__(self, me: NodeName, boot: str, voters: Collection[NodeName]) -> None:
        self._me = me
        self._boot = boot
        self._voters = voters
        self._heard: dict[NodeName, _Heard] = {}
        """Of the living nodes but this one."""
        self._deaf_to: dict[NodeName, None] = {}
        self._said: dict[NodeName, tuple[float, Deafness]] = {}
        """Of other nodes, and when it was heard last."""
        self._missing: dict[tuple[NodeName, NodeName], float] = {}
        """(speaker, listener), and since when."""
        self._number = 0
        self._ran = 0.0
        self._ticked_at: float | None = None

    # Inputs.

    def members(self, alive: Collection[NodeName]) -> None:
        """Who is alive."""
        self._heard = {name: self._heard.get(name) or _Heard(self._ran) for name in alive if name != self._me}
        self._deaf_to = {name: None for name in self._deaf_to if name in self._heard}
        self._said = {name: said for name, said in self._said.items() if name in self._heard}

    def hear(self, sender: NodeName, boot: str, rows: list[Deafness], is_direct: bool) -> None:
        """A beacon of another node, from that start of it."""
        heard = self._heard.get(sender)
        if heard is not None:
            heard.seen_at = self._ran
            if is_direct:
                if heard.boot != boot:  # an earlier start was silent because it was gone
                    heard.boot = boot
                    self._deaf_to.pop(sender, None)
                elif self._ran - heard.at > DEAF_S:
                    heard.well_since = self._ran
                heard.at = self._ran
        for row in rows:
            known = self._said.get(row.node)
            is_own = is_direct and row.node == sender
            if known is None or (is_own and known[1].boot != row.boot):
                is_newer = True
            else:  # what is said of an earlier start is just not said again
                is_newer = known[1].boot == row.boot and row.number > known[1].number
            if row.node in self._heard and is_newer:
                self._said[row.node] = (self._ran, row)

    def tick(self, now: float) -> None:
        """Time goes on; about every 50 ms."""
        if self._ticked_at is not None:
            self._ran += min(max(0.0, now - self._ticked_at), STEP_S_MAX)
        self._ticked_at = now
        for name, heard in self._heard.items():
            if self._ran - heard.at > DEAF_S:
                self._deaf_to[name] = None
            elif self._ran - heard.well_since >= WELL_S:
                self._deaf_to.pop(name, None)
        if self._said:
            self._said = {name: one for name, one in self._said.items() if self._ran - one[0] <= FORGET_S}
        if self._deaf_to or self._said or self._missing:
            self._missing = {pair: self._missing.get(pair, self._ran) for pair in self._deaf_pairs()}

    # Outputs.

    def rows(self) -> list[Deafness]:
        """What the next beacon says of missing links."""
        said = [row for _, row in self._said.values()]
        if self._deaf_to:
            self._number += 1
            said.append(Deafness(self._me, self._boot, self._number, list(self._deaf_to)))
        return said

    # Questions.

    @property
    def missing_links(self) -> list[tuple[NodeName, NodeName]]:
        """(speaker, listener): the listener has not heard the speaker for SHOWN_S, and both are alive."""
        return sorted(pair for pair, since in self._missing.items() if self._ran - since >= SHOWN_S)

    def is_reached(self, name: NodeName) -> bool:
        """Whether a node was heard lately, by whatever way."""
        heard = self._heard.get(name)
        return name == self._me or (heard is not None and self._ran - heard.seen_at <= WELL_S)

    def detours(self) -> dict[NodeName, list[NodeName]]:
        """The nodes that do not hear this one directly but could by others: the route there, the node itself last."""
        deaf = [name for name, (_, row) in self._said.items() if self._me in row.deaf_to]
        return {name: route for name in deaf if (route := self._route(name))} if deaf else {}

    def _deaf_pairs(self) -> list[tuple[NodeName, NodeName]]:
        found = [(name, self._me) for name in self._deaf_to]
        for listener, (_, row) in self._said.items():
            found += [(name, listener) for name in row.deaf_to if name == self._me or name in self._heard]
        return found

    def _route(self, to: NodeName) -> list[NodeName]:
        """The shortest, in the order of names; empty if there is none."""
        came_from: dict[NodeName, NodeName] = {self._me: ""}
        waiting = deque([self._me])
        while waiting:
            speaker = waiting.popleft()
            if speaker == to:
                route = []
                while speaker != self._me:
                    route.append(speaker)
                    speaker = came_from[speaker]
                return route[::-1]
            for listener in sorted(self._heard):
                if listener not in came_from and (listener == to or listener in self._voters):
                    said = self._said.get(listener)
                    if said is None or speaker not in said[1].deaf_to:
                        came_from[listener] = speaker
                        waiting.append(listener)
        return []
