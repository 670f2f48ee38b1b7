"""What can be configured: every key with its type, unit, default, limits and meaning.

One struct per section of the file; `Settings` is all of them. A key of the file is the field's name less its unit
(`cache.ttl` is `settings.cache.ttl_s`): durations are seconds here and sizes are bytes, whatever they were written as.
The descriptions below are the text of REFERENCE.md and of error messages.

Invariants:
- `Settings()` is a valid configuration: every key has a default.
- Values are frozen and within their limits; what must hold between two keys is in relations.py.

Not here: where values come from (layers.py), reading and writing them (keys.py), relations (relations.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import field

from gateway.link.settings import TopicRule
from node.settings.cluster import Cluster
from node.settings.fields import Section, about
from node.settings.units import GIB, KIB, MIB


class Node(Section, frozen=True, kw_only=True):
    """This node: its name, its address, its worker processes."""

    name: Annotated[
        str,
        about(
            "The node's name: in logs, in status, and told to clients. If it is not given, the machine's host name "
            "without its domain, where that fits.",
            "name",
        ),
    ] = "node"
    listen: Annotated[
        str,
        about(
            "Address for WebSockets and HTTP. Loopback by default: with `0.0.0.0:8080` or `[::]:8080` "
            "others can reach the node. Port 0 takes a free one.",
            "listen",
        ),
    ] = "127.0.0.1:8080"
    workers: Annotated[
        int, about("Gateway worker processes; 0 is one per core, less one, at least one.", ge=0, le=1024)
    ] = 0
    drain_s: Annotated[
        float,
        about(
            "On shutdown clients are told to move, spread over this time; then what is left is closed.",
            "duration",
            ge=0,
            le=3600,
        ),
    ] = field(default=10.0, name="drain")
    servers: Annotated[
        tuple[str, ...],
        about(
            "WebSocket addresses of all nodes, told to clients so that they can reconnect elsewhere: "
            "`wss://a.example.com/v1/ws`. Empty: clients keep the list that they have.",
            "servers",
        ),
    ] = ()
    origins: Annotated[
        tuple[str, ...],
        about(
            "Web pages that may connect besides the node's own: values of a browser's `Origin` header, such as "
            "`https://app.example.com`; `*` accepts all. The node's own page is one that the browser has under "
            "`localhost`, an IP address, the host of `listen` or a host of `servers`; under any other name (which "
            "somebody else could point at the node) it must be here. Clients that are not browsers send no `Origin` "
            "and are accepted.",
            "origins",
        ),
    ] = ()
    run_dir: Annotated[
        str,
        about(
            "Where the node makes its own directory for the sockets to its workers; empty: where temporary files go."
        ),
    ] = ""

    @property
    def host(self) -> str:
        """The host of `listen`, without the brackets of an IPv6 address."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of `listen`; 0 is any free one."""
        return int(self.listen.rpartition(":")[2])

    def worker_count(self, cores: int) -> int:
        """How many workers to start on a machine that gives us so many cores."""
        return self.workers or max(1, cores - 1)


class Log(Section, frozen=True, kw_only=True):
    """Logs of the node and its workers, on standard error."""

    format: Annotated[Literal["text", "json"], about("Lines for people, or one JSON object per line for programs.")] = (
        "text"
    )
    level: Annotated[Literal["debug", "info", "warning", "error"], about("The least that is written.")] = "info"


