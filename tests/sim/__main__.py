"""The simulator by hand.

python -m tests.sim --seed 4711 [--transcript] [--packets]   replay one seed
python -m tests.sim --seeds 10000 [--from 0] [--jobs 2]      run many
python -m tests.sim --controls                               how many seeds each control takes
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pool

from tests.sim.controls import CONTROLS, seeds_to_catch
from tests.sim.options import draw
from tests.sim.report import Report
from tests.sim.run import Result, run
from tests.sim.transcript import Transcript

CONTROL_SEEDS_MAX = 3_000


def one(seed: int, transcript: Transcript | None) -> int:
    """Replay a seed."""
    result = run(seed, transcript)
    if transcript is not None:
        print(draw(seed))
        print("\n".join(transcript.lines))
    print(f"seed {seed}: {result.problem or 'nothing wrong'}; {result.acked} acknowledged; digest {result.digest:08x}")
    if result.where:
        print(result.where)
    return 1 if result.problem else 0


def many(first: int, count: int, jobs: int) -> int:
    """Run seeds, in as many processes."""
    report = Report()
    begin = shown = time.monotonic()
    for result in _results(first, count, jobs):
        report.add(result)
        now = time.monotonic()
        if result.problem:
            print(f"\rseed {result.seed}: {result.problem[:200]}", flush=True)
        if now - shown > 1 or report.runs == count:
            shown = now
            rate = report.runs / (now - begin)
            print(
                f"\r{report.runs}/{count} seeds, {rate * 60:.0f} a minute, {len(report.failures)} failed ",
                end="",
                flush=True,
            )
    print()
    print(report.text())
    is_quiet = count >= 2000 and bool(report.never)
    return 1 if report.failures or is_quiet else 0


def _results(first: int, count: int, jobs: int) -> Iterator[Result]:
    seeds = range(first, first + count)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with Pool(jobs, maxtasksperchild=500) as pool:
        yield from pool.imap_unordered(run, seeds, chunksize=10)


def controls(first: int, words: str) -> int:
    """Each control must be caught."""
    missed = 0
    for name, control in CONTROLS.items():
        if words not in name:
            continue
        taken, problem = seeds_to_catch(control, first, CONTROL_SEEDS_MAX)
        missed += not problem
        caught = f"caught after {taken} seeds: {problem[:150]}" if problem else f"NOT CAUGHT in {taken} seeds"
        print(f"{name}: {caught}", flush=True)
    return 1 if missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--transcript", action="store_true", help="say what each node saw")
    parser.add_argument("--packets", action="store_true", help="and what it sent, but for the many small ones")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    words = "only those with these words in their names"
    parser.add_argument("--controls", nargs="?", const="", metavar="WORDS", help=words)
    arguments = parser.parse_args()
    if arguments.controls is not None:
        return controls(arguments.first, arguments.controls)
    if arguments.seed is not None:
        has_transcript = arguments.transcript or arguments.packets
        return one(arguments.seed, Transcript(arguments.packets) if has_transcript else None)
    return many(arguments.first, arguments.seeds, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
