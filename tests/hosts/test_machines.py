"""The hosts themselves: fresh, alike but for their names, and gone when whoever uses them is."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.hosts.machines import Machines, remove_leftovers

ROOT = Path(__file__).parent.parent.parent

KILLED = """
import signal
from tests.hosts.machines import Machines
with Machines(["x"]) as machines:
    print(machines.directory, (machines.directory / "bridge").read_text(), flush=True)
    signal.pause()
"""


def test_hosts_are_whole_machines(machines: Machines) -> None:
    names = [machines.run(name, "hostname").strip() for name in machines.addresses]
    assert names == ["a", "b", "c"]
    assert len({machines.run(name, "cat /etc/machine-id") for name in machines.addresses}) == 3
    assert "running" in machines.run("a", "systemctl is-system-running")
    assert machines.run("a", "ssh -o BatchMode=yes b true 2>&1 || true").startswith("Host key verification failed")


def test_hosts_die_with_a_run_that_is_killed(machines: Machines) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        directory, bridge = run.stdout.readline().split()
        assert bridge in _interfaces()
        run.send_signal(signal.SIGKILL)
    with (Path(directory) / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given when the run has ended
    remove_leftovers(Path(directory).parent)
    assert not Path(directory).exists()
    while bridge in _interfaces() or directory in _containers():
        time.sleep(0.05)  # the kernel takes apart what belonged to the dead
    assert machines.directory.exists()  # those of a run that goes on are left alone


def _interfaces() -> str:
    return subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout


def _containers() -> str:
    return subprocess.run(["pgrep", "--full", "--list-full", "systemd-nspawn"], capture_output=True, text=True).stdout
