"""What options of Locust users and shapes may be. A core.

Not here: the options themselves (hooks.py, loadtest/shapes/), limits (limits.py).
"""

from __future__ import annotations

import argparse
from math import inf


def above_zero(text: str) -> float:
    """A rate, or seconds.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    number = _number(text)
    if not 0 < number < inf:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return number


def how_many(text: str) -> int:
    """A whole number, at least 1.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    number = _number(text)
    if not 1 <= number < inf or number != int(number):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number, at least 1")
    return int(number)


def share_of_all(text: str) -> float:
    """A share of all.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a share from 0 to 1")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0
