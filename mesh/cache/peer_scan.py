"""What this node's cache has let go of, asked of the peers' caches before Kafka is asked.

Nodes let go at different times: a subject that is still whole at one is not at another, and a node that joined
lately has less. Whether a cache can answer for a stretch of a subject is decided by `Log.reaches`, as for this
node's own readers.

Rules:
- A peer answers with all entries of the subject after `after` up to `reached`, or not at all.
- The living peers are asked one after the other, `wait_s` each, `peers_max` at most. None has it: `NotHeld`.

Not here: who asks, and what comes after (node/backfill/backfill.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import msgspec

from mesh.cache.cache import Log, size_of
from mesh.cache.state_transfer import first_ticket
from mesh.log import Entry, Position
from mesh.subject import is_pattern

ENTRIES_MAX = 5_000
"""On one answer, whatever was asked for."""
BYTES_MAX = 4 << 20


class ScanAsk(msgspec.Struct, array_like=True, tag="scan_ask", gc=False):
    """Wants the entries of a subject or pattern after `after`, up to and including `until`."""

    ticket: int
    log: str
    subject: str
    after: Position
    until: Position
    most: int
    bytes: int


class ScanAnswer(msgspec.Struct, array_like=True, tag="scan_answer", gc=False):
    """All that there is after `after` up to and including `reached`, which is short of `until` if that is too much."""

    ticket: int
    found: list[tuple[str, Entry]]
    reached: Position


class ScanNo(msgspec.Struct, array_like=True, tag="scan_no", gc=False):
    """The sender's cache does not reach there."""

    ticket: int


PeerScanPacket: TypeAlias = ScanAsk | ScanAnswer | ScanNo


class PeerScanned(msgspec.Struct, frozen=True):
    """Answers a question: as `ScanAnswer`."""

    ticket: int
    found: list[tuple[str, Entry]]
    reached: Position


class NotHeld(msgspec.Struct, frozen=True):
    """No peer can answer."""

    ticket: int


PeerScanEvent: TypeAlias = PeerScanned | NotHeld


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerScanConfig:
    """Patience."""

    wait_s: float = 0.3
    """For one peer."""
    peers_max: int = 3


class _Asked:
    __slots__ = ("ask", "left_at", "peers", "ticket")

    def __init__(self, ticket: int, ask: ScanAsk, peers: list[str]) -> None:
        self.ticket = ticket
        """The caller's."""
        self.ask = ask
        self.peers = peers
        """The first is being asked."""
        self.left_at = 0.0


class PeerScan:
    """Both ends."""

    def __init__(self, held: Callable[[str], Log | None], config: PeerScanConfig, boot: str = "") -> None:
        """Begin.

        Args:
            held: A log of this node's cache, if others may be answered from it.
            boot: Of this start of the node: an answer to what an earlier one has asked must not pass for its own.
        """
        self._held = held
        self._config = config
        self._asked: dict[int, _Asked] = {}
        """By our own ticket: another for every peer, so that late answers are told apart."""
        self._number = first_ticket(boot)
        self._sends: list[tuple[str, PeerScanPacket]] = []
        self._events: list[PeerScanEvent] = []
        self.answered = 0
        self.refused = 0

    # Inputs.

    def ask(
        self,
        now: float,
        ticket: int,
        log: str,
        subject: str,
        after: Position,
        until: Position,
        most: int,
        bytes_max: int,
        peers: Sequence[str],
    ) -> None:
        """Ask peers, in this order. `ticket` is on the answer."""
        ask = ScanAsk(0, log, subject, after, until, most, bytes_max)
        self._next(now, _Asked(ticket, ask, list(peers[: self._config.peers_max])))

    def cancel(self, ticket: int) -> None:
        """The answer is not wanted any more."""
        self._asked = {number: one for number, one in self._asked.items() if one.ticket != ticket}

    def members(self, now: float, alive: Sequence[str]) -> None:
        """Who is alive."""
        for asked in [*self._asked.values()]:
            if asked.peers[0] not in alive:
                self._give_up(now, asked)

    def receive(self, now: float, sender: str, packet: PeerScanPacket) -> None:
        """A packet of a peer."""
        if isinstance(packet, ScanAsk):
            self._answer(sender, packet)
            return
        asked = self._asked.get(packet.ticket)
        if asked is None or asked.peers[0] != sender:
            return
        if isinstance(packet, ScanNo) or packet.reached <= asked.ask.after:
            self._give_up(now, asked)
        else:
            del self._asked[packet.ticket]
            self._events.append(PeerScanned(asked.ticket, packet.found, packet.reached))

    def tick(self, now: float) -> None:
        """Leave peers that do not answer."""
        for asked in [*self._asked.values()]:
            if now >= asked.left_at:
                self._give_up(now, asked)

    # Outputs.

    def take_sends(self) -> list[tuple[str, PeerScanPacket]]:
        """Packets with their destinations."""
        sends, self._sends = self._sends, []
        return sends

    def take_events(self) -> list[PeerScanEvent]:
        """Answers."""
        events, self._events = self._events, []
        return events

    # Private.

    def _give_up(self, now: float, asked: _Asked) -> None:
        del self._asked[asked.ask.ticket], asked.peers[0]
        self._next(now, asked)

    def _next(self, now: float, asked: _Asked) -> None:
        if not asked.peers:
            self._events.append(NotHeld(asked.ticket))
            return
        self._number += 1
        asked.ask = msgspec.structs.replace(asked.ask, ticket=self._number)
        asked.left_at = now + self._config.wait_s
        self._asked[self._number] = asked
        self._sends.append((asked.peers[0], asked.ask))

    def _answer(self, sender: str, ask: ScanAsk) -> None:
        log = self._held(ask.log)
        if log is None or not _answers(log, ask):
            self.refused += 1
            self._sends.append((sender, ScanNo(ask.ticket)))
            return
        self.answered += 1
        most = max(1, min(ask.most, ENTRIES_MAX))
        found, reached = gather(log, ask.subject, ask.after, ask.until, most, min(ask.bytes, BYTES_MAX))
        self._sends.append((sender, ScanAnswer(ask.ticket, found, reached)))


def _answers(log: Log, ask: ScanAsk) -> bool:
    """Whether a log has all that is asked for. What Kafka has lost, Kafka is to say."""
    if log.end <= ask.after or ask.until <= ask.after:
        return False
    return log.reaches(ask.subject, ask.after) and log.truncation(ask.after) is None


def gather(
    log: Log, subject: str, after: Position, until: Position, most: int, bytes_max: int
) -> tuple[list[tuple[str, Entry]], Position]:
    """Entries after one position up to another, at least one if there is one, and up to where these are all."""
    if is_pattern(subject):
        found, reached = log.after_matching(subject, after, most)
    else:
        entries = log.after(subject, after)
        found = [(subject, entry) for entry in islice(entries, most)]
        reached = log.end if len(entries) <= most else found[-1][1].at
    if reached > until:
        found = [pair for pair in found if pair[1].at <= until]
        reached = until
    size = 0
    for count, (_, entry) in enumerate(found):
        size += size_of(entry)
        if size > bytes_max and count:
            return found[:count], found[count - 1][1].at
    return found, reached
