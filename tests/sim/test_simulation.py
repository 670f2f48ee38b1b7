"""The simulator as a test: many seeds, the broken variants, and that a seed means the same everywhere.

More by hand: `make sim`, and `python -m tests.sim --seed N --transcript` for one that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.report import PATHS, Report
from tests.sim.run import run
from tests.sim.transcript import Transcript
from tests.sim.variants import VARIANTS, Variant, seeds_to_catch

ROOT = Path(__file__).parents[2]
SEEDS = 200
TO_CATCH_MAX = 3_000
"""`Variant.first` is where it shows soon, until cores or options change: then this takes longer, and says how long."""


@pytest.mark.slow
def test_nothing_goes_wrong_in_many_clusters() -> None:
    report = Report()
    for seed in range(SEEDS):
        report.add(run(seed))
    print(report.text())
    assert not report.failures, report.text()
    assert len(report.never) <= len(PATHS) // 10, report.never
    assert report.stalls, "no coordinator ever crashed with all else well"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_a_broken_variant_is_caught(variant: Variant) -> None:
    taken, problem = seeds_to_catch(variant, variant.first, TO_CATCH_MAX)
    print(f"after {taken} seeds from {variant.first} on: {problem}")
    assert problem


@pytest.mark.slow
def test_a_seed_is_the_same_run_in_every_process() -> None:
    code = "from tests.sim.run import run; print([run(seed).digest for seed in range(6)])"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1
    assert "[0," not in printed.pop()


def test_a_transcript_says_what_happened() -> None:
    transcript = Transcript(packets_too=True)
    result = run(3, transcript)
    assert result.digest == run(3).digest, "watching changes nothing"
    text = "\n".join(transcript.lines)
    for words in ("starts as a1", "is coordinator in epoch", "commits up to", "are healed", "Vote("):
        assert words in text
