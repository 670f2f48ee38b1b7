"""Users of the tests' real Kafka: what other tests build on."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from loadtest.kafka.broker import RealKafka
from loadtest.kafka.users import KafkaUser
from tests.support.patience import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]


def sees(user: KafkaUser, topic: str) -> bool:
    """Whether Kafka shows a user that there is this topic."""
    return topic in AdminClient({**user.properties, "log_level": 0}).list_topics(timeout=PATIENCE_S).topics


def wait_until(user: KafkaUser, topic: str, seen: bool) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while sees(user, topic) is not seen:
        assert time.monotonic() < deadline, f"{user.name} {'does not see' if seen else 'sees'} {topic}"
        time.sleep(0.05)


def written(user: KafkaUser, topic: str) -> KafkaError | None:
    """What becomes of a record that a user writes."""
    errors: list[KafkaError | None] = []
    producer = Producer({**user.properties, "log_level": 0})
    producer.produce(topic, b"1", on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(PATIENCE_S) == 0
    return errors[0]


def test_a_user_may_do_what_was_allowed_and_no_more(real_kafka: RealKafka, unique_topic: Callable[[], str]) -> None:
    topic, other = unique_topic(), unique_topic()
    real_kafka.create_topic(topic)
    real_kafka.create_topic(other)
    user = real_kafka.add_user()
    assert not sees(user, topic)
    user.allow("DESCRIBE", topic=topic)
    wait_until(user, topic, True)
    error = written(user, topic)
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    user.allow("WRITE", topic=topic)
    deadline = time.monotonic() + PATIENCE_S
    while written(user, topic) is not None:
        assert time.monotonic() < deadline
    assert not sees(user, other)
    user.withdraw("DESCRIBE", topic=topic)
    user.withdraw("WRITE", topic=topic)
    wait_until(user, topic, False)
    user.allow("DESCRIBE", topic=topic[:-1], prefixed=True)
    wait_until(user, topic, True)
    user.deny("DESCRIBE", topic=topic)
    wait_until(user, topic, False)


def test_a_password_that_is_wrong_is_refused(real_kafka: RealKafka) -> None:
    user = real_kafka.add_user()
    wrong = AdminClient({**user.properties, "sasl.password": "another", "log_level": 0})
    with pytest.raises(KafkaException):
        wrong.list_topics(timeout=2)
