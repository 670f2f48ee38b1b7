"""What a small cluster does about everything that can befall it, word for word (transcripts/slot_*.txt)."""

from __future__ import annotations

import pytest

from tests.mesh.slots.slot_transcript import Script
from tests.mesh.transcript import FOLDER, Transcript

NAMES = sorted(path.name for path in FOLDER.glob("slot_*.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_slot(name: str, transcript: Transcript) -> None:
    transcript(name, Script().execute)


def test_there_are_some() -> None:
    assert len(NAMES) >= 12


def test_what_is_quiet_is_not_told_and_what_is_no_command_is_refused() -> None:
    script = Script()
    assert script.execute("cluster a; quietly run 1000; slots") == [
        "a  coordinator  promised 1, accepted 1, log L1 up to 0, committed 0 (voter, synced)"
    ]
    with pytest.raises(ValueError, match="explode"):
        script.execute("explode a")