class Kafka(Section, frozen=True, kw_only=True):
    """Where Kafka is, and how to talk to it."""

    bootstrap: Annotated[
        str, about("Brokers to begin with. Not needed by a node that has namespaces and no topics.", "brokers")
    ] = ""
    read: Annotated[
        Literal["feed", "direct"],
        about(
            "`feed`: each partition is read by one node of the cluster, which passes it on to the others. `direct`: "
            "every node reads all of Kafka for itself."
        ),
    ] = "feed"
    metadata_interval_s: Annotated[
        float,
        about(
            "How often to look for new, changed and deleted topics and partitions.",
            "duration",
            ge=0.1,
            le=3600,
        ),
    ] = field(default=5.0, name="metadata_interval")
    client: Annotated[
        dict[str, str],
        about(
            "Any property of librdkafka, as it is (`security.protocol`, `sasl.password`, ...), "
            "for all connections to Kafka.",
            "properties",
        ),
    ] = field(default_factory=dict)
    consumer: Annotated[dict[str, str], about("Properties of librdkafka for reading only.", "properties")] = field(
        default_factory=dict
    )
    producer: Annotated[dict[str, str], about("Properties of librdkafka for publishing only.", "properties")] = field(
        default_factory=dict
    )


class Topic(TopicRule, frozen=True):
    """Which Kafka topics clients see, and how. Repeated; the first whose name matches a topic is used."""

    name: Annotated[
        str,
        about(
            "A topic, or a pattern over topic names with `*` (any characters) and `?` (one). Kafka's internal topics "
            "(`__consumer_offsets`) are matched only by what begins with `__` itself.",
            "topic",
        ),
    ]
    value: Annotated[
        Literal["json", "text", "bytes"],
        about(
            "What values are: decides how clients get them. A value that is not comes as the next that fits: "
            "JSON, text, bytes."
        ),
    ] = "json"
    publish: Annotated[bool, about("Whether clients may publish into the topic.")] = False


class Namespace(TopicRule, frozen=True):
    """Subjects of the mesh, `/name/…`: no Kafka is needed, the nodes of the cluster are the log, in memory. Repeated.

    A namespace comes before all topics: one that a pattern of `topics` covers as well is a namespace.
    """

    name: Annotated[
        str,
        about("The first segment of the subjects, in full: no entry of `topics` may have this name.", "namespace"),
    ]
    value: Annotated[Literal["json", "text", "bytes"], about("What values are, as for topics.")] = "json"
    publish: Annotated[
        bool,
        about("Whether clients may publish. True here, other than for topics: clients are the only source."),
    ] = True


class Cache(Section, frozen=True, kw_only=True):
    """What the node keeps in memory. What it no longer has is read back from Kafka."""

    ttl_s: Annotated[
        float,
        about("Messages older than this leave; at start the cache is filled this far back.", "duration", gt=0),
    ] = field(default=600.0, name="ttl")
    messages_per_subject_max: Annotated[int, about("Messages kept of one subject; older ones leave.", ge=1)] = field(
        default=1000, name="messages_per_subject"
    )
    bytes_max: Annotated[
        int, about("All that the cache may hold; the oldest messages leave first.", "size", ge=64 * KIB)
    ] = field(default=512 * MIB, name="bytes")
    snapshot_ttl_s: Annotated[
        float,
        about("How long the latest value of a subject outlives its other messages.", "duration", gt=0),
    ] = field(default=86400.0, name="snapshot_ttl")


class Replay(Section, frozen=True, kw_only=True):
    """Reading back from Kafka what the cache no longer has, for a client that resumes; beyond it: `gap`."""

    messages_max: Annotated[int, about("Records read back per log for one resume; 0: never read back.", ge=0)] = field(
        default=100_000, name="messages"
    )
    age_s: Annotated[float, about("Records older than this are not read back.", "duration", gt=0)] = field(
        default=86400.0, name="age"
    )
    concurrency: Annotated[int, about("Readers at work at the same time; others wait.", ge=1, le=64)] = 2


class Publish(Section, frozen=True, kw_only=True):
    """Clients' messages on their way into Kafka."""

    timeout_s: Annotated[
        float, about("A publish that Kafka has not acknowledged by then fails, retryably.", "duration", gt=0, le=300)
    ] = field(default=5.0, name="timeout")
    queue_max: Annotated[
        int, about("Messages in flight on the node; a publish beyond it fails at once, retryably.", ge=1)
    ] = field(default=10_000, name="queue")
    retry_window_s: Annotated[float, about("How long the same publish sent again is recognised.", "duration", gt=0)] = (
        field(default=300.0, name="retry_window")
    )
    remembered_max: Annotated[int, about("Publishes remembered for that; the oldest are forgotten first.", ge=1)] = (
        field(default=100_000, name="remembered")
    )


