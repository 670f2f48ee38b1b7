"""Each key that can be set: how a value is read, what is expected of it, how it is written.

All of it follows from the schema. Values come as TOML gives them, or as text (environment, flags); text is first
turned into what TOML would have given, then both go the same way through `Key.read`.

Invariants:
- What `toml` writes of a value, TOML and `Key.read` turn back into the same value.

Not here: limits and descriptions (schema.py), relations between keys (relations.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import inspect

from node.settings import units
from node.settings.cluster import host_of, is_wildcard, port_of
from node.settings.fields import KIND
from node.settings.schema import Namespace, Settings, Topic

_NAME = r"(?!\.\.?\Z)[A-Za-z0-9._-]{1,64}"
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]@]+)"
_FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "name": (re.compile(_NAME), "1 to 64 characters of a-z A-Z 0-9 . _ -"),
    "listen": (re.compile(rf"{_HOST}:\d{{1,5}}"), "HOST:PORT, such as 127.0.0.1:8080"),
    "brokers": (
        re.compile(rf"(?:{_HOST}:\d{{1,5}}(?:,\s*(?!\Z)|\Z))*"),
        "HOST:PORT, such as kafka-1:9092, several separated by commas",
    ),
    "servers": (
        re.compile(rf"wss?://{_HOST}(?::\d{{1,5}})?/\S*"),
        "a list of WebSocket addresses, such as wss://a.example.com/v1/ws",
    ),
    "origins": (
        re.compile(rf"\*|null|[a-z][a-z0-9+.-]*://{_HOST}(?::\d{{1,5}})?"),
        "a list of origins (scheme and host, no path), such as https://app.example.com, or *",
    ),
    "topic": (
        re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._*?-]{1,249}"),
        "a Kafka topic (1 to 249 of a-z A-Z 0-9 . _ -) or a pattern of these with * and ?",
    ),
    "plugin": (
        re.compile(r"[A-Za-z0-9_.-]+|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"),
        "the name of an entry point, or module:Class",
    ),
    "namespace": (
        re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._-]{1,249}"),
        "1 to 249 characters of a-z A-Z 0-9 . _ -, not . or ..",
    ),
    "cluster_address": (
        re.compile(rf"(?:{_HOST}:\d{{1,5}})?"),
        "HOST:PORT with a port from 1 to 65534, such as 192.0.2.1:7400",
    ),
    "cluster_addresses": (
        re.compile(rf"{_HOST}:\d{{1,5}}"),
        "a list of HOST:PORT with ports from 1 to 65534, such as 192.0.2.1:7400",
    ),
    "voters": (
        re.compile(_NAME),
        "a list of 1, 3 or 5 different names of nodes, each 1 to 64 characters of a-z A-Z 0-9 . _ -",
    ),
    "secret": (re.compile(r"(?:\S.{14,}\S)?"), "a secret of at least 16 characters: whimbrel keygen makes one"),
    "properties": (re.compile(r"(?s).*"), "a string, a number, true or false"),
}
_PORT = re.compile(r":(\d+)(?=[/,]|\Z)")
_PUBLIC_KEY = re.compile(r"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
"""As ZeroMQ writes them: Z85."""
_SECRET = re.compile(r"password|passphrase|secret|token|credential|oauthbearer|jaas|(\.|\b|_)(pem|key)$", re.I)


@dataclass(frozen=True)
class Key:
    """One key of the configuration."""

    section: str
    name: str
    attribute: str
    """Name of the field in the section's struct."""
    kind: str
    type: Any
    default: Any
    """`msgspec.NODEFAULT` where a value must be given."""
    description: str
    expected: str
    """What a value must be, to go after "expected"."""

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def is_list(self) -> bool:
        return isinstance(self.default, tuple)

    def get(self, settings: Settings) -> Any:
        """The key's value in a configuration."""
        return getattr(getattr(settings, self.section), self.attribute)

    def from_text(self, text: str) -> Any:
        """What TOML would have given for this text.

        Raises:
            ValueError: If it cannot be read at all.
        """
        text.encode()  # the environment can hold bytes that are not UTF-8
        if self.is_list:
            return [part.strip() for part in text.split(",") if part.strip()]
        if isinstance(self.default, bool):
            return {"true": True, "false": False}.get(text, text)
        if self.kind == "" and isinstance(self.default, int):
            return int(text)
        if self.kind == "node_keys":  # no public key has a comma in it
            return dict(part.strip().split("=", 1) for part in text.split(",") if part.strip())
        return text

    def read(self, raw: Any) -> Any:
        """The value for the settings.

        Raises:
            ValueError: If it is not what `expected` says.
        """
        value = _READERS.get(self.kind, _same)(raw)
        form = _FORMS.get(self.kind)
        if form:
            if self.is_list and not isinstance(value, list):
                raise ValueError("not a list")
            for part in value if self.is_list else [value]:
                _match(form[0], part)
        if self.kind == "voters" and (len(value) not in (0, 1, 3, 5) or len({*value}) < len(value)):
            raise ValueError("no such number of voters")
        try:
            return msgspec.convert(value, self.type)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error


def toml(key: Key, value: Any) -> str:
    """The value as it would stand in the file."""
    if key.kind == "duration":
        return toml_text(units.format_duration(value))
    if key.kind == "size":
        return toml_text(units.format_size(value))
    return toml_text(value)


