"""A short run of everything: `python -m tests.chaos` has long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.__main__ import one_run
from tests.chaos.faults import FAULTS_OF_EVERY_RUN, NETWORK_FAULTS
from tests.support.require import require

SEED, SECONDS, RATE = 39, 30, 400
"""A seed with a small cache, small outboxes, little replay and deletions, so that gaps are said."""


@pytest.mark.slow
@pytest.mark.real_kafka
def test_everyone_gets_exactly_what_is_in_kafka(tmp_path: Path) -> None:
    require("java", "maven")
    report = one_run(tmp_path, SEED, SECONDS, RATE)
    assert report.passed, report
    print(report)
    assert set(FAULTS_OF_EVERY_RUN) <= report.done.keys()
    assert report.done.keys() & NETWORK_FAULTS.keys()
