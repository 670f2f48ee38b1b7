"""Fixtures for the tests of the mesh."""

from __future__ import annotations

import os

import pytest

from tests.mesh.transcript import REWRITE, Transcript


@pytest.fixture
def transcript() -> Transcript:
    """Replays a golden transcript and compares; WHIMBREL_REWRITE_TRANSCRIPTS=1 accepts what has changed."""
    return Transcript(rewrite=os.environ.get(REWRITE, "") not in ("", "0"))
