"""Runs playbooks on the test hosts, with an inventory made for them.

Not here: the hosts (machines.py).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hosts.machines import Machines

NOT_NODES = {"haproxy", "monitoring"}
"""Groups of hosts on which there may be no node."""
ANSIBLE = Path(__file__).parent.parent.parent / "ansible"

_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass
class Played:
    """How a playbook went."""

    status: int
    text: str

    @property
    def changed(self) -> dict[str, int]:
        """By host: how many tasks changed something."""
        return {name: int(changed) for name, _, changed, _, _ in _RECAP.findall(self.text)}

    @property
    def failed(self) -> dict[str, int]:
        """By host: how many tasks failed."""
        return {name: int(failed) for name, _, _, _, failed in _RECAP.findall(self.text)}


class Ansible:
    """Playbooks, run as a user runs them."""

    def __init__(self, machines: Machines, groups: Mapping[str, Sequence[str]], variables: Mapping[str, Any]) -> None:
        """Prepare.

        Args:
            groups: Hosts by group; all but the edge and monitoring are nodes.
            variables: Of all hosts.
        """
        self._machines = machines
        self._inventory = machines.directory / "inventory.json"
        self.groups = dict(groups)
        """What is changed here is so from the next playbook on."""
        self.variables = dict(variables)
        """Likewise."""

    def _write_inventory(self) -> None:
        reach = {
            "ansible_user": "root",
            "ansible_ssh_common_args": " ".join(self._machines.ssh_options()),
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        hosts = {
            name: {"ansible_host": address, "whimbrel_address": address}
            for name, address in self._machines.addresses.items()
        }
        groups = {group: {"hosts": dict.fromkeys(names)} for group, names in self.groups.items()}
        nodes = {"children": dict.fromkeys(sorted(groups.keys() - NOT_NODES))}
        everybody = {"hosts": hosts, "vars": {**reach, **self.variables}}
        self._inventory.write_text(json.dumps({"all": everybody, "whimbrel": nodes, **groups}))

    def play(self, playbook: str, *arguments: str, **variables: Any) -> Played:
        """Run a playbook of `ansible/` to its end; the caller looks how it went.

        Args:
            variables: Given as extra variables.
        """
        self._write_inventory()
        extra = ("--extra-vars", json.dumps(variables)) if variables else ()
        ran = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("ansible-playbook")), "--inventory", str(self._inventory)),
                *(*arguments, *extra, str(ANSIBLE / playbook)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ANSIBLE,
            env={**os.environ, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
        )
        (self._machines.directory / "ansible.log").open("a").write(ran.stdout)
        return Played(ran.returncode, ran.stdout)

    def must(self, playbook: str, *arguments: str, **variables: Any) -> Played:
        """Run a playbook that must go well."""
        played = self.play(playbook, *arguments, **variables)
        assert played.status == 0, played.text[-6000:]
        return played
