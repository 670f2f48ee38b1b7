"""Membership as golden transcripts: who says what to whom, and what everybody then believes."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from loadtest.mesh.membership_simulated import Cluster, Weather, name_at
from mesh.membership.link import decode_packet
from mesh.membership.packets import (
    Ack,
    Carried,
    Claim,
    MemberChanged,
    MembershipEvent,
    MembershipPacket,
    MemberState,
    Nack,
    NameTaken,
    Ping,
    PingReq,
    PushPull,
)
from mesh.membership.seal import DIGEST_BYTES
from tests.mesh.transcript import Transcript


def said(claim: Claim) -> str:
    by = f" by {claim.by}" if claim.state in (MemberState.SUSPECT, MemberState.DEAD) else ""
    return f"{claim.name} {claim.state.word}@{claim.incarnation}{by}"


def packet_text(packet: MembershipPacket) -> str:
    match packet:
        case Ping():
            text = f"ping #{packet.seq} {packet.target}"
        case Ack():
            text = f"ack #{packet.seq}"
        case PingReq():
            text = f"ping_req #{packet.seq} {packet.target}"
        case Nack():
            text = f"nack #{packet.seq}"
        case PushPull():
            text = f"push_pull #{packet.token}{' asks' if packet.asks else ''}"
        case _:
            text = "gossip"
    return text + (f" [{', '.join(map(said, packet.gossip))}]" if packet.gossip else "")


def datagram_text(datagram: bytes) -> str:
    kind, _, boot, _, counter, to_boot, _, payload = msgspec.msgpack.decode(datagram[DIGEST_BYTES:])
    if kind == 1:
        return f"ask ({boot}, {counter})"
    if kind == 2:
        return f"who ({boot}) to ({to_boot}, {int.from_bytes(payload, 'big')})"
    packet = decode_packet(payload)
    assert packet is not None
    assert not isinstance(packet, Carried)
    return packet_text(packet)


def event_text(event: MembershipEvent) -> str:
    match event:
        case MemberChanged():
            was = "" if event.previous is None else f" (was {event.previous.word})"
            meta = f" meta {event.meta.decode()}" if event.meta else ""
            return f"{event.name} is {event.state.word}@{event.incarnation}, boot {event.boot}{meta}{was}"
        case NameTaken():
            return f"my name is taken by boot {event.boot} at {event.address}"


class Script:
    """Commands on a simulated cluster with a constant delay.

    Commands: start NAME [JOIN], kill NAME, leave NAME, pause NAME, resume NAME, cut A B, split A,B, heal,
    meta NAME TEXT, packets (from now on packets are shown), events (only events), run SECONDS, members.
    """

    def __init__(self) -> None:
        self.cluster = Cluster(1, Weather(delay_min_s=0.002, delay_mean_s=0.0))
        self.lines: list[str] = []
        self.shows_packets = False
        self.cluster.tap = self._tap
        self.seen = 0

    def execute(self, command: str) -> Iterable[str]:
        self.lines = []
        word, *rest = command.split()
        getattr(self, f"do_{word}")(*rest)
        self._events()
        return self.lines

    def do_start(self, name: str, join: str = "") -> None:
        self.cluster.start(name, [join] if join else [])

    def do_kill(self, name: str) -> None:
        self.cluster.kill(name)

    def do_leave(self, name: str) -> None:
        self.cluster.leave(name)

    def do_pause(self, name: str) -> None:
        self.cluster.pause(name)

    def do_resume(self, name: str) -> None:
        self.cluster.resume(name)

    def do_cut(self, sender: str, receiver: str) -> None:
        self.cluster.cut(sender, receiver)

    def do_split(self, side: str) -> None:
        self.cluster.split(side.split(","))

    def do_heal(self) -> None:
        self.cluster.heal()

    def do_meta(self, name: str, meta: str) -> None:
        self.cluster.set_meta(name, meta.encode())

    def do_packets(self) -> None:
        self.shows_packets = True

    def do_events(self) -> None:
        self.shows_packets = False

    def do_run(self, duration_s: str) -> None:
        until = self.cluster.now + float(duration_s)
        while self.cluster.now < until - 1e-9:
            self.cluster.run(min(0.001, until - self.cluster.now))
            self._events()

    def do_members(self) -> None:
        for name, process in self.cluster.processes.items():
            members = sorted(process.membership.members.values(), key=lambda member: member.name)
            seen = " ".join(f"{m.name}:{m.state.word}@{m.incarnation}" for m in members)
            self.lines.append(f"{name} health {process.membership.local_health}: {seen}")

    def _tap(self, sender: str, receiver: str, datagram: bytes) -> None:
        if self.shows_packets:
            self.lines.append(f"{self.cluster.now:6.2f}   {sender} > {receiver} {datagram_text(datagram)}")

    def _events(self) -> None:
        for at, observer, event in self.cluster.events[self.seen :]:
            self.lines.append(f"{at:6.2f} {observer}: {event_text(event)}")
        self.seen = len(self.cluster.events)


@pytest.mark.parametrize(
    "name",
    ["join", "kill", "refute", "pause", "leave", "restart", "split_and_heal", "one_way", "come_back", "meta"],
)
def test_transcript(name: str, transcript: Transcript) -> None:
    transcript(f"membership_{name}.txt", Script().execute)


def test_name_at_is_the_inverse_of_the_simulated_addresses() -> None:
    assert name_at("a:7400") == "a"
