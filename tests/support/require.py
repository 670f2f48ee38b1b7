"""Optional tools: a test that needs one is skipped with a reason, or fails when REQUIRE_ALL=1 is set.

Not here: what the tools are used for.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def require(*names: str) -> None:
    """Go on only if these tools are there: java, maven, node, npm, browser, netns, cgroups, nspawn,
    prometheus.

    Raises:
        pytest.skip.Exception: One is missing.
        pytest.fail.Exception: One is missing and REQUIRE_ALL=1 is set.
        KeyError: Not a name from the list above.
    """
    for name in names:
        missing = _missing(name)
        if missing is None:
            continue
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(f"REQUIRE_ALL=1, and {missing}", pytrace=False)
        pytest.skip(missing)


@functools.cache
def _missing(name: str) -> str | None:
    return _CHECKS[name]()


def browser_path() -> str | None:
    """The program that starts Chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _java() -> str | None:
    return _version_below("java", ["-version"], "Java", 17)


def _maven() -> str | None:
    return None if shutil.which("mvn") else "Maven (mvn) is not installed"


def _node() -> str | None:
    return _version_below("node", ["--version"], "Node.js", 20)


def _npm() -> str | None:
    return None if shutil.which("npm") else "npm is not installed"


def _browser() -> str | None:
    if browser_path() is None:
        return "no Chromium is installed"
    return None if shutil.which("chromedriver") else "chromedriver is not installed"


def _prometheus() -> str | None:
    return None if shutil.which("promtool") and shutil.which("prometheus") else "Prometheus is not installed"


def _netns() -> str | None:
    if shutil.which("ip") is None:
        return "iproute2 (ip) is not installed"
    name = f"whimbrel-probe-{os.getpid()}"
    added = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if added.returncode != 0:
        return f"network namespaces are not allowed here: {added.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=True)
    return None


def _cgroups() -> str | None:
    root = Path("/sys/fs/cgroup")
    probes = [root] if (root / "cgroup.controllers").exists() else [root / "cpu", root / "memory"]
    try:
        for probe in probes:
            folder = probe / f"whimbrel-probe-{os.getpid()}"
            folder.mkdir()
            folder.rmdir()
    except OSError as error:
        return f"control groups are not allowed here: {error}"
    return None


def _nspawn() -> str | None:
    for program, package in (("systemd-nspawn", "systemd-container"), ("debootstrap", "debootstrap"), ("ssh", "ssh")):
        if shutil.which(program) is None:
            return f"{package} is not installed"
    return _netns()


def _version_below(program: str, arguments: list[str], title: str, least: int) -> str | None:
    if shutil.which(program) is None:
        return f"{title} {least} or newer is not installed"
    # `java -version` writes `openjdk version "17.0.15"` to stderr, `node --version` writes v20.1.0 to stdout.
    ran = subprocess.run([program, *arguments], capture_output=True, text=True)
    text = ran.stdout + ran.stderr
    digits = "".join(c if c.isdigit() else " " for c in text).split()
    if ran.returncode != 0 or not digits:
        return f"{title} does not run: {text.strip()[:200]}"
    return None if int(digits[0]) >= least else f"{title} {digits[0]} is older than {least}"


_CHECKS: dict[str, Callable[[], str | None]] = {
    "java": _java,
    "maven": _maven,
    "node": _node,
    "npm": _npm,
    "browser": _browser,
    "netns": _netns,
    "cgroups": _cgroups,
    "nspawn": _nspawn,
    "prometheus": _prometheus,
}
