"""Datagrams that only members of this cluster can make, and that count once.

    datagram = digest (16 bytes) + body       digest = BLAKE2b keyed with the cluster's key, over its name and the body
    body     = msgpack [kind, name, boot, generation, counter, to_boot, to_generation, payload]

A clock plays no part. Every process has a random boot; a receiver opens only what names its own, so that what was
recorded before its start is worthless, and of each sender's boot it opens every counter once (a window of 1,024 lets
datagrams overtake each other). Who does not know the receiver's boot asks for it and keeps the packet meanwhile:

    a                                    b
    | --- ask, counter 7 --------------> |
    | <-- who: I am b, boot x; you were boot y, counter 7
    | --- data for boot x, counter 8 --> |

The same answer comes to data that names another boot: b was started again. A `who` is believed once, by the process
whose boot and recent counter it echoes. Boots that are known from gossip save the question.

    notice   = "other key:" + digest      not sealed; tells a sender that this datagram of its could not be opened

A notice counts if it has the digest of one of our latest datagrams, and is never answered itself.

While keys are rotated there are two: the first makes digests, each opens.

Invariants:
- What has the wrong digest changes nothing but a counter of rejections and, if it has the form of a datagram, the list
  of strangers. It is answered with at most one notice, which is shorter.
- What has the right digest but does not name this boot is answered with one `who` (some 80 bytes), and changes nothing
  else.
- Memory is bounded. When too many sender boots have been seen to remember their counters, this receiver takes another
  generation, by which everything sent so far has become worthless.

Payloads are authentic, not secret. All members have the one key: a member can say it is another.

Not here: what payloads mean (link.py), keys' files (node/settings).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b
from hmac import compare_digest
from typing import Annotated

import msgspec

from mesh.membership.packets import Boot, Count, Name, Sender
from mesh.membership.strangers import Stranger

DATAGRAM_BYTES_MAX = 1_400
"""Fits an Ethernet frame with the headers of IPv6 and of a tunnel."""
DIGEST_BYTES = 16
WINDOW = 1_024
"""A datagram overtaken by so many others of its sender is dropped."""
BOOTS_MAX = 4_096
PEERS_MAX = 4_096
ECHOES = 1_024
"""A `who` may echo one of so many latest counters, a notice one of so many latest digests."""
NOTICE = b"other key:"
WRONG_DIGEST = "wrong_digest"


class _Kind(IntEnum):
    """The numbers are the protocol. Append only."""

    DATA = 0
    ASK = 1
    WHO = 2
    """`to_boot` and the payload, a number, are boot and counter of the datagram that it answers."""


class _Body(msgspec.Struct, array_like=True, frozen=True, gc=False):
    kind: _Kind
    name: Name
    boot: Boot
    generation: Count
    counter: Count
    to_boot: Annotated[str, msgspec.Meta(max_length=32)]
    """Empty in an ask."""
    to_generation: Count
    payload: Annotated[bytes, msgspec.Meta(max_length=DATAGRAM_BYTES_MAX)]


class _Window:
    """Which of one sender's counters have been seen."""

    __slots__ = ("_bits", "_highest")

    def __init__(self) -> None:
        self._highest = -1
        self._bits = 0
        """Bit i: `highest - i` has been seen."""

    def see(self, counter: int) -> str:
        """Empty if this is the first time; else why it does not count."""
        ahead = counter - self._highest
        if ahead > 0:
            self._bits = ((self._bits << ahead) | 1) & ((1 << WINDOW) - 1) if ahead < WINDOW else 1
            self._highest = counter
            return ""
        if -ahead >= WINDOW:
            return "too_old"
        if self._bits >> -ahead & 1:
            return "replayed"
        self._bits |= 1 << -ahead
        return ""


class _Peer:
    """What is known of who is at an address."""

    __slots__ = ("believed", "boot", "generation", "is_kept", "payload")

    def __init__(self) -> None:
        self.boot = ""
        """Empty: not known, ask."""
        self.generation = 0
        self.payload = b""
        """The last one for it."""
        self.is_kept = False
        """Whether that waits for an answer."""
        self.believed = -1
        """Answers that echo a counter up to this one are over."""


class SealStats(msgspec.Struct):
    """Counters since the start."""

    sealed: int = 0
    opened: int = 0
    asked: int = 0
    answered: int = 0
    resent: int = 0
    """Payloads sent (again) when the receiver's boot became known."""
    generations: int = 0


