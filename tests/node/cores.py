"""Nodes' cores for tests: one with a Kafka that a test plays, or several that hear each other, without any socket."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import msgspec

from gateway.link import events as link
from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping
from loadtest.cores import NODE
from mesh.cache.cache import CacheConfig
from mesh.log import BEGINNING, Headers, Position
from mesh.membership.packets import MemberChanged, MemberState
from mesh.packets import Packet
from mesh.slots.slot import EVERYONE
from node.config import NodeConfig
from node.core import NodeCore
from node.effects import Effect, FindStart, ReadFrom, SavePromises, TellMembers, ToPeer, ToWorker
from node.kafka.events import EndReached, Found, Record, Records, StartFound

E = TypeVar("E")

WORKER = 1
ORDERS = TopicRule("orders", "json", True)
CHAT = TopicRule("chat", "text", True)
ALONE = replace(NODE, mapping=Mapping([ORDERS]), cache=CacheConfig(600, 1000, 1 << 30, 600))
"""Reads Kafka's topic `orders` for itself."""
VOTER = replace(ALONE, cluster_address="a:1", uses_kafka=False, namespaces=(CHAT,), slot_count=1, mapping=Mapping([]))
"""The only voter of a cluster that has the namespace `chat` in one slot."""


def record(
    offset: int,
    key: bytes | None = b"k",
    value: bytes | None = b"1",
    partition: int = 0,
    epoch: int = 0,
    headers: Headers | None = None,
) -> Record:
    return ("orders", partition, offset, epoch, key, value, 5000, headers)


class OneNode:
    """A node and its worker."""

    def __init__(self, config: NodeConfig, boot: str = "boot") -> None:
        self.now = 100.0
        self.core = NodeCore(self.now, config, boot, {}, Random(config.name))
        self.effects: list[Effect] = []
        """All that were taken and not looked at."""
        self.core.worker_joined(self.now, WORKER)
        self.take()

    def take(self) -> None:
        self._take()
        while self.core.has_work:
            self.core.work()
            self._take()

    def _take(self) -> None:
        while effects := self.core.take_effects(self.now):
            self.effects += effects
            if any(isinstance(effect, SavePromises) for effect in effects):
                self.core.promises_saved(self.now)

    def all(self, kind: type[E]) -> list[E]:
        """Effects of a kind, once."""
        self.take()
        found: list[E] = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found

    def told(self) -> list[link.FromNode]:
        """What the worker is told; beacons are left out."""
        events = [effect.event for effect in self.all(ToWorker) if effect.worker == WORKER]
        return [one for one in events if not (isinstance(one, link.Live) and not one.json[0])]

    def subscribe(self, sid: int, subject: str, start: link.Start) -> None:
        event = link.Subscribe(sid, sid, subject, link.JSON, start)
        self.core.worker_event(self.now, 0, WORKER, event)
        self.take()

    # Kafka, as far as a test plays it.

    def find(self, partitions: int, incarnation: str = "x") -> list[FindStart]:
        topics = {"orders": (incarnation, partitions)} if partitions else {}
        self.core.kafka_event(self.now, Found(["b"], topics, set(), set()))
        return self.all(FindStart)

    def begin(self, find: FindStart, offset: int = 0, floor: Position = BEGINNING) -> ReadFrom:
        self.core.kafka_event(self.now, StartFound(find.source, offset, 0, floor, 0))
        (read,) = self.all(ReadFrom)
        return read

    def read(self, generation: int, *records: Record) -> None:
        self.core.kafka_event(self.now, Records(generation, [*records], 100, self.now))

    def reach_end(self, generation: int, partition: int = 0) -> None:
        self.core.kafka_event(self.now, EndReached(generation, "orders", partition, 0))

    def start_partitions(self, count: int) -> int:
        """Open and load that many empty partitions; the generation of the last command to the reader."""
        generation = 0
        for find in self.find(count):
            generation = self.begin(find).generation
            self.reach_end(generation, find.source.partition)
        self.effects.clear()
        return generation


def messages(live: link.FromNode) -> list[dict[str, Any]]:
    """The JSON of live messages."""
    assert isinstance(live, link.Live)
    return [json.loads(frame[frame.index(b"{") :]) for frame in live.json[1]]


class Nodes:
    """Nodes of one cluster and the network between them, which loses nothing unless it is cut."""

    def __init__(self, *configs: NodeConfig) -> None:
        self.now = 100.0
        self.nodes = {config.name: OneNode(config, f"{config.name}1") for config in configs}
        self.is_cut = False
        for name, node in self.nodes.items():
            node.core.connected(self.now, 1, 2, f"ws://{name}/v1/ws")
        self._exchange_members()

    def _exchange_members(self) -> None:
        """Membership, of which everybody is alive."""
        for name, node in self.nodes.items():
            for told in node.all(TellMembers):
                for other_name, other in self.nodes.items():
                    if other_name != name:
                        alive = MemberState.ALIVE
                        changed = MemberChanged(name, alive, f"{name}1", f"{name}:1", told.meta, 0, None)
                        other.core.member_changed(self.now, changed)

    def run(self, seconds: float) -> None:
        """Time passes."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            for node in self.nodes.values():
                node.now = self.now
                node.core.tick(self.now)
            while self._deliver():
                pass
            self._exchange_members()

    def _deliver(self) -> bool:
        is_any = False
        for name, node in self.nodes.items():
            for send in node.all(ToPeer):
                data = msgspec.msgpack.encode(send.packet)
                for other_name, other in self.nodes.items():
                    if other_name != name and send.to in (EVERYONE, other_name) and not self.is_cut:
                        packet = msgspec.msgpack.decode(data, type=Packet)
                        other.core.peer_packets(self.now, name, f"{name}1", [packet])
                        is_any = True
        return is_any