def toml_text(value: Any) -> str:
    """Any value that TOML gives, as TOML on one line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        inner = ", ".join(f"{toml_name(name)} = {toml_text(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_text(item) for item in value)}]"
    return str(value)


def toml_name(name: str) -> str:
    """A key as it would stand in the file, quoted only when it must be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)


def is_secret(path: str) -> bool:
    """Whether values of this key are never shown. Of keys that are not ours the name decides."""
    key = KEYS.get(path)
    if key is not None and key.kind not in ("properties", "rest"):
        return key.kind == "secret"
    return bool(_SECRET.search(path))


def masked(path: str, value: Any) -> Any:
    """The value with everything secret in it replaced by `***`."""
    if is_secret(path):
        return "***"
    if isinstance(value, dict):
        return {name: masked(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [masked("", item) for item in value]
    return value


def _same(raw: Any) -> Any:
    return raw


def _duration(raw: Any) -> float:
    if isinstance(raw, str):
        return units.parse_duration(raw)
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise ValueError("not a duration")
    return float(raw)


def _size(raw: Any) -> int:
    if isinstance(raw, str):
        return units.parse_size(raw)
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise ValueError("not a size")
    return raw


def _property(raw: Any) -> str:
    """librdkafka takes all its values as text."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if not isinstance(raw, (str, int, float)) or "\0" in str(raw):
        raise ValueError("not a property's value")
    return str(raw)


def _cluster_address(raw: Any) -> Any:
    """The port after it is used too, and others must know both before anybody listens."""
    if isinstance(raw, str) and raw and not 1 <= port_of(raw) <= 65534:
        raise ValueError("not a port for nodes")
    return raw


def _cluster_addresses(raw: Any) -> Any:
    for part in raw if isinstance(raw, list) else []:
        if not isinstance(part, str) or not _cluster_address(part) or is_wildcard(host_of(part)):
            raise ValueError("not the address of a node")
    return raw


def _node_keys(raw: Any) -> dict[str, str]:
    name = _FORMS["name"][0]
    if not isinstance(raw, dict) or not all(
        isinstance(key, str) and name.fullmatch(node) and _PUBLIC_KEY.fullmatch(key) for node, key in raw.items()
    ):
        raise ValueError("not public keys by names")
    return raw


_READERS: dict[str, Callable[[Any], Any]] = {
    "cluster_address": _cluster_address,
    "cluster_addresses": _cluster_addresses,
    "node_keys": _node_keys,
    "duration": _duration,
    "size": _size,
    "properties": _property,
}


def _match(form: re.Pattern[str], part: Any) -> None:
    if not isinstance(part, str) or not form.fullmatch(part):
        raise ValueError("not of the right form")
    if "://" in part or form in (_FORMS["listen"][0], _FORMS["brokers"][0]):
        for port in _PORT.findall(part):
            if int(port) > 65535:
                raise ValueError("not a port")


def _expected(kind: str, type_: inspect.Type, hint: Any) -> str:
    if kind == "duration":
        return f'a duration {_range(type_, units.format_duration)}, written as "1h30m", "500ms" or 2.5 (seconds)'
    if kind == "size":
        return f'a size {_range(type_, units.format_size)}, written as "512MiB", "1MB" or 4096 (bytes)'
    if kind in _FORMS:
        return _FORMS[kind][1]
    if kind == "rest":
        return "any value of TOML"
    if kind == "node_keys":
        return "a table of nodes' names and their public keys, 40 characters each: whimbrel keygen --node-key makes one"
    match type_:
        case inspect.IntType():
            return f"a whole number {_range(type_, str)}"
        case inspect.LiteralType():
            return "one of " + ", ".join(toml_text(value) for value in get_args(hint))
        case inspect.BoolType():
            return "true or false"
        case _:
            return "a string"


def _range(type_: Any, shown: Callable[[Any], str]) -> str:
    if type_.gt is not None:
        return f"above {type_.gt}, up to {shown(type_.le)}"
    return f"from {shown(type_.ge)} to {shown(type_.le)}"


def _keys(section: str, struct: type) -> list[Key]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for field in info.fields:
        meta = field.type
        assert isinstance(meta, inspect.Metadata), field.name
        kind = (meta.extra or {})[KIND]
        found.append(
            Key(
                section=section,
                name=field.encode_name,
                attribute=field.name,
                kind=kind,
                type={"properties": str, "rest": Any}.get(kind, hints[field.name]),
                default=field.default if field.default_factory is msgspec.NODEFAULT else {},
                description=(meta.extra_json_schema or {})["description"],
                expected=_expected(kind, meta.type, hints[field.name].__origin__),
            )
        )
    return found


LISTS: dict[str, dict[str, Key]] = {
    section: {key.name: key for key in _keys(section, struct)}
    for section, struct in (("topics", Topic), ("namespaces", Namespace))
}
"""Section that is a list of tables -> the keys of one entry, by name."""

SECTIONS: dict[str, type] = {name: hint for name, hint in get_type_hints(Settings).items() if name not in LISTS}
"""Name of every other section -> its struct."""

KEYS: dict[str, Key] = {key.path: key for section, struct in SECTIONS.items() for key in _keys(section, struct)}
"""All keys but those of lists, by path. Those of kind `properties` and `rest` stand for any number of keys below."""
