"""Whether the class that `authorizer.use` names can be imported, as a worker will.

It is imported in a process of its own: what the module does when it is imported is meant for a worker.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from node.settings.effective import Effective
from node.settings.layers import Problem

_TIMEOUT_S = 30.0
_IMPORT = "import pkgutil, sys; sys.exit(not isinstance(pkgutil.resolve_name(sys.argv[1]), type) and 'not a class')"


def problems(effective: Effective) -> list[Problem]:
    """What is wrong with a `module:Class`. Names of entry points are found by the workers."""
    path, use = "authorizer.use", effective.settings.authorizer.use
    reason = _why_not(use) if ":" in use else ""
    text = f'found "{use}", expected module:Class that can be imported: {reason}'
    return [Problem(effective.source(path), path, text)] if reason else []


def _why_not(name: str) -> str:
    """Why the class cannot be imported; empty if it can."""
    command = [sys.executable, "-c", _IMPORT, name]
    around = Path(__file__).parents[2]  # where workers are started, too
    try:
        done = subprocess.run(command, cwd=around, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"it took longer than {_TIMEOUT_S:g} s"
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
