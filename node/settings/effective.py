"""The configuration in effect: layers put together, relations checked, and where each value came from.

Invariants:
- `settings` is always complete: what was wrong has its default, and `problems` says so.
- Relations are checked between values that were themselves right, so that one mistake is one problem.

Not here: what one layer says (layers.py), reading files (load.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from node.settings import relations
from node.settings.keys import KEYS, SECTIONS, toml
from node.settings.layers import Entry, Layer, Problem
from node.settings.schema import Namespace, Settings, Topic

DEFAULT = "default"
"""The source of a value that nobody gave."""


@dataclass
class Effective:
    """A configuration with its origins."""

    settings: Settings
    sources: dict[str, str] = field(default_factory=dict)
    """Path of each value that was given -> where: `whimbrel.toml:3`, `WHIMBREL_CACHE_TTL`, `--listen`."""
    problems: list[Problem] = field(default_factory=list)
    """All that is wrong; when there is any, `settings` is not to be used."""
    unread: bool = False
    """Whether a file could not be read, so that what it would have given is not known."""

    def source(self, path: str) -> str:
        """Where a value came from."""
        return self.sources.get(path, DEFAULT)

    def missing(self) -> list[Problem]:
        """What a node needs that nobody gave, as far as all that was given could be read."""
        if self.unread:
            return []
        named = {problem.key.partition("[")[0] for problem in self.problems}
        return [
            Problem("", path, f"not given, expected {how}")
            for path, instead, how in relations.missing(self.settings, named)
            if not {path, instead} & named
        ]


def combine(layers: Sequence[Layer]) -> Effective:
    """Put layers together; the last has the last word."""
    values: dict[str, tuple[Any, str]] = {}
    lists: dict[str, list[Entry]] = {}
    problems: list[Problem] = []
    wrong: set[str] = set()
    for layer in layers:
        values |= layer.values
        lists |= layer.lists
        problems += layer.problems
        wrong |= layer.wrong
    # An entry without a usable name was noted when it was read, and takes no further part.
    topics, namespaces = (
        [dict(entry) for entry in lists.get(section, []) if "name" in entry] for section in ("topics", "namespaces")
    )
    bootstrap, _ = values.get("kafka.bootstrap", ("", ""))
    wrong_sections = {path.partition("[")[0] for path in wrong}
    needs_kafka = bootstrap or topics or {"kafka.bootstrap", "topics", "namespaces"} & wrong_sections
    for name, source in (publish for layer in layers for publish in layer.publish):
        if namespaces and not needs_kafka:
            problems += _allow_in_namespaces(namespaces, name, source)
        else:
            _allow_publishing(topics, namespaces, name, source)
    effective = Effective(_settings(values, topics, namespaces), {path: source for path, (_, source) in values.items()})
    for section, entries in (("topics", topics), ("namespaces", namespaces)):
        for index, entry in enumerate(entries):
            effective.sources |= {f"{section}[{index}].{name}": source for name, (_, source) in entry.items()}
    effective.unread = any(layer.unread for layer in layers)
    effective.problems = problems + _broken(effective, wrong) + _refused(effective)
    return effective


def _settings(values: dict[str, tuple[Any, str]], topics: list[Entry], namespaces: list[Entry]) -> Settings:
    fields: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for path, (value, _) in values.items():
        section, _, name = path.partition(".")
        key = KEYS.get(path)
        if key is not None and key.kind != "rest":
            fields[section][key.attribute] = value
        elif section == "authorizer":
            fields[section].setdefault("options", {})[name] = value
        else:
            table, _, name = name.partition(".")
            fields[section].setdefault(table, {})[name] = value
    sections = {section: struct(**fields[section]) for section, struct in SECTIONS.items()}
    return Settings(
        **sections,
        topics=tuple(Topic(**{name: value for name, (value, _) in entry.items()}) for entry in topics),
        namespaces=tuple(Namespace(**{name: value for name, (value, _) in entry.items()}) for entry in namespaces),
    )


def _allow_in_namespaces(namespaces: list[Entry], name: str, source: str) -> list[Problem]:
    """Let clients publish to what `name` covers of the namespaces; without Kafka nothing else can be meant."""
    covered = [entry for entry in namespaces if relations.covers(name, entry["name"][0])]
    for entry in covered:
        entry["publish"] = (True, source)
    names = ", ".join(entry["name"][0] for entry in namespaces)
    expected = f"one of the namespaces ({names}), or Kafka for a topic (--kafka HOST:PORT)"
    return [] if covered else [Problem(source, "topics.publish", f'found "{name}", expected {expected}')]


def _allow_publishing(topics: list[Entry], namespaces: list[Entry], name: str, source: str) -> None:
    """Let clients publish to `name`, whatever the entries say, and change nothing else.

    Entries that it covers are turned on. Unless one of them is `name` itself, an entry for it goes before the first
    of `topics` that would have matched it, with the same `value`.
    """
    for entry in topics + namespaces:
        if relations.covers(name, entry["name"][0]):
            entry["publish"] = (True, source)
    names = [entry["name"][0] for entry in topics]
    if name not in names and name not in [entry["name"][0] for entry in namespaces]:
        place = next((i for i, other in enumerate(names) if relations.covers(other, name)), len(names))
        entry = {"name": (name, source), "publish": (True, source)}
        if place < len(names) and "value" in topics[place]:
            entry["value"] = topics[place]["value"]
        topics.insert(place, entry)


def _broken(effective: Effective, wrong: set[str]) -> list[Problem]:
    problems = []
    for lesser, greater, why in relations.AT_MOST:
        if wrong & {lesser, greater}:
            continue
        low, high = KEYS[lesser].get(effective.settings), KEYS[greater].get(effective.settings)
        if low > high:
            found, most = toml(KEYS[lesser], low), toml(KEYS[greater], high)
            text = f"found {found}, expected at most {greater}, which is {most} ({effective.source(greater)}): {why}"
            problems.append(Problem(effective.source(lesser), lesser, text))
    for path, about, text in relations.contradictions(effective.settings):
        if not wrong & {path, about}:
            problems.append(Problem(effective.source(path), path, text.replace("{source}", effective.source(about))))
    if any(path.startswith(("topics[", "namespaces[")) for path in wrong):
        return problems
    for path, text in relations.unusable(effective.settings):
        problems.append(Problem(effective.source(path), path, text))
    return problems


def _refused(effective: Effective) -> list[Problem]:
    problems = []
    for table in ("client", "consumer", "producer"):
        for name in getattr(effective.settings.kafka, table):
            why = relations.REFUSED.get(name)
            if why:
                path = f"kafka.{table}.{name}"
                problems.append(Problem(effective.source(path), path, f"cannot be set: {why}"))
    return problems
