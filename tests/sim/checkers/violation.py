"""A promise that was broken, and one that is known to be broken."""

from __future__ import annotations


class Violation(AssertionError):
    """The text says which promise, where and by whom."""


class KnownFault(Violation):
    """It is known and not mended yet: the run ends here, is counted under its name, and is no failure."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


AFTER_TRUNCATION = "records after a truncation are missing"
