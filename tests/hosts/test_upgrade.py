"""`upgrade.yml` under load, back, and what it says beforehand: no client loses a message or gets one twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.hosts.ansible import ANSIBLE, Ansible
from tests.hosts.load import Load
from tests.hosts.machines import Machines
from tests.hosts.test_service import main_pid
from tests.hosts.test_site import ALL_ROLES, status

CLIENTS = 200
PER_S = 100.0

RELEASES = "/opt/whimbrel/releases"
OLDER = f"""
for name in oldest older; do mkdir -p {RELEASES}/$name; touch {RELEASES}/$name/complete; done
touch -d 2026-01-01 {RELEASES}/oldest/complete
"""
"""Two releases besides the one that runs: with a new one, there is one too many."""


@pytest.fixture
def changed_checkout(tmp_path: Path) -> Path:
    """The sources, with a change that makes another release of them."""
    checkout = tmp_path / "checkout"
    ignore = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "tests", "ansible", "artifacts", "*.egg-info")
    shutil.copytree(ANSIBLE.parent, checkout, ignore=ignore)
    with (checkout / "README.md").open("a") as readme:
        readme.write("\nAnother release.\n")
    return checkout


@pytest.mark.usefixtures("deployed")
def test_an_upgrade_loses_and_repeats_nothing(machines: Machines, ansible: Ansible, changed_checkout: Path) -> None:
    before = {name: (main_pid(machines, name), release(machines, name)) for name in machines.addresses}
    change = {"whimbrel_checkout": str(changed_checkout), "whimbrel_releases_kept": 3}
    for name in machines.addresses:
        machines.run(name, OLDER)

    foretold = ansible.must("upgrade.yml", "--check", "--limit", ALL_ROLES, **change)
    assert {name: (main_pid(machines, name), release(machines, name)) for name in machines.addresses} == before
    assert min(foretold.changed.values()) > 0

    with Load(servers(machines), subjects("there"), CLIENTS, PER_S) as load:
        played = ansible.must("upgrade.yml", **change)

    assert load.problems() == []
    assert load.acknowledged > 0
    print(f"{load.acknowledged} publishes, {load.unanswered} unanswered; longest pause {max(load.pauses_s):.2f} s")
    for name, (pid, old) in before.items():
        assert main_pid(machines, name) != pid
        assert release(machines, name) != old
        assert f"{name} is back" in played.text
        (member,) = (one for one in status(machines, name)["cluster"]["members"] if one["name"] == name)
        assert member["coordinates"] == member["placed"] > 0
        assert {*machines.run(name, f"ls {RELEASES}").split()} == {old, release(machines, name), "older"}


@pytest.mark.procedures
@pytest.mark.usefixtures("deployed")
def test_the_way_back_to_the_release_before(machines: Machines, ansible: Ansible, changed_checkout: Path) -> None:
    before = {name: release(machines, name) for name in machines.addresses}
    ansible.must("upgrade.yml", whimbrel_checkout=str(changed_checkout))
    assert all(release(machines, name) != old for name, old in before.items())
    with Load(servers(machines), subjects("back"), CLIENTS, PER_S) as load:
        ansible.must("upgrade.yml", whimbrel_release=before["a"])
    assert load.problems() == []
    assert load.acknowledged > 0
    assert {name: release(machines, name) for name in machines.addresses} == before


def servers(machines: Machines) -> list[str]:
    return [f"ws://{address}:8080" for address in machines.addresses.values()]


def subjects(way: str) -> list[str]:
    return [f"/{topic}/{way}{number}" for topic in ("notes", "chat") for number in range(25)]


def release(machines: Machines, name: str) -> str:
    """The release of the node that runs."""
    return machines.run(name, "sed --quiet 2p /run/whimbrel/deployment").strip()
