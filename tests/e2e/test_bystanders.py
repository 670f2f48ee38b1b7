"""What one client asks for delays the others little: a bystander publishes and subscribes beside greedy ones.

The bound here is generous, for busy machines; -s shows the figures.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.kafka.processes import start_process
from node.kafka.embedded import EmbeddedKafka
from tests.e2e.attacker import ATTACKS
from tests.support.node import RunningNode
from tests.support.produce import Source
from tests.support.raw import Raw

pytestmark = pytest.mark.slow

KEYS = 10_000
RECORDS = 30_000
CHATS = 5_000
BEFORE_S, DURING_S = 1.0, 4.0
P99_MAX_S = 1.0
LAST: dict[str, Any] = {"from": {"last": 10}}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """With a topic of many keys and a namespace of many subjects."""
    with EmbeddedKafka({"many": 4}) as kafka:
        source = Source(kafka.bootstrap)
        for number in range(RECORDS):
            source.add("many", f"{number % 100:02}/{number % KEYS}", b"x" * 100)
        source.flush()
        settings = {"namespaces": '[{name = "chat", value = "text"}]', "cache.messages_per_subject": "1000"}
        directory = tmp_path_factory.mktemp("bystanders")
        with RunningNode(directory, kafka.bootstrap, "many", settings=settings) as running:
            with Raw(running.url) as client:
                for number in range(CHATS):
                    client.send("publish", subject=f"/chat/{number}", publisher="f" * 16, seq=number, text="x" * 100)
                    if number % 100 == 99:
                        client.until(lambda frame, last=client._id: frame.get("id") == last)  # type: ignore[misc]
            yield running


def measure(client: Raw, seconds: float, seqs: Iterator[int]) -> tuple[list[float], list[float]]:
    """How long publishes and subscriptions took."""
    publishes, subscriptions = [], []
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        seq = next(seqs)
        answer = client.ask("publish", subject="/chat/bystander", publisher="b" * 16, seq=seq, text="1")
        publishes.append(time.monotonic() - began)
        assert answer["op"] == "published", answer
        began = time.monotonic()
        answer = client.ask("subscribe", subject="/many/00/100", **LAST)
        assert answer["op"] == "subscribed", answer
        subscriptions.append(time.monotonic() - began)
        client.ask("unsubscribe", sub=answer["id"])
        time.sleep(0.01)
    return publishes, subscriptions


def p99(waits: list[float]) -> float:
    return sorted(waits)[len(waits) * 99 // 100]


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_bystander_notices_little(node: RunningNode, kind: str) -> None:
    seqs = iter(range(hash_of(kind), 1 << 50))
    with Raw(node.url) as client:
        before = measure(client, BEFORE_S, seqs)
        attacker = start_process(
            [sys.executable, "-m", "tests.e2e.attacker", node.url, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        try:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == b"begins\n"
            during = measure(client, DURING_S, seqs)
        finally:
            attacker.kill()
            attacker.communicate()
        after = measure(client, BEFORE_S, seqs)
    for what, *waits in zip(("publishes", "subscriptions"), before, during, after, strict=True):
        figures = " / ".join(f"{1000 * p99(some):.0f}" for some in waits)
        longest = " / ".join(f"{1000 * max(some):.0f}" for some in waits)
        print(f"{kind}: {what}: p99 {figures} ms, longest {longest} ms before / during / after")
    assert max(p99(waits) for waits in (*during, *after)) <= P99_MAX_S


def hash_of(kind: str) -> int:
    """Another range of numbers for each attack: none is a repeat of another's."""
    return 1_000_000 * [*ATTACKS].index(kind)
