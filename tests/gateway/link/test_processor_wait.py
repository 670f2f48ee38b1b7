"""How long a real process waits for a processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.link.processor_wait import ProcessorWait
from tests.support.patience import PATIENCE_S

LOOP = "while True: pass"


@contextmanager
def busy(cpu: int, is_last: bool) -> Iterator[subprocess.Popen[bytes]]:
    """A process that computes on one processor, if it must be only while nobody else wants to."""

    def place() -> None:
        os.sched_setaffinity(0, [cpu])
        if is_last:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    process = subprocess.Popen([sys.executable, "-c", LOOP], preexec_fn=place)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_process_that_others_keep_from_running_waits_and_one_that_was_stopped_does_not() -> None:
    cpu = min(os.sched_getaffinity(0))
    with ExitStack() as stack:
        starved = stack.enter_context(busy(cpu, is_last=True))
        wait = ProcessorWait(starved.pid)
        stack.enter_context(busy(cpu, is_last=False))
        deadline, before = time.monotonic() + PATIENCE_S, wait.read_s()
        while wait.read_s() < before + 0.5:
            assert time.monotonic() < deadline, "it did not wait"
            time.sleep(0.02)

        starved.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, starved.pid, os.WSTOPPED)
        before = wait.read_s()
        time.sleep(0.5)
        assert wait.read_s() == before


def test_a_process_that_has_ended_waits_no_more_and_one_that_never_was_has_not_waited() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    wait = ProcessorWait(process.pid)
    process.wait()
    before = wait.read_s()
    assert wait.read_s() == before
    wait.close()
    wait.close()
    assert ProcessorWait(process.pid).read_s() == 0.0


def test_a_kernel_that_does_not_count_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = ProcessorWait(os.getpid())
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    assert wait.read_s() == 0.0
