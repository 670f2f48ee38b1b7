"""The root file system of the test hosts: a fresh Debian 12, built once into the user's cache directory.

The hosts have no way out. Debian packages that a role installs are brought along: they lie on each host as a package
source of its own, so that `apt` works there as it does anywhere. Where they come from is read from this machine's own
configuration of apt.

`python -m tests.hosts.root` builds it ahead of time.

Not here: hosts that run (machines.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

SUITE = "bookworm"
BASE = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "python3-venv",
    "python3-apt",
    "iproute2",
    "sudo",
)
"""What a Debian machine has that somebody rented and can log in to."""
BROUGHT = ("haproxy", "nftables", "prometheus")
"""What the roles install by name."""
PACKAGES = "var/local/packages"

_DONE = "whimbrel-test-root"


def cache_directory() -> Path:
    """Where things are kept that take long to make; other users of the machine have their own."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whimbrel"


def source() -> str | None:
    """The address of the packages of Debian 12, as apt on this machine is set up; None: it has none of them."""
    asked = ["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(" ", 2)[2] for line in lines if line.startswith(f"{SUITE} main ")]
    return found[0] if found else None


def root() -> Path:
    """The directory of the root file system; the first time takes about two minutes, and says so.

    Raises:
        RuntimeError: If it cannot be built; with what the program that failed has said.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    # Another recipe has another directory, so a change of it needs no cleaning up.
    wanted = cache / f"hosts-root-{zlib.crc32(Path(__file__).read_bytes()):08x}"
    with (cache / "hosts-root.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (wanted / _DONE).exists():
            _build(wanted)
    return wanted


def _build(wanted: Path) -> None:
    print(
        "building the root file system of the test hosts, once (two minutes, 350 MB) ...", file=sys.stderr, flush=True
    )
    partial = wanted.with_suffix(".partial")
    for old in (partial, wanted):
        shutil.rmtree(old, ignore_errors=True)
    address = source()
    assert address is not None
    _run(["debootstrap", "--variant=minbase", f"--include={','.join(BASE)}", SUITE, str(partial), address])
    _bring(partial)
    for unit in ("systemd-networkd", "ssh"):
        _run(["chroot", str(partial), "systemctl", "--quiet", "enable", unit])
    (partial / "etc/machine-id").write_text("")  # each host makes its own
    (partial / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (partial / _DONE).touch()
    partial.rename(wanted)
    print(f"built {wanted}", file=sys.stderr, flush=True)


def _bring(root: Path) -> None:
    """Make the packages that the roles will ask for, with all that they need, the root's only package source."""
    packages = root / PACKAGES
    (packages / "partial").mkdir(parents=True)
    lists = packages.parent / "lists"
    (lists / "partial").mkdir(parents=True)
    # This machine's own sources and keys, but what is installed there.
    apt = [
        *("apt-get", "-qq", "--yes", "--no-install-recommends", "-o", "APT::Sandbox::User=root"),
        *("-o", f"Dir::State::lists={lists}", "-o", f"Dir::State::status={root}/var/lib/dpkg/status"),
        *("-o", f"Dir::Cache::archives={packages}", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="),
        *("-o", "APT::Update::Post-Invoke-Success::=", "-o", "APT::Architecture=" + _architecture(root)),
    ]
    _run([*apt, "update"])
    _run([*apt, "--download-only", "install", *BROUGHT])
    shutil.rmtree(lists)
    shutil.rmtree(packages / "partial")
    (packages / "lock").unlink(missing_ok=True)
    (packages / "Packages").write_text("\n".join(_entry(file) for file in sorted(packages.glob("*.deb"))))
    for old in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / old, ignore_errors=True)
        (root / old / "partial").mkdir(parents=True)
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{PACKAGES} ./\n")
    _run(["chroot", str(root), "apt-get", "-qq", "update"])


def _architecture(root: Path) -> str:
    return _run(["chroot", str(root), "dpkg", "--print-architecture"]).strip()


def _entry(file: Path) -> str:
    """The package's paragraph in the index of a package source."""
    fields = _run(["dpkg-deb", "--field", str(file)])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{fields.strip()}\nFilename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n"


def _run(command: Sequence[str]) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if ran.returncode != 0:
        raise RuntimeError(f"{command[0]} failed, of {command}:\n{ran.stdout[-4000:]}{ran.stderr[-4000:]}")
    return ran.stdout


if __name__ == "__main__":
    root()
