"""The edge and monitoring, on a real host: HAProxy and Prometheus as Debian has them."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

from tests.hosts.ansible import ANSIBLE
from tests.hosts.machines import Machines
from tests.hosts.test_site import from_admin
from whimbrel import Client

pytestmark = pytest.mark.usefixtures("deployed")

MONITORING = ANSIBLE / "roles" / "monitoring" / "files"
WAIT_S = 60.0


@pytest.fixture
def trust(machines: Machines) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(machines.directory / "edge.pem"))


def test_clients_come_in_by_tls(machines: Machines, trust: ssl.SSLContext) -> None:
    machines.run("c", "haproxy -c -f /etc/haproxy/haproxy.cfg")

    def client_hosts(subject: str) -> list[str]:
        path = f"/v1/connections?subject={subject}"
        answers = [json.loads(from_admin(machines, name, path)) for name in machines.addresses]
        return [one["address"].rpartition(":")[0] for answer in answers for one in answer["connections"]]

    async def there_and_back() -> None:
        edge = f"wss://{machines.addresses['c']}"
        async with Client(edge, learn_servers=False, connect_options={"ssl": trust}) as client:
            subscription = await client.subscribe("/chat/edge")
            await client.publish("/chat/edge", text="hello")
            assert (await anext(aiter(subscription))).text == "hello"
            assert await asyncio.to_thread(client_hosts, "/chat/edge") == [machines.gateway]  # not the edge's

    asyncio.run(there_and_back())


def test_the_edge_shows_nothing_of_the_insides(machines: Machines, trust: ssl.SSLContext) -> None:
    edge = f"https://{machines.addresses['c']}"
    with urllib.request.urlopen(f"{edge}/health/ready", context=trust, timeout=10) as answer:
        assert answer.status == 200
    for path in ("/metrics", "/v1/status"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(edge + path, context=trust, timeout=10)


def test_prometheus_reads_all_nodes(machines: Machines) -> None:
    machines.run("c", "promtool check rules /etc/prometheus/rules/whimbrel.yml")
    deadline = time.monotonic() + WAIT_S
    while len(up := _asked(machines, 'up{job="whimbrel"} == 1')) < len(machines.addresses):
        assert time.monotonic() < deadline, up
        time.sleep(0.5)
    assert {series["metric"]["node"] for series in up} == {*machines.addresses}


def test_rules_and_dashboard_ask_for_metrics_that_there_are(machines: Machines) -> None:
    types = re.findall(r"^# TYPE (\S+) (\S+)", from_admin(machines, "a", "/metrics"), re.MULTILINE)
    known = {f"{name}_bucket" if kind == "histogram" else name for name, kind in types}
    dashboard = json.loads((MONITORING / "whimbrel-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    texts = [*asked, (MONITORING / "whimbrel.rules.yml").read_text()]
    used = {name for text in texts for name in re.findall(r"\bwhimbrel_[a-z_]+", text)}
    assert len(used) > 20
    assert used - known == set()


def _asked(machines: Machines, query: str) -> list[dict[str, Any]]:
    address = f"http://{machines.addresses['c']}:9090/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except OSError:  # it has just been started
        return []
    return found
