"""What can be configured: every key with its type, unit, default, limits and meaning.

One struct per section of the file; `Settings` is all of them. The name of a key is that of the field less its unit
(`cache.ttl` is `settings.cache.ttl_s`): durations are seconds here and sizes are bytes, however they were written.
The text under a field is its description in REFERENCE.md.

Invariants:
- `Settings()` is a valid configuration: every key has a default.
- Values are frozen and within their limits; what must hold between two keys is in relations.py.

Not here: kinds of values (fields.py), where values come from (layers.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import field

from gateway.link.settings import TopicRule
from node.settings.cluster import ClusterSettings, host_of, port_of
from node.settings.fields import (
    AdminListen,
    AuditKinds,
    Brokers,
    FilePath,
    Function,
    Listen,
    Name,
    Names,
    NamespaceName,
    Networks,
    Options,
    Origins,
    Plugin,
    Plugins,
    Properties,
    RateText,
    Secret,
    Section,
    TopicPattern,
    Urls,
    duration,
    size,
    whole,
)
from node.settings.units import GIB, KIB, MIB

Count: TypeAlias = Annotated[int, whole(1)]
Duration: TypeAlias = Annotated[float, duration(gt=0)]


class NodeSettings(Section, frozen=True):
    """This node: its name, its address, its worker processes."""

    name: Name = "node"
    """The node's name: in logs, in status, and told to clients. If it is not given, the machine's host name without
    its domain, where that fits."""
    listen: Listen = "127.0.0.1:8080"
    """Address for WebSockets and HTTP. Loopback by default: with `0.0.0.0:8080` or `[::]:8080` others can reach the
    node. Port 0 takes a free one."""
    workers: Annotated[int, whole(0, 1024)] = 0
    """Gateway worker processes; 0 is one per core that the node may use (of those that it may run on, or whose CPU time
    its control group allows, rounded down), less one, at least one."""
    drain_s: Annotated[float, duration(ge=0, le=3600)] = 10.0
    """On shutdown clients are told to move, spread over this time; then the remaining connections are closed."""
    servers: Urls = ()
    """WebSocket addresses of all nodes, told to clients so that they can reconnect elsewhere:
    `wss://a.example.com/v1/ws`. Empty: the addresses of the living nodes; a node alone tells none."""
    origins: Origins = ()
    """Web pages that may connect besides the node's own: values of a browser's `Origin` header, such as
    `https://app.example.com`; `*` accepts all. The node's own page is one that the browser has under `localhost`, an
    IP address, the host of `listen` or a host of `servers`; under any other name (which somebody else could point at
    the node) it must be here. Clients that are not browsers send no `Origin` and are accepted."""
    console: bool = False
    """Whether clients' port has the page, `/v1/status` and `/metrics` too, which are otherwise on `admin.listen` only:
    for demonstrations."""
    trusted_proxies: Networks = ()
    """Addresses or networks of proxies whose word is taken for where a client is. Nobody else's is."""
    forwarded_by: Literal["x-forwarded-for", "forwarded", "proxy-protocol"] = "x-forwarded-for"
    """How trusted proxies say it: by a header, or by HAProxy's PROXY protocol (version 1 or 2), with which each of
    their connections must then begin. They must overwrite or extend the header, never pass on only a client's own."""
    path: FilePath = ""
    """The path below which a proxy passes on what is for the node without taking it away: with `/push` the node answers
    `https://example.com/push/`, `/push/v1/ws`, `/push/sdk/…`, and the same without it. Empty: there is none, or the
    proxy takes it away."""
    run_dir: str = ""
    """Where the node makes its own directory for the sockets to its workers; empty: the directory for temporary
    files."""

    @property
    def host(self) -> str:
        """The host of `listen`, without the brackets of an IPv6 address."""
        return host_of(self.listen)

    @property
    def port(self) -> int:
        """The port of `listen`; 0 is any free one."""
        return port_of(self.listen)

    def worker_count(self, cores: int) -> int:
        """How many workers to start with so many cores."""
        return self.workers or max(1, cores - 1)


