"""Auditing from end to end: a real node with both auditors that are built in, and with one of somebody's own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from loadtest.kafka.broker import RealKafka
from node.kafka.embedded import EmbeddedKafka
from tests.support.node import RunningNode
from tests.support.patience import PATIENCE_S
from whimbrel import BlockingClient

pytestmark = pytest.mark.slow

OWN = """
from whimbrel_server import Auditor
class Failing(Auditor):
    def __init__(self, file):
        self.file = file
    def write(self, events):
        with open(self.file, "a") as log:
            log.write("".join(f"{one.name}\\n" for one in events))
        raise ValueError("on purpose")
"""


def records(bootstrap: str, topic: str) -> list[tuple[bytes | None, dict[str, Any]]]:
    """Keys and values of a topic with one partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "audit", "enable.auto.commit": False})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[tuple[bytes | None, dict[str, Any]]] = []
        while len(found) < end:
            for message in consumer.consume(end - len(found), 1):
                assert not message.error(), message.error()
                found.append((message.key(), json.loads(message.value())))
        return found
    finally:
        consumer.close()


def configured(tmp_path: Path, config: Path) -> RunningNode:
    """A node of namespaces, as its file says."""
    node = RunningNode(tmp_path, "", "")
    node._command = [node._command[0], "node", "--config", str(config), "--listen", f"127.0.0.1:{node.port}"]
    node._command += ["--workers", "1", "--admin-listen", f"127.0.0.1:{node.admin_port}"]
    node._command += ["--set", f"cluster.data_dir={tmp_path / 'data'}"]
    return node


def test_both_built_in_auditors_get_the_same(
    real_kafka: RealKafka, unique_topic: Callable[[], str], tmp_path: Path
) -> None:
    topic, trail = f"pub-{unique_topic()}", f"audit-{unique_topic()}"
    real_kafka.create_topic(topic, 1)
    real_kafka.create_topic(trail, 1)
    file = tmp_path / "audit.jsonl"
    settings = {
        "audit.use": "log,kafka",
        "audit.delivered_each": "1",
        "audit.stats": "1s",
    }
    (tmp_path / "whimbrel.toml").write_text(
        f"[audit.log]\nfile = '{file}'\n[audit.kafka]\ntopic = '{trail}'\n"
        f"[[topics]]\nname = '{topic}'\npublish = true\naudit = true\n"
    )
    node = RunningNode(tmp_path, real_kafka.bootstrap, topic, settings=settings)
    node._command = [one for one in node._command if one not in ("--topics", topic)]
    node._command += ["--config", str(tmp_path / "whimbrel.toml")]
    with node:
        node.wait_for_topic(topic, 1)
        with BlockingClient(node.url) as client:
            messages = client.subscribe(f"/{topic}/k", start="now")
            answer = client.publish(f"/{topic}/k", json=1)
            assert next(iter(messages)).json() == 1
        node.wait(lambda: "disconnected" in file.read_text(), "the end is told")
        node.wait(lambda: '"kind":"stats"' in file.read_text(), "figures are told")
        assert node.metric("whimbrel_audit_events_total") > 0
        assert node.metric("whimbrel_audit_dropped_total") == 0
        node.stop()
    told = [json.loads(line) for line in file.read_text().splitlines()]
    names = [one["event"] for one in told if one["kind"] in ("access", "message")]
    assert names[:3] + names[-1:] == ["connected", "subscribed", "published", "disconnected"]
    assert sorted(names[3:-1]) == ["accepted", "delivered"]
    accepted = next(one for one in told if one["event"] == "accepted")
    assert (accepted["log"], tuple(accepted["at"])) == (answer.log, answer.at)
    assert accepted["subject"] == f"/{topic}/k"
    assert [value for _, value in records(real_kafka.bootstrap, trail)] == told


def test_an_auditor_that_fails_costs_nobody_anything_and_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    config = tmp_path / "whimbrel.toml"
    config.write_text(
        f"[[namespaces]]\nname = 'chat'\n[audit]\nuse = ['mine:Failing']\n"
        f"[audit.'mine:Failing']\nfile = '{tmp_path / 'own'}'\n"
    )
    node = configured(tmp_path, config)
    with node:
        with BlockingClient(node.url) as client:
            client.publish("/chat/a", json=1)
        node.wait(lambda: "ValueError: on purpose" in " ".join(node.status()["problems"]), "it is said")
        node.wait(lambda: "audit_dropped" in node.log, "it is in the log")
        node.wait(lambda: (tmp_path / "own").read_text().split()[-1:] != [], "it was asked")
        assert (tmp_path / "own").read_text().split()[0] == "connected"


