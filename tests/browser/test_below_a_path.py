"""A node behind a proxy that serves it below a path (`https://example.com/push/`) and passes on the whole path.

Not here: proxies that take the path away, which a node does not notice; the SDKs' addresses (tests/client).
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.kafka.embedded import EmbeddedKafka
from tests.support.node import RunningNode
from tests.support.patience import PATIENCE_S
from whimbrel import BlockingClient

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_page_files_and_sockets_below_a_path_that_the_proxy_does_not_take_away(
    driver: Any, embedded_kafka: EmbeddedKafka, unique_topic: Callable[[], str], tmp_path: Path
) -> None:
    topic = unique_topic()
    embedded_kafka.create_topic(topic, 1)
    settings = {"node.path": "/a/push", "node.console": "true"}
    with RunningNode(tmp_path, embedded_kafka.bootstrap, topic, publish=topic, settings=settings) as node:
        root = f"http://127.0.0.1:{node.port}"
        driver.get(f"{root}/a/push")
        assert driver.current_url == f"{root}/a/push/", "beside it is what the page needs"
        deadline = time.monotonic() + PATIENCE_S
        while "connected to" not in (said := driver.find_element("id", "client-state").text):
            assert time.monotonic() < deadline, (said, driver.find_element("id", "events").text)
            time.sleep(0.1)
        loaded = driver.execute_script("return performance.getEntriesByType('resource').map(({name}) => name)")
        assert f"{root}/a/push/sdk/whimbrel.js" in loaded
        assert f"{root}/a/push/v1/status" in loaded
        assert all(name.startswith(f"{root}/a/push/") for name in loaded), loaded
        assert "Node: ready" in driver.find_element("id", "node-state").text
        for server in (f"{root}/a/push/", root):
            with BlockingClient(server) as client:
                client.publish(f"/{topic}/room", text="through it")
        found = {path: status_of(root + path) for path in ("/a/push/health/live", "/health/live", "/a/pushy/", "/a/")}
        assert found == {"/a/push/health/live": 200, "/health/live": 200, "/a/pushy/": 404, "/a/": 404}
