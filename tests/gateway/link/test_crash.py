"""A fault of ours ends the process, and says why: nothing goes on deaf or half done."""

from __future__ import annotations

import subprocess
import sys

from tests.support.patience import PATIENCE_S

PROGRAM = """
import gevent
from gateway.link.crash import or_crash
from gateway.link.logs import set_up

def fail(number):
    raise ZeroDivisionError(f"the reason is {number}")

set_up("text", "info")
loop = gevent.get_hub().loop
timer = loop.timer(0.0, 0.01)
timer.start(or_crash(fail), 7)
gevent.sleep(60)
"""


def test_a_callback_of_the_loop_that_fails_ends_the_process_with_the_reason() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 70
    assert "critical gateway.link.crash crashed" in ended.stderr
    assert "ZeroDivisionError: the reason is 7" in ended.stderr
