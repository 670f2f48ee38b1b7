"""All keys of the configuration, from the schema: how a value is read and written.

Invariant: what `toml` writes of a value, TOML and `Key.read` turn back into the same value.

Not here: kinds of values (fields.py), where values come from (layers.py).
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

import msgspec

from node.settings.fields import Kind
from node.settings.schema import Namespace, Settings, Topic

LISTS: dict[str, type[msgspec.Struct]] = {"namespaces": Namespace, "topics": Topic}
"""Sections that are lists of tables -> the struct of one entry."""

_SECRET = re.compile(r"password|passphrase|secret|token|credential|oauthbearer|jaas|(\.|\b|_)(pem|key)$", re.I)


@dataclass(frozen=True)
class Key:
    """One key of the configuration."""

    section: str
    name: str
    """`*` where any key may stand."""
    attribute: str
    """Name of the field in the section's struct."""
    type: Any
    default: object
    """`msgspec.NODEFAULT` where a value must be given."""
    kind: Kind

    @property
    def path(self) -> str:
        """Where it stands: `cache.ttl`, `topics.name`, `kafka.client.*`."""
        if not self.kind.is_open:
            return f"{self.section}.{self.name}"
        return f"{self.section}.*" if self.attribute == "options" else f"{self.section}.{self.attribute}.*"

    def get(self, settings: Settings) -> object:
        """The key's value in a configuration."""
        return getattr(getattr(settings, self.section), self.attribute)

    def read(self, raw: object, *, is_text: bool = False) -> object:
        """The value for the settings.

        Args:
            raw: As TOML gives it or, `is_text`, from the environment or a flag.

        Raises:
            ValueError: If it is not what the kind expects.
        """
        value = self.kind.read(self._of_text(raw) if is_text and isinstance(raw, str) else raw)
        try:
            value = msgspec.convert(value, self.type, strict=not is_text)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error
        if not self.kind.check(value):
            raise ValueError("not allowed")
        return value

    def _of_text(self, text: str) -> object:
        """Lists are separated by commas; they and tables may also be written as in TOML."""
        text.encode()  # the environment can hold bytes that are not UTF-8
        is_listed = isinstance(self.default, (tuple, dict)) and not self.kind.is_open
        if (is_listed or self.attribute == "options") and text.startswith(("[", "{")):
            return of_toml(text)
        return split(text) if is_listed else text


def split(text: str) -> list[str]:
    """The parts of a list that is separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def of_toml(text: str) -> object:
    """A value of TOML; the text itself if it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def toml(key: Key, value: object) -> str:
    """The value as it would stand in the file."""
    return toml_text(key.kind.write(value))


def toml_text(value: object) -> str:
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
    return key.kind.is_secret if key else bool(_SECRET.search(path))


def masked(path: str, value: object) -> object:
    """The value with everything secret in it replaced by `***`."""
    if is_secret(path):
        return "***"
    if isinstance(value, dict):
        return {name: masked(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [masked("", item) for item in value]
    return value


def key_at(path: str) -> Key | None:
    """The key that says how the value at this path is read."""
    path = re.sub(r"\[\d+\]", "", path)
    return KEYS.get(path) or next(
        (key for key in OPEN if key.path[:-1] < path and path.startswith(key.path[:-1])), None
    )


def _keys(section: str, struct: type[msgspec.Struct]) -> list[Key]:
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        kind = next((meta.extra["kind"] for meta in getattr(hint, "__metadata__", ())), None) or Kind(_expected(hint))
        default = {} if field.default_factory is dict else field.default
        # Of an open table each value is read by itself.
        name, type_ = ("*", get_args(get_args(hint)[0])[1]) if kind.is_open else (field.encode_name, hint)
        found.append(Key(section, name, field.name, type_, default, kind))
    return found


def _expected(hint: object) -> str:
    if hint is bool:
        return "true or false"
    return "one of " + ", ".join(map(toml_text, get_args(hint))) if get_args(hint) else "a string"


SECTIONS: dict[str, type[msgspec.Struct]] = {
    name: hint for name, hint in get_type_hints(Settings).items() if name not in LISTS
}
"""Name of every section that is no list -> its struct."""

KEYS: dict[str, Key] = {
    key.path: key for section, struct in (SECTIONS | LISTS).items() for key in _keys(section, struct)
}
"""All keys by path."""

OPEN = [key for key in KEYS.values() if key.kind.is_open]
"""Tables in which any key may stand."""
