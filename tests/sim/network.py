"""The network between the machines: every packet leaves as bytes and arrives as bytes, late, twice, or not at all.

A *cut* is one-way: nothing of the sender reaches the receiver. A *clogged* link keeps everything until it is free.
Three channels: "zmq" has messages of mesh/transport/wire.py, and is TCP, which does not pass where one direction is
cut; "udp" has sealed datagrams, "datagram" what is for slots in datagrams.

Not here: what is in the bytes (machines/node.py), the lines of clients (apps/line.py).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.sim.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How bad it is. Times in seconds."""

    delay_min_s: float
    delay_mean_s: float
    """On top of that, exponential."""
    loss: float
    duplicate: float
    late: float
    """The share that comes up to `late_max_s` later: out of a queue that nobody looked after."""
    late_max_s: float
    keeps_order: bool


CALM = Traffic(
    delay_min_s=0.0005, delay_mean_s=0.001, loss=0.0, duplicate=0.0, late=0.0, late_max_s=0.0, keeps_order=True
)
"""What the healed part gets."""

Deliver = Callable[[str, str, str, str, bytes], None]
"""(receiver, sender, the sender's boot, channel, bytes)"""


class SimNetwork:
    """All links."""

    def __init__(self, schedule: Schedule, traffic: Traffic, rng: Random, deliver: Deliver) -> None:
        self.traffic = traffic
        self.cuts: dict[tuple[str, str], None] = {}
        self.clogs: dict[tuple[str, str], float] = {}
        """Until when."""
        self.slow_s: dict[str, float] = {}
        """What reaches these machines takes so much longer."""
        self.cuts_at_once = False
        """What is on its way on a link that is cut does not arrive."""
        self.counts: Counter[str] = Counter()
        self.digest = 0
        """Of all that arrived: two runs of one seed have the same."""
        self._schedule = schedule
        self._rng = rng
        self._deliver = deliver
        self._speeds: dict[tuple[str, str], float] = {}
        self._last_at: dict[tuple[str, str], float] = {}

    def send(self, sender: str, boot: str, to: str, channel: str, data: bytes) -> None:
        """Bytes leave."""
        traffic, rng, link = self.traffic, self._rng, (sender, to)
        if link in self.cuts or (channel == "zmq" and (to, sender) in self.cuts):
            self.counts["packets cut"] += 1
            return
        if traffic.loss and rng.random() < traffic.loss:
            self.counts["packets lost"] += 1
            return
        self._arrive_later(link, boot, channel, data)
        if traffic.duplicate and rng.random() < traffic.duplicate:
            self.counts["packets doubled"] += 1
            self._arrive_later(link, boot, channel, data)

    def _arrive_later(self, link: tuple[str, str], boot: str, channel: str, data: bytes) -> None:
        traffic, rng = self.traffic, self._rng
        speed = self._speeds.get(link)
        if speed is None:
            speed = self._speeds[link] = rng.choice([0.5, 1.0, 1.0, 3.0])
        at = self._schedule.now + traffic.delay_min_s + rng.expovariate(1.0) * traffic.delay_mean_s * speed
        if self.slow_s:
            at += self.slow_s.get(link[1], 0.0)
        if traffic.late and rng.random() < traffic.late:
            self.counts["packets late"] += 1
            at += rng.random() * traffic.late_max_s
        elif traffic.keeps_order:
            at = self._last_at[link] = max(at, self._last_at.get(link, 0.0))
        if self.clogs and self.clogs.get(link, 0.0) > at:
            self.counts["packets clogged"] += 1
            at = self.clogs[link]
        self._schedule.at(at, self._arrive, link, boot, channel, data)

    def _arrive(self, link: tuple[str, str], boot: str, channel: str, data: bytes) -> None:
        if self.cuts_at_once and link in self.cuts:
            return
        self.digest = zlib.crc32(data, self.digest)
        self._deliver(link[1], link[0], boot, channel, data)

    # What is done to it.

    def cut(self, sender: str, to: str) -> None:
        self.cuts[sender, to] = None

    def heal(self) -> None:
        """All links work again."""
        self.cuts.clear()
        self.clogs.clear()
        self.slow_s.clear()


def url_of(name: str) -> str:
    """Where clients reach a node."""
    return f"ws://{name}:8080/v1/ws"
