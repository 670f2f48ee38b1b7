"""Kinds of arguments that several commands take.

Not here: what belongs to one command, or to one side (connecting.py, admin.py).
"""

from __future__ import annotations

import argparse


def not_empty(text: str) -> str:
    """What was given: a variable of the shell that is not set must not become the default."""
    if not text.strip(" ,"):
        raise argparse.ArgumentTypeError(f"found {text!r}, which is empty")
    return text


def above_zero(text: str) -> float:
    """A number from the command line: a rate, seconds.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return number
