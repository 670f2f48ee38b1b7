"""Fixtures: three hosts on which one cluster is deployed, for all tests of this folder."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator

import pytest

from loadtest.kafka.broker import RealKafka
from mesh.transport.keys import make_pair
from tests.hosts.ansible import Ansible, Played
from tests.hosts.machines import Machines
from tests.hosts.root import SUITE, root, source
from tests.support.node import ADMIN_TOKEN
from tests.support.require import require


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses hosts is marked so."""
    for item in items:
        if "machines" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.hosts)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(900))  # the first also builds the root file system and deploys


@pytest.fixture(scope="package")
def machines(request: pytest.FixtureRequest) -> Iterator[Machines]:
    """Three fresh hosts, for the tests of this folder."""
    if reason := _impossible():
        pytest.skip(reason)  # even where everything is required: no installation would help
    require("nspawn")
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        root()  # says so when it takes long
    with Machines(["a", "b", "c"]) as machines:
        yield machines


@pytest.fixture(scope="package")
def kafka(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A real Kafka on this machine, where the hosts reach it, with the topic `notes`."""
    require("java", "maven")
    with RealKafka(tmp_path_factory.mktemp("kafka"), host=machines.gateway) as kafka:
        kafka.create_topic("notes", partitions=6)
        yield kafka


@pytest.fixture(scope="package")
def pairs(machines: Machines) -> dict[str, dict[str, str]]:
    """Pairs of CURVE keys by node."""
    return {name: dict(zip(("public", "secret"), make_pair(), strict=True)) for name in machines.addresses}


@pytest.fixture(scope="package")
def ansible(machines: Machines, kafka: RealKafka, pairs: dict[str, dict[str, str]]) -> Ansible:
    """Playbooks for three voters, with the edge and monitoring on the last host."""
    variables = {
        "whimbrel_cluster_key": secrets.token_urlsafe(32),
        "whimbrel_admin_token": ADMIN_TOKEN,
        "whimbrel_monitoring_sources": [[*machines.addresses.values()][-1]],
        "whimbrel_proxies": [[*machines.addresses.values()][-1]],
        "whimbrel_node_keys": pairs,
        "whimbrel_kafka_bootstrap": kafka.bootstrap,
        "whimbrel_topics": [{"name": "notes", "value": "text", "publish": True}],
        "whimbrel_namespaces": [{"name": "chat", "value": "text"}],
        "whimbrel_workers": 1,
        "whimbrel_drain_seconds": 2,
        "whimbrel_ready_timeout_seconds": 120,
        # Of the same settings as everywhere, but what this machine may allow to nobody.
        "haproxy_connections": 2000,
        "haproxy_certificate": certificate(machines),
    }
    names = [*machines.addresses]
    return Ansible(machines, {"whimbrel_voters": names, "haproxy": names[-1:], "monitoring": names[-1:]}, variables)


@pytest.fixture(scope="package")
def deployed(ansible: Ansible) -> Played:
    """How it went to deploy the cluster on fresh hosts."""
    return ansible.must("site.yml")


def certificate(machines: Machines) -> str:
    """A certificate that signs itself, for the edge, and its key."""
    file = machines.directory / "edge.pem"
    subject = ("-subj", "/CN=edge", "-addext", f"subjectAltName=IP:{[*machines.addresses.values()][-1]}")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", *subject, "-keyout", str(file.with_suffix(".key")), "-out", str(file)),
        ],
        capture_output=True,
        check=True,
    )
    return file.read_text() + file.with_suffix(".key").read_text()


def _impossible() -> str | None:
    """Why this machine can have no hosts, whatever is installed."""
    if os.getuid() != 0:
        return "hosts in containers need root"
    if subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True).returncode != 0:
        return "this machine lets nobody make namespaces, so no hosts in containers"
    if source() is None:
        return f"apt on this machine has no source of Debian's {SUITE}"
    return None
