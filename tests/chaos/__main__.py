"""`python -m tests.chaos --seed N --seconds S`: long runs, with a transcript of what happened."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from loadtest.kafka.broker import RealKafka
from tests.chaos.run import Report, Run, create_topics


def one_run(directory: Path, seed: int, seconds: float, rate: int) -> Report:
    """A run with a Kafka of its own."""
    with RealKafka(directory / "kafka") as kafka:
        create_topics(kafka)

        async def run() -> Report:
            return await Run(kafka, directory, seed, seconds, rate, lambda text: print(text, flush=True)).run()

        return asyncio.run(run())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the first run (default: a random one, printed)")
    parser.add_argument("--seconds", type=float, default=45, help="of faults in each run (default: 45)")
    parser.add_argument("--runs", type=int, default=1, help="how many, with seeds that follow (default: 1)")
    parser.add_argument("--rate", type=int, default=500, help="records a second (default: 500)")
    parser.add_argument("--keep", action="store_true", help="keep the logs of runs that pass too")
    args = parser.parse_args()
    first = args.seed if args.seed is not None else SystemRandom().randrange(1_000_000)
    failed = []
    for seed in range(first, first + args.runs):
        directory = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
        report = one_run(directory, seed, args.seconds, args.rate)
        print(report, flush=True)
        if report.passed and not args.keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            print(f"logs: {directory}", flush=True)
        if not report.passed:
            failed.append(seed)
    print(f"{args.runs - len(failed)} passed, {len(failed)} failed" + (f": {failed}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
