"""The runner of golden transcripts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.mesh.transcript import Transcript, replay


def shout(command: str) -> Iterable[str]:
    return [word.upper() for word in command.split()]


TEXT = """\
# Words by themselves.

# The first.
hello there
----
HELLO
THERE

x
----
X
"""


def test_a_transcript_that_holds_is_the_same_afterwards() -> None:
    assert replay(TEXT, shout) == TEXT


def test_a_command_without_output_yet_gets_one() -> None:
    assert replay("a b\n\nc", shout) == "a b\n----\nA\nB\n\nc\n----\nC\n"


def test_commands_are_run_in_order_once() -> None:
    seen: list[str] = []

    def execute(command: str) -> list[str]:
        seen.append(command)
        return []

    replay(TEXT, execute)
    assert seen == ["hello there", "x"]


def test_two_commands_in_one_block_are_refused() -> None:
    with pytest.raises(ValueError, match="one command at a time"):
        replay("a\nb\n----\n", shout)


def test_an_empty_line_of_output_is_refused() -> None:
    with pytest.raises(ValueError, match="would end the output"):
        replay("a", lambda _: [""])


def test_a_difference_is_shown_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("hello\n----\nBYE\n")
    with pytest.raises(AssertionError, match=r"-BYE\n\+HELLO"):
        Transcript(rewrite=False, folder=tmp_path)("t.txt", shout)
    assert (tmp_path / "t.txt").read_text() == "hello\n----\nBYE\n"


def test_a_difference_is_accepted_when_told_so(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("hello\n----\nBYE\n")
    Transcript(rewrite=True, folder=tmp_path)("t.txt", shout)
    assert (tmp_path / "t.txt").read_text() == "hello\n----\nHELLO\n"
