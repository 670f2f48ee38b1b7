"""What is told of the queue for a processor."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.queued import queued_between, queued_s


def test_two_that_want_one_processor_queue_for_it() -> None:
    if not queued_s([os.getpid()]):
        pytest.skip("this system does not count")
    loop = f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])\nwhile True: pass"
    both = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(2)]
    try:
        before = queued_s(one.pid for one in both)
        deadline = time.monotonic() + PATIENCE_S
        while queued_between(before, queued_s(one.pid for one in both)) < 0.1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        for one in both:
            one.kill()
            one.wait()
    assert queued_s([both[0].pid]) == {}


def test_who_began_in_between_counts_and_who_is_gone_does_not() -> None:
    assert queued_between({1: 2.0, 2: 5.0}, {1: 2.5, 3: 0.25}) == 0.75
