"""Golden transcripts, as etcd keeps them for raft: what was commanded, and what followed.

    # Why this is so.
    kill c
    ----
    0.52 a: c suspect

A transcript is a text of blocks: comments, a command, `----`, and what it put out, up to an empty line. `replay` runs
all commands and returns the text with what they put out now; the test compares that with the file, so that a change
of behaviour is a readable difference. With WHIMBREL_REWRITE_TRANSCRIPTS=1 the file is rewritten instead: read the
difference before you commit it.

    def test_join(transcript: Transcript) -> None:
        transcript("membership_join.txt", Script().execute)

Not here: the commands (each core's own test).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

REWRITE = "WHIMBREL_REWRITE_TRANSCRIPTS"
FOLDER = Path(__file__).parent / "transcripts"
RULE = "----"

Execute = Callable[[str], Iterable[str]]
"""Carries out one command; the lines that followed."""


def replay(text: str, execute: Execute) -> str:
    """The transcript as it is now.

    Raises:
        ValueError: If the text is no transcript, or a line of output looks like the end of one.
    """
    written = []
    for block in text.strip("\n").split("\n\n"):
        lines = block.strip("\n").split("\n")
        commands = [line for line in lines[: _rule_at(lines)] if not line.startswith("#")]
        if not commands:
            written.append("\n".join(lines))  # a comment that stands by itself
            continue
        if len(commands) != 1:
            raise ValueError(f"one command at a time: {commands}")
        put_out = list(execute(commands[0]))
        if any(not line.strip() or "\n" in line for line in put_out):
            raise ValueError(f"{commands[0]}: an empty line would end the output: {put_out}")
        written.append("\n".join([*lines[: _rule_at(lines)], RULE, *put_out]))
    return "\n\n".join(written) + "\n"


def _rule_at(lines: list[str]) -> int:
    return lines.index(RULE) if RULE in lines else len(lines)


@dataclass(frozen=True, slots=True)
class Transcript:
    """Checks a file of transcripts/ (the fixture `transcript`)."""

    rewrite: bool
    folder: Path = FOLDER

    def __call__(self, name: str, execute: Execute) -> None:
        """Replay the file and compare, or rewrite it."""
        path = self.folder / name
        recorded = path.read_text(encoding="utf-8")
        now = replay(recorded, execute)
        if self.rewrite:
            path.write_text(now, encoding="utf-8")
            return
        difference = difflib.unified_diff(
            recorded.splitlines(), now.splitlines(), f"{name} as recorded", f"{name} now", lineterm=""
        )
        shown = "\n".join(difference)
        assert not shown, f"{shown}\n\nIf that is right: {REWRITE}=1 pytest, and read the difference."