def test_what_the_operator_cannot_publish_is_told(
    embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str], tmp_path: Path
) -> None:
    """No topic has `publish = true`, so there is no producer."""
    topic, file, config = unique_topic(), tmp_path / "audit.jsonl", tmp_path / "whimbrel.toml"
    embedded_kafka.create_topic(topic, 1)
    config.write_text(
        f"[[topics]]\nname = '{topic}'\naudit = true\n[audit]\nuse = ['log']\n[audit.log]\nfile = '{file}'\n"
        f"[kafka]\nbootstrap = '{embedded_kafka.bootstrap}'\n"
    )
    with configured(tmp_path, config) as node:
        node.wait_for_topic(topic, 1)
        url = f"http://127.0.0.1:{node.admin_port}/v1/publish?subject=/{topic}/k"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url, b"1", timeout=PATIENCE_S)
        reason = "no topic has publish = true: there is no producer"
        with caught.value as answer:
            assert (answer.code, json.loads(answer.read())) == (400, {"code": 4313, "reason": reason})
        node.wait(lambda: '"refused"' in file.read_text(), "it is told")
    told = [json.loads(line) for line in file.read_text().splitlines()]
    (refused,) = [one for one in told if one["event"] == "refused"]
    assert (refused["by"], refused["code"], refused["reason"]) == ("operator", 4313, reason)


def test_what_the_operator_does_is_told(real_kafka: RealKafka, unique_topic: Callable[[], str], tmp_path: Path) -> None:
    trail, file, config = f"audit-{unique_topic()}", tmp_path / "audit.jsonl", tmp_path / "whimbrel.toml"
    real_kafka.create_topic(trail, 1)
    config.write_text(
        "[[namespaces]]\nname = 'chat'\naudit = true\n[[namespaces]]\nname = 'quiet'\n"
        f"[audit]\nuse = ['log', 'kafka']\n[audit.log]\nfile = '{file}'\n[audit.kafka]\ntopic = '{trail}'\n"
        f"bootstrap = '{real_kafka.bootstrap}'\n[admin]\ntoken = 'to-test-with-123456'\n"
    )
    node = configured(tmp_path, config)

    def ask(path: str, body: bytes = b"") -> Any:
        head = {"Authorization": "Bearer to-test-with-123456"}
        request = urllib.request.Request(f"http://127.0.0.1:{node.admin_port}/v1/{path}", body, head, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    with node:
        with BlockingClient(node.url) as client:
            client.subscribe("/chat/1", start="now")
            accepted = ask("publish?subject=/chat/1", b"1")
            ask("publish?subject=/quiet/1", b"2")
            ask("disconnect?subject=/chat/1&reason=why")
            ask("revoke?subject=ann&issued_before=5")
        node.wait(lambda: '"revoke"' in file.read_text(), "the last is told")
        node.stop()
    told = [json.loads(line) for line in file.read_text().splitlines()]
    kept = [{k: v for k, v in one.items() if k not in ("time_ms", "node")} for one in told]
    assert [one for one in kept if one["event"] in ("operator", "accepted")] == [
        {"kind": "access", "event": "operator", "what": "publish", "subject": "/chat/1"},
        {"kind": "message", "event": "accepted", "by": "operator", "subject": "/chat/1", **accepted},
        {"kind": "access", "event": "operator", "what": "publish", "subject": "/quiet/1"},
        {
            **{"kind": "access", "event": "operator", "what": "disconnect"},
            **{"subject": "/chat/1", "reason": "why", "count": 1},
        },
        {"kind": "access", "event": "operator", "what": "revoke", "identity": "ann", "issued_before": 5.0},
    ]
    assert [value for _, value in records(real_kafka.bootstrap, trail)] == told


def test_check_config_says_what_is_wrong_with_an_auditor(tmp_path: Path) -> None:
    config = tmp_path / "whimbrel.toml"
    config.write_text("[[namespaces]]\nname = 'chat'\n[audit]\nuse = ['log', 'nobody']\n")
    command = [str(Path(sys.executable).with_name("whimbrel")), "check-config", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"{config}:4: audit.use: the auditor 'log' could not be made" in done.stderr
    assert "missing required field `file`" in done.stderr
    assert "there is no auditor 'nobody'" in done.stderr
