"""What errors of Kafka mean."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from node.kafka.errors import is_lasting, silence_of
from node.kafka.known_topics import Silence


@pytest.mark.parametrize(
    ("code", "lasting"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, True),
        (KafkaError.UNSUPPORTED_VERSION, True),
        (KafkaError.INVALID_REQUEST, True),
        (KafkaError._UNSUPPORTED_FEATURE, True),
        (KafkaError._TIMED_OUT, False),
        (KafkaError._TRANSPORT, False),
        (KafkaError.UNKNOWN, False),
    ],
)
def test_what_stays_so(code: int, lasting: bool) -> None:
    assert is_lasting(KafkaError(code)) is lasting


def test_only_that_there_is_no_such_topic_means_that_it_is_not_there() -> None:
    assert silence_of(KafkaError.UNKNOWN_TOPIC_OR_PART) is Silence.ABSENT
    assert silence_of(KafkaError.TOPIC_AUTHORIZATION_FAILED) is Silence.FORBIDDEN
    assert silence_of(KafkaError.LEADER_NOT_AVAILABLE) is Silence.UNSURE
    assert silence_of(KafkaError._TIMED_OUT) is Silence.UNSURE
