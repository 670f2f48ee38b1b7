"""`python -m loadtest.cores`: what the cores of a node and a worker take by themselves, in microseconds of CPU.

No socket, no process, no Kafka: each core alone in a loop, the best of many short rounds, which other work on the
machine hardly changes. A change of a core shows here before it shows in the benchmark. In a node a core finds the
processor's caches full of what other threads and processes did: the figures with `caches cold` are nearer to that.
`--beside PATH` measures another checkout in turn.

Not here: what it takes to carry messages between the cores, which is as much again (scattered.py, threads.py).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from gateway.authorizers.allow_all import AllowAll
from gateway.link import events as link
from gateway.link.settings import GatewaySettings, TopicRule
from gateway.link.topic_rules import Mapping
from gateway.sessions.sessions import Sessions
from gateway.sockets.websocket import receive
from loadtest.wire import HELLO, TEXT, masked
from mesh.cache.cache import CacheConfig
from mesh.feed.feed_log import FeedConfig
from mesh.log import BEGINNING
from mesh.slots.forwarding import ForwardingConfig
from mesh.slots.slot import SlotConfig
from node.backfill.backfill import PageLimits
from node.config import NodeConfig
from node.core import NodeCore
from node.effects import FindStart, ReadFrom, ToWorker
from node.kafka.events import EndReached, Found, Record, Records, StartFound
from node.publishing import PublishingConfig
from whimbrel_server import Connection

KEYS, CLIENTS, PARTITIONS = 10_000, 15_000, 4
TOGETHER = 40
"""Records of a batch, as many as come from Kafka at a time at 20,000 messages a second."""
ROUNDS = 30
CACHES_BYTES = 32 << 20
"""More than a processor's caches have room for: written before each batch, it leaves them as other processes do."""
WORKER = 1
TOPIC = TopicRule("load", "json", False)
NODE = NodeConfig(
    name="a",
    cluster_address="",
    mapping=Mapping([TOPIC]),
    uses_kafka=True,
    compacted=frozenset(),
    namespaces=(),
    servers=(),
    joins=False,
    slot_count=0,
    slots=SlotConfig(voters=("a",)),
    forwarding=ForwardingConfig(),
    feed=FeedConfig(direct=True),
    cache=CacheConfig(600, 10, 1 << 30, 600),
    publishing=PublishingConfig(5, 1000, 1000),
    pages=PageLimits(500, 1 << 20),
    subject_bytes_max=1024,
    digest=1,
    namespaces_digest=1,
)
GATEWAY = GatewaySettings(
    index=0,
    node="a",
    cluster="c",
    link="",
    host="127.0.0.1",
    port=0,
    servers=["ws://127.0.0.1:8080/v1/ws"],
    origins=[],
    topics=[TOPIC],
    connections_max=CLIENTS,
    subscriptions_max=100,
    publishes_max=100,
    frame_bytes_max=1 << 20,
    subject_bytes_max=1024,
    outbox_bytes_max=1 << 20,
    last_max=1000,
    heartbeat_s=20.0,
    hello_timeout_s=10.0,
    authorizer="allow_all",
    authorizer_options={},
    log_format="text",
    log_level="info",
    node_silent_s=60.0,
    console=False,
)


class NoSocket:
    """A client's connection that takes everything and does nothing."""

    waiting_bytes = 0

    def send(self, data: bytes) -> None:
        """Nothing."""

    def close(self, code: int, reason: str) -> None:
        """Nothing."""

    def resume_reading(self) -> None:
        """Nothing."""


