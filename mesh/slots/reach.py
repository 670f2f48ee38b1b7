"""Who hears whom among the nodes, and how to reach one that does not hear this one.

Every node sends a beacon ten times a second. Who gets none of a living node's is *deaf* to it, and says so in its own
beacons; whoever hears that passes it on, so all know all links that are missing (as in link-state routing, OSPF,
RFC 2328). What is for a node that is deaf to this one goes through one that hears this one and that it hears, or
through several. So with a majority of voters connected by any path slots go on as if all links were there; nothing
moves, and nothing moves back.

Where packets pass one way only, TCP passes none. So between nodes of which one is deaf to the other there are
datagrams, *hellos*, that say the same as beacons do. A node that hears the hellos of one that it is deaf to hears it
*faintly*: a link for datagrams. It is used where no other way is left.

Rules:
- A link counts as missing after DEAF_S, and as there again only after it was well for WELL_S.
- While all links are there, nothing of this is sent.
- Only voters pass on what others say: whoever passes something on could forge it.

Not here: what is sent (slots.py), who is alive (membership/membership.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import pairwise

import msgspec

from mesh.slots.slot import NEVER, NodeName

DEAF_S = 0.4
WELL_S = 1.0
SHOWN_S = 2.0
"""A link that is missing for this time is reported: on a busy machine a beacon may just be late."""
FORGET_S = 1.5
"""A node's report is forgotten when it is not repeated for this time."""
STARTS_MAX = 8
"""Starts of one node that are told apart."""
STEP_S_MAX = 0.2
"""A node that was itself paused for longer could not hear anyone: that time does not count as silence of others."""


class Deafness(msgspec.Struct, array_like=True, gc=False):
    """The living nodes that `node` does not hear. `number` rises with each beacon of that start (`boot`) of it."""

    node: NodeName
    boot: str
    number: int
    deaf_to: list[NodeName]
    faint: list[NodeName] = []
    """Those among them whose datagrams it hears."""


class LinkHello(msgspec.Struct, array_like=True, tag="link_hello", gc=False):
    """A datagram that says the same of links as a beacon does."""

    deaf: list[Deafness]


class Relayed(msgspec.Struct, array_like=True, tag="relayed", gc=False):
    """Packets of `origin`, that start of it, on their way: to the first of `route`, from there to the next."""

    route: list[NodeName]
    origin: NodeName
    boot: str
    payload: bytes


class _Heard:
    __slots__ = ("at", "boot", "hello_at", "seen_at", "well_since")

    def __init__(self, now: float) -> None:
        self.boot = ""
        self.at = now
        """When a beacon came directly, or the node became alive."""
        self.hello_at = NEVER
        """When a hello came."""
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
        self._numbers: dict[NodeName, dict[str, int]] = {}
        """Of each start of a node the highest number that was heard: what was forgotten is still said by others."""
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
        self._learn(rows, sender if is_direct else "")

    def hear_hello(self, sender: NodeName, rows: list[Deafness]) -> None:
        """A hello of another node, of that start of it that is alive."""
        heard = self._heard.get(sender)
        if heard is not None:
            heard.hello_at = heard.seen_at = self._ran
            self._learn(rows, sender)

    def _learn(self, rows: list[Deafness], speaker: NodeName) -> None:
        """What a node says of links; `speaker`: whose own word this is, if it is anybody's."""
        for row in rows:
            known = self._said.get(row.node)
            is_own = row.node == speaker
            if known is None or (is_own and known[1].boot != row.boot):
                is_newer = True
            else:  # what is said of an earlier start is just not said again
                is_newer = known[1].boot == row.boot and row.number > known[1].number
            numbers = self._numbers.setdefault(row.node, {})
            if row.node in self._heard and is_newer and row.number > numbers.get(row.boot, 0):
                numbers.pop(row.boot, None)
                numbers[row.boot] = row.number
                while len(numbers) > STARTS_MAX:
                    del numbers[next(iter(numbers))]
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
            faint = [name for name in self._deaf_to if self._ran - self._heard[name].hello_at <= DEAF_S]
            said.append(Deafness(self._me, self._boot, self._number, list(self._deaf_to), faint))
        return said

    # Questions.

    @property
    def missing_links(self) -> list[tuple[NodeName, NodeName]]:
        """(speaker, listener): the listener has not heard the speaker for SHOWN_S, and both are alive."""
        return sorted(pair for pair, since in self._missing.items() if self._ran - since >= SHOWN_S)

    @property
    def is_whole(self) -> bool:
        """Whether every node hears every other, as far as is known here."""
        return not self._missing

    def is_reached(self, name: NodeName) -> bool:
        """Whether a node was heard lately, by whatever way."""
        heard = self._heard.get(name)
        return name == self._me or (heard is not None and self._ran - heard.seen_at <= WELL_S)

    def detours(self) -> dict[NodeName, list[NodeName]]:
        """The nodes that do not hear this one well but could by others, or faintly: the route, the node itself last."""
        found = {}
        for name in self._deaf_to_me():
            route = self._route(name, by_faint=False) or self._route(name, by_faint=True)
            if route:
                found[name] = route
        return found

    def greeted(self) -> list[NodeName]:
        """Whom to send hellos: the nodes to or from which a link is missing."""
        return sorted({*self._deaf_to, *self._deaf_to_me()})

    def boot_of(self, name: NodeName) -> str:
        """The start of a node that has said of itself whom it does not hear; empty if it has not."""
        said = self._said.get(name)
        return said[1].boot if said is not None else ""

    def is_deaf(self, listener: NodeName, speaker: NodeName = "") -> bool:
        """Whether the listener says that it does not hear the speaker (default: this node), except faintly."""
        said = self._said.get(listener)
        return said is not None and (speaker or self._me) in said[1].deaf_to

    def is_faint(self, route: list[NodeName]) -> bool:
        """Whether a link of this route is one for datagrams."""
        return any(self.is_deaf(listener, speaker) for speaker, listener in pairwise([self._me, *route]))

    def _deaf_to_me(self) -> list[NodeName]:
        return [name for name, (_, row) in self._said.items() if self._me in row.deaf_to]

    def _deaf_pairs(self) -> list[tuple[NodeName, NodeName]]:
        found = [(name, self._me) for name in self._deaf_to]
        for listener, (_, row) in self._said.items():
            found += [(name, listener) for name in row.deaf_to if name == self._me or name in self._heard]
        return found

    def _route(self, to: NodeName, by_faint: bool) -> list[NodeName]:
        """The shortest, in the order of names; empty if there is none. `by_faint`: also by links for datagrams."""
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
                    is_missing = said is not None and speaker in said[1].deaf_to
                    if not is_missing or (by_faint and said is not None and speaker in said[1].faint):
                        came_from[listener] = speaker
                        waiting.append(listener)
        return []
