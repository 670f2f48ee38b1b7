"""Getting a log's contents from a peer's cache: a whole copy for a node that has nothing, a repair for one that lacks
what follows a position. For Kafka logs and mesh slots alike.

    asker                                   peer
      CacheAsk(after)  ------------------>    takes the log as it stands (export.py)
                       <------------------  CachePage(0), with the head; or CacheNo(why)
      CacheMore(1)     ------------------>
                       <------------------  CachePage(1) ... the last one says so

Rules:
- One page is on its way at a time: the asker asks for the next by its number when it has the one before. So nothing
  piles up anywhere, and a question or an answer that is lost is simply asked for again: the peer keeps its last page.
  Asking for the page behind the last one says that all has come.
- A peer that has been silent for `silence_s`, refuses, or dies is left for the next. A repair goes on there from where
  it stands. A copy begins anew: its first page is again the one with a head, and what came before it is void.
- A repair leaves nothing out, or is refused. What a copy leaves out is in its floors.
- At most `active_max` logs are asked for at once, the others wait their turn; a peer serves at most `served_max` and
  forgets an asker that has been silent for `forget_s`.

Not here: when to ask (feed/feed.py, slots/copying.py), what a page does to the cache (export.Import).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

import msgspec

from mesh.cache.cache import Log
from mesh.cache.export import Export, ExportLimits, LogHead, Part
from mesh.log import Position
from mesh.repeats import Repeats

UNKNOWN, BEHIND, INCOMPLETE, BUSY, SILENT = "unknown", "behind", "incomplete", "busy", "silent"
"""Why a peer does not serve: it does not hold the log, has nothing newer, has let go of some of it, serves others."""
PAGE_BYTES_MAX = 1 << 20


class CacheAsk(msgspec.Struct, array_like=True, tag="cache_ask", gc=False):
    """The sender wants this log: what follows `after`, or all of it (None)."""

    ticket: int
    log: str
    after: Position | None
    bytes: int = PAGE_BYTES_MAX
    """Of one page, at most, about."""


class CacheMore(msgspec.Struct, array_like=True, tag="cache_more", gc=False):
    """The sender wants this page of what it has asked for."""

    ticket: int
    number: int


class CachePage(msgspec.Struct, array_like=True, tag="cache_page", gc=False):
    """One page; `head` is on the first."""

    ticket: int
    number: int
    head: LogHead | None
    part: Part
    is_last: bool


class CacheNo(msgspec.Struct, array_like=True, tag="cache_no", gc=False):
    """The sender does not serve this ticket (any more)."""

    ticket: int
    why: str


StateTransferPacket: TypeAlias = CacheAsk | CacheMore | CachePage | CacheNo


class TransferPage(msgspec.Struct, frozen=True):
    """The next page of a log. With `head`: the first, of a copy that begins (again, if there was one before)."""

    log: str
    head: LogHead | None
    part: Part
    is_repair: bool


class TransferDone(msgspec.Struct, frozen=True):
    """That was the last page: the log is here up to `head.end`."""

    log: str
    head: LogHead
    is_repair: bool


class TransferFailed(msgspec.Struct, frozen=True):
    """No peer could serve; `why` of the last one, but "behind" only if all are.

    What came of a repair stands, what came of a copy is void.
    """

    log: str
    why: str
    is_repair: bool


StateTransferEvent: TypeAlias = TransferPage | TransferDone | TransferFailed

TICKETS_BITS = 20
"""Ticket numbers reserved for one start of a node, as a power of two: two starts do not share numbers."""

LogSource: TypeAlias = Callable[[str], "tuple[Log, Repeats | None] | None"]
"""What this node holds of a log, if all of it may be given to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTransferConfig:
    """Times in seconds."""

    again_s: float = 0.2
    """After this time a page that has not come is requested again."""
    silence_s: float = 0.5
    """After this time without a page another peer is asked."""
    forget_s: float = 5.0
    active_max: int = 8
    served_max: int = 64
    page_rows_max: int = 2_000


def first_ticket(boot: str) -> int:
    """The number before that of the first question that this start of a node asks."""
    return crc32(boot.encode()) << TICKETS_BITS


