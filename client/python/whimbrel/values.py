"""What an application gives to `publish`, as it travels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from whimbrel.message import Headers, Value

NOT_GIVEN: Any = object()
DEPTH_MAX = 500

_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
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
        ValueError: If `json_text` is not JSON, or there is no JSON for `json_value` (NaN, infinity), or a string is not
            valid Unicode (half of a surrogate pair).
    """
    given = [json_value is not NOT_GIVEN, json_text is not None, text is not None, data is not None, tombstone]
    if sum(given) != 1:
        raise TypeError("give exactly one value: json, json_text, text, data or tombstone=True")
    if json_value is not NOT_GIVEN:
        try:
            text = json.dumps(json_value, ensure_ascii=False, allow_nan=False)
        except RecursionError:
            raise ValueError("the JSON value is nested too deeply, or contains itself") from None
        _check_depth(text)
        return Value("json", text.encode())
    if json_text is not None:
        _check_json(json_text)
        return Value("json", json_text.strip(" \t\r\n").encode())
    if text is not None:
        if not isinstance(text, str):
            raise TypeError(f"text is a string, found {text!r}")
        return Value("text", text.encode())
    if data is None:
        return Value("tombstone", None)
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"data is bytes, found {data!r}")
    return Value("bytes", bytes(data))


def to_headers(headers: HeaderValues | None) -> Headers:
    """Headers as names and bytes; a name may come more than once.

    Raises:
        TypeError, ValueError: If a name or a value is none.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return [_header(*_pair(pair)) for pair in pairs]


def to_timeout(timeout_s: float) -> float:
    """A timeout, checked.

    Raises:
        TypeError: If it is no number.
    """
    if not isinstance(timeout_s, int | float) or isinstance(timeout_s, bool) or timeout_s != timeout_s:
        raise TypeError(f"timeout_s is a number of seconds, found {timeout_s!r}")
    return timeout_s


def _pair(pair: object) -> tuple[object, object]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(f"headers: a map, or pairs of name and value, are expected, found {pair!r}")
    return pair[0], pair[1]


def _header(name: object, value: object) -> tuple[str, bytes | None]:
    if not isinstance(name, str):
        raise TypeError(f"headers: a name is a string, found {name!r}")
    if not isinstance(value, str | bytes | None):
        raise TypeError(f"headers: the value of {name!r} is a string, bytes or None, found {value!r}")
    name.encode()
    return name, value.encode() if isinstance(value, str) else value


def _check_json(text: str) -> None:
    """Refuse what is not JSON. Integers of any length are (Python alone would refuse thousands of digits)."""
    _check_depth(text)
    said = json.loads(text, parse_int=len, parse_constant=_no_constant)
    json.dumps(said, ensure_ascii=False).encode()  # no half of a surrogate pair, which an escape may hide


def _check_depth(text: str) -> None:
    """Brackets outside strings; a server may end the connection for deeper ones."""
    if len(text) <= 2 * DEPTH_MAX:
        return
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        if depth > DEPTH_MAX:
            raise ValueError(f"the JSON value is nested more than {DEPTH_MAX} deep")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