class Seal:
    """Seals payloads for addresses and opens datagrams. Does no I/O, reads no clock."""

    def __init__(self, key: bytes, cluster: str, name: str, boot: str, accepted: Sequence[bytes] = ()) -> None:
        """Begin.

        Args:
            key: Seals, and opens.
            accepted: Other keys that open.
        """
        self._hasher = _hasher(key, cluster)
        self._hashers = [self._hasher, *(_hasher(other, cluster) for other in accepted)]
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Body).decode
        self.name = name
        self.boot = boot
        self.stats = SealStats()
        self.rejected: Counter[str] = Counter()
        """Datagrams that were not opened, by reason."""
        self._generation = 0
        self._counter = 0
        self._asked: list[tuple[int, str]] = [(-1, "")] * ECHOES
        """The counters of the latest datagrams and where they went, by counter modulo the length."""
        self._peers: dict[str, _Peer] = {}
        self._windows: dict[str, _Window] = {}
        """By the sender's boot."""
        self._sends: list[tuple[str, bytes]] = []
        self._digests: dict[bytes, str] = {}
        """Of the latest datagrams, and where they went; in the order of sending."""
        self._stranger: Stranger | None = None

    # Inputs.

    def send(self, address: str, payload: bytes) -> None:
        """Seal a payload for the member at an address; while its boot is unknown, ask for it and keep the latest."""
        peer = self._peer(address)
        peer.payload = payload
        if peer.boot:
            self._send_data(address, peer)
            return
        peer.is_kept = True
        self.stats.asked += 1
        self._send(address, _Kind.ASK, "", 0, b"")

    def learn(self, address: str, boot: str) -> None:
        """Others say that the process at this address has this boot."""
        peer = self._peer(address)
        if peer.boot != boot:
            peer.boot, peer.generation = boot, 0

    def receive(self, address: str, datagram: bytes) -> tuple[Sender, bytes] | None:
        """A datagram has come: who says what, if it is to count. Take the sends in any case."""
        if datagram.startswith(NOTICE):
            self._noticed(datagram[len(NOTICE) :])
            return None
        body = self._open(datagram)
        if isinstance(body, str):
            self.rejected[body] += 1
            if body == WRONG_DIGEST:
                self._suspect(address, datagram)
            return None
        if body.kind is _Kind.WHO:
            self._learn_from(body)
            return None
        if body.kind is _Kind.ASK or (body.to_boot, body.to_generation) != (self.boot, self._generation):
            if body.kind is _Kind.DATA:
                self.rejected["other_boot"] += 1
            self.stats.answered += 1
            self._send(address, _Kind.WHO, body.boot, 0, body.counter.to_bytes(8, "big"))
            return None
        why_not = self._window(body.boot).see(body.counter)
        if why_not:
            self.rejected[why_not] += 1
            return None
        self.stats.opened += 1
        peer = self._peer(address)
        peer.boot, peer.generation = body.boot, body.generation
        return Sender(body.name, body.boot, address), body.payload

    def notify(self, stranger: Stranger) -> None:
        """Tell a stranger that its datagram was not opened."""
        self._sends.append((stranger.address, NOTICE + stranger.refused))

    # Outputs.

    def take_sends(self) -> list[tuple[str, bytes]]:
        sends, self._sends = self._sends, []
        return sends

    def take_stranger(self) -> Stranger | None:
        """Whom the last datagram came from, if it shows that they have another key or another cluster's name."""
        stranger, self._stranger = self._stranger, None
        return stranger

    # Private.

    def _suspect(self, address: str, datagram: bytes) -> None:
        """A datagram of the right form with a wrong digest: of another cluster, or changed on its way."""
        try:
            self._decode(datagram[DIGEST_BYTES:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        self._stranger = Stranger(address, datagram[:DIGEST_BYTES])

    def _noticed(self, refused: bytes) -> None:
        address = self._digests.get(refused)
        if address is None:
            self.rejected["unasked"] += 1
        else:
            self._stranger = Stranger(address)

    def _open(self, datagram: bytes) -> _Body | str:
        if len(datagram) > DATAGRAM_BYTES_MAX:
            return "too_long"
        body = datagram[DIGEST_BYTES:]
        if not any(compare_digest(datagram[:DIGEST_BYTES], _digest(hasher, body)) for hasher in self._hashers):
            return WRONG_DIGEST
        try:
            return self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return "malformed"

    def _learn_from(self, who: _Body) -> None:
        """Believe a `who` that answers one of our latest datagrams, unless a later one was answered already."""
        counter = int.from_bytes(who.payload, "big")
        asked, address = self._asked[counter % ECHOES]
        peer = self._peers.get(address)
        if who.to_boot != self.boot or asked != counter or peer is None or counter <= peer.believed:
            self.rejected["unasked"] += 1
            return
        peer.believed = self._counter - 1
        is_other = (peer.boot, peer.generation) != (who.boot, who.generation)
        peer.boot, peer.generation = who.boot, who.generation
        if peer.is_kept or is_other:
            self.stats.resent += 1
            self._send_data(address, peer)

    def _window(self, boot: str) -> _Window:
        window = self._windows.get(boot)
        if window is None:
            if len(self._windows) >= BOOTS_MAX:
                self._windows.clear()
                self._generation += 1
                self.stats.generations += 1
            window = self._windows[boot] = _Window()
        return window

    def _peer(self, address: str) -> _Peer:
        peer = self._peers.get(address)
        if peer is None:
            if len(self._peers) >= PEERS_MAX:
                del self._peers[next(iter(self._peers))]
            peer = self._peers[address] = _Peer()
        return peer

    def _send_data(self, address: str, peer: _Peer) -> None:
        peer.is_kept = False
        self.stats.sealed += 1
        self._send(address, _Kind.DATA, peer.boot, peer.generation, peer.payload)

    def _send(self, address: str, kind: _Kind, to_boot: str, to_generation: int, payload: bytes) -> None:
        counter = self._counter
        self._counter += 1
        self._asked[counter % ECHOES] = (counter, address)
        body = self._encode(
            (kind, self.name, self.boot, self._generation, counter, to_boot, to_generation, payload),
        )
        digest = _digest(self._hasher, body)
        self._sends.append((address, digest + body))
        self._digests[digest] = address
        if len(self._digests) > ECHOES:
            del self._digests[next(iter(self._digests))]


def _hasher(key: bytes, cluster: str) -> blake2b:
    """What digests begin with."""
    assert key
    # A key of any length, used for nothing else.
    hasher = blake2b(key=blake2b(key, digest_size=32, person=b"whimbrel swim").digest(), digest_size=DIGEST_BYTES)
    named = cluster.encode()
    hasher.update(len(named).to_bytes(4, "big") + named)
    return hasher


def _digest(begun: blake2b, body: bytes) -> bytes:
    hasher = begun.copy()
    hasher.update(body)
    return hasher.digest()
