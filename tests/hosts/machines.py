"""Hosts to deploy to: Debian with systemd in containers (systemd-nspawn) on a bridge, reached by ssh.

Each host is the root file system (root.py) with a writable layer of its own above it. The bridge has an address of
this machine, at which hosts reach what runs here; they have no other way out. Addresses are from 198.18.0.0/15, which
is set aside for such tests (RFC 2544).

Nothing outlives the test run: a container is in a process namespace that dies with it, however it ends, and the mounts
with that. What is left then, the bridge and the files, is removed by the next run: whoever uses a directory holds the
lock in it.

Not here: what is deployed (ansible.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from loadtest.kafka.processes import start_process
from tests.hosts.root import cache_directory, root
from tests.support.network import unused_net

BOOT_S = 60.0
STOP_S = 20.0

_CGROUPS = [Path("/sys/fs/cgroup") / part for part in ("", "systemd", "unified")]
"""Roots of systemd's tree of control groups: of version 2, or of both versions beside each other."""
_ENTER = """
set -e
name=$1
for root in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  if test -e "$root/cgroup.procs"; then mkdir -p "$root/$name"; echo $$ >"$root/$name/cgroup.procs"; fi
done
shift
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
shift 2
exec "$@"
"""
"""What a container begins with: a control group of its own, for two systemds in one would remove each other's units;
and, in a mount namespace that nobody else sees, its files and a place for nspawn's own."""


class HostError(Exception):
    """A host did not boot, or a command on it failed; the text has what was said."""