class Client(Section, frozen=True, kw_only=True):
    """Limits of one client, and of all of a worker's."""

    connections_max: Annotated[int, about("Connections per worker; more are sent to another server.", ge=1)] = field(
        default=15_000, name="connections"
    )
    subscriptions_max: Annotated[int, about("Subscriptions per connection.", ge=1)] = field(
        default=1000, name="subscriptions"
    )
    publishes_max: Annotated[int, about("Unanswered publishes per connection.", ge=1)] = field(
        default=256, name="publishes"
    )
    frame_bytes_max: Annotated[
        int, about("One frame from a client, all its fragments together.", "size", ge=KIB, le=GIB)
    ] = field(default=MIB, name="frame_bytes")
    subject_bytes_max: Annotated[int, about("A subject, in UTF-8.", "size", ge=16, le=64 * KIB)] = field(
        default=1024, name="subject_bytes"
    )
    outbox_bytes_max: Annotated[
        int,
        about("What may wait for a client that reads slowly; beyond it the client must resume.", "size", ge=KIB),
    ] = field(default=MIB, name="outbox_bytes")
    last_max: Annotated[int, about("The largest N of a subscription to the last N messages.", ge=1)] = field(
        default=1000, name="last"
    )
    heartbeat_s: Annotated[
        float,
        about("Between heartbeats; a client silent for twice as long is gone.", "duration", ge=0.05, le=3600),
    ] = field(default=20.0, name="heartbeat")
    hello_timeout_s: Annotated[float, about("How long a new connection may take to say `hello`.", "duration", gt=0)] = (
        field(default=10.0, name="hello_timeout")
    )


class Link(Section, frozen=True, kw_only=True):
    """Between the node and its workers."""

    queue_max: Annotated[
        int,
        about(
            "Packets that may wait for a worker, each with a batch of messages; a worker that falls further behind "
            "asks again.",
            ge=16,
        ),
    ] = field(default=4000, name="queue")
    page_messages_max: Annotated[int, about("Messages in one page of history.", ge=1)] = field(
        default=500, name="page_messages"
    )
    page_bytes_max: Annotated[int, about("One page of history; a single larger message is a page.", "size", ge=KIB)] = (
        field(default=256 * KIB, name="page_bytes")
    )


class Authorizer(Section, frozen=True, kw_only=True):
    """Who may connect, subscribe and publish."""

    use: Annotated[
        str,
        about(
            "A name among the entry points `whimbrel.authorizers`, or `module:Class`. "
            "`allow_all` lets everyone do what the topics allow.",
            "plugin",
        ),
    ] = "allow_all"
    options: Annotated[
        dict[str, Any],
        about("All other keys of the section, handed to the authorizer as they are.", "rest"),
    ] = field(default_factory=dict)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration of a node."""

    node: Node = Node()
    log: Log = Log()
    cluster: Cluster = field(default_factory=Cluster)
    namespaces: tuple[Namespace, ...] = ()
    kafka: Kafka = field(default_factory=Kafka)
    topics: tuple[Topic, ...] = ()
    cache: Cache = Cache()
    replay: Replay = Replay()
    publish: Publish = Publish()
    client: Client = Client()
    link: Link = Link()
    authorizer: Authorizer = field(default_factory=Authorizer)

    @property
    def voters(self) -> tuple[str, ...]:
        """The nodes whose copies and votes count: those configured, or this one alone."""
        return self.cluster.voters or (self.node.name,)

    @property
    def uses_kafka(self) -> bool:
        """Whether there is anything in Kafka for this node; without topics there is not."""
        return bool(self.topics)