class AdminSettings(Section, frozen=True):
    """The listener for those who run the node: page, status, metrics, health and why, connections, publishes."""

    listen: AdminListen = ""
    """`HOST:PORT`; `unix:PATH` for a socket that only the node's own user can reach; `off` for none. Empty: 127.0.0.1,
    and the port of `node.listen` plus 10. Whatever others can reach needs a token."""
    token: Secret = ""
    """What every request but `/health/…` and the page's files must bring as `Authorization: Bearer TOKEN`. Empty: none
    is asked for, which is allowed on loopback and for a `unix:` socket only."""
    token_file: str = ""
    """A file that has the token and nothing else."""


class TlsSettings(Section, frozen=True):
    """TLS 1.2 and 1.3 on the clients' port. Files that change are taken without a restart, for new connections."""

    certificate: str = ""
    """PEM file with the certificate and its chain. Empty: no TLS, `ws:` and `http:`."""
    key: str = ""
    """PEM file with the certificate's key, without a passphrase. Empty: it is in the certificate's file."""
    client_certificates: Literal["off", "optional", "required"] = "off"
    """Whether clients are asked for a certificate, whose name an authorizer is shown (`Connection.certificate`)."""
    client_ca: str = ""
    """PEM file with the certificates that sign those of clients."""


class LogSettings(Section, frozen=True):
    """Logs of the node and its workers, on standard error."""

    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object per line for programs."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is written."""


class KafkaSettings(Section, frozen=True):
    """Where Kafka is, and how to talk to it."""

    bootstrap: Brokers = ""
    """Brokers to begin with. Not needed by a node that has namespaces and no topics."""
    read: Literal["feed", "direct"] = "feed"
    """`feed`: each partition is read by one node of the cluster, which passes it on to the others. `direct`: every
    node reads all of Kafka for itself."""
    metadata_interval_s: Annotated[float, duration(ge=0.1, le=3600)] = 5.0
    """How often to look for new, changed and deleted topics and partitions."""
    stuck_after_s: Duration = 120.0
    """A transaction that keeps a partition from being read on for so long is named in the status. What it has written,
    and what others have written behind it, is readable only when it is committed or aborted."""
    oauth: Function = ""
    """`module:function`: a Python function that gives tokens for SASL/OAUTHBEARER, called with the property
    `sasl.oauthbearer.config` (or an empty text), at first and before a token expires, from a thread. It gives
    `(token, expiry)` or `(token, expiry, principal, extensions)`; the expiry is in seconds since 1970."""
    oauth_folder: str = ""
    """Where the module of `oauth` is looked for after Python's own path. If it is not given, the folder of the
    configuration file."""
    client: Properties = field(default_factory=dict)
    """Any property of librdkafka, as it is (`security.protocol`, `sasl.password`, ...), for all connections to
    Kafka."""
    consumer: Properties = field(default_factory=dict)
    """Properties of librdkafka for reading only."""
    producer: Properties = field(default_factory=dict)
    """Properties of librdkafka for publishing only."""


class Topic(TopicRule, frozen=True):
    """Which Kafka topics clients see, and how. Repeated; the first whose name matches a topic is used."""

    name: TopicPattern
    """A topic, or a pattern over topic names with `*` (any characters) and `?` (one). Kafka's internal topics
    (`__consumer_offsets`) are matched only by a pattern that begins with `__` itself."""
    value: Literal["json", "text", "bytes"] = "json"
    """What values are: decides how clients get them. A value that does not fit is sent as the next kind that does:
    JSON, text, bytes."""
    publish: bool = False
    """Whether clients may publish into the topic."""
    audit: bool = False
    """Whether auditors are told of its messages (`audit.events`)."""
    compacted: bool = False
    """Whether the topic is a table, of which the latest value of every key is always had. Kafka says so by itself, by
    the topic's `cleanup.policy`, to whom it lets describe the topic's configuration (DESCRIBE_CONFIGS); say it here
    where it does not."""
    create: bool = False
    """Whether a topic that does not exist is created when a client publishes into it, as the brokers do it by default
    (partitions, replicas). Otherwise such a publish is refused."""


