"""Users of a real Kafka that has an authorizer: each may do what it was allowed, and nothing else.

Where there are users, whoever comes to the ordinary listener may do everything; a user comes to another one, by a
password (SCRAM), which `KafkaUser.properties` name.

Not here: the broker (broker.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TypeVar

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

LISTENER = "USERS"
_MECHANISM = "SCRAM-SHA-256"
_ROUNDS = 4096
"""The fewest that Kafka takes."""

BROKER_PROPERTIES = {
    "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{LISTENER}:SASL_PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "sasl.enabled.mechanisms": _MECHANISM,
    f"listener.name.{LISTENER.lower()}.{_MECHANISM.lower()}.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
"""What a broker needs for users, beside a port of its own for them."""

_numbers: Iterator[int] = count(1)

Rule = TypeVar("Rule", AclBinding, AclBindingFilter)


class KafkaUser:
    """One user, by whom a client is known; at first it may do nothing."""

    def __init__(self, admin: AdminClient, bootstrap: str) -> None:
        """Have Kafka know a new user.

        Args:
            admin: Of somebody who may do everything.
            bootstrap: Where users come in.
        """
        self._admin = admin
        self.name = f"user-{next(_numbers)}"
        self.properties: dict[str, str] = {
            "bootstrap.servers": bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": _MECHANISM,
            "sasl.username": self.name,
            "sasl.password": f"secret of {self.name}",
        }
        """librdkafka's, to come as this user."""
        credential = UserScramCredentialUpsertion(
            self.name,
            ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, _ROUNDS),
            self.properties["sasl.password"].encode(),
        )
        admin.alter_user_scram_credentials([credential])[self.name].result(30)

    def allow(self, *operations: str, topic: str = "", group: str = "", prefixed: bool = False) -> None:
        """Allow operations (READ, DESCRIBE, DESCRIBE_CONFIGS, WRITE, ...) on a topic or a group, `*` for all, else
        on the cluster. Brokers know of it a moment later.

        Args:
            prefixed: On all whose names begin so.
        """
        rules = self._rules(AclBinding, "ALLOW", operations, topic, group, prefixed)
        for future in self._admin.create_acls(rules).values():
            future.result(30)

    def deny(self, *operations: str, topic: str = "", group: str = "", prefixed: bool = False) -> None:
        """Deny what another rule may allow; otherwise as `allow`."""
        rules = self._rules(AclBinding, "DENY", operations, topic, group, prefixed)
        for future in self._admin.create_acls(rules).values():
            future.result(30)

    def withdraw(self, *operations: str, topic: str = "", group: str = "", prefixed: bool = False) -> None:
        """Take back what was allowed or denied by the same words."""
        rules = self._rules(AclBindingFilter, "ANY", operations, topic, group, prefixed)
        for future in self._admin.delete_acls(rules).values():
            assert future.result(30), f"no rule of {self.name} was withdrawn"

    def _rules(
        self,
        kind: type[Rule],
        permission: str,
        operations: tuple[str, ...],
        topic: str,
        group: str,
        prefixed: bool,
    ) -> list[Rule]:
        resource, name = (
            (ResourceType.TOPIC, topic)
            if topic
            else (ResourceType.GROUP, group)
            if group
            else (ResourceType.BROKER, "kafka-cluster")
        )
        pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        who = (f"User:{self.name}", "*")
        return [
            kind(resource, name, pattern, *who, AclOperation[operation], AclPermissionType[permission])
            for operation in operations
        ]
