"""Kinds of values: what may be written for a key, how it is read, and the words for it in an error.

msgspec checks types, limits and patterns; what it has no notion of (units, rules over a whole list) is a `Kind`.

Not here: the keys (schema.py), where values come from (layers.py).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from node.settings import units

SECONDS_MAX = 3650 * 86400.0
BYTES_MAX = 1024 * units.GIB
COUNT_MAX = 1_000_000_000
"""Where a number has no upper limit of its own, so that no arithmetic on it can overflow."""


def key_name(field: str) -> str:
    """The name in the configuration of a field: without its unit."""
    return field.removesuffix("_s").removesuffix("_max")


class Section(msgspec.Struct, frozen=True, rename=key_name):
    """One section of the file."""


def _same(raw: object) -> object:
    return raw


def _anything(_: object) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """What msgspec does not know of a type."""

    expected: str
    """What a value must be, to go after "expected"."""
    read: Callable[[object], object] = _same
    """From what TOML gives to what the type takes; raises ValueError."""
    write: Callable[[Any], Any] = _same
    """From the type's value to what TOML would have given."""
    check: Callable[[Any], bool] = _anything
    """Whether a value of the right type is allowed."""
    is_secret: bool = False
    is_open: bool = False
    """Whether the keys below are not ours: properties of librdkafka, options of an authorizer."""


def kind(expected: str, pattern: str | None = None, **how: Any) -> Meta:
    """Metadata of a type: a pattern for the whole text, or the attributes of a `Kind`."""
    return Meta(pattern=pattern and rf"\A(?:{pattern})\Z", extra={"kind": Kind(expected, **how)})


def text(pattern: str) -> Meta:
    """Metadata of one string in a list or table; the list or table has a `kind`."""
    return Meta(pattern=rf"\A(?:{pattern})\Z")


def duration(le: float = SECONDS_MAX, **least: float) -> Meta:
    """Seconds within limits (`gt` or `ge`), written with units or as a number."""
    lower = f"above {least['gt']:g}, up" if "gt" in least else f"from {units.format_duration(least['ge'])}"
    expected = f'a duration {lower} to {units.format_duration(le)}, written as "1h30m", "500ms" or 2.5 (seconds)'
    extra = {"kind": Kind(expected, read=_seconds, write=units.format_duration)}
    return Meta(gt=least["gt"], le=le, extra=extra) if "gt" in least else Meta(ge=least["ge"], le=le, extra=extra)


def size(ge: int, le: int = BYTES_MAX) -> Meta:
    """Bytes within limits, written with units or as a whole number."""
    limits = f"from {units.format_size(ge)} to {units.format_size(le)}"
    expected = f'a size {limits}, written as "512MiB", "1MB" or 4096 (bytes)'
    return Meta(ge=ge, le=le, extra={"kind": Kind(expected, read=_bytes, write=units.format_size)})


def whole(ge: int, le: int = COUNT_MAX) -> Meta:
    """A whole number within limits."""
    return Meta(ge=ge, le=le, extra={"kind": Kind(f"a whole number from {ge} to {le}")})


def _seconds(raw: object) -> float:
    if isinstance(raw, str):
        return units.parse_duration(raw)
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise ValueError("not a duration")
    return float(raw)


def _bytes(raw: object) -> object:
    return units.parse_size(raw) if isinstance(raw, str) else raw


