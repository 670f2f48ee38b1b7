"""Builds a release: one archive with the wheels of a checkout and of all that they need.

    build.py CHECKOUT DIRECTORY PYTHON MACHINE [--name]

prints the release's name, which is made of its version and of what is in it; with --name it builds nothing. Hosts then
need no package index. Whatever machine builds it, the wheels are for Linux with that Python and that kind of processor.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

PROJECTS = (".", "client/python")
SOURCES = ("mesh", "gateway", "node", "loadtest", "client", "pyproject.toml", "README.md", "LICENSE")
LEFT_OUT = {"__pycache__", "node_modules", "build", "dist"}
GLIBC = range(17, 37)
"""2.17 is the oldest for which wheels are made now; Debian 12 has 2.36."""


def main(checkout: Path, directory: Path, python: str, machine: str, only_name: bool) -> None:
    metas = [tomllib.loads((checkout / one / "pyproject.toml").read_text()) for one in PROJECTS]
    name = f"{metas[0]['project']['version']}-{_digest(checkout, python, machine)}"
    archive = directory / f"{name}.tar"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not only_name and not archive.exists():
            _build(archive, checkout, metas, python, machine)
            print("built", file=sys.stderr)
    print(name)


def _build(archive: Path, checkout: Path, metas: list[dict[str, Any]], python: str, machine: str) -> None:
    needed = _needed(metas, archive.parent, python, machine)
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        ours = _ours(checkout, Path(work), needed)
        partial = Path(work) / "archive"
        with tarfile.open(partial, "w") as tar:
            for wheel in sorted([*needed.iterdir(), *ours.iterdir()]):
                tar.add(wheel, wheel.name)
        partial.rename(archive)


def _files(checkout: Path) -> list[Path]:
    found = []
    for source in SOURCES:
        top = checkout / source
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(one for one in folders if one not in LEFT_OUT and not one.endswith(".egg-info"))
            found += [Path(folder) / one for one in sorted(names) if not one.endswith(".pyc")]
        if top.is_file():
            found.append(top)
    return found


def _digest(checkout: Path, python: str, machine: str) -> str:
    digest = hashlib.sha256(f"{python} {machine}".encode())
    for file in _files(checkout):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(checkout)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _needed(metas: list[dict[str, Any]], directory: Path, python: str, machine: str) -> Path:
    """A directory with the wheels of what ours need, to run and to be built; the same until they need others."""
    ours = {meta["project"]["name"] for meta in metas}
    wanted = {one for meta in metas for one in meta["project"].get("dependencies", []) if one not in ours}
    wanted |= {one for meta in metas for one in meta["build-system"]["requires"]}
    digest = hashlib.sha256(repr((sorted(wanted), python, machine)).encode()).hexdigest()[:12]
    found = directory / f"needed-{digest}"
    if not found.exists():
        with tempfile.TemporaryDirectory(dir=directory) as work:
            wheels = Path(work) / "wheels"
            platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [f"manylinux2014_{machine}"]
            _pip(
                *("download", "--only-binary=:all:", "--dest", str(wheels), "--python-version", python),
                *("--implementation", "cp", *(part for one in platforms for part in ("--platform", one))),
                *sorted(wanted),
            )
            wheels.rename(found)
    return found


def _ours(checkout: Path, work: Path, needed: Path) -> Path:
    # From a copy: building leaves files in the source that a later build would take for part of it.
    copy, wheels = work / "source", work / "wheels"
    for file in _files(checkout):
        target = copy / file.relative_to(checkout)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    # Not in pip's own isolation, which installs the same build system anew for each project.
    for wheel in needed.glob("setuptools-*.whl"):
        zipfile.ZipFile(wheel).extractall(work / "build-system")
    sources = [str(copy / one) for one in PROJECTS]
    arguments = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(wheels), *sources)
    _pip(*arguments, path=work / "build-system")
    return wheels


def _pip(*arguments: str, path: Path | None = None) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ran.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{ran.stdout}")


if __name__ == "__main__":
    checkout_, directory_, python_, machine_, *rest = sys.argv[1:]
    main(Path(checkout_), Path(directory_), python_, machine_, rest == ["--name"])
