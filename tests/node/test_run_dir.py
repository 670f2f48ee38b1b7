"""Directories of running nodes, and of nodes that were killed."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.run_dir import LINK, RunDirError, run_directory

HELD = """
import os, socket, sys
from node.run_dir import LINK, run_directory
with run_directory(sys.argv[1]) as made:
    link = socket.socket(socket.AF_UNIX)
    link.bind(str(made / LINK))
    if len(sys.argv) > 2:
        link.listen()
    print(made, flush=True)
    sys.stdin.read()
"""


def held(base: Path, *how: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, str(base), *how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_directory_is_removed_in_the_end(tmp_path: Path) -> None:
    with run_directory(str(tmp_path)) as made:
        (made / LINK).touch()
        assert [made] == list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_what_a_killed_node_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    killed, left = held(tmp_path)
    killed.kill()
    killed.wait()
    living, kept = held(tmp_path)
    assert not left.exists()
    with run_directory(str(tmp_path)) as made:
        assert {*tmp_path.iterdir()} == {kept, made}, "it holds its lock, though nobody answers"
    living.communicate("", timeout=10)
    assert not kept.exists()


def test_a_node_that_locks_nothing_but_answers_is_left_alone(tmp_path: Path) -> None:
    directory = tmp_path / "whimbrel-old"
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / LINK))
        listening.listen()
        with run_directory(str(tmp_path)):
            assert directory.exists()
    with run_directory(str(tmp_path)):
        assert not directory.exists()


def test_an_empty_directory_of_a_node_that_was_killed_at_once_is_removed_unless_a_node_holds_it(tmp_path: Path) -> None:
    left, kept = tmp_path / "whimbrel-1i2yzl_w", tmp_path / "whimbrel-5d_dueuy"
    left.mkdir()
    kept.mkdir()
    holder = os.open(kept, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with run_directory(str(tmp_path)) as made:
        assert {*tmp_path.iterdir()} == {kept, made}
    os.close(holder)


def test_what_is_not_a_nodes_is_left_alone(tmp_path: Path) -> None:
    for name, files in (("whimbrel-cache", ["link", "x"]), ("whimbrel-empty", []), ("other", ["link"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
    (tmp_path / "whimbrel-file").touch()
    before = sorted(os.listdir(tmp_path))
    with run_directory(str(tmp_path)):
        pass
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(("name", "expected"), [("missing", "no directory can be made"), ("x" * 110, "too long")])
def test_a_place_that_cannot_be_used_is_named(tmp_path: Path, name: str, expected: str) -> None:
    place = tmp_path / name
    if name != "missing":
        place.mkdir()
    with pytest.raises(RunDirError, match=expected) as raised, run_directory(str(place)):
        pass
    assert str(place) in str(raised.value)
    assert name == "missing" or not [*place.iterdir()]
