"""Whether the user's own Python that is configured can be had: authorizer, auditors, the function with Kafka's tokens.

Each is loaded in a process of its own: what a module does when it is imported is meant for a worker or the node.

Not here: loading it (gateway/sessions/loading.py, node/audit/loading.py, node/kafka/tokens.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from node.settings.effective import Effective
from node.settings.layers import Problem

_TIMEOUT_S = 30.0


def problems(effective: Effective) -> list[Problem]:
    """What is wrong with them. Where their own section has mistakes already, those come first."""
    settings = effective.settings
    authorizer, audit, kafka = settings.authorizer, settings.audit, settings.kafka
    wrong = {one.key.partition(".")[0] for one in effective.problems}
    reasons: list[tuple[str, str]] = []
    if authorizer.use != "allow_all" and "authorizer" not in wrong:
        asked = {"name": authorizer.use, "options": authorizer.options, "folder": authorizer.folder}
        doing = f"making the authorizer {authorizer.use!r}"
        reasons.append(("authorizer.use", why_not("gateway.sessions.loading", asked, doing)))
    for name in audit.use if "audit" not in wrong else ():
        asked = {"name": name, "options": audit.options_of(name, kafka), "folder": authorizer.folder}
        reasons.append(("audit.use", why_not("node.audit.loading", asked, f"making the auditor {name!r}", os.getcwd())))
    if kafka.oauth:
        asked = {"name": kafka.oauth, "folder": kafka.oauth_folder}
        reasons.append(("kafka.oauth", why_not("node.kafka.tokens", asked, f"importing {kafka.oauth!r}")))
    return [Problem(effective.source(path), path, reason) for path, reason in reasons if reason]


def why_not(loader: str, asked: Mapping[str, object], doing: str, folder: str = "") -> str:
    """Why the module `loader`, run as a program (gateway/link/trial.py), refuses what is asked; empty if it does not.

    Args:
        doing: What it is doing, should it take too long.
        folder: From where it sees files whose names are not whole; empty: as a worker does.
    """
    command = [sys.executable, "-m", loader, *([folder] if folder else ())]
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
        return f"{doing} took longer than {_TIMEOUT_S:g} s"
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""
