"""What a gateway worker is told when it starts: its limits, addresses and the topics that clients may use.

The node process makes one from its configuration (node/settings/ has units and defaults for people) and
hands it to each worker as one line of JSON on standard input.
"""

from __future__ import annotations

from typing import Any

import msgspec


class TopicRule(msgspec.Struct, frozen=True):
    """One mapping: which Kafka topics or namespaces of the mesh clients may use, and how."""

    name: str
    """A topic, a namespace, or a glob with `*` and `?` over topic names."""
    value: str = "json"
    """What values are said to be: json, text or bytes."""
    publish: bool = False
    """Whether clients may publish."""
    audit: bool = False
    """Whether auditors are told of its messages."""


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a worker needs to know."""

    index: int
    """This worker's number, from 0."""
    node: str
    cluster: str
    link: str
    """ZeroMQ address of the node's end of the link."""
    host: str
    port: int
    servers: list[str]
    """WebSocket addresses of nodes, told to clients until the node names others (`link.Servers`); may be empty."""
    origins: list[str]
    """Values of a browser's Origin header that are accepted besides the node's own (http/origins.py); `*` accepts
    all.
    """
    topics: list[TopicRule]
    connections_max: int
    subscriptions_max: int
    """Per connection."""
    publishes_max: int
    """Per connection, not yet answered."""
    frame_bytes_max: int
    """Of one message from a client, all its fragments together."""
    subject_bytes_max: int
    outbox_bytes_max: int
    """Per connection: what may wait for a client that reads slowly."""
    last_max: int
    """The largest N of `"from":{"last":N}`."""
    heartbeat_s: float
    hello_timeout_s: float
    authorizer: str
    """One that is built in, an entry point (group whimbrel.authorizers) or `module:Class`."""
    authorizer_options: dict[str, Any]
    log_format: str
    log_level: str
    authorizer_folder: str = ""
    """Where its module is looked for besides Python's own path."""
    token_life_s: float = 86400.0
    """How long a token may live from when it is shown: what says more is refused."""
    headers: tuple[str, ...] = ()
    """Which of a client's headers the authorizer is shown."""
    cookies: tuple[str, ...] = ()
    node_silent_s: float = 3.0
    """A node process that has said nothing for so long is taken for lost until it speaks again."""
    controls: bool = False
    """Whether the node can be killed and cut off over HTTP: in a demo only (http/controls.py)."""
    console: bool = False
    """Whether the clients' port has the page, metrics and status, too."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies that are believed."""
    forwarded_by: str = "x-forwarded-for"
    """How these say who the client is (http/proxies.py)."""
    path: str = ""
    """What may stand before every path, as a proxy passes it on; without a slash at its end."""
    certificate: str = ""
    """File; without it there is no TLS."""
    certificate_key: str = ""
    client_ca: str = ""
    client_certificates: str = "off"
    limit_address_connections: int = 0
    """0: no limit."""
    limit_address_connects: str = ""
    """Rates as in link/rates.py; empty: no limit."""
    limit_identity_connections: int = 0
    limit_identity_connects: str = ""
    limit_publishes: str = ""
    limit_subscribes: str = ""
    limit_bytes: str = ""
    audit: tuple[str, ...] = ()
    """Kinds of events that auditors are told; empty: there are none."""
    audit_delivered_each: int = 0
    """Of so many delivered messages of the topics that ask for it one is told; 0: none."""
