"""Processes of a test that never outlive the test run, however that ends."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# A process started here dies with the thread that started it, and so with the test run: therefore one thread
# starts them all and lives as long as the run.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="process-starter")
_DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def start_process(command: list[str], **popen: Any) -> subprocess.Popen[bytes]:
    """Start a program; the caller waits for it or ends it. `popen` goes to subprocess.Popen."""
    return _starter.submit(lambda: subprocess.Popen[bytes]([*_DIES_WITH_US, *command], **popen)).result()
