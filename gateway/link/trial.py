"""A module that loads what is configured, run as a program: it only says what is wrong with that. So `whimbrel
check-config` tries code of the user's in a process of its own.

Not here: starting that process (node/settings/plugins.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import msgspec


def trial(load: Callable[..., object], failure: type[Exception]) -> int:
    """Call `load` with the arguments that standard input has as a line of JSON; the exit code. The program's own
    argument, if it has one, is the folder in which to do so.

    Args:
        failure: What it raises where the reason is to be said, on standard error.
    """
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, object])
    if len(sys.argv) > 1:
        os.chdir(sys.argv[1])
    try:
        load(**asked)
    except failure as error:
        print(error, file=sys.stderr)
        return 1
    return 0
