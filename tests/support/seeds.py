"""Seeds and numbers of examples: a few of them in `make test-fast`, all of them in `make test`."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet
from hypothesis import settings


def seeds(few: int, all_of_them: int) -> list[ParameterSet]:
    """0, 1, 2, ...; those from `few` on are slow."""
    return [pytest.param(seed, marks=pytest.mark.slow if seed >= few else ()) for seed in range(all_of_them)]


def examples(all_of_them: int) -> int:
    """How many Hypothesis is to try of something that costs: a quarter in `make test-fast`."""
    is_few = settings().max_examples < 100
    return all_of_them // 4 if is_few else all_of_them


def rounds(count: int, size: int) -> list[ParameterSet]:
    """The first seed of each round of so many; all rounds but one are slow."""
    return [pytest.param(number * size, marks=pytest.mark.slow if number else ()) for number in range(count)]
