"""What must hold between values, what a node needs, and what its operator must be warned of.

Not here: limits of single values (schema.py), properties that Kafka's library refuses (librdkafka.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from gateway.link.hosts import is_loopback
from gateway.link.topic_rules import INTERNAL
from node.settings.cluster import host_of, is_wildcard, port_of
from node.settings.keys import KEYS, toml
from node.settings.schema import Settings

Broken = tuple[str, str, str]
"""A key, the other key that it is at odds with (or none), and what is wrong; `{source}`: where the other was said."""

AT_MOST: list[tuple[str, str, str]] = [
    ("cache.ttl", "cache.snapshot_ttl", "the latest value outlives a subject's other messages"),
    ("publish.timeout", "publish.retry_window", "a retry comes after the timeout and must be recognised"),
    ("publish.queue", "publish.remembered", "each message in flight is remembered"),
    ("client.publishes", "publish.queue", "one client's publishes must find room on the node"),
    ("client.hello_timeout", "client.heartbeat", "a connection must not be silent for longer"),
    ("client.subject_bytes", "client.frame_bytes", "a frame carries a subject"),
]
"""Lesser key, greater key, why: the value of the first is at most that of the second."""

_OFFSETS = "the node commits no offsets: it reads from where its cache ends"
_NO_GROUP = "the node reads every partition itself, without a consumer group"
_ALL = "the node needs all: a publish is acknowledged when it cannot be lost any more"
REFUSED: dict[str, str] = {
    "bootstrap.servers": "say kafka.bootstrap",
    "metadata.broker.list": "say kafka.bootstrap",
    "enable.auto.commit": _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "auto.offset.reset": "an offset that is gone must be seen, to be stated as a gap, not skipped",
    "enable.partition.eof": "the node needs it to know when it has all of a partition",
    "partition.assignment.strategy": _NO_GROUP,
    "group.protocol": _NO_GROUP,
    "group.instance.id": _NO_GROUP,
    "enable.idempotence": "the node needs it on: a publish must reach Kafka once and in order",
    "acks": _ALL,
    "request.required.acks": _ALL,
    "transactional.id": "the node publishes outside of transactions",
    "message.timeout.ms": "say publish.timeout",
    "delivery.timeout.ms": "say publish.timeout",
    "queue.buffering.max.messages": "say publish.queue",
    "logger": "the node has its own; say log.level and log.format",
    "statistics.interval.ms": "the node reads the library's statistics itself, as often as it needs them",
    "isolation.level": "the node reads only what is committed",
    "allow.auto.create.topics": "say create = true for a topic in [[topics]]: a typing error must not make one",
    "enable.gapless.guarantee": "it ends the producer where the node tries again",
    "log.queue": "the node has its own log; say log.level and log.format",
    "enabled_events": "the node asks the library for what it needs",
    "delivery.report.only.error": "the node needs every report: it is a publisher's acknowledgement",
}
"""Properties of librdkafka that are the node's own business, and why or what to say instead."""

AUDITORS = ("kafka", "log")
"""Those that are built in: their tables may stand there without being used."""


