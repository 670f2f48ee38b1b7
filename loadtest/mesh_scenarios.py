"""What is measured of three nodes that are one cluster.

Each scenario starts a cluster of its own on this machine: with the load generator and Kafka all of it shares its
cores. What was lost or repeated is never reported as a figure.

Not here: scenarios of one node (scenarios.py), steps of all scenarios (bench.py), the load (publisher.py, users.py).
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from loadtest.bench import Bench, clean, expected
from loadtest.cluster import Cluster
from loadtest.fleet import Fleet, now_us
from loadtest.kafka_load import Producing
from loadtest.listener import Heard, Listener
from loadtest.payload import key_name
from loadtest.plots import plot_latency, plot_stalls
from loadtest.process import Child, Failed, cpu_s
from loadtest.publisher import Latencies, Publisher
from loadtest.report import Row, percentile
from loadtest.tcp import sent_bytes
from loadtest.users import Outcome, Users

NAMESPACE = "bench"
PAD = 90
"""Characters in a published value besides time and number: 136 bytes in all."""
CLIENTS, PAUSE_S = 4, 0.02
"""Of each node, and between an answer and the next publish of a client: some 500 publishes per second in all."""
PIPELINES, WINDOW = 8, 200
"""Connections to each node when the rate is measured, and unanswered publishes of each."""
LATENCY_S, PING_S, RATE_S, WARM_S = 3.0, 1.5, 3.0, 1.0
FEED_KEYS, FEED_CLIENTS, FEED_RATE, FEED_S = 1_000, 200, 4_000, 5.0
RUNS, RUN_S, KILL_AFTER_S = 5, 4.0, 1.0
FAILOVER_RATE, FAILOVER_KEYS = 500, 100
JOIN_RECORDS, JOIN_KEYS, JOIN_PUBLISH_S = 100_000, 10_000, 2.0


def mesh_commit(bench: Bench) -> Iterator[Row]:
    """The mesh alone: three processes without clients, caches and gateways (loadtest/mesh/commit.py)."""
    from loadtest.mesh.commit import Bare, Mesh, measure, rows

    bench.say("three processes of nothing but the mesh")
    mesh = measure(Mesh)
    bench.say(f"{mesh['per_s']:,.0f}/s took {mesh['cores']:.2f} cores; the same packets with nothing behind them")
    bare = measure(Bare)
    bench.say(f"{bare['per_s']:,.0f}/s took {bare['cores']:.2f} cores")
    yield from rows(mesh, bare)


def commit(bench: Bench) -> Iterator[Row]:
    """Publishes of clients of all three nodes to subjects of the mesh: answered when committed, and when delivered."""
    subjects = [f"/{NAMESPACE}/k{number:04}" for number in range(480)]
    with cluster(bench) as nodes, Child("publisher", partial(Publisher, 1)) as publisher:
        ports = {name: node.port for name, node in nodes.nodes.items()}
        coordinated = {subject: ports[name] for subject, name in nodes.coordinator_of(subjects).items()}
        publisher.call("connect", ports=nodes.ports, each=CLIENTS, subjects=subjects, pad=PAD)
        one_at_a_time = partial(publisher.call, "one_at_a_time", pause_s=PAUSE_S)
        one_at_a_time(seconds=0.5, coordinated=coordinated)
        bench.say(f"{3 * CLIENTS} clients ping, one ping at a time")
        pings: Latencies = one_at_a_time(seconds=PING_S, coordinated=None)
        bench.say("they publish")
        found: Latencies = one_at_a_time(seconds=LATENCY_S, coordinated=coordinated)
        here, there, both = (Sorted(each) for each in (found["here"], found["there"], found["here"] + found["there"]))
        floor = Sorted(pings["there"])
        bench.say(
            f"{len(both)} publishes; p50 {here.ms(0.5):.2f} ms where the client's node coordinates the subject, "
            f"{there.ms(0.5):.2f} ms where another does"
        )
        yield Row("commit.p50_ms", both.ms(0.5), "ms", floor.ms(0.5), 1, 1, less_is_better=True)
        yield Row("commit.p99_ms", both.ms(0.99), "ms", floor.ms(0.99), less_is_better=True)
        with Child("listener", partial(Listener, nodes.ports, f"/{NAMESPACE}/*")) as listener:
            listener.call("live")
            bench.say("they publish, and each node delivers everything to a subscriber")
            answered: Latencies = one_at_a_time(seconds=LATENCY_S, coordinated=coordinated)
            heard = all_heard(listener, len(answered["here"]) + len(answered["there"]))
        slowest, each = Sorted(heard.slowest), Sorted(heard.each)
        yield Row("replication.p50_ms", slowest.ms(0.5), "ms", floor.ms(0.5), less_is_better=True)
        yield Row("replication.p99_ms", slowest.ms(0.99), "ms", floor.ms(0.99), less_is_better=True)
        curves = {
            "a ping": floor.samples,
            "a publish, until it is acknowledged": both.samples,
            "until a subscriber has it": each.samples,
            "until subscribers of all three nodes have it": slowest.samples,
        }
        plot_latency(bench.artifacts / "latency-commit.png", "Three nodes, about 500 publishes per second", curves)
        publisher.call("connect", ports=nodes.ports, each=PIPELINES, subjects=subjects, pad=PAD)
        pinged, ping_cpu = rate(bench, nodes, publisher, publish=False)
        published, publish_cpu = rate(bench, nodes, publisher, publish=True)
    yield Row("commit.per_s", published, "1/s", pinged, 30_000, 30_000)
    yield Row("commit.per_cpu_s", published / publish_cpu, "1/s", pinged / ping_cpu)


def rate(bench: Bench, nodes: Cluster, publisher: Child, publish: bool) -> tuple[float, float]:
    """Answers per second to publishes or pings, and how many cores all nodes took."""
    what = "publishes" if publish else "pings"
    bench.say(f"{3 * PIPELINES} clients keep {WINDOW} {what} unanswered each")
    began, before, own = time.monotonic(), nodes.cpu_s(), cpu_s(publisher.pid)
    per_s = publisher.call("pipelined", seconds=RATE_S, warm_s=WARM_S, window=WINDOW, publish=publish)
    took = time.monotonic() - began
    cores, own = (nodes.cpu_s() - before) / took, (cpu_s(publisher.pid) - own) / took
    bench.say(f"{per_s:,.0f} {what}/s; the nodes took {cores:.2f} cores, the load generator {own:.2f}")
    return per_s, cores


def feed(bench: Bench) -> Iterator[Row]:
    """Kafka read once for the three nodes, beside each of them reading it for itself."""
    used = {}
    for read in ("direct", "feed"):
        topic = bench.topic(f"read-{read}")
        bench.say(f"kafka.read={read}: {FEED_RATE:,} msg/s, {FEED_CLIENTS} clients of each node")
        used[read] = read_by_three(bench, topic, read)
    once, each = used["feed"], used["direct"]
    yield Row("feed.broker_bytes_ratio", once.broker_bytes / each.broker_bytes, "", 1 / 3, less_is_better=True)
    yield Row("feed.broker_cpu_ratio", once.broker_s / each.broker_s, "", None, less_is_better=True)
    yield Row("feed.node_cpu_ratio", once.nodes_s / each.nodes_s, "", None, less_is_better=True)
    for share in (0.5, 0.99):
        name = f"feed.p{share * 100:.0f}_ms"
        yield Row(name, once.latency.ms(share), "ms", each.latency.ms(share), less_is_better=True)
    curves = {"read once (feed)": once.latency.samples, "each node reads (direct)": each.latency.samples}
    title = f"Kafka to clients of three nodes, {FEED_RATE:,} msg/s"
    plot_latency(bench.artifacts / "latency-feed.png", title, curves)


class Used:
    """What a load took, and how late it arrived."""

    def __init__(self, broker_bytes: int, broker_s: float, nodes_s: float, latency: Sorted) -> None:
        self.broker_bytes = broker_bytes
        self.broker_s = broker_s
        self.nodes_s = nodes_s
        self.latency = latency


def read_by_three(bench: Bench, topic: str, read: str) -> Used:
    """One load through three nodes. Everything that the broker sends counts, to whomever."""
    random = Random(5)
    broker, port = bench.kafka.pid(), int(bench.kafka.bootstrap.rpartition(":")[2])
    with (
        cluster(bench, topic, {"kafka.read": read}) as nodes,
        Child("fleet", partial(Fleet, 1)) as fleet,
        Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer,
    ):
        chosen = [f"/{topic}/{key_name(random.randrange(FEED_KEYS)).decode()}" for _ in range(3 * FEED_CLIENTS)]
        for index, one in enumerate(nodes.ports):
            fleet.call("connect", port=one, subjects=chosen[index::3], tracked_every=10)
        producer.begin("run", topic=topic, keys=FEED_KEYS, rate=FEED_RATE, seconds=2 + FEED_S)
        begin_us = now_us() + 1_500_000
        fleet.call("sample", begin_us=begin_us, end_us=begin_us + int(FEED_S * 1e6))
        time.sleep(1.5)
        sent, broker_s, nodes_s = sum(sent_bytes(port).values()), cpu_s(broker), nodes.cpu_s()
        time.sleep(FEED_S)
        sent, broker_s, nodes_s = (
            sum(sent_bytes(port).values()) - sent, cpu_s(broker) - broker_s, nodes.cpu_s() - nodes_s
        )  # fmt: skip
        clean(fleet, expected(producer.result(), chosen))
        latency = Sorted(fleet.call("samples")[0])
    bench.say(
        f"the broker sent {sent / FEED_S / 1e6:.1f} MB/s; broker {broker_s / FEED_S:.2f} cores, nodes "
        f"{nodes_s / FEED_S:.2f}; p50 {latency.ms(0.5):.1f} ms, p99 {latency.ms(0.99):.1f} ms"
    )
    return Used(sent, broker_s, nodes_s, latency)


def failover(bench: Bench) -> Iterator[Row]:
    """kill -9, over and over, of a node that coordinates and feeds, with users at all nodes."""
    topic = bench.topic("failover")
    outcomes: list[Outcome] = []
    with (
        cluster(bench, topic) as nodes,
        Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer,
        Child("users", partial(Users, [node.url for node in nodes.nodes.values()], NAMESPACE, topic)) as users,
    ):
        for run in range(RUNS):
            name, coordinates, feeds = nodes.busiest()
            if not coordinates or not feeds:
                raise Failed(f"no node coordinates and feeds: {name} has {coordinates} slots and {feeds} feeds")
            users.call("prepare")
            users.begin("run", seconds=RUN_S)
            producer.begin("run", topic=topic, keys=FAILOVER_KEYS, rate=FAILOVER_RATE, seconds=RUN_S)
            time.sleep(KILL_AFTER_S + 0.1 * run)
            nodes.nodes[name].kill()
            records = sum(producer.result().values())
            users.result()
            outcome: Outcome = users.call("outcome", records=records)
            outcomes.append(checked(outcome, records))
            bench.say(
                f"run {run + 1} of {RUNS}: killed {name} ({coordinates} slots, {feeds} feeds); longest publish "
                f"{words(outcome.publish_ms)} ms, longest way from Kafka {words(outcome.kafka_ms)} ms, by the client's "
                f"node; {outcome.published} publishes, {records} records, missing 0, repeated 0"
            )
            nodes.nodes[name].begin()
            nodes.wait_agreed()
    publish = tuple(max(one.publish_ms) for one in outcomes)
    kafka = tuple(max(one.kafka_ms) for one in outcomes)
    plot_stalls(
        bench.artifacts / "failover.png",
        "kill -9 of a node that coordinates and feeds",
        {"longest publish": publish, "longest way from Kafka": kafka},
    )
    for name, stalls, goal in (("publish", publish, 2_000), ("kafka", kafka, 1_500)):
        figure = f"failover.{name}_stall_max_ms"
        yield Row(figure, max(stalls), "ms", None, goal, goal, less_is_better=True, values=stalls)


def checked(outcome: Outcome, records: int) -> Outcome:
    """An outcome in which nothing was lost and nothing repeated.

    Raises:
        Failed: Something was.
    """
    is_whole = set(outcome.received) == {outcome.published} and set(outcome.records) == {records}
    if not is_whole or outcome.missing or outcome.repeated:
        raise Failed(f"of {records} records something was lost or repeated: {outcome}")
    return outcome


def join(bench: Bench) -> Iterator[Row]:
    """A new node comes into a full cluster: the time from its start until it is ready, filled from the others."""
    topic, subjects = bench.topic("join"), [f"/{NAMESPACE}/k{number:04}" for number in range(480)]
    with (
        Child("producer", partial(Producing, bench.kafka.bootstrap, 2)) as producer,
        cluster(bench, topic) as nodes,
        Child("publisher", partial(Publisher, 1)) as publisher,
        Child("fleet", partial(Fleet, 1)) as fleet,
    ):
        empty = nodes.prepare("d")
        with empty:
            start_s = empty.ready_s
        bench.say(f"a fourth node was ready after {start_s:.2f} s in an empty cluster; filling it")
        producer.call("fill", topic=topic, keys=JOIN_KEYS, count=JOIN_RECORDS)
        publisher.call("connect", ports=nodes.ports[:3], each=2, subjects=subjects, pad=PAD)
        publisher.call("pipelined", seconds=JOIN_PUBLISH_S, warm_s=0, window=100, publish=True)
        published = sum(publisher.call("published").values())
        with bench.node(topic) as alone:
            floor = alone.ready_s
        node = nodes.prepare("e")
        with node:
            cache = node.status()["cache"]
            bench.say(
                f"ready after {node.ready_s:.2f} s with {cache['messages']:,} messages, {cache['bytes'] / 1e6:.0f} MB "
                f"(of Kafka {JOIN_RECORDS:,}, of the mesh {published:,}); a node alone that reads Kafka: {floor:.2f} s"
            )
            if cache["messages"] < JOIN_RECORDS + published:
                raise Failed(f"ready with {cache['messages']:,} messages of {JOIN_RECORDS + published:,}")
            chosen = [f"/{topic}/{key_name(key).decode()}" for key in range(1_000)]
            fleet.call("connect", port=node.port, subjects=chosen, tracked_every=1)
            producer.call("fill", topic=topic, keys=JOIN_KEYS, count=1_000)
            clean(fleet, 1_000)
    yield Row("join.fill_s", node.ready_s, "s", floor, less_is_better=True)


MESH_SCENARIOS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "mesh_commit": mesh_commit,
    "commit": commit,
    "feed": feed,
    "failover": failover,
    "join": join,
}


# Steps that scenarios share.


class Sorted:
    """Microseconds, of which percentiles are wanted."""

    def __init__(self, latency: array[int]) -> None:
        if not latency:
            raise Failed("there is nothing to measure")
        self.samples = (latency, array("q", [1]) * len(latency))

    def __len__(self) -> int:
        return len(self.samples[0])

    def ms(self, share: float) -> float:
        """A percentile in milliseconds."""
        return percentile(*self.samples, share) / 1000


def cluster(bench: Bench, topic: str = "", settings: dict[str, str] | None = None) -> Cluster:
    """Three nodes with a namespace and, if it is named, a topic."""
    flags = ["--namespaces", NAMESPACE]
    if topic:
        flags += ["--kafka", bench.kafka.bootstrap, "--topics", topic]
    bench.say("starting three nodes")
    return Cluster(bench.artifacts / "bench-cluster.log", *flags, settings=settings, checkout=bench.checkout)


def all_heard(listener: Child, published: int) -> Heard:
    """What a listener has heard of so many publishes, once it has heard it all.

    Raises:
        Failed: It has not.
    """
    heard = Heard(array("q"), array("q"), 0, 0, 0)
    until = time.monotonic() + 10
    while len(heard.slowest) < published and time.monotonic() < until:
        more: Heard = listener.call("take")
        heard.slowest.extend(more.slowest)
        heard.each.extend(more.each)
        heard.missing, heard.repeated = heard.missing + more.missing, heard.repeated + more.repeated
        time.sleep(0.05)
    if len(heard.slowest) != published or heard.missing or heard.repeated:
        raise Failed(
            f"of {published} publishes {len(heard.slowest)} reached a subscriber at each node; "
            f"{heard.missing} were missing, {heard.repeated} repeated"
        )
    return heard


def words(figures: list[float]) -> str:
    """Milliseconds, for people."""
    return " / ".join(f"{each:,.0f}" for each in figures)
