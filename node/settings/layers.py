"""What a file, the environment and the flags each say, key by key, and what in them is wrong.

A later layer wins over an earlier one, key by key; a layer that says anything of a list (`topics`, `namespaces`)
replaces the whole list.

Invariants:
- Reading never stops at the first problem: a layer has all that is good in it and all problems.
- A secret value never appears in a problem.

Not here: reading the file (load.py), putting the layers together (effective.py).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from node.settings.keys import KEYS, LISTS, SECTIONS, Key, is_secret, masked, toml_text
from node.settings.lines import Path, line_of

PREFIX = "WHIMBREL_"
FLAGS = {
    "--kafka": "kafka.bootstrap",
    "--listen": "node.listen",
    "--workers": "node.workers",
    "--name": "node.name",
    "--cluster-listen": "cluster.listen",
    "--join": "cluster.join",
    "--voters": "cluster.voters",
    "--cluster-key-file": "cluster.key_file",
    "--log-format": "log.format",
    "--log-level": "log.level",
}
"""Flags that set one key. `--topics`, `--namespaces`, `--publish` and `--set` are read otherwise (`from_flags`)."""

NOT_SETTINGS = {"WHIMBREL_CONFIG", "WHIMBREL_SERVER", "WHIMBREL_TOKEN"}
"""Variables of ours that are no keys: the file's path, and what the client commands use."""

_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)\Z|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?\Z")
"""Set in every container beside a Kubernetes service whose name begins with whimbrel."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong: where it was said, about which key, and what."""

    source: str
    key: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.key, self.text) if part)


def in_order(problems: Iterable[Problem], defaults: Collection[str]) -> list[Problem]:
    """As one reads: the file from top to bottom, the environment, the flags, and last what nobody said.

    Args:
        defaults: Sources of values that nobody gave.
    """

    def place(problem: Problem) -> tuple[int, int]:
        source = problem.source
        if not source or source in defaults:
            return (3 if source else 4), 0
        if source.startswith(("--", PREFIX)):
            return (2 if source.startswith("--") else 1), 0
        line = source.rpartition(":")[2]
        return 0, int(line) if line.isdecimal() else 0

    return sorted(problems, key=place)


Entry: TypeAlias = dict[str, tuple[Any, str]]
"""An entry of a list, by key, each value with its source."""


@dataclass
class Layer:
    """What one place says."""

    values: dict[str, tuple[Any, str]] = field(default_factory=dict)
    """Path of a key -> value, ready for the settings, and its source."""
    lists: dict[str, list[Entry]] = field(default_factory=dict)
    """Entries of `topics` and of `namespaces`, of each if anything is said of it."""
    publish: list[tuple[str, str]] = field(default_factory=list)
    """Topics and namespaces that clients may publish to besides, with their sources."""
    problems: list[Problem] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    """Keys whose values could not be read."""
    unread: bool = False
    """Whether what it says is not known at all."""

    def wrong_value(self, source: str, key: str, found: Any, expected: str) -> None:
        """Note a value that is not what is expected of the key."""
        self.wrong.add(key)
        self.problems.append(Problem(source, key, f"found {_shown(key, found)}, expected {expected}"))

    def unknown(self, source: str, key: str, candidates: Iterable[str]) -> None:
        """Note a key that does not exist."""
        self.problems.append(Problem(source, key, "unknown key" + _suggestion(key, candidates)))

    def put(self, source: str, path: str, key: Key, raw: Any) -> None:
        """Take a value, if it can be read."""
        try:
            self.values[path] = (key.read(raw), source)
        except ValueError:
            self.wrong_value(source, path, raw, key.expected)

    def put_text(self, source: str, path: str, key: Key, text: str) -> None:
        """Take a value that is text, if it can be read."""
        try:
            self.put(source, path, key, key.from_text(text))
        except ValueError:
            self.wrong_value(source, path, text, key.expected)

    def put_list(self, section: str, source: str, text: str) -> None:
        """Take `flights,logs:text` as the whole list."""
        self.lists[section] = []
        for part in filter(None, map(str.strip, text.split(","))):
            name, colon, value = part.partition(":")
            self.put_entry(section, {"name": (name, source)} | ({"value": (value, source)} if colon else {}))

    def put_publish(self, source: str, text: str) -> None:
        """Take `notes,orders.*` as topics and namespaces that clients may publish to."""
        key = LISTS["topics"]["name"]
        for part in filter(None, map(str.strip, text.split(","))):
            try:
                self.publish.append((key.read(part), source))
            except ValueError:
                self.wrong_value(source, "topics.publish", part, key.expected)

    def put_entry(self, section: str, entry: Entry) -> None:
        """Take one entry of a list: raw values by key, with their sources."""
        keys, entries = LISTS[section], self.lists[section]
        at = f"{section}[{len(entries)}]"
        good: Entry = {}
        for name, (raw, source) in entry.items():
            key = keys.get(name)
            if key is None:
                self.unknown(source, f"{at}.{name}", [f"{at}.{known}" for known in keys])
                continue
            try:
                good[name] = (key.read(raw), source)
            except ValueError:
                self.wrong_value(source, f"{at}.{name}", raw, key.expected)
        entries.append(good)


