"""What one gateway worker is told of the configuration.

Not here: starting the worker and handing it over (node/workers.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict

from gateway.link.settings import GatewaySettings, TopicRule
from node.settings.schema import Settings


def gateway_settings(
    settings: Settings, *, index: int, cluster: str, link: str, port: int, page_origins: Sequence[str] = ()
) -> GatewaySettings:
    """The settings of worker `index`.

    Args:
        cluster: The cluster's id, told to clients.
        link: ZeroMQ address of the node's end of the link.
        port: Where to listen: `settings.node.port`, or the one chosen when that is 0.
        page_origins: Of the page as the admin listener serves it.
    """
    return GatewaySettings(
        index=index,
        node=settings.node.name,
        cluster=cluster,
        link=link,
        host=settings.node.host,
        port=port,
        servers=list(settings.node.servers),
        origins=[*settings.node.origins, *page_origins],
        topics=topic_rules(settings),
        authorizer=settings.authorizer.use,
        authorizer_options=settings.authorizer.options,
        authorizer_folder=settings.authorizer.folder,
        token_life_s=settings.authorizer.token_life_s,
        headers=settings.authorizer.headers,
        cookies=settings.authorizer.cookies,
        log_format=settings.log.format,
        log_level=settings.log.level,
        controls=settings.cluster.controls,
        console=settings.node.console,
        trusted_proxies=settings.node.trusted_proxies,
        path=settings.node.path,
        forwarded_by=settings.node.forwarded_by,
        limit_address_connections=settings.limits.address_connections_max,
        limit_address_connects=settings.limits.address_connects,
        limit_identity_connections=settings.limits.identity_connections_max,
        limit_identity_connects=settings.limits.identity_connects,
        limit_publishes=settings.limits.publishes,
        limit_subscribes=settings.limits.subscribes,
        limit_bytes=settings.limits.bytes,
        audit=settings.audit.events if settings.audit.use else (),
        audit_delivered_each=settings.audit.delivered_each if settings.audit.use else 0,
        certificate=settings.tls.certificate,
        certificate_key=settings.tls.key,
        client_ca=settings.tls.client_ca,
        client_certificates=settings.tls.client_certificates,
        **asdict(settings.client),
    )


def topic_rules(settings: Settings) -> list[TopicRule]:
    """What clients may use: the first that matches is used, so that a namespace is never taken for a Kafka topic."""
    return [TopicRule(one.name, one.value, one.publish, one.audit) for one in (*settings.namespaces, *settings.topics)]
