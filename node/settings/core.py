"""What a node's core needs of the settings.

Not here: the settings themselves (schema.py).
"""

from __future__ import annotations

from gateway.link.jwt_options import read
from gateway.link.rates import rate_of
from gateway.link.topic_rules import Mapping
from mesh.cache.cache import CacheConfig
from mesh.feed.feed_log import FeedConfig
from mesh.slots.forwarding import ForwardingConfig
from mesh.slots.slot import SlotConfig
from node.admissions import AdmissionConfig
from node.backfill.backfill import PageLimits
from node.cluster import meta
from node.config import NodeConfig
from node.publishing import PublishingConfig
from node.settings.schema import Settings
from node.settings.worker import topic_rules

REPEATS_MAX = 1_000_000
"""Publishes to namespaces that are remembered in all, to recognise them when they come again; some 250 MB."""


def core_config(settings: Settings) -> NodeConfig:
    """The configuration of a node's core."""
    cluster, publish = settings.cluster, settings.publish
    has_slots = cluster.is_on or bool(settings.namespaces)
    return NodeConfig(
        name=settings.node.name,
        cluster_address=cluster.advertised if cluster.is_on else "",
        mapping=Mapping(topic_rules(settings)),
        uses_kafka=settings.uses_kafka,
        compacted=frozenset(topic.name for topic in settings.topics if topic.compacted),
        namespaces=tuple(settings.namespaces),
        servers=tuple(settings.node.servers),
        joins=bool(cluster.join),
        slot_count=cluster.slots if has_slots else 0,
        slots=SlotConfig(
            voters=settings.voters,
            retry_window_ms=int(publish.retry_window_s * 1000),
            repeats_max=max(REPEATS_MAX // cluster.slots, 1),
        ),
        forwarding=ForwardingConfig(timeout_s=publish.timeout_s, pending_max=publish.queue_max),
        feed=FeedConfig(direct=settings.kafka.read == "direct" or not cluster.is_on),
        cache=CacheConfig(
            ttl_s=settings.cache.ttl_s,
            messages_per_subject=settings.cache.messages_per_subject_max,
            bytes_max=settings.cache.bytes_max,
            snapshot_ttl_s=settings.cache.snapshot_ttl_s,
        ),
        publishing=PublishingConfig(
            publish.timeout_s,
            publish.queue_max,
            publish.remembered_max,
            frozenset(one.name for one in settings.topics if one.create),
        ),
        pages=PageLimits(settings.link.page_messages_max, settings.link.page_bytes_max),
        subject_bytes_max=settings.client.subject_bytes_max,
        digest=meta.digest_of(settings.voters, cluster.slots, publish.retry_window_s),
        namespaces_digest=meta.namespaces_of(settings.namespaces),
        key_urls=_key_urls(settings),
        admission=AdmissionConfig(
            settings.limits.address_connections_max,
            rate_of(settings.limits.address_connects),
            settings.limits.identity_connections_max,
            rate_of(settings.limits.identity_connects),
        ),
    )


def _key_urls(settings: Settings) -> dict[str, float]:
    """Those of the authorizer `jwt`."""
    if settings.authorizer.use != "jwt":
        return {}
    return {one.jwks_url: one.jwks_refresh_s for one in read(settings.authorizer.options).issuers if one.jwks_url}
