"""All machines, clients and Kafka of one run, and what ties them: who reaches whom, which memory may be lost.

How a node, a worker or a client works inside is not known here.

Not here: what happens to it (faults.py), when it must be well (run.py), what is right (checkers/).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from gateway.link.settings import GatewaySettings
from gateway.link.topic_rules import Mapping
from mesh.cache.cache import ENTRY_BYTES
from mesh.feed.feed_log import FeedConfig
from node.backfill.scan import ReplayLimits
from node.config import NodeConfig
from node.core import NodeCore
from node.kafka.events import KafkaEvent
from node.kafka.starts import Depth
from node.publishing import PublishingConfig
from node.worker_queue import WorkerQueue
from tests.sim.apps.client import Client, start_for
from tests.sim.apps.line import Line
from tests.sim.broker.cluster import START_MS, ModelKafka
from tests.sim.broker.threads import KafkaThreads, ThreadsConfig
from tests.sim.checkers.publishes import Publishes
from tests.sim.checkers.slots import SlotsWatch
from tests.sim.checkers.truth import Truth
from tests.sim.machines.disk import Disk
from tests.sim.machines.link import Link
from tests.sim.machines.members import Known, Members, Rumours, Swim, address_of
from tests.sim.machines.node import NodeMachine
from tests.sim.machines.worker import WorkerMachine
from tests.sim.network import SimNetwork, url_of
from tests.sim.options import NAMESPACE, Options
from tests.sim.setting import Setting
from tests.sim.transcript import Transcript
from whimbrel.start import Start

PUBLISH_TIMEOUT_S = 2.0
SUBJECT_BYTES_MAX = 1000


class World:
    """One run's."""

    core_type: type[NodeCore] = NodeCore
    disk_type: type[Disk] = Disk
    worker_type: type[WorkerMachine] = WorkerMachine
    client_type: type[Client] = Client
    threads_type: type[KafkaThreads] = KafkaThreads
    link_type: type[Link] = Link
    queue_type: type[WorkerQueue] = WorkerQueue

    def __init__(self, options: Options, transcript: Transcript | None = None) -> None:
        self.options = options
        self.setting = setting = Setting(options, transcript)
        seed = options.seed
        self._rng = Random(f"world {seed}")
        self.kafka = ModelKafka(setting.schedule, Random(f"kafka {seed}"))
        for topic in options.topics:
            self.kafka.create(topic.name, topic.partitions, topic.is_compacted)
        self.truth = Truth(self.kafka, NAMESPACE)
        self.publishes = Publishes(self.truth)
        self.watch = SlotsWatch(options.slots.commit_quorum)
        self.network = SimNetwork(setting.schedule, options.traffic, Random(f"network {seed}"), self._deliver)
        self.core: list[str] = [*options.names]
        """The nodes that clients may go to."""
        self.is_healing = False
        self.takes_load = True
        self.last_fault_at = -1e9
        self._fallen_at: float | None = None
        self.machines = {
            name: NodeMachine(setting, self, self.network, name, self.disk_type(), Random(f"machine {seed} {name}"))
            for name in options.names
        }
        for machine in self.machines.values():
            setting.schedule.after(self._rng.choice((0.0, 0.0, 0.4)) * self._rng.random(), self._start, machine)
        rng = Random(f"clients {seed}")
        self.clients = [self._client(number, rng) for number in range(options.clients)]
        if self.options.topics:
            self._produce_later(Random(f"producer {seed}"))

    # What a node is made of (machines/node.py, Surroundings).

    def config_of(self, name: str) -> NodeConfig:
        options = self.options
        return NodeConfig(
            name=name,
            cluster_address=address_of(name) if len(options.names) > 1 else "",
            mapping=Mapping(options.rules),
            uses_kafka=bool(options.topics),
            compacted=frozenset(),
            namespaces=options.namespaces,
            servers=(),
            joins=len(options.names) > 1,
            slot_count=options.slot_count,
            slots=options.slots,
            forwarding=options.forwarding,
            feed=FeedConfig(direct=options.is_direct or len(options.names) == 1),
            cache=options.cache,
            publishing=PublishingConfig(PUBLISH_TIMEOUT_S, 1000, 10_000),
            pages=options.pages,
            subject_bytes_max=SUBJECT_BYTES_MAX,
            digest=1,
            namespaces_digest=1,
        )

    def worker_settings(self, name: str, index: int) -> GatewaySettings:
        options = self.options
        return GatewaySettings(
            index=index,
            node=name,
            cluster="sim",
            link="",
            host="",
            port=0,
            servers=[url_of(one) for one in options.names],
            origins=[],
            topics=[*options.namespaces, *options.rules],
            connections_max=1000,
            subscriptions_max=100,
            publishes_max=20,
            frame_bytes_max=100_000,
            subject_bytes_max=SUBJECT_BYTES_MAX,
            outbox_bytes_max=options.outbox_bytes_max,
            last_max=1000,
            heartbeat_s=options.heartbeat_s,
            hello_timeout_s=2.0,
            authorizer="allow_all",
            authorizer_options={},
            log_format="json",
            log_level="info",
        )

    def new_core(self, now: float, machine: NodeMachine, boot: str, rng: Random) -> NodeCore:
        promises = machine.disk.load()
        if promises is None:
            self.setting.counts["starts without a disk"] += machine.is_voter
        return self.core_type(now, self.config_of(machine.name), boot, promises, rng)

    def new_worker(self, machine: NodeMachine, index: int, rng: Random, ended: Callable[[], None]) -> WorkerMachine:
        settings = self.worker_settings(machine.name, index)
        name = f"{machine.name}/{index}"
        return self.worker_type(self.setting, settings, name, machine.offset_s, Random(f"{rng.random()}"), ended)

    def new_members(self, name: str, boot: str, rng: Random) -> Members:
        others = [one for one in self.options.names if one != name]
        if self.options.has_swim:
            return Swim(name, boot, others, Random(f"{rng.random()}"))
        return Rumours(name, others, self._hears, Random(f"{rng.random()}"))

    def new_threads(self, machine: NodeMachine, rng: Random, put: Callable[[KafkaEvent], None]) -> KafkaThreads | None:
        options = self.options
        if not options.topics:
            return None
        mapping = Mapping(options.rules)
        retry_window_ms = options.slots.retry_window_ms
        # Of a topic that clients publish to a node reads all that it could remember publishes of.
        records_max = (
            10_000 if any(topic.publish for topic in options.topics) else options.cache.bytes_max // ENTRY_BYTES
        )
        config = ThreadsConfig(
            limits=ReplayLimits(
                messages_max=options.replay_messages_max, retry_window_ms=retry_window_ms,
                subject_bytes_max=SUBJECT_BYTES_MAX, threads=1,
            ),
            depth=Depth(options.cache.ttl_s, retry_window_ms / 1000, records_max),
            metadata_interval_s=options.metadata_interval_s,
            metadata_lag_s=options.metadata_lag_s,
            publish_timeout_s=PUBLISH_TIMEOUT_S,
            tells_flow=not options.is_direct and len(options.names) > 1,
            is_mapped=lambda topic: mapping.rule_for(topic) is not None,
            named=tuple(rule.name for rule in options.rules if "*" not in rule.name),
        )  # fmt: skip
        rng = Random(f"{rng.random()}")
        return self.threads_type(
            self.kafka, machine.name, config, rng, lambda: machine.wall_ms, lambda: machine.is_running, put
        )

    def started(self, machine: NodeMachine) -> None:
        assert machine.process is not None
        self.watch.started(machine.name, machine.process.boot, machine.process.core.slots)

    def turned(self, machine: NodeMachine) -> None:
        process = machine.process
        if process is not None:
            self.watch.look(machine.name, process.boot, process.core.slots)

    # Memory.

    def is_whole(self, machine: NodeMachine) -> bool:
        """Whether this voter holds in memory all that it ever acknowledged."""
        process = machine.process
        return process is not None and self.watch.is_whole(process.boot, process.core.slots)

    def may_lose_memory(self, machine: NodeMachine) -> bool:
        """Whether the run stays what it is to be when this machine crashes."""
        if not self.options.is_safe or not machine.is_voter or not self.watch.has_commits:
            return True
        return self._forgetful(machine) < self.options.slots.commit_quorum

    def falls(self, machine: NodeMachine) -> None:
        pass

    def fallen(self, machine: NodeMachine) -> None:
        if self.watch.is_broken or not machine.is_voter or not self.watch.has_commits:
            return
        if self._forgetful(machine) >= self.options.slots.commit_quorum:
            self.setting.say("", "W voters are without memory at once: what was committed may be gone")
            self.watch.is_broken = self.truth.is_broken = True
            self.setting.counts["runs with too much memory lost"] += 1

    def restart_later(self, machine: NodeMachine, most_s: float = 0.0) -> None:
        most_s = most_s or self._rng.choice((0.05, 0.5, 1.0, 2.0))
        self.setting.schedule.after(most_s * self._rng.random(), self._restart, machine)

    def _forgetful(self, machine: NodeMachine) -> int:
        """Voters without memory once this one has lost its."""
        return sum(one is machine or not self.is_whole(one) for one in self.machines.values() if one.is_voter)

    def _restart(self, machine: NodeMachine) -> None:
        if machine.process is None and (not self.is_healing or machine.name in self.core):
            machine.start()

    def _start(self, machine: NodeMachine) -> None:
        if machine.process is None:
            machine.start()

    # Who reaches whom.

    def _hears(self, me: str, other: str) -> Known | None:
        if (me, other) in self.network.cuts or (other, me) in self.network.cuts:
            return None
        return self.machines[other].known

    def _deliver(self, to: str, sender: str, boot: str, channel: str, data: bytes) -> None:
        self.machines[to].receive(sender, boot, channel, data)

    # Clients (apps/client.py, Host).

    def connect(self, server: str, client: Client, rng: Random) -> Line | None:
        name = server.removeprefix("ws://").partition(":")[0]
        machine = self.machines[name]
        if name not in self.core or not machine.is_running:
            return None
        worker = machine.worker_for_client(rng)
        return None if worker is None else Line(self.setting, Random(f"{rng.random()}"), worker, name, client)

    def subjects_for(self, rng: Random, number: int) -> str:
        options = self.options
        if options.has_namespace and (number == 0 or not options.topics or rng.random() < 0.4):
            return f"/{NAMESPACE}/*" if number == 0 else rng.choice((*options.subjects, f"/{NAMESPACE}/*"))
        topic = rng.choice(options.topics).name
        return rng.choice(
            (f"/{topic}/a", f"/{topic}/b", f"/{topic}/*", f"/{topic}/x/*", f"/{topic}/50%25", f"/{topic}")
        )

    def subject_to_publish(self, rng: Random) -> str | None:
        options = self.options
        if not self.takes_load:
            return None
        topics = [topic.name for topic in options.topics if topic.publish]
        if options.has_namespace and (not topics or rng.random() < 0.6):
            return rng.choice(options.subjects)
        if not topics:
            return None
        return rng.choice(("/{}/a", "/{}/b", "/{}/x/c", "/{}")).format(rng.choice(topics))

    def _client(self, number: int, rng: Random) -> Client:
        wishes: list[tuple[str, Start]] = []
        for index in range(rng.randint(1, self.options.subscriptions_max)):
            first = number == 0 and index == 0
            wishes.append((self.subjects_for(rng, 0 if first else 1), start_for(rng, START_MS)))
        servers = tuple(url_of(name) for name in self.options.names)
        return self.client_type(
            self.setting, self, self.truth, self.publishes, f"p{number}", servers, wishes, Random(f"{rng.random()}")
        )

    # Kafka's other producers.

    def _produce_later(self, rng: Random) -> None:
        self.setting.schedule.after(rng.expovariate(self.options.records_per_s), self._produce, rng)

    def _produce(self, rng: Random) -> None:
        self._produce_later(rng)
        if self.takes_load and self.kafka.topics:
            self.kafka.produce(rng.choice([*self.kafka.topics.values()]))
