"""What Kafka's library says of the properties that it is handed."""

import pytest

from node.settings import librdkafka, load
from node.settings.relations import REFUSED


def problems(*sets: str) -> list[str]:
    effective = load(None, {}, [("--set", text) for text in sets])
    return [str(problem) for problem in librdkafka.problems(effective)]


def test_each_property_that_the_library_refuses_is_told() -> None:
    assert problems(
        "kafka.client.sasl.pasword=hush",
        "kafka.client.security.protocol=sasl",
        "kafka.consumer.fetch.min.bytes=-5",
        "kafka.producer.stats_cb=x",
        "kafka.producer.none=1",
        "kafka.client.client.id=fine",
        "kafka.client.sasl.password=",
    ) == [
        '--set: kafka.client.sasl.pasword: No such configuration property: "sasl.pasword"; did you mean sasl.password?',
        '--set: kafka.client.security.protocol: found "sasl": Invalid value "sasl" for configuration property '
        '"security.protocol"',
        '--set: kafka.consumer.fetch.min.bytes: found "-5": Configuration property "fetch.min.bytes" value -5 is '
        "outside allowed range 0..2147483647",
        '--set: kafka.producer.stats_cb: found "x": a function or an object in the library, which a configuration '
        "cannot give",
        '--set: kafka.producer.none: No such configuration property: "none"',
    ]


def test_properties_that_are_wrong_only_together_are_told() -> None:
    together = ["kafka.client.security.protocol=sasl_ssl", "kafka.client.sasl.mechanisms=PLAIN"]
    assert problems(*together) == [
        "kafka.client: sasl.username and sasl.password must be set",
    ]
    assert problems("kafka.consumer.security.protocol=sasl_ssl", "kafka.consumer.sasl.mechanism=PLAIN") == [
        "kafka.client and kafka.consumer together: sasl.username and sasl.password must be set",
    ]
    assert problems(*together, "kafka.client.sasl.username=u", "kafka.client.sasl.password=p") == []


def test_a_mechanism_that_is_missing_is_named_once() -> None:
    assert problems("kafka.client.security.protocol=SASL_SSL") == [
        "--set: kafka.client.sasl.mechanism: not given, expected one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, "
        'OAUTHBEARER: security.protocol is "SASL_SSL"'
    ]


def test_a_secret_that_the_library_refuses_is_not_told() -> None:
    found = problems("kafka.client.ssl.key.pem=hush", "kafka.client.security.protocol=ssl")
    assert len(found) == 1
    assert "hush" not in "".join(found)


def test_good_properties_pass_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    good = [
        "kafka.client.debug=all",
        "kafka.producer.linger.ms=5",
        "kafka.consumer.group.id=g",
        "kafka.client.client.id=x",
    ]
    assert problems(*good) == []
    assert problems() == []
    assert capfd.readouterr() == ("", "")


def test_what_the_node_refuses_itself_is_not_told_twice() -> None:
    assert problems("kafka.producer.acks=1", "kafka.client.bootstrap.servers=x", "kafka.client.logger=x") == []


@pytest.mark.parametrize(
    "name", ["statistics.interval.ms", "isolation.level", "allow.auto.create.topics", "enable.gapless.guarantee"]
)
def test_what_would_break_a_promise_or_fill_memory_is_refused_with_the_reason(name: str) -> None:
    assert name in REFUSED
    effective = load(None, {}, [("--set", f"kafka.client.{name}=1000")])
    [problem] = [one for one in effective.problems if one.key == f"kafka.client.{name}"]
    assert problem.text == f"cannot be set: {REFUSED[name]}"
