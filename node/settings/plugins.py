"""Whether the authorizer that is configured can be had, as a worker will have it.

It is made in a process of its own: what a module does when it is imported is meant for a worker.

Not here: making it (gateway/sessions/loading.py).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from node.settings.effective import Effective
from node.settings.layers import Problem
from node.settings.schema import Authorizer

_TIMEOUT_S = 30.0


def problems(effective: Effective) -> list[Problem]:
    """What is wrong with it. Where its own section has mistakes already, those come first."""
    path, authorizer = "authorizer.use", effective.settings.authorizer
    if authorizer.use == "allow_all" or any(problem.key.startswith("authorizer.") for problem in effective.problems):
        return []
    reason = _why_not(authorizer)
    return [Problem(effective.source(path), path, reason)] if reason else []


def _why_not(authorizer: Authorizer) -> str:
    """Why there is no such authorizer; empty if there is."""
    asked = {"name": authorizer.use, "options": authorizer.options, "folder": authorizer.folder}
    command = [sys.executable, "-m", "gateway.sessions.loading"]
    around = Path(__file__).parents[2]  # where workers are started, too
    try:
        done = subprocess.run(
            command,
            cwd=around,
            input=msgspec.json.encode(asked).decode(),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"making the authorizer {authorizer.use!r} took longer than {_TIMEOUT_S:g} s"
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