class Line:
    """A node's core, and a worker's sessions whose connections take everything and do nothing."""

    def __init__(self) -> None:
        self.now = 100.0
        self.random = Random(4)
        self.node = NodeCore(self.now, NODE, "boot", {}, Random(1))
        self.node.worker_joined(self.now, WORKER)
        self.sessions = Sessions(self.now, GATEWAY, AllowAll())
        self.encode = msgspec.msgpack.Encoder().encode
        self.decode = msgspec.msgpack.Decoder(list[link.FromNode]).decode
        self.generation = 0
        self.offsets = [0] * PARTITIONS
        self.value = b'{"t":1000000000000000,"n":1000000000,"pad":"%b"}' % (b"x" * 470)
        self.node.kafka_event(self.now, Found(["b"], {"load": ("x", PARTITIONS)}, set(), set()))
        for find in self._effects(FindStart):
            self.node.kafka_event(self.now, StartFound(find.source, 0, 0, BEGINNING, 0))
            self.generation = self._effects(ReadFrom)[0].generation
            self.node.kafka_event(self.now, EndReached(self.generation, "load", find.source.partition, 0))
        self.subjects = [f"/load/k{self.random.randrange(KEYS):05}" for _ in range(CLIENTS)]

    def _effects(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.node.take_effects(self.now) if isinstance(effect, kind)]

    def records(self, count: int) -> list[Record]:
        found: list[Record] = []
        for _ in range(count):
            key = self.random.randrange(KEYS)
            partition = key % PARTITIONS
            self.offsets[partition] += 1
            found.append(
                ("load", partition, self.offsets[partition], 0, b"k%05d" % key, self.value, 1700000000000, None)
            )
        return found

    def take_in(self, batch: list[Record]) -> bytes:
        """As the node's shell does; the packet for the worker."""
        self.node.kafka_event(self.now, Records(self.generation, batch, 1000, self.now))
        return self.packet()

    def packet(self) -> bytes:
        effects = self.node.take_effects(self.now)
        return self.encode([effect.event for effect in effects if isinstance(effect, ToWorker)])

    def hand_out(self, packet: bytes) -> int:
        """As the worker's shell does, without the writing."""
        self.sessions.handle(self.decode(packet))
        return self.flush()

    def flush(self) -> int:
        outputs = self.sessions.outputs
        sends, outputs.sends = outputs.sends, {}
        for pieces in sends.values():
            _ = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if outputs.delivered:
            self.sessions.stats.observe_delivery(self.now, outputs.delivered)
            outputs.delivered = []
        drains, outputs.drains = outputs.drains, []
        for session in drains:
            self.sessions.drained(session)
        return len(sends)

    def connect(self, subject: str) -> list[link.FromWorker]:
        """A client comes, says hello and subscribes; what the node is told."""
        subscribe = masked(TEXT, b'{"op":"subscribe","id":2,"subject":"%b","from":"latest"}' % subject.encode())
        client = Connection("127.0.0.1:1234", host="127.0.0.1:8080")
        session = self.sessions.connected(self.now, link.JSON, client, NoSocket())
        self.sessions.heard(session)
        events, _ = receive(None, HELLO + subscribe, 1 << 20)
        for kind, data, _, _ in events:
            self.sessions.received(self.now, session, kind, data)
        self.flush()
        first, behind = self.sessions.outputs.take_events()
        return [*first, *behind]

    def serve(self, asked: list[link.FromWorker]) -> bytes:
        """The node takes what a worker asks; the packet that answers."""
        for event in asked:
            assert not isinstance(event, link.ForShell)
            self.node.worker_event(self.now, 0, WORKER, event)
        self.node.take_effects(self.now)
        while self.node.has_work:
            self.node.work()
        return self.packet()


def measure() -> dict[str, float]:
    """Figures by name."""
    line, together = Line(), 8
    figures: dict[str, float] = {}
    for _ in range(KEYS // 500):
        line.take_in(line.records(500))
    costs: list[list[float]] = [[], [], []]
    for start in range(0, CLIENTS, 500):
        spent = [0.0, 0.0, 0.0]
        for at in range(start, start + 500, together):
            marks = [time.thread_time()]
            asked = [event for subject in line.subjects[at : at + together] for event in line.connect(subject)]
            marks.append(time.thread_time())
            packet = line.serve(asked)
            marks.append(time.thread_time())
            line.hand_out(packet)
            marks.append(time.thread_time())
            for index in range(3):
                spent[index] += marks[index + 1] - marks[index]
        for index in range(3):
            costs[index].append(spent[index] * 1e6 / 500)
    for name, found in zip(
        ("worker: connect, hello, subscribe", "node: answer, page", "worker: live"), costs, strict=True
    ):
        figures[f"connect  {name}"] = sorted(found)[3]
    gc.collect()
    gc.freeze()
    others, zeros = bytearray(CACHES_BYTES), bytes(CACHES_BYTES)
    for count, is_cold in ((TOGETHER, False), (500, False), (TOGETHER, True)):
        words = f"batches of {count}{', caches cold' if is_cold else ''}"
        taking: list[float] = []
        handing: list[float] = []
        for _ in range(ROUNDS):
            took = handed = 0.0
            written = 0
            batches = [line.records(count) for _ in range(1000 // count)]
            for batch in batches:
                if is_cold:
                    others[:] = zeros
                began = time.thread_time()
                packet = line.take_in(batch)
                took += time.thread_time() - began
                if is_cold:
                    others[:] = zeros
                began = time.thread_time()
                written += line.hand_out(packet)
                handed += time.thread_time() - began
            taking.append(took / sum(map(len, batches)))
            handing.append(handed / written)
        figures[f"message  node: in, {words}"] = min(taking) * 1e6
        figures[f"message  worker: out, {words}"] = min(handing) * 1e6
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.cores")
    parser.add_argument("--beside", type=Path, metavar="PATH", help="another checkout, measured in turn")
    parser.add_argument("--times", type=int, default=4, help="how often each is measured; the least counts (4)")
    options = parser.parse_args()
    here = Path(__file__).parent.parent
    checkouts = [here] if options.beside is None else [options.beside.resolve(), here]
    found: list[dict[str, float]] = [{} for _ in checkouts]
    for _ in range(options.times):
        for least, checkout in zip(found, checkouts, strict=True):
            command = [str(checkout / ".venv/bin/python"), "-P", __file__]
            env = os.environ | {"PYTHONPATH": str(checkout), "CORES_CHILD": "1"}
            answer = subprocess.run(command, cwd=checkout, env=env, check=True, capture_output=True).stdout
            for name, value in json.loads(answer).items():
                least[name] = min(value, least.get(name, value))
    for name in found[-1]:
        print(f"{name:45}" + "".join(f"{least[name]:9.2f}" for least in found) + "  µs")


if __name__ == "__main__":
    if os.environ.get("CORES_CHILD"):
        print(json.dumps(measure()))
    else:
        main()
