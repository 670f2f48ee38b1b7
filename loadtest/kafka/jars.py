"""Kafka's jars, fetched once by Maven into the user's cache directory.

`python -m loadtest.kafka.jars` fetches them ahead of time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

_POM = Path(__file__).parent / "pom.xml"


def kafka_jars() -> Path:
    """The directory with the jars; the first time takes some seconds and the network, and says so.

    Raises:
        RuntimeError: If Maven fails; with its output.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whimbrel"
    cache.mkdir(parents=True, exist_ok=True)
    # Another pom.xml has another directory, so a change of version needs no cleaning up.
    jars = cache / f"kafka-{zlib.crc32(_POM.read_bytes()):08x}"
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            _fetch(jars)
    return jars


def _fetch(jars: Path) -> None:
    print("fetching Kafka's jars with Maven, once (50 MB) ...", file=sys.stderr, flush=True)
    partial = jars.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [
        "mvn",
        "-q",
        "-B",
        "-f",
        str(_POM),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={partial}",
    ]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0 or not any(partial.glob("kafka_*.jar")):
        raise RuntimeError(f"Maven cannot fetch Kafka:\n{ran.stdout}{ran.stderr}")
    partial.rename(jars)
    print(f"fetched {len(list(jars.iterdir()))} jars into {jars}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    kafka_jars()
