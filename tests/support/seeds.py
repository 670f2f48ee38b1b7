"""Seeds as parameters: a few of them in `make test-fast`, all of them in `make test`."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet


def seeds(few: int, all_of_them: int) -> list[ParameterSet]:
    """0, 1, 2, ...; those from `few` on are slow."""
    return [pytest.param(seed, marks=pytest.mark.slow if seed >= few else ()) for seed in range(all_of_them)]
