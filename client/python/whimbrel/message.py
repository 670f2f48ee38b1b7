"""A message as the application gets it, and a value as it travels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, overload

from whimbrel import subjects
from whimbrel.start import Position

Headers: TypeAlias = list[tuple[str, bytes | None]]

T = TypeVar("T")

NOT_PARSED: Any = object()


@dataclass(frozen=True, slots=True)
class Value:
    """A value and how it is written in a frame."""

    kind: str
    """json, text, bytes or tombstone."""
    raw: bytes | None
    """The exact bytes in Kafka: for json its text, for text its UTF-8, for a tombstone None."""
    parsed: Any = field(default=NOT_PARSED, compare=False, repr=False)
    """What the JSON text says, when reading the frame has found it out on the way."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Where subscriptions overlap, all get the same object: do not change what `json()` returns."""

    subject: str
    content: Value
    headers: Headers
    """Names and values in the record's order."""
    time: int | None
    """Milliseconds since 1970, from Kafka."""
    log: str
    at: Position
    prev: Position | None
    """Position of the subject's previous message in this log, when the server knows it."""
    snapshot: bool
    """The latest value, sent because of `Latest()`, not a new message."""

    @property
    def topic(self) -> str:
        """The Kafka topic."""
        return subjects.to_key(self.subject)[0]

    @property
    def key(self) -> bytes | None:
        """The Kafka key, exactly; None for a record without one."""
        return subjects.to_key(self.subject)[1]

    @property
    def value(self) -> bytes | None:
        """The Kafka value, exactly; None for a tombstone."""
        return self.content.raw

    @property
    def tombstone(self) -> bool:
        """Whether this deletes the subject's latest value."""
        return self.content.raw is None

    @property
    def text(self) -> str | None:
        """The value as UTF-8; None for a tombstone.

        Raises:
            UnicodeDecodeError: If it is not UTF-8.
        """
        return None if self.content.raw is None else self.content.raw.decode()

    @overload
    def json(self) -> Any: ...

    @overload
    def json(self, convert: Callable[[Any], T]) -> T: ...

    def json(self, convert: Callable[[Any], Any] | None = None) -> Any:
        """What the value says as JSON; None for a tombstone.

        With `convert` (`Flight.model_validate`, say), what that makes of it, typed. Integers are exact, other numbers
        are floats: `value` has the exact text.

        Raises:
            ValueError: If it is not JSON, or nothing that Python can hold; `value` has it all the same.
        """
        said = self.content.parsed
        if said is NOT_PARSED:
            try:
                said = None if self.content.raw is None else json.loads(self.content.raw)
            except RecursionError:
                raise ValueError("the JSON value is nested too deeply for Python") from None
        return said if convert is None else convert(said)