def _property(raw: object) -> str:
    """librdkafka takes all its values as text."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if not isinstance(raw, (str, int, float)) or "\0" in str(raw):
        raise ValueError("not a property's value")
    return str(raw)


NAME = r"(?!\.\.?\Z)[A-Za-z0-9._-]{1,64}"
_NAMES = "1 to 64 characters of a-z A-Z 0-9 . _ -"
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]@]+)"
_PORT = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|\d{1,4})"
_ADDRESS = rf"{_HOST}:{_PORT}"
_MEMBER = rf"{_HOST}:(?!0+\Z|65535\Z){_PORT}"
_NOT_ALL = r"(?!0\.0\.0\.0:|\[[0:.]+\]:)"
_URL = text(rf"wss?://{_HOST}(?::{_PORT})?/\S*")
_ORIGIN = text(rf"\*|null|[a-z][a-z0-9+.-]*://{_HOST}(?::{_PORT})?")
_PUBLIC_KEY = text(r"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")  # Z85, as ZeroMQ writes them
_TOPIC = "a Kafka topic (1 to 249 of a-z A-Z 0-9 . _ -) or a pattern of these with * and ?"
_NAMESPACE = "1 to 249 characters of a-z A-Z 0-9 . _ -, not . or .."
_ORIGINS = "a list of origins (scheme and host, no path), such as https://app.example.com, or *"
_KEYS = "a table of nodes' names and their public keys, 40 characters each: whimbrel keygen --node-key makes one"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
_FUNCTION = r"(?:[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)?"
_CLASS = r"[A-Za-z0-9_.-]+|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"


def _is_electorate(names: tuple[str, ...]) -> bool:
    return len(names) in (0, 1, 3, 5) and len(set(names)) == len(names)


def _are_different(names: tuple[str, ...]) -> bool:
    return len(set(names)) == len(names)


def _are_networks(given: tuple[str, ...]) -> bool:
    try:
        return all(ipaddress.ip_network(one, strict=False) for one in given)
    except ValueError:
        return False


Name = Annotated[str, kind(_NAMES, NAME)]
Listen = Annotated[str, kind("HOST:PORT, such as 127.0.0.1:8080", _ADDRESS)]
AdminListen = Annotated[
    str, kind("HOST:PORT, such as 127.0.0.1:8090, unix:PATH, or off", rf"(?:{_ADDRESS}|unix:/[^\0]{{1,100}}|off)?")
]
_NUMBER = r"(?:[1-9]\d{0,8}(?:[.]\d{1,3})?|0[.]\d{0,2}[1-9])"
RateText = Annotated[
    str, kind('a rate, such as "20/s" or "20/s burst 100"', rf"(?:{_NUMBER}/s(?: burst [1-9]\d{{0,8}})?)?")
]
Networks = Annotated[
    tuple[str, ...], kind("a list of IP addresses or networks, such as 10.0.0.0/8", check=_are_networks)
]
Brokers = Annotated[
    str, kind("HOST:PORT, such as kafka-1:9092, several separated by commas", rf"(?:{_ADDRESS}(?:,\s*{_ADDRESS})*)?")
]
Urls = Annotated[
    tuple[Annotated[str, _URL], ...], kind("a list of WebSocket addresses, such as wss://a.example.com/v1/ws")
]
Origins = Annotated[tuple[Annotated[str, _ORIGIN], ...], kind(_ORIGINS)]
TopicPattern = Annotated[str, kind(_TOPIC, r"(?!\.\.?\Z)[A-Za-z0-9._*?-]{1,249}")]
NamespaceName = Annotated[str, kind(_NAMESPACE, r"(?!\.\.?\Z)[A-Za-z0-9._-]{1,249}")]
Plugin = Annotated[str, kind("the name of an entry point, or module:Class", _CLASS)]
Function = Annotated[str, kind("module:function", _FUNCTION)]
Plugins = Annotated[
    tuple[Annotated[str, text(_CLASS)], ...],
    kind("a list of names of entry points, or module:Class, each once", check=_are_different),
]
AuditKinds = Annotated[
    tuple[Literal["access", "message", "cache", "stats"], ...],
    kind("a list of some of access, message, cache, stats", check=_are_different),
]
MemberAddress = Annotated[
    str, kind("HOST:PORT with a port from 1 to 65534, such as 192.0.2.1:7400", rf"(?:{_MEMBER})?")
]
MemberAddresses = Annotated[
    tuple[Annotated[str, text(_NOT_ALL + _MEMBER)], ...],
    kind("a list of HOST:PORT with ports from 1 to 65534, such as 192.0.2.1:7400"),
]
Voters = Annotated[
    tuple[Annotated[str, text(NAME)], ...],
    kind(f"a list of 1, 3 or 5 different names of nodes, each {_NAMES}", check=_is_electorate),
]
Secret = Annotated[
    str, kind("a secret of at least 16 characters: whimbrel keygen makes one", r"(?:\S.{14,}\S)?", is_secret=True)
]
FilePath = Annotated[
    str, kind("a path without a slash at its end, such as /push", r"(?:(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~-]+)+)?")
]
Names = Annotated[
    tuple[Annotated[str, text(_TOKEN)], ...], kind("a list of names of headers or cookies, such as x-user")
]
NodeKeys = Annotated[dict[Annotated[str, text(NAME)], Annotated[str, _PUBLIC_KEY]], kind(_KEYS)]
Properties = Annotated[dict[str, str], kind("a string, a number, true or false", read=_property, is_open=True)]
Options = Annotated[dict[str, Any], kind("any value of TOML", is_open=True)]
