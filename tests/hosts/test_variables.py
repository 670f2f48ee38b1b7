"""Variables as people write them, without hosts: what is wrong is refused by name, and numbers may be text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts.ansible import ANSIBLE

pytestmark = pytest.mark.slow

INVENTORY = """
all:
  children:
    whimbrel:
      hosts:
        localhost: {ansible_connection: local, ansible_python_interpreter: /bin/false, whimbrel_address: 192.0.2.1}
    whimbrel_voters: {hosts: {localhost: {}}}
"""
"""No module can run there: a role ends at its first task that would look at the machine, or change it."""

REQUIRED = {"whimbrel_cluster_key": "secret", "haproxy_certificate": "PEM"}
WRONG: list[tuple[str, dict[str, object], str]] = [
    ("whimbrel", {"whimbrel_group": "nodez"}, "whimbrel_group: the inventory has no hosts in the group nodez"),
    ("whimbrel", {"whimbrel_voter_group": "voterz"}, "whimbrel_voter_group: the group voterz has 0 hosts"),
    (
        "haproxy",
        {"haproxy_backend_group": "nodez"},
        "haproxy_backend_group: the inventory has no hosts in the group nodez",
    ),
    ("haproxy", {"haproxy_conections": 3}, "No such variable: haproxy_conections"),
    ("haproxy", {"haproxy_connections": "many"}, "haproxy_connections"),
    ("monitoring", {"monitoring_group": "nodez"}, "monitoring_group: the inventory has no hosts in the group nodez"),
    ("monitoring", {"monitoring_prt": 3}, "No such variable: monitoring_prt"),
    ("monitoring", {"monitoring_alertmanagers": {"a": 1}}, "monitoring_alertmanagers"),
]


def test_what_is_wrong_is_refused_by_name(tmp_path: Path) -> None:
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": REQUIRED | variables,
            "tasks": [
                {
                    "block": [{"ansible.builtin.include_role": {"name": role}}],
                    "rescue": [{"ansible.builtin.debug": {"msg": f"case {number}: {{{{ ansible_failed_result }}}}"}}],
                }
            ],
        }
        for number, (role, variables, _) in enumerate(WRONG)
    ]
    said = play(tmp_path, plays)
    for number, (_, variables, expected) in enumerate(WRONG):
        answer = said.partition(f"case {number}: ")[2].partition("case ")[0]
        assert expected in answer, f"{variables}: {answer}"


@pytest.mark.parametrize("role", ["whimbrel", "haproxy", "monitoring"])
def test_numbers_and_truths_may_be_text(tmp_path: Path, role: str) -> None:
    """As `-e name=value` gives them, and an inventory in INI."""
    folder = ANSIBLE / "roles" / role
    defaults = yaml.safe_load((folder / "defaults/main.yml").read_text())
    typed = {name: value for name, value in defaults.items() if isinstance(value, int)}
    typed |= {"haproxy_send_proxy": False} if role == "haproxy" else {}
    texts = {name: str(value).lower() for name, value in typed.items()}
    files = [str(file) for file in (folder / "defaults/main.yml", folder / "vars/main.yml") if file.exists()]
    written = "lookup('template', '{}', template_vars={})"
    asked = [
        {"ansible.builtin.assert": {"that": f"{written.format(file, 'typed')} == {written.format(file, 'texts')}"}}
        for file in sorted((folder / "templates").iterdir())
    ]
    variables = REQUIRED | {"typed": typed, "texts": texts, "__whimbrel_name": "0.1"}
    play(
        tmp_path,
        [{"hosts": "localhost", "gather_facts": False, "vars": variables, "vars_files": files, "tasks": asked}],
    )


def play(folder: Path, plays: list[dict[str, Any]]) -> str:
    """Play them on a host on which nothing can be run; what was said."""
    (folder / "inventory.yml").write_text(INVENTORY)
    (folder / "plays.yml").write_text(yaml.safe_dump(plays))
    ran = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "--check", "-i", "inventory.yml", "plays.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "ANSIBLE_ROLES_PATH": str(ANSIBLE / "roles"), "ANSIBLE_NOCOLOR": "1"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
