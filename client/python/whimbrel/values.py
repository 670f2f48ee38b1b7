"""What an application gives to `publish`, as it travels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from whimbrel.message import Headers, Value

NOT_GIVEN: Any = object()
HeaderValues: TypeAlias = Mapping[str, str | bytes | None] | Iterable[tuple[str, str | bytes | None]]


def to_value(
    json_value: Any = NOT_GIVEN,
    json_text: str | None = None,
    text: str | None = None,
    data: bytes | None = None,
    tombstone: bool = False,
) -> Value:
    """The value that one of the arguments says.

    Raises:
        TypeError: If not exactly one is given, or `json_value` is not made of what JSON has.
        ValueError: If `json_text` is not JSON, or there is no JSON for `json_value` (NaN, infinity).
    """
    given = [json_value is not NOT_GIVEN, json_text is not None, text is not None, data is not None, tombstone]
    if sum(given) != 1:
        raise TypeError("give exactly one value: json, json_text, text, data or tombstone=True")
    if json_value is not NOT_GIVEN:
        return Value("json", json.dumps(json_value, ensure_ascii=False, allow_nan=False).encode())
    if json_text is not None:
        json.loads(json_text)
        return Value("json", json_text.strip(" \t\r\n").encode())
    if text is not None:
        return Value("text", text.encode())
    return Value("tombstone", None) if data is None else Value("bytes", bytes(data))


def to_headers(headers: HeaderValues | None) -> Headers:
    """Headers as names and bytes; a name may come more than once."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]
