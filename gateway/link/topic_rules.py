"""Which topics clients may use, and how: the first configured rule whose name or glob matches.

A topic is the first segment of a subject: one of Kafka's, or a namespace of the mesh, whose rules come first.

Not here: how a subject stands for a topic and key (mesh/subject.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gateway.link.settings import TopicRule

REMEMBERED_MAX = 10_000
INTERNAL = "__"
"""How the names of Kafka's own topics begin."""


class Mapping:
    """The rules, with a memory of what was asked before."""

    def __init__(self, rules: Sequence[TopicRule]) -> None:
        self._rules = tuple(rules)
        self._found: dict[str, TopicRule | None] = {}

    def rule_for(self, topic: str) -> TopicRule | None:
        """The rule of a topic; None if it is not mapped. Asking for unknown topics does not use up memory."""
        if topic in self._found:
            return self._found[topic]
        if len(self._found) >= REMEMBERED_MAX:
            self._found.clear()
        found = next((rule for rule in self._rules if _matches(rule.name, topic)), None)
        self._found[topic] = found
        return found

    def is_audited(self, topic: str) -> bool:
        """Whether auditors are told of the messages of a topic."""
        rule = self.rule_for(topic)
        return rule is not None and rule.audit


def _matches(name: str, topic: str) -> bool:
    """Kafka's own topics (`__consumer_offsets`) are not matched by accident: only a name or glob with `__` does it."""
    return fnmatchcase(topic, name) and (name.startswith(INTERNAL) or not topic.startswith(INTERNAL))