def from_file(name: str, content: Mapping[str, Any], found: Mapping[Path, int]) -> Layer:
    """What a file says.

    Args:
        name: Of the file, for sources.
        content: The file, parsed.
        found: Its lines (lines.py).
    """
    layer = Layer()

    def source(*path: str | int) -> str:
        line = line_of(found, path)
        return f"{name}:{line}" if line else name

    for section, table in content.items():
        if section in LISTS:
            _list_from_file(layer, section, table, source)
        elif section not in SECTIONS:
            layer.unknown(source(section), section, [*SECTIONS, *LISTS])
        elif not isinstance(table, dict):
            layer.wrong_value(source(section), section, table, f"a table [{section}]")
        else:
            for key_name, raw in table.items():
                _key_from_file(layer, f"{section}.{key_name}", raw, source, (section, key_name))
    return layer


def _key_from_file(layer: Layer, path: str, raw: Any, source: Any, at: Path) -> None:
    key = KEYS.get(path)
    if key is not None and key.kind == "properties":
        if not isinstance(raw, dict):
            layer.wrong_value(source(*at), path, raw, f"a table [{path}]")
            return
        for name, value, below in _flat(raw):
            layer.put(source(*at, *below), f"{path}.{name}", key, value)
    elif at[0] == "authorizer" and (key is None or key.kind == "rest"):
        layer.put(source(*at), path, KEYS["authorizer.options"], raw)
    elif key is None:
        layer.unknown(source(*at), path, KEYS)
    else:
        layer.put(source(*at), path, key, raw)


def _list_from_file(layer: Layer, section: str, table: Any, source: Any) -> None:
    if not isinstance(table, list) or not all(isinstance(entry, dict) for entry in table):
        layer.wrong_value(source(section), section, table, f"tables [[{section}]], each with a name")
        return
    layer.lists[section] = []
    for index, entry in enumerate(table):
        layer.put_entry(section, {name: (raw, source(section, index, name)) for name, raw in entry.items()})
        if "name" not in entry:
            path, expected = f"{section}[{index}].name", LISTS[section]["name"].expected
            layer.wrong.add(path)
            layer.problems.append(Problem(source(section, index), path, f"missing, expected {expected}"))


def from_environment(environment: Mapping[str, str]) -> Layer:
    """What the environment says: `WHIMBREL_CACHE_TTL=5m` is `cache.ttl`; lists are separated by commas."""
    layer = Layer()
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        text = environment[name]
        section = name.removeprefix(PREFIX).lower()
        if section in LISTS and name == variable(section):
            layer.put_list(section, name, text)
        elif name == PREFIX + "PUBLISH":
            layer.put_publish(name, text)
        elif path := _path_of_variable(name):
            layer.put_text(name, path, _key_at(path), text)
        elif not _OF_KUBERNETES.search(name):
            suggestion = _suggestion(name, [variable(path) for path in KEYS])
            layer.problems.append(Problem(name, "", "no such key of the configuration" + suggestion))
    return layer