class _Asked:
    """A log that this node asks for."""

    __slots__ = ("after", "again_at", "head", "is_repair", "log", "number", "peers", "since", "ticket", "why")

    def __init__(self, log: str, after: Position | None, peers: list[str]) -> None:
        self.log = log
        self.after = after
        self.is_repair = after is not None
        self.peers = peers
        """Peers that are left to ask; the first is being asked."""
        self.ticket = 0
        """0 while it waits for its turn."""
        self.number = 0
        """Of the page that is awaited."""
        self.head: LogHead | None = None
        self.since = 0.0
        self.again_at = 0.0
        self.why = UNKNOWN


class _Served:
    """What a peer asks of this node."""

    __slots__ = ("boot", "export", "heard_at", "last", "ticket")

    def __init__(self, boot: str, ticket: int, export: Export, last: CachePage) -> None:
        self.boot = boot
        self.ticket = ticket
        self.export = export
        self.last = last
        """The page that was sent last: it is sent again if it was lost."""
        self.heard_at = 0.0


class StateTransfer:
    """Both ends, of all logs of a node."""

    def __init__(self, held: LogSource, config: StateTransferConfig, boot: str = "") -> None:
        """Begin.

        Args:
            boot: Of this start of the node: an answer to what an earlier one has asked must not pass for its own.
        """
        self._held = held
        self._config = config
        self._asked: dict[str, _Asked] = {}
        """By log, in order of asking."""
        self._tickets: dict[int, _Asked] = {}
        self._served: dict[tuple[str, int], _Served] = {}
        """By peer and its ticket."""
        self._ticket = first_ticket(boot)
        self._sends: list[tuple[str, StateTransferPacket]] = []
        self._events: list[StateTransferEvent] = []
        self.pages_received = 0

    # Inputs.

    def ask(self, now: float, log: str, after: Position | None, peers: Sequence[str]) -> None:
        """Get a log: a repair from `after` on, or a copy (None). Takes the place of an earlier question for it.

        Args:
            peers: In order of preference.
        """
        self.cancel(now, log)
        self._asked[log] = _Asked(log, after, list(dict.fromkeys(peers)))
        self._begin(now)

    def cancel(self, now: float, log: str) -> None:
        """It is not wanted any more. There will be no more events of it."""
        asked = self._asked.pop(log, None)
        if asked is not None:
            self._tickets.pop(asked.ticket, None)
            self._begin(now)

    def members(self, now: float, alive: Sequence[str]) -> None:
        """Who is alive."""
        for asked in [*self._tickets.values()]:
            if asked.peers[0] not in alive:
                self._next_peer(now, asked, SILENT)
        self._served = {key: one for key, one in self._served.items() if key[0] in alive}

    def receive(self, now: float, sender: str, boot: str, packet: StateTransferPacket) -> None:
        """A packet of a peer, from that start of it."""
        match packet:
            case CacheAsk():
                self._serve(now, sender, boot, packet)
            case CacheMore():
                self._serve_more(now, sender, boot, packet)
            case CachePage():
                self._take(now, sender, packet)
            case CacheNo():
                asked = self._tickets.get(packet.ticket)
                if asked is not None and asked.peers[0] == sender:
                    self._next_peer(now, asked, packet.why)

    def tick(self, now: float) -> None:
        """Ask again, or elsewhere; forget who is silent."""
        for asked in [*self._tickets.values()]:
            if now - asked.since >= self._config.silence_s:
                self._next_peer(now, asked, SILENT)
            elif now >= asked.again_at:
                self._send_question(now, asked)
        if self._served:
            old = now - self._config.forget_s
            self._served = {key: one for key, one in self._served.items() if one.heard_at > old}

    # Outputs.

    def take_sends(self) -> list[tuple[str, StateTransferPacket]]:
        """Packets with their destinations."""
        sends, self._sends = self._sends, []
        return sends

    def take_events(self) -> list[StateTransferEvent]:
        """Events since the last call, in order."""
        events, self._events = self._events, []
        return events

    # Questions.

    def is_asking(self, log: str) -> bool:
        """Whether a log is on its way, or waits for its turn."""
        return log in self._asked

    @property
    def asking_count(self) -> int:
        """Logs on their way."""
        return len(self._asked)

    @property
    def serving_count(self) -> int:
        """Askers that have not got all yet."""
        return len(self._served)

    # The asker.

    def _begin(self, now: float) -> None:
        """Ask peers for the logs that are next."""
        for asked in [*self._asked.values()]:
            if len(self._tickets) >= self._config.active_max:
                return
            if not asked.ticket and asked.log in self._asked:
                self._ask_peer(now, asked)

    def _ask_peer(self, now: float, asked: _Asked) -> None:
        """Begin with the first of the peers that are left."""
        self._tickets.pop(asked.ticket, None)
        if not asked.peers:
            del self._asked[asked.log]
            self._events.append(TransferFailed(asked.log, asked.why, asked.is_repair))
            return
        self._ticket += 1
        asked.ticket = self._ticket
        self._tickets[asked.ticket] = asked
        asked.number = 0
        asked.head = None
        asked.since = now
        self._send_question(now, asked)

    def _next_peer(self, now: float, asked: _Asked, why: str) -> None:
        if why != BEHIND or asked.why == UNKNOWN:
            asked.why = why
        del asked.peers[0]
        self._ask_peer(now, asked)
        self._begin(now)

    def _send_question(self, now: float, asked: _Asked) -> None:
        asked.again_at = now + self._config.again_s
        question: StateTransferPacket
        if asked.number:
            question = CacheMore(asked.ticket, asked.number)
        else:
            question = CacheAsk(asked.ticket, asked.log, asked.after)
        self._sends.append((asked.peers[0], question))

    def _take(self, now: float, sender: str, page: CachePage) -> None:
        asked = self._tickets.get(page.ticket)
        if asked is None or asked.peers[0] != sender or page.number != asked.number:
            return
        self.pages_received += 1
        if page.head is not None:
            asked.head = page.head
        assert asked.head is not None, "the first page has a head"
        asked.number += 1
        asked.since = now
        if asked.is_repair and page.part.entries:
            asked.after = page.part.entries[-1][1].at
        self._events.append(TransferPage(asked.log, page.head, page.part, asked.is_repair))
        if page.is_last:
            del self._tickets[asked.ticket], self._asked[asked.log]
            self._events.append(TransferDone(asked.log, asked.head, asked.is_repair))
            self._sends.append((sender, CacheMore(asked.ticket, asked.number)))
            self._begin(now)
        else:
            self._send_question(now, asked)

    # The peer that serves.

    def _serve(self, now: float, sender: str, boot: str, ask: CacheAsk) -> None:
        served = self._served.get((sender, ask.ticket))
        if served is not None and served.boot == boot:
            self._send_page(now, sender, served)
            return
        limits = ExportLimits(self._config.page_rows_max, min(ask.bytes, PAGE_BYTES_MAX))
        held = self._held(ask.log)
        if held is None:
            self._refuse(sender, ask.ticket, UNKNOWN)
        elif len(self._served) >= self._config.served_max:
            self._refuse(sender, ask.ticket, BUSY)
        elif ask.after is None:
            self._start(now, sender, boot, ask.ticket, Export.copy(*held, limits))
        elif held[0].end <= ask.after:
            self._refuse(sender, ask.ticket, BEHIND)
        elif (export := Export.repair(*held, ask.after, limits)) is None:
            self._refuse(sender, ask.ticket, INCOMPLETE)
        else:
            self._start(now, sender, boot, ask.ticket, export)

    def _start(self, now: float, sender: str, boot: str, ticket: int, export: Export) -> None:
        part, is_last = export.page()
        page = CachePage(ticket, 0, export.head, part, is_last)
        served = self._served[sender, ticket] = _Served(boot, ticket, export, page)
        self._send_page(now, sender, served)

    def _serve_more(self, now: float, sender: str, boot: str, more: CacheMore) -> None:
        served = self._served.get((sender, more.ticket))
        if served is None or served.boot != boot:
            self._refuse(sender, more.ticket, UNKNOWN)
        elif more.number == served.last.number:
            self._send_page(now, sender, served)
        elif more.number == served.last.number + 1 and not served.last.is_last:
            part, is_last = served.export.page()
            served.last = CachePage(more.ticket, more.number, None, part, is_last)
            self._send_page(now, sender, served)
        elif more.number == served.last.number + 1:
            del self._served[sender, more.ticket]

    def _send_page(self, now: float, sender: str, served: _Served) -> None:
        served.heard_at = now
        self._sends.append((sender, served.last))

    def _refuse(self, sender: str, ticket: int, why: str) -> None:
        self._sends.append((sender, CacheNo(ticket, why)))
