"""Where the installed command `whimbrel` begins: a name that nobody else has, unlike `node`, `gateway` and `mesh`.

It sees to it that those are ours, here and in every process that the command starts, whatever is called so in the
user's folder or in what `PYTHONPATH` names. What else lies there (an authorizer of the user's own) is found as before.

Not here: the commands (node/cli.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    """Run the command of this process's command line; the exit code."""
    ours = next(str(parent) for parent in Path(__file__).resolve().parents if (parent / "node" / "cli.py").exists())
    theirs = os.environ.get("PYTHONPATH", "")
    sys.path.insert(0, ours)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (ours, theirs)))
    os.environ["PYTHONSAFEPATH"] = "1"  # `python -m` would put the user's folder first

    from node.cli import main as command

    return command()
