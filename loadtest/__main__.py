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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from loadtest.audited import audited
from loadtest.bench import Bench, Broker, warm_up
from loadtest.beside import LIMIT, Beside, beside_json, beside_table, compare
from loadtest.bystanders import bystanders
from loadtest.compacted import table as compacted_table
from loadtest.market.all import SHAPES
from loadtest.mesh_scenarios import MESH_SCENARIOS
from loadtest.peer.scenario import peer
from loadtest.process import Failed
from loadtest.report import Row, as_json, table
from loadtest.scale.out import out
from loadtest.scale.up import up
from loadtest.scenarios import SCENARIOS
from loadtest.tls import tls
from loadtest.violators import violators

ALL = {**SCENARIOS, **MESH_SCENARIOS}
LONG = {
    "up": up,
    "out": out,
    "peer": peer,
    "violators": violators,
    "bystanders": bystanders,
    "table": compacted_table,
    "audited": audited,
    "tls": tls,
}
"""Only when they are named: they take many minutes, or need what is not installed with the rest."""
ALSO = {**LONG, **SHAPES}
WITHOUT_KAFKA = ("mesh_commit", "commit", "violators", "tls")
WITHIN = ("mesh_commit",)
"""Scenarios that import what they measure: they cannot measure another checkout."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description="Measures Whimbrel with a real Kafka.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"scenarios, of {' '.join(ALL)} (default: all), or {' '.join(LONG)}; or the word `shapes`, and which of "
        f"{' '.join(SHAPES)} (default: all)",
    )
    parser.add_argument("--seconds", type=float, default=10, help="how long each steady load is measured (10)")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="where the rows go (bench.json)")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where plots and logs go (artifacts)")
    parser.add_argument("--threads", action="store_true", help="say what each thread took (scattered, hot)")
    parser.add_argument("--scale", type=float, default=1, help="share of the rates of messages, for a busy machine (1)")
    parser.add_argument(
        "--beside", type=Path, metavar="PATH", help="another checkout with a .venv: measure it and this one in turn"
    )
    parser.add_argument("--rounds", type=int, default=4, help="with --beside: how often both are measured (4)")
    options = parser.parse_args()
    if options.names[:1] == ["shapes"]:
        options.names = options.names[1:] or list(SHAPES)
    names = options.names or [name for name in ALL if not options.beside or name not in WITHIN]
    if unknown := [name for name in names if name not in ALL | ALSO]:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(ALL | ALSO)}")
    if options.beside and (within := [name for name in names if name in WITHIN]):
        parser.error(f"{', '.join(within)} can measure this checkout only, not --beside")
    if options.beside and not (program := options.beside.resolve() / ".venv" / "bin" / "whimbrel").exists():
        parser.error(f"--beside {options.beside}: {program} is missing (run `make .venv/dev` there)")
    options.artifacts.mkdir(parents=True, exist_ok=True)
    needs_kafka = any(name not in WITHOUT_KAFKA for name in names)
    if needs_kafka and (missing := [program for program in ("java", "mvn") if not shutil.which(program)]):
        print(f"the benchmark needs a real Kafka (Java 17 and Maven): {' and '.join(missing)} not found")
        return 1
    with ExitStack() as stack:
        say = Say()
        kafka: Broker = NoKafka()
        if needs_kafka:
            say("starting Kafka")
            kafka = stack.enter_context(_real_kafka())
        bench = Bench(kafka, options.seconds, options.artifacts, say, scale=options.scale, by_thread=options.threads)
        if needs_kafka:
            warm_up(bench)
        if options.beside:
            return beside(bench, say, names, options.beside.resolve(), options.rounds, options.out)
        return alone(bench, say, names, options.out)


class Say:
    """Shows progress, and of what."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.about = ""

    def __call__(self, words: str) -> None:
        print(f"[{time.monotonic() - self._began:4.0f} s] {self.about}{words}", file=sys.stderr, flush=True)


def alone(bench: Bench, say: Say, names: list[str], file: Path) -> int:
    """Run scenarios one after the other. Returns the exit code: 1 if something could not be measured."""
    rows: list[Row] = []
    reasons: list[str] = []
    for name in names:
        say.about = f"{name}: "
        found, missing = measured(name, bench)
        rows += found
        reasons += [f"{name}: not measured: {reason}" for reason in missing]
    file.write_text(json.dumps([as_json(row) for row in rows], indent=1) + "\n")
    if rows:
        print(f"\n{table(rows)}\n\ncores: {os.cpu_count()}; rows in {file}, plots in {bench.artifacts}/")
    if bench.scale != 1:
        print(f"rates of messages were {bench.scale:g} of what the goals are for")
    for reason in reasons:
        print(f"\n{reason}")
    return 1 if reasons else 0


def beside(bench: Bench, say: Say, names: list[str], other: Path, rounds: int, file: Path) -> int:
    """Run each scenario with two checkouts in turn: A B, B A, A B, ... so that a drift of the machine is fair.

    Returns the exit code: 1 if something is a loss or could not be measured at all.
    """
    found: list[Beside] = []
    unmeasured = []
    for name in names:
        pairs: list[tuple[list[Row], list[Row]]] = []
        reasons: list[str] = []
        for number in range(rounds):
            rows: dict[bool, list[Row]] = {}
            for is_other in (True, False) if number % 2 == 0 else (False, True):
                say.about = f"{name} {number + 1}/{rounds} {'other' if is_other else 'here'}: "
                run = 2 * number + is_other + 1
                checkout = other if is_other else None
                rows[is_other], missing = measured(name, replace(bench, checkout=checkout, run=run))
                reasons += [f"{say.about}not measured: {reason}" for reason in missing]
            pairs.append((rows[True], rows[False]))
        compared = compare(pairs)
        found += compared
        if not compared:
            unmeasured.append(name)
        if compared:
            print(f"\n{beside_table(compared)}")
        print("\n".join(reasons), flush=True)
        file.write_text(json.dumps([beside_json(one) for one in found], indent=1) + "\n")
    print(f"\nother: {other}; cost above 1: this checkout is worse; all rounds in {file}")
    losses = [one.name for one in found if one.verdict == "LOSS"]
    if losses:
        print(f"worse by more than {LIMIT - 1:.0%}: {', '.join(losses)}")
    if unmeasured:
        print(f"not measured: {', '.join(unmeasured)}")
    return 1 if losses or unmeasured else 0


def measured(name: str, bench: Bench) -> tuple[list[Row], list[str]]:
    """The rows of one scenario, and why there are not more of them."""
    rows: list[Row] = []
    bench = replace(bench, missing=[])
    try:
        for row in (ALL | ALSO)[name](bench):
            rows.append(row)  # what came before a failure counts
    except Failed as failed:
        bench.miss(str(failed))
    return rows, bench.missing


class NoKafka:
    """For scenarios that need none."""

    bootstrap = ""

    def create_topic(self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
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
