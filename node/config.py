"""What a node's core needs to know of its configuration.

Not here: the settings that it is made from (node/settings/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.link.settings import TopicRule
from gateway.link.topic_rules import Mapping as TopicMapping
from mesh.cache.cache import CacheConfig
from mesh.feed.feed_log import FeedConfig
from mesh.slots.forwarding import ForwardingConfig
from mesh.slots.slot import SlotConfig
from node.admissions import AdmissionConfig
from node.backfill.backfill import PageLimits
from node.publishing import PublishingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Fixed for the life of a node."""

    name: str
    cluster_address: str
    """Where membership finds this node; empty if it is alone."""
    mapping: TopicMapping
    """Of Kafka's topics."""
    uses_kafka: bool
    compacted: frozenset[str]
    """Names of the mapping's rules whose topics are compacted, whether or not Kafka says so."""
    namespaces: tuple[TopicRule, ...]
    """Topics that are the cluster's own."""
    servers: tuple[str, ...]
    """Where clients can go, if that is configured; else wherever a living node takes them."""
    joins: bool
    """Whether there are other nodes to copy caches from."""
    slot_count: int
    slots: SlotConfig
    forwarding: ForwardingConfig
    feed: FeedConfig
    cache: CacheConfig
    publishing: PublishingConfig
    pages: PageLimits
    subject_bytes_max: int
    digest: int
    """Of what all nodes of a cluster must have alike."""
    namespaces_digest: int
    """The same on two nodes that have the same namespaces."""
    key_urls: Mapping[str, float] = field(default_factory=dict)
    """Key sets that tokens are checked with, and how often each is fetched again, in seconds."""
    admission: AdmissionConfig = field(default_factory=AdmissionConfig)