class Machines:
    """The hosts. A context manager; needs `require("nspawn")`."""

    def __init__(self, names: Sequence[str]) -> None:
        """Prepare; nothing runs before `start`."""
        net = unused_net()
        self.gateway = f"{net}.1"
        """This machine's address on the bridge."""
        self.addresses = {name: f"{net}.{number}" for number, name in enumerate(names, 11)}
        """By name of the host."""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock: IO[str] | None = None
        self._bridge = ""
        self.directory = Path()
        """Of this run: keys, logs of the boots, the writable layers."""

    @property
    def key(self) -> Path:
        """The secret ssh key of root on all hosts."""
        return self.directory / "key"

    def start(self) -> None:
        """Boot all hosts; return when systemd says of each that it runs.

        Raises:
            HostError: If one does not.
        """
        lower = root()
        runs = cache_directory() / "hosts"
        runs.mkdir(parents=True, exist_ok=True)
        with (cache_directory() / "hosts.lock").open("w") as others:
            fcntl.flock(others, fcntl.LOCK_EX)  # nobody sees the directory before it is locked
            remove_leftovers(runs)
            self.directory = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
            self._lock = (self.directory / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        number = self.gateway.split(".")[1:3]
        self._bridge = f"w{number[0]}-{number[1]}"
        (self.directory / "bridge").write_text(self._bridge)
        _run(["ip", "link", "add", self._bridge, "type", "bridge"])
        _run(["ip", "address", "add", f"{self.gateway}/24", "dev", self._bridge])
        _run(["ip", "link", "set", self._bridge, "up"])
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)])
        for name in self.addresses:
            self.boot(name, lower)
        for name in self.addresses:
            self.wait_booted(name)

    def boot(self, name: str, lower: Path | None = None) -> None:
        """Start one host that is not running, with the files that it had."""
        layer = self.directory / name
        if not layer.exists():
            self._make_layer(name, layer)
        log = (self.directory / f"{name}.log").open("ab")
        self._processes[name] = start_process(
            [
                *("unshare", "--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork", "--kill-child"),
                *("sh", "-c", _ENTER, "sh", f"{self._bridge}-{name}"),
                *(str(lower or root()), str(layer)),
                *("systemd-nspawn", "--quiet", "--directory", str(layer / "root"), "--boot", f"--hostname={name}"),
                *(f"--network-bridge={self._bridge}", f"--machine={self._bridge}-{name}"),
                *("--register=no", "--keep-unit", "--link-journal=no"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()

    def replace(self, name: str) -> None:
        """As if a machine had burnt, and a fresh one of the same name stood in its place, at another address."""
        self.kill(name)
        shutil.rmtree(self.directory / name)
        net, _, number = self.addresses[name].rpartition(".")
        self.addresses[name] = f"{net}.{int(number) + 100}"
        self.boot(name)
        self.wait_booted(name)

    def wait_booted(self, name: str) -> None:
        """Return when the host is up and none of its units has failed."""
        deadline = time.monotonic() + BOOT_S
        said = ""
        while time.monotonic() < deadline:
            if self._processes[name].poll() is not None:
                break
            ran = self.ssh(name, "systemctl is-system-running --wait; systemctl --failed --plain --no-legend")
            said = ran.stdout + ran.stderr
            if said.split() == ["running"]:
                return
            if said.startswith("degraded"):
                said += self.ssh(name, "journalctl --no-pager --priority=warning").stdout
                break
            time.sleep(0.2)
        log = (self.directory / f"{name}.log").read_text(errors="replace")
        raise HostError(f"host {name} did not boot: {said}\n{log[-3000:]}")

    def ssh(self, name: str, command: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root; the caller looks at its status."""
        return subprocess.run(
            ["ssh", *self.ssh_options(), f"root@{self.addresses[name]}", command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )

    def run(self, name: str, command: str, timeout_s: float = 60) -> str:
        """What a shell command prints, run as root.

        Raises:
            HostError: If it fails.
        """
        ran = self.ssh(name, command, timeout_s)
        if ran.returncode != 0:
            raise HostError(f"on host {name}, `{command}` ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def ssh_options(self) -> list[str]:
        """For `ssh` and for Ansible: these hosts are new every time."""
        return [
            *("-i", str(self.key), "-o", "IdentitiesOnly=yes", "-F", "none"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
            *("-o", "ConnectTimeout=5", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s"),
            *("-o", f"ControlPath={self.directory}/ssh-%C"),
        ]

    def kill(self, name: str) -> None:
        """As if the machine's power were cut."""
        process = self._processes.pop(name, None)
        if process is not None:
            self._hang_up(name)
            process.kill()
            process.wait(STOP_S)
            # The kernel can take minutes to remove what belonged to the dead; the next boot needs the name.
            _delete_link(f"vb-{self._bridge}-{name}")
            for root in _CGROUPS:
                _delete_group(root / f"{self._bridge}-{name}")

    def _hang_up(self, name: str) -> None:
        """End the connection that later commands would have used."""
        subprocess.run(
            ["ssh", *self.ssh_options(), "-O", "exit", f"root@{self.addresses[name]}"], capture_output=True, timeout=10
        )

    def stop(self) -> None:
        """End all hosts, at once, and remove everything."""
        for name in [*self._processes]:
            self.kill(name)
        if self._lock is not None:
            _remove(self.directory)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Machines:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make_layer(self, name: str, layer: Path) -> None:
        for part in ("upper", "work", "root"):
            (layer / part).mkdir(parents=True)
        layer.joinpath("upper").chmod(0o755)
        known = "".join(f"{address} {other}\n" for other, address in self.addresses.items())
        network = f"[Match]\nName=host0\n[Network]\nAddress={self.addresses[name]}/24\n"
        files = {
            "etc/hostname": f"{name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n{self.gateway} gateway\n{known}",
            "etc/systemd/network/10-host0.network": network,
            "root/.ssh/authorized_keys": self.key.with_suffix(".pub").read_text(),
        }
        for path, text in files.items():
            file = layer / "upper" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        layer.joinpath("upper/root").chmod(0o700)


def remove_leftovers(runs: Path) -> None:
    """Remove what runs have left that were killed; the caller sees to it that none is just beginning."""
    for directory in runs.glob("run-*"):
        with (directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _remove(directory)


def _remove(directory: Path) -> None:
    bridge = directory / "bridge"
    if bridge.exists():
        name = bridge.read_text()
        links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout)
        for link in [name, *(one["ifname"] for one in links if one["ifname"].startswith(f"vb-{name}-"))]:
            _delete_link(link)
        for group in [group for root in _CGROUPS for group in root.glob(f"{name}-*")]:
            _delete_group(group)
    shutil.rmtree(directory, ignore_errors=True)


def _delete_group(group: Path) -> None:
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline:
        for part, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(part)
        if not group.exists():
            return
        time.sleep(0.02)  # those in it have been killed, and are not gone yet
    raise HostError(f"there are still processes in {group}")


def _delete_link(name: str) -> None:
    subprocess.run(["ip", "link", "delete", name], capture_output=True)


def _run(command: Sequence[str]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise HostError(f"{' '.join(command)} failed: {ran.stdout}{ran.stderr}")