def missing(settings: Settings, wrong: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Keys that a node needs and were not given: path, alternative key, how to give it.

    Args:
        wrong: Paths that were given a wrong value: they are not in the settings, but what they need is needed.
    """
    cluster = settings.cluster
    has_topics, has_namespaces = settings.topics or "topics" in wrong, settings.namespaces or "namespaces" in wrong
    is_on = cluster.is_on or {"cluster.listen", "cluster.join", "cluster.voters"} & {*wrong}
    if not settings.kafka.bootstrap and (has_topics or not has_namespaces):
        yield "kafka.bootstrap", "", "the brokers to read from: --kafka HOST:PORT, or WHIMBREL_KAFKA_BOOTSTRAP"
    if not has_topics and not has_namespaces:
        how = "--topics NAME,..., WHIMBREL_TOPICS, or [[topics]] with a name; or, without Kafka, --namespaces NAME,..."
        yield "topics", "namespaces", f"the topics that clients may use: {how}"
    if is_on and not (cluster.key or cluster.key_file):
        how = "--cluster-key-file FILE, WHIMBREL_CLUSTER_KEY, or key or key_file in [cluster]"
        text = f"the cluster's secret, the same on all nodes (whimbrel keygen makes one): {how}"
        yield "cluster.key", "cluster.key_file", text
    admin = settings.admin
    if is_open(admin.listen) and not (admin.token or admin.token_file):
        text = f"the token that protects what others can reach: admin.listen is {admin.listen}"
        yield "admin.token", "admin.token_file", text
    tls = settings.tls
    if (tls.key or tls.client_ca or tls.client_certificates != "off") and not tls.certificate:
        yield "tls.certificate", "", "the file with the certificate, as other keys of tls are given"
    if tls.client_certificates != "off" and not tls.client_ca:
        text = f"the file with who signs clients' certificates: tls.client_certificates is {tls.client_certificates}"
        yield "tls.client_ca", "", text
    if settings.node.forwarded_by != "x-forwarded-for" and not settings.node.trusted_proxies:
        yield "node.trusted_proxies", "", "the proxies that are meant, as node.forwarded_by is given"
    if (cluster.join or "cluster.join" in wrong) and not cluster.voters:
        text = "the names of the voters, the same on all nodes, when other nodes are joined: --voters NAME,..."
        yield "cluster.voters", "", text
    if is_wildcard(cluster.host) and not cluster.advertise:
        text = f"the HOST:PORT at which other nodes reach this one: cluster.listen is {cluster.listen}"
        yield "cluster.advertise", "", text
    if (cluster.secret_key_file or "cluster.secret_key_file" in wrong) and not cluster.node_keys:
        yield "cluster.node_keys", "", "the public keys of all nodes, as cluster.secret_key_file is given"
    if cluster.accepted_node_keys and not (cluster.node_keys or cluster.secret_key_file):
        yield "cluster.node_keys", "", "the public keys of all nodes, as cluster.accepted_node_keys is given"
    if (cluster.node_keys or "cluster.node_keys" in wrong) and not cluster.secret_key_file:
        yield "cluster.secret_key_file", "", "the file with this node's keys, as cluster.node_keys is given"


def broken(settings: Settings, values: Mapping[str, object]) -> Iterator[Broken]:
    """Values that do not go together.

    Args:
        values: Values that are right by themselves, by path.
    """
    for lesser, greater, why in AT_MOST:
        low, high = KEYS[lesser].get(settings), KEYS[greater].get(settings)
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        if low > high:
            found, most = toml(KEYS[lesser], low), toml(KEYS[greater], high)
            yield lesser, greater, f"found {found}, expected at most {greater}, which is {most} ({{source}}): {why}"
    yield from _contradictions(settings)
    yield from _unusable(values)
    yield from _options_of_nobody(settings, values)
    for path in values:
        name = re.sub(r"kafka\.(client|consumer|producer)\.", "", path)
        if name in REFUSED:
            yield path, "", f"cannot be set: {REFUSED[name]}"


def _contradictions(settings: Settings) -> Iterator[Broken]:
    cluster, clients, admin = settings.cluster, settings.node, settings.admin
    if admin.token and admin.token_file:
        text = f'found "{admin.token_file}", expected only one of admin.token_file and admin.token ({{source}})'
        yield "admin.token_file", "admin.token", text
    if admin.listen not in ("", "off") and not admin.listen.startswith("unix:"):
        is_one = (
            host_of(admin.listen) == clients.host or is_wildcard(clients.host) or is_wildcard(host_of(admin.listen))
        )
        if clients.port and port_of(admin.listen) == clients.port and is_one:
            text = f'found "{admin.listen}", expected a port other than that of node.listen ({{source}})'
            yield "admin.listen", "node.listen", text
    if cluster.key and cluster.key_file:
        text = f'found "{cluster.key_file}", expected only one of cluster.key_file and cluster.key ({{source}})'
        yield "cluster.key_file", "cluster.key", text
    if cluster.advertise and is_wildcard(host_of(cluster.advertise)):
        text = f'found "{cluster.advertise}", expected an address at which other nodes reach this one'
        yield "cluster.advertise", "", text
    is_shared = clients.host == cluster.host or is_wildcard(clients.host) or is_wildcard(cluster.host)
    if cluster.is_on and clients.port in (cluster.port, cluster.port + 1) and is_shared:
        expected = "a port other than that of node.listen ({source}) and that less one"
        yield "cluster.listen", "node.listen", f'found "{cluster.address}", expected {expected}'
    lacking = sorted({clients.name, *settings.voters} - cluster.node_keys.keys())
    if cluster.node_keys and lacking:
        text = f"expected a key of this node and of each voter too: {', '.join(lacking)} lacking"
        yield "cluster.node_keys", "cluster.voters", text


def _unusable(values: Mapping[str, object]) -> Iterator[Broken]:
    """Entries of the lists that can never be used, because an earlier one always comes first."""
    named = ((path, name) for path, name in values.items() if re.fullmatch(r"\w+\[\d+\]\.name", path))
    names = [(path, name) for path, name in named if isinstance(name, str)]
    topics, namespaces = ([one for one in names if one[0].startswith(of)] for of in ("topics", "namespaces"))
    taken: dict[str, str] = {}
    for path, name in namespaces:
        if name in taken:
            yield path, "", f'found "{name}", expected a name that no earlier entry has: it would never be used'
        taken.setdefault(name, path)
    for at, (path, name) in enumerate(topics):
        if name in taken:
            other = taken[name].removesuffix(".name")
            yield path, "", f'found "{name}", expected a name that is not that of {other}, too'
        first = next((earlier for _, earlier in topics[:at] if covers(earlier, name)), None)
        if first is not None:
            expected = f'a name that the earlier "{first}" does not match: it would never be used'
            yield path, "", f'found "{name}", expected {expected}'


def _options_of_nobody(settings: Settings, values: Mapping[str, object]) -> Iterator[Broken]:
    """Options of an authorizer that was not named, and of auditors that there are not: often a slip of the pen."""
    if settings.authorizer.options and "authorizer.use" not in values:
        first = next(iter(settings.authorizer.options))
        expected = "authorizer.use to say of which: without it everybody may do everything"
        yield f"authorizer.{first}", "", f"found an option of an authorizer, expected {expected}"
    for name, given in settings.audit.options.items():
        if name in settings.audit.use or (name in AUDITORS and isinstance(given, dict)):
            continue
        expected = "a key of [audit], or the table of an auditor that audit.use names"
        yield f"audit.{name}", "", f"found what nobody takes, expected {expected}"


def covers(pattern: str, other: str) -> bool:
    """Whether all that the other pattern matches matches this one, too. Never wrongly true; may be wrongly false."""
    if other.startswith(INTERNAL) and not pattern.startswith(INTERNAL):
        return False
    form = "".join({"*": ".*", "?": "[^*]"}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(form, other) is not None


def warnings(settings: Settings) -> list[str]:
    """What is allowed but dangerous, shown at every start; for files see cluster_files.py."""
    if is_loopback(settings.node.host):
        return []
    found = []
    if settings.authorizer.use == "allow_all":
        publish = [rule.name for rule in (*settings.topics, *settings.namespaces) if rule.publish]
        also = f" and publish into {', '.join(publish)}" if publish else ""
        found.append(
            f"OTHERS CAN REACH THIS NODE WITHOUT AUTHORIZATION: it listens on {settings.node.listen} and the "
            f"authorizer is allow_all, so whoever can connect may read every mapped topic and every namespace{also}. "
            "Configure an authorizer, or listen on 127.0.0.1."
        )
    if settings.node.console:
        found.append(
            f"OTHERS CAN SEE THE INSIDES OF THIS NODE: it listens on {settings.node.listen} and node.console is true. "
            "Leave it out, or listen on 127.0.0.1."
        )
    if settings.cluster.controls:
        found.append(
            f"OTHERS CAN KILL THIS NODE: it listens on {settings.node.listen} and cluster.controls is true. "
            "Leave it out, or listen on 127.0.0.1."
        )
    return found


def is_open(listen: str) -> bool:
    """Whether others than this machine's own users can reach what listens there."""
    return listen not in ("", "off") and not listen.startswith("unix:") and not is_loopback(host_of(listen))
