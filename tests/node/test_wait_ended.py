"""Waiting for a child's end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import gevent
import pytest

from node.wait_ended import wait_ended


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_an_end_is_noticed_by_all_who_wait_while_others_go_on() -> None:
    process = child()
    waiting = [gevent.spawn(wait_ended, process) for _ in range(2)]
    others = gevent.spawn(lambda: 1)
    assert others.get(timeout=30) == 1
    assert process.poll() is None
    assert not any(one.ready() for one in waiting)
    process.send_signal(signal.SIGKILL)
    gevent.joinall(waiting, timeout=30, raise_error=True)
    assert all(one.ready() for one in waiting)
    assert process.returncode == -signal.SIGKILL


def test_one_that_has_ended_is_not_waited_for() -> None:
    process = child()
    process.communicate(b"\n", timeout=30)
    wait_ended(process)
    assert process.returncode == 0


def test_a_wait_that_is_given_up_leaves_no_descriptor() -> None:
    process = child()
    before = _pidfds()
    with gevent.Timeout(0.05, False):
        wait_ended(process)
        pytest.fail("it has not ended")
    assert _pidfds() == before
    process.kill()
    wait_ended(process)
    assert _pidfds() == before


def _pidfds() -> int:
    """How many there are. Other descriptors come and go as other tests' garbage is collected."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += "pidfd" in os.readlink(f"/proc/self/fd/{name}")
    return count
