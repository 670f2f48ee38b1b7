"""A cluster that is only told of: three real workers, each with a node that says what the test has it say.

Not here: a cluster that is one (test_failover.py).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gateway.link import events as link
from gateway.link.settings import TopicRule
from loadtest.kafka.ports import free_port
from tests.gateway import fake_node
from tests.gateway.fake_node import FakeNode

NAMES = "abc"
SLOTS, PARTITIONS = 64, 14
CORE = {
    "version": "0.1.0",
    "state": "ready",
    "ready": True,
    "clients": {"connections": 1, "subscriptions": 2},
    "rates": {"in_per_s": 692.0, "out_per_s": 683.0},
    "workers": [],
    "cache": {"bytes": 3_600_000, "bytes_max": 512 << 20, "messages": 9484, "subjects": 741, "ttl_s": 600},
    "busiest": [],
    "publishes": {"accepted": 0, "failed": 0, "in_flight": 0},
}


class StubCluster:
    """Three workers and what is said in answer to them. A context manager."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.ports = {name: free_port() for name in NAMES}
        self.states = dict.fromkeys(NAMES, "alive")
        """As all nodes see them."""
        self.controls = True
        self.extra: dict[str, Any] = {}
        """What is said of the cluster instead."""
        self.asked: list[tuple[str, str]] = []
        """Node and question, of all questions but the one for the status."""
        self.kafka_topics: tuple[str, ...] = ("airports", "flights")
        """None of them: the nodes use no Kafka."""
        self.members = 3
        self.recent: list[dict[str, Any]] = []
        """What has happened, as all nodes say."""
        self.problems: list[str] = []
        """What is wrong, as all nodes say."""
        self.silent = ""
        """The node that does not answer questions."""
        given = {
            "servers": [f"ws://127.0.0.1:{port}/v1/ws" for port in self.ports.values()],
            "topics": [TopicRule("flights", "json"), TopicRule("chat", "text", True)],
            "controls": True,
        } | settings
        ports = iter(self.ports.values())
        monkeypatch.setattr(fake_node, "free_port", lambda: next(ports))
        self._nodes = {name: FakeNode(node=name, **given) for name in NAMES}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._began = time.monotonic()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def kill(self, name: str) -> None:
        """As its whole node had died."""
        self.states[name] = "dead"
        self._nodes[name].process.kill()

    def __enter__(self) -> StubCluster:
        for node in self._nodes.values():
            node.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for node in self._nodes.values():
            node.__exit__(None, None, None)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            for name, node in self._nodes.items():
                with contextlib.suppress(AssertionError):
                    self._answer(name, node, node.expect(link.Query, 0.005))
                with contextlib.suppress(AssertionError):
                    self._answer(name, node, node.expect(link.Subscribe, 0.005))

    def _answer(self, name: str, node: FakeNode, said: link.Query | link.Subscribe) -> None:
        if isinstance(said, link.Subscribe):
            at: Any = {"0.x": (0, 5)}
            answer = "full" if said.start.kind == "resume" else "fresh"
            node.say(link.Answer(said.sid, answer, at, [], []), link.Page(said.sid, b"", at, [], True))
        elif name == self.silent:
            pass
        elif said.what == "status":
            node.say(link.Reply(said.rid, 200, "application/json", msgspec.json.encode(self.status(name))))
        else:
            self.asked.append((name, said.what))
            node.say(link.Reply(said.rid, 202, "text/plain; charset=utf-8", b"as you wish\n"))
            if said.what == "demo/kill":
                time.sleep(0.1)
                self.kill(name)

    def status(self, me: str) -> dict[str, Any]:
        """What a node says of itself and of the cluster."""
        alive = [name for name in NAMES if self.states[name] in ("alive", "suspect")]
        doer = {n: alive[n % len(alive)] if alive else None for n in range(SLOTS)}
        topics = [("flights", n) for n in range(12)] + [("airports", n) for n in range(2)]
        feeds = [
            {"topic": topic, "partition": n, "log": f"{n}.{topic}", "feeder": doer[n + len(topic)]}
            for topic, n in topics
        ]
        members = [self._member(name, me, doer, feeds) for name in NAMES[: self.members]]
        partition = {"state": "live", "lag": 0, "end": [0, 912], "messages_per_s": 57.0}
        return CORE | {
            "node": me,
            "recent": self.recent,
            "problems": self.problems,
            "uptime_s": time.monotonic() - self._began,
            "kafka": {
                "used": bool(self.kafka_topics),
                "connected": bool(self.kafka_topics),
                "brokers": ["127.0.0.1:9092"] if self.kafka_topics else [],
                "topics": [
                    {
                        "topic": topic,
                        "value": "json",
                        "publish": False,
                        "partitions": [{"partition": n, **partition} for name, n in topics if name == topic],
                    }
                    for topic in self.kafka_topics
                ],
            },
            "namespaces": [{"name": "chat", "value": "text", "publish": True}],
            "cluster": {
                "name": "whimbrel",
                "me": me,
                "state": "ok" if len(alive) > 1 else "degraded",
                "voters": [*NAMES],
                "commit_quorum": 2,
                "members": members,
                "slots": [
                    {
                        "slot": n,
                        "log": f"s{n}.AbCd1234",
                        "epoch": 3,
                        "coordinator": doer[n],
                        "end": [3, n],
                        "commit": [3, n],
                    }
                    for n in range(SLOTS)
                ],
                "feeds": feeds,
                "controls": self.controls,
            }
            | self.extra,
        }

    def _member(self, name: str, me: str, doer: dict[int, str | None], feeds: list[dict[str, Any]]) -> dict[str, Any]:
        is_alive = self.states[name] in ("alive", "suspect")
        return {
            "name": name,
            "state": self.states[name],
            "url": f"ws://127.0.0.1:{self.ports[name]}",
            "cluster_address": f"127.0.0.1:{7400 + 2 * NAMES.index(name)}",
            "is_voter": True,
            "synced": is_alive,
            "coordinates": sum(one == name for one in doer.values()),
            "feeds": sum(feed["feeder"] == name for feed in feeds),
            "delay_ms": None if name == me or not is_alive else 0.8,
            "for_s": time.monotonic() - self._began,
        }


@contextlib.contextmanager
def stub_cluster(**settings: Any) -> Iterator[StubCluster]:
    """A stub that is running."""
    with pytest.MonkeyPatch.context() as monkeypatch, StubCluster(monkeypatch, **settings) as stub:
        yield stub
