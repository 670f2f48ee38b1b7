"""`site.yml` on three fresh hosts: a cluster; then nothing; and an honest word beforehand, or a refusal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.hosts.ansible import Ansible, Played
from tests.hosts.machines import Machines
from tests.support.node import ADMIN_TOKEN
from whimbrel import Client

ALL_ROLES = "c"
"""The host that has every role: what holds for a play on it holds for the others, and costs a third."""
DEPLOYMENT = "cat /etc/whimbrel/* /etc/systemd/system/whimbrel.service /etc/nftables.d/* | sha256sum"


def status(machines: Machines, name: str) -> dict[str, Any]:
    """What a node says of itself."""
    found: dict[str, Any] = json.loads(from_admin(machines, name, "/v1/status"))
    return found


def from_admin(machines: Machines, name: str, path: str) -> str:
    """What a node's admin listener answers to its own host: the firewall lets in monitoring only."""
    address = f"http://{machines.addresses[name]}:8090{path}"
    request = f"u.Request('{address}', headers={{'Authorization': 'Bearer {ADMIN_TOKEN}'}})"
    return machines.run(name, f'python3 -c "import urllib.request as u; print(u.urlopen({request}).read().decode())"')


def test_fresh_hosts_become_a_cluster(machines: Machines, deployed: Played) -> None:
    for name in machines.addresses:
        said = status(machines, name)
        assert (said["state"], said["cluster"]["state"]) == ("ready", "ok")
        assert {member["name"] for member in said["cluster"]["members"]} == {*machines.addresses}
    asyncio.run(_through(*(f"ws://{address}:8080" for address in machines.addresses.values())))


async def _through(first: str, *others: str) -> None:
    """What is published at one node arrives at another, by way of Kafka and by way of the cluster."""
    async with Client(first, learn_servers=False) as here, Client(others[-1], learn_servers=False) as there:
        for subject in ("/notes/1", "/chat/1"):
            subscription = await there.subscribe(subject)
            await here.publish(subject, text="good morning")
            assert (await anext(aiter(subscription))).text == "good morning"


@pytest.mark.usefixtures("deployed")
def test_a_second_run_changes_nothing(ansible: Ansible) -> None:
    assert ansible.must("site.yml", "--limit", ALL_ROLES).changed == {ALL_ROLES: 0}


@pytest.mark.usefixtures("deployed")
def test_a_run_that_was_interrupted_is_made_good_by_the_next(machines: Machines, ansible: Ansible) -> None:
    """It had written files, and was interrupted before they were loaded: the next run finds nothing to write."""
    files = {"haproxy": "/etc/haproxy/haproxy.cfg", "prometheus": "/etc/prometheus/prometheus.yml"}
    for service, file in files.items():
        machines.run(ALL_ROLES, f"cp -p {file} /var/tmp/{service}.new && echo '# as it was' >> {file}")
        machines.run(ALL_ROLES, f"systemctl reload {service}")
        machines.run(ALL_ROLES, f"cat /var/tmp/{service}.new > {file}")
    machines.run(ALL_ROLES, "nft delete table inet whimbrel")

    def reloads(service: str) -> int:
        return int(machines.run(ALL_ROLES, f"journalctl -u {service} --grep 'Reloaded ' -o cat | wc -l"))

    before = {service: reloads(service) for service in files}
    ansible.must("site.yml", "--limit", ALL_ROLES)
    assert {service: reloads(service) for service in files} == {service: times + 1 for service, times in before.items()}
    assert "tcp dport" in machines.run(ALL_ROLES, "nft list table inet whimbrel")


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"whimbrel_lisen_port": 8081}, "No such variable: whimbrel_lisen_port"),
        ({"whimbrel_listen_port": "many"}, "whimbrel_listen_port"),
        ({"whimbrel_voter_group": "whimbrel_wotters"}, "whimbrel_voter_group"),
        ({"whimbrel_cluster_key": "not the one that the nodes have"}, "has other keys"),
        ({"whimbrel_settings": {"cache": {"ttll": "5m"}}}, "ttll"),
    ],
)
def test_a_wrong_variable_is_refused_by_name_and_changes_nothing(
    machines: Machines, ansible: Ansible, variables: dict[str, Any], said: str
) -> None:
    before = machines.run(ALL_ROLES, DEPLOYMENT)
    played = ansible.play("site.yml", "--limit", ALL_ROLES, **variables)
    assert played.status != 0
    assert said in played.text
    assert machines.run(ALL_ROLES, DEPLOYMENT) == before
