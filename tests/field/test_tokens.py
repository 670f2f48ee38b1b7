"""Kafka that asks for tokens (SASL/OAUTHBEARER), which a function of the user's own gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.kafka.broker import RealKafka
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.raw import Raw

pytestmark = [pytest.mark.slow, pytest.mark.real_kafka]

TOKENS = """
import base64, json, pathlib, time

folder = pathlib.Path(__file__).parent

def part(**content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

def token(config):
    with (folder / "calls").open("a") as calls:
        calls.write(config + "\\n")
    if not (folder / "may").exists():
        raise RuntimeError("the vault is closed")
    now = time.time()
    return part(alg="none") + "." + part(sub="whimbrel", iat=now, exp=now + 8) + ".", now + 8
"""
"""Gives tokens that Kafka's validator for tests takes, of 8 s."""
BROKER = {
    "sasl.enabled.mechanisms": "OAUTHBEARER",
    "listener.name.users.oauthbearer.sasl.jaas.config": (
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";'
    ),
    "super.users": "User:ANONYMOUS;User:whimbrel",
}


def test_a_node_that_comes_by_tokens(tmp_path: Path, real_kafka: RealKafka) -> None:
    """It says why it has none, begins when there is one, reads, publishes and audits, and renews them by itself."""
    (tmp_path / "vault.py").write_text(TOKENS)
    with RealKafka(tmp_path / "kafka", properties=BROKER, has_users=True) as kafka:
        kafka.create_topic("t")
        kafka.create_topic("trail", 1)
        Source(kafka.bootstrap).send("t", "k", b"1")
        settings = {
            "kafka.client.security.protocol": "SASL_PLAINTEXT",
            "kafka.client.sasl.mechanisms": "OAUTHBEARER",
            "kafka.client.sasl.oauthbearer.config": "asked",
            "kafka.oauth": "vault:token",
            "kafka.oauth_folder": str(tmp_path),
            "audit.use": "kafka",
        }
        (tmp_path / "whimbrel.toml").write_text("[audit.kafka]\ntopic = 'trail'\n")
        bootstrap = kafka.add_user().properties["bootstrap.servers"]
        node = RunningNode(tmp_path, bootstrap, "t", publish="t", settings=settings)
        node._command += ["--config", str(tmp_path / "whimbrel.toml")]
        try:
            node.start(False)
            node.wait(lambda: [one for one in node.status()["problems"] if "the vault is closed" in one], "the reason")
            (tmp_path / "may").touch()
            node.wait_for_topic("t", 1)
            calls = tmp_path / "calls"
            before = len(calls.read_text().split())
            with Raw(node.url) as raw:
                raw.send("subscribe", subject="/t/k")
                assert raw.until(lambda frame: frame["op"] == "msg")["json"] == 1
                node.wait(lambda: len(calls.read_text().split()) >= before + 4, "renewed tokens")
                Source(kafka.bootstrap).send("t", "k", b"2")
                assert raw.until(lambda frame: frame["op"] == "msg")["json"] == 2
                raw.send("publish", subject="/t/k", publisher="a-publisher-of-its-own", seq=0, json=3)
                assert raw.until(lambda frame: frame["op"] in ("published", "error"))["op"] == "published"
            node.wait(lambda: any(b"published" in (one.value or b"") for one in kafka.read_all("trail")), "audit")
            assert {*calls.read_text().split()} == {"asked"}
        finally:
            node.__exit__(None)
