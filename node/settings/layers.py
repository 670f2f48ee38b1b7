"""Puts the file, the environment and the flags together: for each key the last one wins.

A layer that has a list (`topics`, `namespaces`) replaces the whole list.

Invariants:
- Reading never stops at the first problem: everything right is taken, everything wrong is reported.
- A secret value never appears in a problem.

Not here: reading the file (load.py), what must hold between keys (relations.py).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from node.settings.keys import KEYS, LISTS, OPEN, SECTIONS, is_secret, key_at, masked, of_toml, split, toml_text
from node.settings.lines import TomlPath, line_of
from node.settings.schema import Settings

PREFIX = "WHIMBREL_"
PUBLISH = "publish"
"""In the environment and in flags only: names of entries that clients may publish into."""

FLAGS = {
    "--kafka": "kafka.bootstrap",
    "--topics": "topics",
    "--publish": PUBLISH,
    "--namespaces": "namespaces",
    "--listen": "node.listen",
    "--admin-listen": "admin.listen",
    "--workers": "node.workers",
    "--name": "node.name",
    "--cluster-listen": "cluster.listen",
    "--join": "cluster.join",
    "--voters": "cluster.voters",
    "--cluster-key-file": "cluster.key_file",
    "--log-format": "log.format",
    "--log-level": "log.level",
}
"""Flags and what they set. `--set KEY=VALUE` sets any key."""

NOT_SETTINGS = {"WHIMBREL_CONFIG", "WHIMBREL_SERVER", "WHIMBREL_TOKEN", "WHIMBREL_TOKEN_FILE"}
"""Variables of ours that are no keys: the file's path, and what the client commands use."""

_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)\Z|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?\Z")
"""Set in every container beside a Kubernetes service whose name begins with whimbrel."""


def variable(path: str) -> str:
    """The environment variable of a key."""
    return PREFIX + path.removesuffix("*").upper().replace(".", "_")


_PLAIN = [path for path, key in KEYS.items() if key.section not in LISTS and not key.kind.is_open]
_VARIABLES = {variable(path): path for path in [*_PLAIN, *LISTS, PUBLISH]}


@dataclass(frozen=True)
class Problem:
    """Something that is wrong: where it was said, about which key, and what."""

    source: str
    key: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.key, self.text) if part)