def variable(path: str) -> str:
    """The environment variable of a key."""
    return PREFIX + path.upper().replace(".", "_")


def from_flags(flags: Iterable[tuple[str, str]]) -> Layer:
    """What the command line says: flags with their values, in order."""
    layer = Layer()
    for flag, text in flags:
        if flag.removeprefix("--") in LISTS:
            layer.put_list(flag.removeprefix("--"), flag, text)
        elif flag == "--publish":
            layer.put_publish(flag, text)
        elif flag == "--set":
            _set(layer, text)
        else:
            path = FLAGS[flag]
            layer.put_text(flag, path, KEYS[path], text)
    return layer


def _set(layer: Layer, text: str) -> None:
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        secret = next(filter(is_secret, re.split(r"[:\s]", text)), "")
        shown = _shown(secret, text)
        layer.problems.append(Problem("--set", "", f"found {shown}, expected KEY=VALUE, such as cache.ttl=5m"))
    elif path in LISTS:
        layer.put_list(path, "--set", value)
    elif (key := _key_at(path, known=False)) is None:
        layer.unknown("--set", path, KEYS)
    else:
        layer.put_text("--set", path, key, value)


def _key_at(path: str, known: bool = True) -> Any:
    """The key that says how the value at this path is read; None if there is none (never when it is known)."""
    key = KEYS.get(path)
    if key is not None and key.kind != "properties":
        return key
    for open_path, open_key in _OPEN.items():
        if path.startswith(open_path + ".") and len(path) > len(open_path) + 1:
            return open_key
    assert not known, path
    return None


_OPEN = {path: key for path, key in KEYS.items() if key.kind == "properties"} | {
    "authorizer": KEYS["authorizer.options"]
}
"""Where any key may stand, and how its values are read."""


def _path_of_variable(name: str) -> str:
    for path, key in KEYS.items():
        if name == variable(path) and key.kind not in ("properties", "rest"):
            return path
    for path in _OPEN:
        prefix = variable(path) + "_"
        if name.startswith(prefix) and name != prefix:
            rest = name.removeprefix(prefix).lower()
            return f"{path}.{rest if path == 'authorizer' else rest.replace('_', '.')}"
    return ""


def _flat(table: Mapping[str, Any]) -> Iterable[tuple[str, Any, Path]]:
    """`sasl.password = ...` in TOML is a table in a table: back to the names that librdkafka knows."""
    for name, value in table.items():
        if isinstance(value, dict):
            for below, leaf, path in _flat(value):
                yield f"{name}.{below}", leaf, (name, *path)
        else:
            yield name, value, (name,)


def _shown(key: str, found: Any) -> str:
    text = toml_text(masked(key, found))
    return text if len(text) <= 80 else text[:77] + "..."


def _is_alike(key: str, other: str) -> bool:
    """Whether what follows the sections that both begin with is alike: a long common beginning is no likeness."""
    start = 0
    for at, (one, two) in enumerate(zip(key, other, strict=False), 1):
        if one != two:
            break
        if one in "._":
            start = at
    return difflib.SequenceMatcher(None, key[start:], other[start:]).ratio() >= 0.7


def _suggestion(key: str, candidates: Iterable[str]) -> str:
    candidates = list(candidates)
    close = difflib.get_close_matches(key, filter(lambda other: _is_alike(key, other), candidates), n=1, cutoff=0.8)
    if not close:  # right name, wrong section
        last = key.rpartition(".")[2]
        close = [path for path in KEYS if path.endswith(f".{last}")][:1]
    if close:
        return f"; did you mean {close[0]}?"
    if key.startswith("kafka."):
        return "; properties of librdkafka stand below kafka.client, kafka.consumer and kafka.producer"
    return ""
