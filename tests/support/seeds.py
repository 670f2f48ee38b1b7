"""Seeds and numbers of examples: a few of them in `make test-fast`, all of them in `make test`, and FUZZ times
as many examples where that is set.
"""

from __future__ import annotations

import os

import pytest
from _pytest.mark import ParameterSet
from hypothesis import settings

# Without the prefix WHIMBREL_, under which nodes that tests start read their settings.
MANY = int(os.environ.get("FUZZ", "1"))
"""What the number of Hypothesis's examples is multiplied by, of every test."""
USUAL, FEW = 100 * MANY, 25 * MANY
"""Examples of a test that says nothing else."""


def seeds(few: int, all_of_them: int) -> list[ParameterSet]:
    """0, 1, 2, ...; those from `few` on are slow."""
    return [pytest.param(seed, marks=pytest.mark.slow if seed >= few else ()) for seed in range(all_of_them)]


def examples(all_of_them: int) -> int:
    """How many Hypothesis is to try of something, where it is not as many as usual: a quarter in `make test-fast`."""
    is_few = settings().max_examples < USUAL
    return (all_of_them // 4 if is_few else all_of_them) * MANY


def rounds(count: int, size: int) -> list[ParameterSet]:
    """The first seed of each round of so many; all rounds but one are slow."""
    return [pytest.param(number * size, marks=pytest.mark.slow if number else ()) for number in range(count)]
