"""What of the machine this process may use: cores and memory, by affinity and by the limits of control groups.

Containers, and units of systemd with CPUQuota= or MemoryMax=, limit by a control group (cgroup). Each of those from
the process's own upwards may have a limit, and the least one counts; of version 1 and version 2 both, since machines
have both.

Sources: cgroups(7), and the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.

Not here: what a node makes of it (fit.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from node.fit import Machine

ROOT = Path("/")


def this_machine(root: Path = ROOT) -> Machine:
    """Of this process, now.

    Args:
        root: Where /proc and the cgroups' file systems are, for tests.
    """
    cores, quota = float(len(os.sched_getaffinity(0))), ""
    memory, memory_by = _memory_total(root), "/proc/meminfo"
    for folder in _cgroups(root):
        for file, share in ((folder / "cpu.max", _quota_v2(folder)), (folder / "cpu.cfs_quota_us", _quota_v1(folder))):
            if share is not None and share < cores:
                cores, quota = share, _shown(file, root)
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            limit = _number(_words(folder / name), 0)
            if limit is not None and (memory is None or limit < memory):
                memory, memory_by = limit, _shown(folder / name, root)
    return Machine(cores, quota, memory, memory_by if memory is not None else "")


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders of all cgroups that this process is in, each hierarchy from its own cgroup upwards, as far as it sees."""
    mounts = list(_mounts(root))
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/"):
            continue
        wanted = {*controllers.split(",")} & {"cpu", "memory"}
        for kind, options, top, point in mounts:
            if kind != ("cgroup2" if number == "0" else "cgroup") or (number != "0" and not wanted & options):
                continue
            folder = root / point.lstrip("/")
            # In a container without a namespace of cgroups, the path is the host's, and the mount shows a part of it.
            # A path that leads out of the mount says that there is nothing of it to be seen but the mount itself.
            inside = PurePosixPath(path).relative_to(top) if PurePosixPath(path).is_relative_to(top) else None
            below = inside.parts if inside is not None and ".." not in inside.parts else ()
            for length in range(len(below), -1, -1):
                yield folder.joinpath(*below[:length])


def _mounts(root: Path) -> Iterator[tuple[str, set[str], str, str]]:
    """Type, options of the file system, the folder of it that is mounted, and where, of each cgroup file system."""
    for line in _lines(root / "proc/self/mountinfo"):
        mount, _, system = line.partition(" - ")
        fields, described = mount.split(), system.split()
        if len(fields) >= 5 and described and described[0] in ("cgroup", "cgroup2"):
            yield described[0], {*described[-1].split(",")}, _unescaped(fields[3]), _unescaped(fields[4])


def _quota_v2(folder: Path) -> float | None:
    """Cores' worth of CPU time, by `cpu.max`; None: no limit."""
    words = _words(folder / "cpu.max")
    return _share(_number(words, 0), _number(words, 1))


def _quota_v1(folder: Path) -> float | None:
    """The same by `cpu.cfs_quota_us`, which is -1 without a limit."""
    return _share(_number(_words(folder / "cpu.cfs_quota_us"), 0), _number(_words(folder / "cpu.cfs_period_us"), 0))


def _share(quota: int | None, period: int | None) -> float | None:
    return quota / period if quota is not None and period is not None and quota > 0 and period > 0 else None


def _memory_total(root: Path) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            kib = _number(line.split(), 1)
            return kib * 1024 if kib is not None else None
    return None


def _number(words: list[str], at: int) -> int | None:
    """None for `max` too, and for what is not there."""
    try:
        return int(words[at])
    except (IndexError, ValueError):
        return None


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []  # not every kernel, and not every container, has all of them


def _unescaped(field: str) -> str:
    """As it was before mountinfo escaped it: proc(5)."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _shown(file: Path, root: Path) -> str:
    return f"/{file.relative_to(root)}"
