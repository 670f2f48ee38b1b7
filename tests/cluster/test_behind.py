"""A node that lags behind the others tells nobody that it has sent what it does not have yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.network import Network
from tests.support.raw import Frame, Raw
from tests.support.require import require
from whimbrel import BlockingClient

pytestmark = [pytest.mark.slow, pytest.mark.netns]


HEARTBEATS = {"client.heartbeat": "500ms", "client.hello_timeout": "500ms"}
NOW = {"from": "now"}


def next_heartbeat(raw: Raw) -> Frame:
    while (frame := raw._receive(5))["op"] != "heartbeat":
        pass
    return frame


def test_one_client_that_is_ahead_does_not_move_the_places_of_others(tmp_path: Path) -> None:
    require("netns")
    with (
        Network("abc") as network,
        Cluster(tmp_path, "abc", network=network, settings=HEARTBEATS) as cluster,
        BlockingClient(cluster["a"].url) as publisher,
        Raw(cluster["c"].url) as stays,
        Raw(cluster["c"].url) as comes,
    ):
        stays.ask("subscribe", 15, subject="/chat/k", **NOW)
        log, first = publisher.publish("/chat/k", text="1")
        assert first is not None
        assert stays.until(lambda frame: frame["op"] == "msg")["at"] == list(first)
        network.cut(["c"], ["a", "b"])
        _, ahead = publisher.publish("/chat/k", text="2", timeout_s=20)
        assert ahead is not None
        assert ahead > first
        comes.send("subscribe", sub=1, subject="/chat/k", resume={log: list(ahead)})
        assert comes.until(lambda frame: frame["op"] == "waiting")["why"]
        for _ in range(3):
            heartbeat = next_heartbeat(stays)
            assert heartbeat["at"][log] == list(first), "it tells that it has sent what it does not have"
        network.heal()
        assert comes.until(lambda frame: frame["op"] == "subscribed")["answer"] == "full"
        assert comes.until(lambda frame: frame["op"] == "live")["at"][log] == list(ahead)
        assert stays.until(lambda frame: frame["op"] == "msg")["at"] == list(ahead)
        after = publisher.publish("/chat/k", text="3", timeout_s=20).at
        assert after is not None
        assert stays.until(lambda frame: frame["op"] == "msg")["at"] == list(after)
        assert comes.until(lambda frame: frame["op"] == "msg" and frame["at"] != list(ahead))["at"] == list(after)