class Namespace(TopicRule, frozen=True):
    """Subjects of the mesh, `/name/…`: no Kafka is needed, the nodes of the cluster are the log, in memory. Repeated.

    A namespace comes before all topics: one that a pattern of `topics` covers as well is a namespace.
    """

    name: NamespaceName
    """The first segment of the subjects, in full: no entry of `topics` may have this name."""
    value: Literal["json", "text", "bytes"] = "json"
    """What values are, as for topics."""
    publish: bool = True
    """Whether clients may publish. True here, unlike topics: clients are the only source."""
    audit: bool = False
    """Whether auditors are told of its messages (`audit.events`)."""


class CacheSettings(Section, frozen=True):
    """What the node keeps in memory. What it no longer has is read back from Kafka."""

    ttl_s: Duration = 600.0
    """Messages leave so long after the node has got them. At start the cache is filled this far back if the times of a
    topic's records are the log's own (`message.timestamp.type=LogAppendTime`). Those of producers prove nothing: then
    it is filled with the last records of each partition, 100000 at most, as far as `bytes` goes round."""
    messages_per_subject_max: Count = 1000
    """Messages kept of one subject; older ones leave."""
    bytes_max: Annotated[int, size(64 * KIB)] = 512 * MIB
    """All that the cache may hold; the oldest messages leave first."""
    snapshot_ttl_s: Duration = 86400.0
    """How long the latest value of a subject outlives its other messages. Those of a compacted topic have no age."""
    table_bytes_max: Annotated[int, size(MIB)] = 16 * GIB
    """All latest values of compacted topics, on disk (`cluster.data_dir`); what does not fit is said and kept in
    memory, up to 1 GiB."""


class ReplaySettings(Section, frozen=True):
    """Reading back from Kafka what the cache no longer has, for a client that resumes; beyond it: `gap`."""

    messages_max: Annotated[int, whole(0)] = 100_000
    """Records read back per log for one resume, however old; 0: never read back."""
    concurrency: Annotated[int, whole(1, 64)] = 2
    """Readers at work at the same time; others wait."""


class PublishSettings(Section, frozen=True):
    """Clients' messages on their way into Kafka."""

    timeout_s: Annotated[float, duration(gt=0, le=300)] = 5.0
    """A publish that Kafka has not acknowledged by then fails, retryably."""
    queue_max: Count = 10_000
    """Messages in flight on the node; a publish beyond it fails at once, retryably."""
    retry_window_s: Duration = 300.0
    """How long the same publish sent again is recognised; the same on all nodes."""
    remembered_max: Count = 100_000
    """Publishes remembered for that; the oldest are forgotten first."""


class ClientSettings(Section, frozen=True):
    """Limits of one client, and of all of a worker's."""

    connections_max: Count = 15_000
    """Connections per worker; more are sent to another server."""
    subscriptions_max: Count = 1000
    """Subscriptions per connection."""
    publishes_max: Count = 256
    """Unanswered publishes per connection."""
    frame_bytes_max: Annotated[int, size(KIB, GIB)] = MIB
    """One frame from a client, all its fragments together."""
    subject_bytes_max: Annotated[int, size(16, 64 * KIB)] = 1024
    """A subject, in UTF-8."""
    outbox_bytes_max: Annotated[int, size(KIB)] = MIB
    """What may wait for a client that reads slowly; beyond it the client must resume."""
    last_max: Count = 1000
    """The largest N of a subscription to the last N messages."""
    heartbeat_s: Annotated[float, duration(ge=0.05, le=3600)] = 20.0
    """Between heartbeats; a client silent for twice as long is gone."""
    hello_timeout_s: Duration = 10.0
    """How long a new connection may take to say `hello`."""


class RateLimits(Section, frozen=True):
    """How many connections an address and an identity may have on a node, and how much a connection may ask. A rate is
    `20/s`, or `20/s burst 100`: so many on average, and so many at once. Connections beyond are refused with when to
    come back (`retry after`); who asks faster is slowed, and after 30 s closed with that. All of it is counted."""

    address_connections_max: Annotated[int, whole(0)] = 0
    """Connections from one address (of IPv6: 64 bits of it); 0: any number."""
    address_connects: RateText = ""
    """New connections from one address; empty: any number."""
    identity_connections_max: Annotated[int, whole(0)] = 0
    """Connections of one identity, as the authorizer names it; 0: any number. Who has no name is not counted."""
    identity_connects: RateText = ""
    """New connections of one identity; empty: any number."""
    publishes: RateText = ""
    """Publishes of one connection; empty: any number."""
    subscribes: RateText = ""
    """Subscribes of one connection; empty: any number."""
    bytes: RateText = ""
    """Bytes that one connection sends; empty: any number."""


