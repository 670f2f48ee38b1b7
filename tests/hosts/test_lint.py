"""Roles and playbooks as ansible-lint's strictest profile wants them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.hosts.ansible import ANSIBLE

pytestmark = pytest.mark.slow


def test_ansible_lint_is_content() -> None:
    programs = Path(sys.executable).parent
    ran = subprocess.run(
        [programs / "ansible-lint", "--offline", "--profile", "production", "--nocolor"],
        cwd=ANSIBLE,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("role", ["whimbrel", "haproxy", "monitoring"])
def test_every_variable_is_specified_has_a_default_and_is_in_the_table(role: str) -> None:
    folder = ANSIBLE / "roles" / role
    specified = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]
    options = specified["main"]["options"]
    defaults = yaml.safe_load((folder / "defaults/main.yml").read_text())
    table = (folder / "README.md").read_text()
    assert {*defaults} <= {*options}
    for name, option in options.items():
        assert name in defaults or option.get("required"), f"{name} is neither required nor has it a default"
        assert f"| `{name}` |" in table, f"{name} is not in the README"
