"""A voter's promises on disk: what a crash may leave, what is trusted, and who may have the directory."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from mesh.slots.promises import Promises, PromisesError

ROOT = Path(__file__).parents[3]


def opened(directory: Path, node: str = "a", cluster: str = "c", slots: int = 8) -> Promises:
    return Promises(directory, node, cluster, slots)


def test_what_was_saved_is_loaded_by_the_next_and_saves_add_up(tmp_path: Path) -> None:
    promises = opened(tmp_path / "made" / "when needed")
    assert promises.load() is None, "a first start"
    promises.save({1: 3, 2: 1})
    promises.save({2: 2, 7: 1 << 52})
    promises.save({})
    promises.close()
    again = opened(tmp_path / "made" / "when needed")
    assert again.load() == {1: 3, 2: 2, 7: 1 << 52}
    again.save({0: 1})
    assert len(again.load() or {}) == 4
    again.close()


def test_saved_without_a_promise_is_not_a_first_start(tmp_path: Path) -> None:
    promises = opened(tmp_path)
    assert promises.load() is None
    promises.save({})
    assert promises.load() == {}
    promises.close()


def test_no_promise_is_taken_back(tmp_path: Path) -> None:
    promises = opened(tmp_path)
    promises.save({1: 2})
    with pytest.raises(AssertionError, match="never taken back"):
        promises.save({1: 1})
    with pytest.raises(AssertionError):
        promises.save({8: 1})
    assert promises.load() == {1: 2}
    promises.close()


def damaged(data: bytes) -> list[bytes]:
    """The file cut short at every length, and with every byte changed."""
    return [data[:size] for size in range(len(data))] + [
        data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))
    ]


def test_a_damaged_file_is_an_error_wherever_the_damage_is(tmp_path: Path) -> None:
    promises = opened(tmp_path)
    promises.save({1: 3, 2: 1})
    promises.close()
    data = promises.path.read_bytes()
    for wrong in [*damaged(data), data + b"\n", data + data, b"\xff\n"]:
        promises.path.write_bytes(wrong)
        with pytest.raises(PromisesError, match="is damaged"):
            opened(tmp_path)
    promises.path.write_bytes(data)
    again = opened(tmp_path)  # who was refused has let go of the directory
    assert again.load() == {1: 3, 2: 1}
    again.close()


@pytest.mark.parametrize(
    ("of", "complaint"),
    [
        ({"node": "b"}, "has node b, expected a"),
        ({"cluster": "d"}, "has cluster d, expected c"),
        ({"slots": 16}, "has slots 16, expected 8"),
    ],
)
def test_a_file_of_another_is_an_error(tmp_path: Path, of: dict[str, str], complaint: str) -> None:
    other = opened(tmp_path, **of)  # type: ignore[arg-type]
    other.save({1: 1})
    other.close()
    with pytest.raises(PromisesError, match=complaint) as raised:
        opened(tmp_path)
    assert str(tmp_path / "promises") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_of_another_version_is_an_error(tmp_path: Path) -> None:
    for line, complaint in (
        (b'{"format":2,"cluster":"c","node":"a","slots":8,"promises":{}}', "has format 2, expected 1"),
        (b'{"format":2}', "is not a file of promises that this version reads"),
        (b"[]", "is not a file of promises"),
        (b"\xff", "is not a file of promises"),
        (b'{"x":' + b"[" * 5000, "is not a file of promises"),
        (b'{"format":1,"cluster":"c","node":"a","slots":8,"promises":{"8":[1]}}', "an epoch that cannot be"),
        (b'{"format":1,"cluster":"c","node":"a","slots":8,"promises":{"1":[-1]}}', "an epoch that cannot be"),
    ):
        (tmp_path / "promises").write_bytes(b"%b\n%08x\n" % (line, zlib.crc32(line)))
        with pytest.raises(PromisesError, match=complaint):
            opened(tmp_path)


def test_one_process_has_the_directory_at_a_time(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(PromisesError, match=r"another process uses it: does a node named a of cluster c run already\?"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_the_lock_goes_with_the_process_and_is_not_handed_to_those_it_starts(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys; from pathlib import Path; from mesh.slots.promises import Promises\n"
        f"held = Promises(Path({str(tmp_path)!r}), 'a', 'c', 8)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False)\n"
        "print(child.pid, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            with pytest.raises(PromisesError, match="another process"):
                opened(tmp_path)
            process.kill()
            process.wait()
            opened(tmp_path).close()
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PromisesError, match=r"cannot be used: .*\(cluster.data_dir\)"):
        opened(tmp_path / "file")
    (tmp_path / "promises").mkdir()
    with pytest.raises(PromisesError, match="promises: cannot be read: Is a directory"):
        opened(tmp_path)


def test_a_save_that_fails_says_so_and_leaves_what_was_there(tmp_path: Path) -> None:
    promises = opened(tmp_path)
    promises.save({1: 1})
    (tmp_path / "promises.new").mkdir()
    with pytest.raises(PromisesError, match="cannot be written: Is a directory"):
        promises.save({1: 2, 2: 1})
    (tmp_path / "promises.new").rmdir()
    assert promises.load() == {1: 1}
    promises.save({3: 1})
    assert promises.load() == {1: 1, 3: 1}
    promises.close()


SAVER = """
import sys
from pathlib import Path
from mesh.slots.promises import Promises

promises = Promises(Path(sys.argv[1]), "a", "c", 64)
epoch = max((promises.load() or {}).values(), default=0)
print(epoch, flush=True)
while True:
    epoch += 1
    promises.save(dict.fromkeys(range(64), epoch))
    print(epoch, flush=True)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_saves_leaves_the_state_before_or_after(tmp_path: Path) -> None:
    """kill -9 at any instant: what is loaded is what was last said to be saved, or what was on its way then."""
    rng, command = random.Random(1), [sys.executable, "-c", SAVER, str(tmp_path)]
    saved = 0
    for _ in range(25):
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            assert int(process.stdout.readline()) == saved, "the next start loads what is there"
            time.sleep(rng.uniform(0.0, 0.05))
            process.kill()
            said = [int(line) for line in process.stdout.read().split(b"\n")[:-1]]
        promises = Promises(tmp_path, "a", "c", 64)
        found = promises.load() or {}
        promises.close()
        before = said[-1] if said else saved
        (saved,) = set(found.values()) or {0}
        assert saved - before in (0, 1)
    assert saved > 25, "the loop did save"
