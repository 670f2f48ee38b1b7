"""The simulator as a test: many seeds, the broken parts, and that a seed means the same everywhere.

More by hand: `make sim`, and `python -m tests.sim --seed N --transcript` for one that fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.controls import CONTROLS, Control, seeds_to_catch
from tests.sim.report import PATHS, Report
from tests.sim.run import run
from tests.sim.transcript import Transcript

ROOT = Path(__file__).parents[2]
SEEDS = 200
TO_CATCH_MAX = 3_000
"""`Control.first` is where it shows soon, until cores or options change: then this takes longer, and says how long."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_goes_wrong_in_many_lives() -> None:
    report = Report()
    for seed in range(SEEDS):
        report.add(run(seed))
    print(report.text())
    assert not report.failures, report.text()
    assert len(report.never) <= len(PATHS) // 10, report.never


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("control", CONTROLS.values(), ids=list(CONTROLS))
def test_a_broken_part_is_caught(control: Control) -> None:
    taken, problem = seeds_to_catch(control, control.first, TO_CATCH_MAX)
    print(f"after {taken} seeds from {control.first} on: {problem}")
    assert problem


@pytest.mark.slow
def test_a_seed_is_the_same_run_in_every_process() -> None:
    code = "from tests.sim.run import run; print([run(seed).digest for seed in range(12)])"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1
    assert "[0, 0, 0, 0" not in printed.pop()


def test_a_transcript_says_what_happened() -> None:
    transcript = Transcript(packets_too=True)
    result = run(3, transcript)
    assert result.digest == run(3).digest, "watching changes nothing"
    text = "\n".join(transcript.lines)
    for words in ("starts as a1", "subscribes to", "message (", "are healed", "Vote("):
        assert words in text


def test_values_before_the_latest_that_was_handed_over_are_not_missed() -> None:
    """A client of `latest` was cut off amid the latest values, and came back where the topic was not known yet.

    So it was sent the whole log, and what precedes a latest value it has is a repeat. The checker took it for a loss.
    """
    assert run(905319, None).problem == ""
