"""What errors of Kafka and librdkafka mean: codes to meanings.

Not here: errors of publishing (producer.py).
"""

from __future__ import annotations

from confluent_kafka import KafkaError

from node.kafka.known_topics import Silence

NOT_ALLOWED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
_GONE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.TOPIC_EXCEPTION,
}
"""What says that a topic is not there; anything else may pass."""


def is_lasting(error: KafkaError) -> bool:
    """Whether the same question will get the same answer: it is not allowed, or the broker does not know it."""
    code = error.code()
    return code in NOT_ALLOWED or code == KafkaError._UNSUPPORTED_FEATURE or (code > 0 and not error.retriable())


def silence_of(code: int) -> Silence:
    """Why Kafka says no more of a topic."""
    if code in _GONE:
        return Silence.ABSENT
    return Silence.FORBIDDEN if code in NOT_ALLOWED else Silence.UNSURE
