"""What is done to a cluster in its life: another certificate, other keys, machines that are lost, other voters.

Each test leaves three voters that are well. Not here: the first deployment (test_site.py), upgrades (test_upgrade.py).
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Iterable
from typing import Any

import pytest

from mesh.transport.keys import make_pair
from tests.hosts.ansible import Ansible
from tests.hosts.conftest import certificate
from tests.hosts.load import Load
from tests.hosts.machines import HostError, Machines
from tests.hosts.test_site import ALL_ROLES, status
from tests.support.patience import PATIENCE_S
from whimbrel import BlockingClient, events

CLIENTS = 60
PER_S = 60.0

pytestmark = [pytest.mark.procedures, pytest.mark.usefixtures("deployed")]


def load(machines: Machines, names: Iterable[str], what: str) -> Load:
    """Clients that know these nodes, on subjects that are called so."""
    servers = [f"ws://{machines.addresses[name]}:8080" for name in names]
    subjects = [f"/{topic}/{what}{number}" for topic in ("notes", "chat") for number in range(10)]
    return Load(servers, subjects, CLIENTS, PER_S)


def wait_well(machines: Machines) -> None:
    """Return when every node is ready, sees the others and misses nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        said: dict[str, object] = {}
        for name in machines.addresses:
            try:
                node = status(machines, name)
                said[name] = (node["state"], node["cluster"]["state"], len(node["cluster"]["members"]))
            except HostError as error:
                said[name] = str(error)
        if set(said.values()) == {("ready", "ok", len(machines.addresses))}:
            return
        assert time.monotonic() < deadline, said
        time.sleep(0.5)


def test_another_certificate_disturbs_nobody(machines: Machines, ansible: Ansible) -> None:
    """Who comes is shown the new one; a connection that there is stays."""
    edge = machines.addresses["c"]
    old = ssl.get_server_certificate((edge, 443))
    trust = ssl.create_default_context(cadata=old)
    statuses: list[events.Event] = []
    options: dict[str, Any] = {"connect_options": {"ssl": trust}, "on_status": statuses.append}
    with BlockingClient(f"wss://{edge}", learn_servers=False, **options) as client:
        client.publish("/chat/edge", text="before")
        ansible.variables["haproxy_certificate"] = certificate(machines)
        ansible.must("site.yml", "--limit", ALL_ROLES)
        assert ssl.get_server_certificate((edge, 443)) != old
        client.publish("/chat/edge", text="after")
        assert [type(one) for one in statuses] == [events.Connected]


def test_other_keys_under_load(machines: Machines, ansible: Ansible, pairs: dict[str, dict[str, str]]) -> None:
    before = {name: machines.run(name, "cat /etc/whimbrel/*.key") for name in machines.addresses}
    for name in machines.addresses:
        pairs[name] = dict(zip(("public", "secret"), make_pair(), strict=True))
    ansible.variables |= {"whimbrel_cluster_key": secrets.token_urlsafe(32), "whimbrel_node_keys": pairs}
    with load(machines, machines.addresses, "keys") as clients:
        ansible.must("rotate-keys.yml")
    assert clients.problems() == []
    assert clients.acknowledged > 0
    for name, old in before.items():
        kept = machines.run(name, "cat /etc/whimbrel/*")
        assert pairs[name]["secret"] in kept
        assert not any(line in kept for line in old.splitlines() if line)
    wait_well(machines)


def test_a_majority_that_lost_its_power(machines: Machines) -> None:
    """The third goes on with Kafka, and says what it waits for; with their disks the others need nothing else."""
    for name in ("a", "b"):
        machines.kill(name)
    with BlockingClient(f"ws://{machines.addresses['c']}:8080", learn_servers=False) as client:
        client.publish("/notes/alone", text="carried on")
    assert status(machines, "c")["problems"]
    for name in ("a", "b"):
        machines.boot(name)
    for name in ("a", "b"):
        machines.wait_booted(name)
    wait_well(machines)


def test_a_machine_is_replaced_under_load(machines: Machines, ansible: Ansible) -> None:
    """A voter is gone with its disk; a fresh machine takes its name, at another address."""
    with load(machines, ("a", "c"), "replaced") as clients:
        machines.replace("b")
        ansible.must("site.yml")
    assert clients.problems() == []
    assert clients.acknowledged > 0
    wait_well(machines)
    for name in machines.addresses:
        addresses = {one["name"]: one["cluster_address"] for one in status(machines, name)["cluster"]["members"]}
        assert addresses["b"].startswith(f"{machines.addresses['b']}:")


def test_other_voters(machines: Machines, ansible: Ansible) -> None:
    """From three to one, and back. `site.yml` refuses it, since nodes that differ in it are strangers."""
    ansible.groups |= {"whimbrel_voters": ["a"], "whimbrel_observers": ["b", "c"]}
    refused = ansible.play("site.yml")
    assert refused.status != 0
    assert "restart-together.yml" in refused.text
    for voters in (["a"], ["a", "b", "c"]):
        ansible.groups["whimbrel_voters"] = voters
        ansible.groups["whimbrel_observers"] = [name for name in machines.addresses if name not in voters]
        ansible.must("restart-together.yml", stop_all_nodes=True)
        wait_well(machines)
        members = status(machines, "b")["cluster"]["members"]
        assert [member["name"] for member in members if member["is_voter"]] == voters
        with BlockingClient(f"ws://{machines.addresses['c']}:8080", learn_servers=False) as client:
            client.publish("/chat/voters", text=str(voters))
