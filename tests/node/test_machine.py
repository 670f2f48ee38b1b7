"""What a process may use of a machine, by files as kernels have them, and what a node makes of it.

Not here: cgroups of the kernel (tests/field/test_limits.py).
"""

import os
from pathlib import Path

import pytest

from node.fit import Machine, misfits, worker_count
from node.machine import this_machine
from node.settings import Settings
from node.settings.load import load

GIB = 2**30
V2 = "31 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_CPU = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "33 31 0:30 / /sys/fs/cgroup/memory rw shared:9 master:1 - cgroup cgroup rw,memory"


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def found(root: Path, mounts: list[str], cgroups: str, files: dict[str, str]) -> Machine:
    proc = root / "proc/self"
    proc.mkdir(parents=True)
    (proc / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + "\n".join(mounts) + "\n")
    (proc / "cgroup").write_text(cgroups)
    (root / "proc/meminfo").write_text(f"MemTotal:       {16 * GIB // 1024} kB\nMemFree:  1 kB\n")
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return this_machine(root)


def test_a_machine_without_limits(tmp_path: Path) -> None:
    files = {"a/cpu.max": "max 100000", "a/memory.max": "max", "a/memory.high": "max"}
    assert found(tmp_path, [V2], "0::/a\n", files) == Machine(8.0, "", 16 * GIB, "/proc/meminfo")


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    assert this_machine(tmp_path) == Machine(8.0)


def test_a_unit_of_systemd_and_the_slice_above_it(tmp_path: Path) -> None:
    """The least limit counts, wherever it is on the way up."""
    files = {
        "system.slice/cpu.max": "250000 100000",
        "system.slice/memory.max": str(4 * GIB),
        "system.slice/whimbrel.service/cpu.max": "400000 100000",
        "system.slice/whimbrel.service/memory.high": str(3 * GIB),
        "system.slice/whimbrel.service/memory.max": "max",
    }
    machine = found(tmp_path, [V2], "0::/system.slice/whimbrel.service\n", files)
    assert machine == Machine(
        2.5,
        "/sys/fs/cgroup/system.slice/cpu.max",
        3 * GIB,
        "/sys/fs/cgroup/system.slice/whimbrel.service/memory.high",
    )


def test_a_container_that_sees_its_own_cgroup_as_the_root(tmp_path: Path) -> None:
    machine = found(tmp_path, [V2], "0::/\n", {"cpu.max": "50000 100000", "memory.max": str(GIB)})
    assert (machine.cores, machine.memory) == (0.5, GIB)


@pytest.mark.parametrize("cgroup", ["/docker/0a1b", "/docker/0a1b/inner", "/elsewhere", "/../outside"])
def test_version_1_in_a_container_whose_mounts_show_a_part_of_the_hosts(tmp_path: Path, cgroup: str) -> None:
    cpu, memory = V1_CPU.replace(" / ", " /docker/0a1b "), V1_MEMORY.replace(" / ", " /docker/0a1b ")
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "300000",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
        "cpu,cpuacct/inner/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/inner/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": str(2 * GIB),
        "memory/inner/memory.limit_in_bytes": "9223372036854771712",
    }
    lines = f"9:name=systemd:{cgroup}\n4:memory:{cgroup}\n1:cpu,cpuacct:{cgroup}\n0::/\n"
    machine = found(tmp_path, [V2.replace("/cgroup ", "/cgroup/unified "), cpu, memory], lines, files)
    assert (machine.cores, machine.memory) == (3.0, 2 * GIB)
    assert machine.quota == "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"


def test_more_time_than_there_are_cores_is_no_limit(tmp_path: Path) -> None:
    assert found(tmp_path, [V2], "0::/\n", {"cpu.max": "9000000 100000"}).quota == ""


def settings(**values: str) -> Settings:
    flags = {"topics": "t", "kafka.bootstrap": "b:9092"} | {name.replace("__", "."): v for name, v in values.items()}
    return load(None, {}, [("--set", f"{name}={value}") for name, value in flags.items()], "m").settings


@pytest.mark.parametrize(("cores", "workers"), [(0.5, 1), (1, 1), (2, 1), (2.9, 1), (3, 2), (8, 7)])
def test_workers_by_cores(cores: float, workers: int) -> None:
    assert worker_count(settings(), Machine(cores)) == workers
    assert worker_count(settings(node__workers="5"), Machine(cores)) == 5


@pytest.mark.parametrize(
    ("cores", "quota", "workers", "words"),
    [
        (1.5, "cpu.max", "0", ["1.5 CORES (cpu.max)", "1 worker ", "Allow 2 cores."]),
        (2, "cpu.max", "0", None),
        (4, "cpu.max", "0", None),
        (4, "cpu.max", "8", ["4 CORES", "8 workers", "Allow 9 cores, or fewer workers"]),
        (4, "", "8", None),
    ],
)
def test_cpu_time_that_is_too_little(cores: float, quota: str, workers: str, words: list[str] | None) -> None:
    said = misfits(settings(node__workers=workers), Machine(cores, quota))
    assert len(said) == (words is not None)
    assert all(word in said[0] for word in words or [])


def test_memory_that_is_too_little() -> None:
    small = Machine(2, "", GIB // 2, "memory.max")
    [said] = misfits(settings(), small)
    assert "512 MiB (memory.max)" in said
    assert "cache.bytes, which is 512 MiB" in said
    assert "Lower cache.bytes to 37" in said
    assert misfits(settings(cache__bytes="300MiB"), small) == []
    assert "Lower client.connections" in misfits(settings(client__connections="1000000"), small)[0]
    assert misfits(settings(), Machine(2, "", GIB)) == []
