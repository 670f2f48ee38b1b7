"""`python -m loadtest`: measures Whimbrel and the machine that it runs on.

Not here: what is measured (scenarios.py).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loadtest.mesh_scenarios import MESH_SCENARIOS
from loadtest.process import Failed
from loadtest.report import Row, as_json, table
from loadtest.scenarios import SCENARIOS, Bench, Broker, warm_up

ALL = {**SCENARIOS, **MESH_SCENARIOS}
WITHOUT_KAFKA = ("mesh_commit", "commit")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description="Measures Whimbrel with a real Kafka.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"scenarios, of {' '.join(ALL)} (default: all)")
    parser.add_argument("--seconds", type=float, default=10, help="how long each steady load is measured (10)")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="where the rows go (bench.json)")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where plots and logs go (artifacts)")
    options = parser.parse_args()
    names = options.names or list(ALL)
    if unknown := [name for name in names if name not in ALL]:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(ALL)}")
    options.artifacts.mkdir(parents=True, exist_ok=True)
    needs_kafka = any(name not in WITHOUT_KAFKA for name in names)
    if needs_kafka and (missing := [program for program in ("java", "mvn") if not shutil.which(program)]):
        print(f"the benchmark needs a real Kafka (Java 17 and Maven): {' and '.join(missing)} not found")
        return 1
    rows, reasons = measure(names, options.seconds, options.artifacts)
    options.out.write_text(json.dumps([as_json(row) for row in rows], indent=1) + "\n")
    if rows:
        print(f"\n{table(rows)}\n\ncores: {os.cpu_count()}; rows in {options.out}, plots in {options.artifacts}/")
    for name, reason in reasons.items():
        print(f"\n{name}: not measured: {reason}")
    return 1 if reasons else 0


def measure(names: list[str], seconds: float, artifacts: Path) -> tuple[list[Row], dict[str, str]]:
    """Run scenarios one after the other with one Kafka. Returns rows, and why a scenario gave none."""
    began = time.monotonic()
    name = "kafka"

    def say(words: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {name}: {words}", file=sys.stderr, flush=True)

    rows: list[Row] = []
    reasons: dict[str, str] = {}
    with ExitStack() as stack:
        kafka: Broker = NoKafka()
        if any(name not in WITHOUT_KAFKA for name in names):
            say("starting")
            kafka = stack.enter_context(_real_kafka())
        bench = Bench(kafka, seconds, artifacts, say)
        if kafka.bootstrap:
            warm_up(bench)
        for name in names:
            try:
                for row in ALL[name](bench):
                    rows.append(row)  # what came before a failure counts
            except Failed as failed:
                reasons[name] = str(failed)
                say(f"not measured: {failed}")
    return rows, reasons


class NoKafka:
    """For scenarios that need none."""

    bootstrap = ""

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        raise NotImplementedError

    def pid(self, broker: int = 1) -> int:
        raise NotImplementedError


@contextmanager
def _real_kafka() -> Iterator[Broker]:
    from loadtest.kafka.broker import RealKafka  # Java and Maven are needed only here

    with tempfile.TemporaryDirectory() as directory, RealKafka(Path(directory), full_jit=True) as kafka:
        yield kafka


if __name__ == "__main__":
    sys.exit(main())