@dataclass
class Layers:
    """Everything that was read so far."""

    values: dict[str, object] = field(default_factory=dict)
    """By path (`topics[0].name` in a list), ready for the settings."""
    sources: dict[str, str] = field(default_factory=dict)
    """Path of each value -> where: `whimbrel.toml:3`, `WHIMBREL_CACHE_TTL`, `--listen`."""
    publish: dict[str, str] = field(default_factory=dict)
    """Names of entries that clients may publish into -> the source."""
    problems: list[Problem] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    """Keys whose values could not be read."""
    unread: bool = False
    """Whether a file could not be read, so that its values are unknown."""

    def put_file(self, name: str, content: Mapping[str, object], found: Mapping[TomlPath, int]) -> None:
        """Take a file.

        Args:
            name: Of the file, for sources.
            content: The file, parsed.
            found: Its lines (lines.py).
        """

        def source(*at: str | int) -> str:
            line = line_of(found, at)
            return f"{name}:{line}" if line else name

        for section, table in content.items():
            if section in LISTS:
                self._put_list(section, table, source)
            elif section not in SECTIONS:
                self._unknown(source(section), section)
            elif not isinstance(table, dict):
                self._wrong(source(section), section, table, f"a table [{section}]")
            else:
                for path, raw, at in _flat(section, table):
                    if f"{path}.*" in KEYS:
                        self._wrong(source(*at), path, raw, f"a table [{path}]")
                    else:
                        self._put(source(*at), path, raw)

    def put_environment(self, environment: Mapping[str, str]) -> None:
        """Take the environment: `WHIMBREL_CACHE_TTL=5m` is `cache.ttl`."""
        for name in sorted(environment):
            if not name.startswith(PREFIX) or name in NOT_SETTINGS:
                continue
            path = _VARIABLES.get(name) or next(filter(None, (_below(key.path, name) for key in OPEN)), None)
            if path:
                self.put_text(name, path, environment[name])
            elif not _OF_KUBERNETES.search(name):
                close = difflib.get_close_matches(name, _VARIABLES, n=1, cutoff=0.8)
                hint = f"; did you mean {close[0]}?" if close else ""
                self.problems.append(Problem(name, "", f"no such key of the configuration{hint}"))

    def put_flags(self, flags: Iterable[tuple[str, str]]) -> None:
        """Take the command line: flags with their values, in order."""
        for flag, text in flags:
            path, equals, value = text.partition("=") if flag == "--set" else (FLAGS[flag], "=", text)
            if equals and path.strip():
                self.put_text(flag, path.strip(), value)
            else:
                secret = next(filter(is_secret, re.split(r"[:\s]", text)), "")
                shown = _shown(secret, text)
                self.problems.append(Problem(flag, "", f"found {shown}, expected KEY=VALUE, such as cache.ttl=5m"))

    def put_text(self, source: str, path: str, text: str) -> None:
        """Take one value that is text."""
        if path == PUBLISH:
            self.publish |= dict.fromkeys(split(text), source)
        elif path in LISTS:
            parts = of_toml(text) if text.startswith("[") else [{"name": part} for part in split(text)]
            self._put_list(path, parts, lambda *_: source)
        elif path.partition(".")[0] in SECTIONS:
            key = key_at(path)
            is_option = key is not None and key.attribute == "options" and path.count(".") > 1
            if is_option:
                self._put_option(source, path, text)
            else:
                self._put(source, path, text, is_text=True)
        else:
            self._unknown(source, path)

    def allow_publishing(self) -> None:
        """Allow publishing into the entries that were named; called after all layers."""
        named = ((path, name) for path, name in self.values.items() if re.fullmatch(r"\w+\[\d+\]\.name", path))
        entries = {name: path for path, name in named if isinstance(name, str)}
        for name, source in self.publish.items():
            path = entries.get(name, "").replace(".name", ".publish")
            if path:
                self.values[path], self.sources[path] = True, source
            elif not self.wrong & LISTS.keys() and not any("[" in path for path in self.wrong):
                these = f"({', '.join(entries) or 'there are none'})"
                self._wrong(source, PUBLISH, name, f"the name of an entry of topics or namespaces {these}")

    def settings(self) -> Settings:
        """The values that are right, and defaults for the rest."""
        document: dict[str, Any] = {section: {} for section in LISTS}
        for path, value in self.values.items():
            section, _, name = path.partition(".")
            section, _, index = section.partition("[")
            key = key_at(path)
            assert key is not None, path
            table = document.setdefault(section, {})
            if index:
                table = table.setdefault(index, {})
            elif key.kind.is_open:
                name, table = path.removeprefix(key.path[:-1]), table.setdefault(key.attribute, {})
            table[name] = value
        for section in LISTS:  # an entry without a name was told to be wrong
            document[section] = [entry for entry in document[section].values() if "name" in entry]
        return msgspec.convert(document, Settings)

    def _put_option(self, source: str, path: str, text: str) -> None:
        """One key of a table of options, such as `audit.log.file`; the others stay as they are."""
        section, name, key = path.split(".", 2)
        table = self.values.get(f"{section}.{name}")
        self._put(source, path, text, is_text=True)
        if path in self.values:
            value = self.values.pop(path)
            del self.sources[path]
            self._put(source, f"{section}.{name}", {**(table if isinstance(table, dict) else {}), key: value})

    def _put(self, source: str, path: str, raw: object, *, is_text: bool = False) -> None:
        key = key_at(path)
        if key is None:
            self._unknown(source, path)
            return
        try:
            self.values[path] = key.read(raw, is_text=is_text)
            self.sources[path] = source
        except ValueError:
            self._wrong(source, path, raw, key.kind.expected)

    def _put_list(self, section: str, table: object, source: Callable[..., str]) -> None:
        if not isinstance(table, list) or not all(isinstance(entry, dict) for entry in table):
            self._wrong(source(section), section, table, f"tables [[{section}]], each with a name")
            return
        for path in [path for path in self.values if path.startswith(f"{section}[")]:
            del self.values[path], self.sources[path]
        for index, entry in enumerate(table):
            at = f"{section}[{index}]"
            for name, raw in entry.items():
                self._put(source(section, index, name), f"{at}.{name}", raw)
            if "name" not in entry:
                self.wrong.add(f"{at}.name")
                expected = KEYS[f"{section}.name"].kind.expected
                self.problems.append(Problem(source(section, index), f"{at}.name", f"missing, expected {expected}"))

    def _wrong(self, source: str, path: str, found: object, expected: str) -> None:
        self.wrong.add(path)
        self.problems.append(Problem(source, path, f"found {_shown(path, found)}, expected {expected}"))

    def _unknown(self, source: str, path: str) -> None:
        self.problems.append(Problem(source, path, "unknown key" + _suggestion(path)))


def _flat(path: str, table: Mapping[str, object], *at: str) -> Iterator[tuple[str, object, TomlPath]]:
    """Values with their paths. `sasl.password = ...` is a table in a table: back to the name that librdkafka knows."""
    at = at or (path,)
    for name, raw in table.items():
        below = f"{path}.{name}"
        if isinstance(raw, dict) and (f"{below}.*" in KEYS or (f"{'.'.join(at[:2])}.*" in KEYS and len(at) > 1)):
            yield from _flat(below, raw, *at, name)
        else:
            yield below, raw, (*at, name)


def _below(path: str, name: str) -> str:
    """The key of an open table that this variable sets."""
    prefix = variable(path)
    rest = name.removeprefix(prefix).lower() if name.startswith(prefix) else ""
    return rest and path[:-1] + (rest if path.count(".") == 1 else rest.replace("_", "."))


def _shown(path: str, found: object) -> str:
    text = toml_text(masked(path, found))
    return text if len(text) <= 80 else text[:77] + "..."


def _suggestion(path: str) -> str:
    """The key that was probably meant: one of the same table, else one of the same name."""
    table, dot, name = path.rpartition(".")
    plain = re.sub(r"\[\d+\]", "", table)
    here = {key.name: f"{table}.{key.name}" for key in KEYS.values() if key.path == f"{plain}.{key.name}"}
    known = here if dot else {section: section for section in [*SECTIONS, *LISTS]}
    close = [known[match] for match in difflib.get_close_matches(name, known, n=1, cutoff=0.7)]
    close += [other for other in _PLAIN if other.endswith(f".{name}")]
    if close:
        return f"; did you mean {close[0]}?"
    if path.startswith("kafka."):
        return "; properties of librdkafka stand below kafka.client, kafka.consumer and kafka.producer"
    return ""