class AuthorizerSettings(Section, frozen=True):
    """Who may connect, subscribe and publish."""

    use: Plugin = "allow_all"
    """One that is built in, an entry point of `whimbrel.authorizers`, or `module:Class`. `allow_all` lets everyone do
    what the topics allow."""
    folder: str = ""
    """Where the module of a `module:Class` is looked for after Python's own path. If it is not given, the folder of
    the configuration file."""
    headers: Names = ()
    """Headers of a client's request that the authorizer is shown."""
    cookies: Names = ()
    """Cookies of a client's request that the authorizer is shown."""
    token_life_s: Duration = 86400.0
    """How long a token may live from when it is shown; one that says more is refused. A revocation is kept so long."""
    options: Options = field(default_factory=dict)
    """All other keys of the section, handed to the authorizer as they are: from the environment and from flags as text,
    but lists and tables are read as TOML."""


class AuditSettings(Section, frozen=True):
    """Who is told what happened. Options of an auditor are in a table of its name: `[audit.log]`, `[audit.kafka]`."""

    use: Plugins = ()
    """Those that are built in (`log`, `kafka`), entry points of `whimbrel.auditors`, or `module:Class` (looked for as
    `authorizer.folder` says). Empty: nobody is told."""
    events: AuditKinds = ("access", "message", "cache", "stats")
    """Which kinds of events: `message` is only about topics and namespaces with `audit = true`."""
    delivered_each: Annotated[int, whole(0)] = 100
    """Of so many delivered messages of these one is told, with who got it; 0: none."""
    stats_s: Annotated[float, duration(ge=1, le=86400)] = 60.0
    """Between two events with the node's figures."""
    queue_max: Count = 100_000
    """Events that may wait for an auditor; more are dropped, counted and told."""
    options: Options = field(default_factory=dict)
    """The auditors' own tables, handed to them as they are; `--set audit.log.file=…` sets one key of a table."""

    def options_of(self, name: str, kafka: KafkaSettings) -> dict[str, Any]:
        """What an auditor is made with: that of Kafka is told where Kafka is."""
        given = self.options.get(name, {})
        if not isinstance(given, dict):
            return {"options": given}
        if name != "kafka" or "bootstrap" in given:
            return given
        where = {"bootstrap": kafka.bootstrap, "oauth": kafka.oauth, "oauth_folder": kafka.oauth_folder}
        return where | given | {"client": kafka.client | given.get("client", {})}


class Link(msgspec.Struct, frozen=True):
    """Limits of what goes from the node to a worker: not configured, they follow from the rest."""

    page_bytes_max: int
    """One page of history; a single larger message is a page."""
    page_messages_max: int = 500


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration of a node."""

    node: NodeSettings = NodeSettings()
    admin: AdminSettings = AdminSettings()
    tls: TlsSettings = TlsSettings()
    log: LogSettings = LogSettings()
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    namespaces: tuple[Namespace, ...] = ()
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    topics: tuple[Topic, ...] = ()
    cache: CacheSettings = CacheSettings()
    replay: ReplaySettings = ReplaySettings()
    publish: PublishSettings = PublishSettings()
    client: ClientSettings = ClientSettings()
    limits: RateLimits = RateLimits()
    authorizer: AuthorizerSettings = field(default_factory=AuthorizerSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)

    @property
    def link(self) -> Link:
        """A page of history must fit into an empty outbox."""
        return Link(min(256 * KIB, self.client.outbox_bytes_max))

    @property
    def voters(self) -> tuple[str, ...]:
        """The nodes whose copies and votes count: those configured, or this one alone."""
        return self.cluster.voters or (self.node.name,)

    @property
    def named_topics(self) -> list[str]:
        """The topics that the configuration names in full, not by a glob."""
        return [topic.name for topic in self.topics if not set("*?") & set(topic.name)]

    @property
    def uses_kafka(self) -> bool:
        """Whether there is anything in Kafka for this node; without topics there is not."""
        return bool(self.topics)
