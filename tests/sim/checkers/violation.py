"""A promise that was broken."""

from __future__ import annotations


class Violation(AssertionError):
    """The text says which promise, where and by whom."""
