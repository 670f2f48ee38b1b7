"""The node as a service of a real systemd: hardened, alone with its secrets, restarted when it dies or stands still."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time

import pytest

from tests.hosts.ansible import Ansible
from tests.hosts.machines import HostError, Machines
from tests.hosts.test_site import status

EXPOSURE_MAX = 2.0
RESTART_S = 60.0
HOSTILE = """
for name in node gateway mesh loadtest; do
  mkdir -p /srv/hostile/$name /etc/systemd/system/whimbrel.service.d
  echo "raise SystemExit('not ours')" >/srv/hostile/$name/__init__.py
done
cat >/etc/systemd/system/whimbrel.service.d/hostile.conf <<END
[Service]
WorkingDirectory=/srv/hostile
Environment=PYTHONPATH=/srv/hostile
END
systemctl daemon-reload
"""

pytestmark = pytest.mark.usefixtures("deployed")


def test_the_service_is_hardened(machines: Machines) -> None:
    said = machines.run("a", "systemd-analyze security whimbrel --no-pager | tail -1")
    exposure = re.search(r"level for whimbrel.service: ([0-9.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= EXPOSURE_MAX


def test_a_host_has_its_own_secret_only(machines: Machines, pairs: dict[str, dict[str, str]]) -> None:
    for name in machines.addresses:
        kept = machines.run(name, "cat /etc/whimbrel/*")
        assert [other for other, pair in pairs.items() if pair["secret"] in kept] == [name]
        modes = machines.run(name, "stat --format '%U %a' /etc/whimbrel/*.key").splitlines()
        assert modes == ["whimbrel 400", "whimbrel 400"]


def test_logs_are_json_in_the_journal(machines: Machines) -> None:
    lines = machines.run("a", "journalctl --unit whimbrel --output cat _COMM=whimbrel").splitlines()
    assert "ready" in [json.loads(line)["event"] for line in lines]


def test_strangers_reach_the_clients_port_and_no_other(machines: Machines) -> None:
    address = machines.addresses["a"]
    socket.create_connection((address, 8080), timeout=10).close()
    for port in (7400, 7401):
        with pytest.raises(TimeoutError):
            socket.create_connection((address, port), timeout=1)
        machines.run("b", f"python3 -c \"import socket; socket.create_connection(('{address}', {port}), 10)\"")


def test_the_kernel_is_prepared(machines: Machines) -> None:
    assert machines.run("a", "sysctl --values net.core.somaxconn").strip() == "65535"


def test_a_node_that_dies_is_started_again_whatever_the_folder_and_the_path_hold(machines: Machines) -> None:
    """Packages that are called as ours are lie where the service works and where its Python is told to look."""
    machines.run("b", HOSTILE)
    before = main_pid(machines, "b")
    machines.run("b", f"kill -KILL {before}")
    wait_restarted(machines, "b", before)
    process = f"/proc/{main_pid(machines, 'b')}"
    assert machines.run("b", f"readlink {process}/cwd").strip() == "/srv/hostile"
    assert "PYTHONPATH=/srv/hostile" in machines.run("b", f"tr '\\0' '\\n' <{process}/environ")
    admin = f"--admin {machines.addresses['b']}:8090 --admin-token-file /etc/whimbrel/admin.token"
    said = machines.run("b", f"cd /srv/hostile && PYTHONPATH=/srv/hostile whimbrel status {admin}")
    assert said.startswith("node b "), said
    machines.run("b", "rm -r /etc/systemd/system/whimbrel.service.d /srv/hostile && systemctl daemon-reload")


def test_a_node_that_stands_still_is_started_again(machines: Machines) -> None:
    """Stopped, it says nothing to the watchdog, which ends it."""
    before = main_pid(machines, "b")
    machines.run("b", f"kill -STOP {before}")
    wait_restarted(machines, "b", before)
    assert status(machines, "b")["ready"]


def test_a_restart_waits_for_the_share_of_the_node_and_no_more(machines: Machines, ansible: Ansible) -> None:
    """Those of a node that has just come back are still at the others, and go back to it while another restarts."""
    before = main_pid(machines, "b")
    machines.run("b", f"kill -KILL {before}")
    wait_restarted(machines, "b", before)
    played = ansible.must("restart.yml", "--limit", "a")
    assert "a is back" in played.text


def main_pid(machines: Machines, name: str) -> str:
    return machines.run(name, "systemctl show --property MainPID --value whimbrel").strip()


def wait_restarted(machines: Machines, name: str, before: str) -> None:
    """Return when the node is ready as another process, and its cluster is well."""
    deadline = time.monotonic() + RESTART_S
    while time.monotonic() < deadline:
        active = machines.run(name, "systemctl is-active whimbrel || true").strip()
        is_another = active == "active" and main_pid(machines, name) != before
        # Between the two questions the old one may have gone, and the new one does not listen yet.
        with contextlib.suppress(HostError):
            if is_another and status(machines, name)["cluster"]["state"] == "ok":
                return
        time.sleep(0.2)
    raise AssertionError(machines.run(name, "systemctl status whimbrel --no-pager --lines 30 || true"))
