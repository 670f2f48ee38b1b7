"""Subjects: how they stand for a Kafka topic and key, and which patterns match them (PROTOCOL section 1).

Invariant: every topic and key has exactly one subject.
"""

from __future__ import annotations

import re

from whimbrel.errors import SubjectError

_TOPIC = re.compile(r"(?!\.\.?\Z)[a-zA-Z0-9._-]{1,249}\Z")
_ESCAPED_IN_KEYS = re.compile("[%*\x00-\x1f\x7f\udc80-\udcff]")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")


def from_key(topic: str, key: bytes | str | None) -> str:
    """The subject of a topic and key; a key of None is a record without a key.

    Raises:
        SubjectError: If the topic is not the name of a topic or namespace.
    """
    if not _TOPIC.match(topic):
        raise SubjectError(f"not a topic or namespace (1 to 249 of a-z A-Z 0-9 . _ -): {topic!r}")
    return f"/{topic}" if key is None else f"/{topic}/{_escaped(key.encode() if isinstance(key, str) else key)}"


def to_key(subject: str) -> tuple[str, bytes | None]:
    """The topic and key of a subject.

    Raises:
        SubjectError: If it is not a subject in its one right form.
    """
    if not isinstance(subject, str):
        raise SubjectError(f"a subject is a string, found {subject!r}")
    if not subject.startswith("/"):
        raise SubjectError(f"a subject begins with `/`: {subject!r}")
    topic, slash, key = subject[1:].partition("/")
    if not _TOPIC.match(topic):
        raise SubjectError(
            f"its first segment is not a topic or namespace (1 to 249 of a-z A-Z 0-9 . _ -): {subject!r}"
        )
    if not slash:
        return topic, None
    if "*" in key:
        raise SubjectError(f"a `*` in a key is written %2A, and a pattern cannot be used here: {subject!r}")
    try:
        raw = _ESCAPE.sub(_unescape, key.encode())
    except UnicodeEncodeError:
        raise SubjectError(f"not valid Unicode: {subject!r}") from None
    right = f"/{topic}/{_escaped(raw)}"
    if right != subject:
        raise SubjectError(f"written another way than its one right form {right!r}: {subject!r}")
    return topic, raw


def check(subject: str) -> None:
    """Accept a subject or a pattern.

    Raises:
        SubjectError: If it is neither.
    """
    to_key(subject[:-2] if is_pattern(subject) else subject)


def is_pattern(subject: str) -> bool:
    """Whether this is `/topic/*` or `/topic/prefix/*` rather than a subject."""
    return isinstance(subject, str) and subject.endswith("/*") and subject != "/*"


def patterns_of(subject: str) -> list[str]:
    """All patterns that match a subject, shortest first: `/t/a/b` has `/t/*` and `/t/a/*`."""
    found = []
    end = subject.find("/", 1)
    while end > 0:
        found.append(subject[: end + 1] + "*")
        end = subject.find("/", end + 1)
    return found


def _escaped(key: bytes) -> str:
    text = key.decode("utf-8", "surrogateescape")
    return _ESCAPED_IN_KEYS.sub(_escape, text) if _ESCAPED_IN_KEYS.search(text) else text


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"%{code - 0xDC00 if code >= 0xDC80 else code:02X}"


def _unescape(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise SubjectError(
            f"`%` is followed by two hexadecimal digits (a `%` in a key is %25): {found.string.decode()!r}"
        )
    return bytes([int(found[1], 16)])
