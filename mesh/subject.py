"""Subjects: their form, how they stand for a Kafka topic and key, and which patterns match them.

`/topic` is a record without a key, `/topic/key` one with; everything after the second slash is the key. A key is
written as it is but for `%`, `*`, control characters and bytes that are not UTF-8, which are `%XX`. So every key
has exactly one subject, and every subject one topic and key (client/PROTOCOL.md section 1).

Not here: which topics are mapped (gateway/link/topic_rules.py).
"""

from __future__ import annotations

import re
from functools import lru_cache

TOPIC = re.compile(r"(?!\.\.?\Z)[a-zA-Z0-9._-]{1,249}\Z")
_ESCAPED_IN_KEYS = re.compile("[%*\x00-\x1f\x7f\udc80-\udcff]")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
PREFIXES_TRIED_MAX = 8
"""With more patterns in a topic, those that a subject can have are looked up instead of trying each."""


class SubjectError(ValueError):
    """Not a subject or pattern; the message says why and, where there is one, the right form."""


def from_key(topic: str, key: bytes | None) -> str:
    """The one subject of a record with this topic and key."""
    if key is None:
        return f"/{topic}"
    text = key.decode("utf-8", "surrogateescape")
    if _ESCAPED_IN_KEYS.search(text):
        text = _ESCAPED_IN_KEYS.sub(_escape, text)
    return f"/{topic}/{text}"


@lru_cache(maxsize=2048)
def to_key(subject: str) -> tuple[str, bytes | None]:
    """The topic and key of a subject.

    Raises:
        SubjectError: If it is not a subject in its one right form.
    """
    topic, key = _split(subject)
    if key is None:
        return topic, None
    if "*" in key:
        raise SubjectError(f"a `*` in a key is written %2A, and a pattern cannot be used here: {subject!r}")
    try:
        raw = _ESCAPE.sub(_unescape, key.encode())
    except UnicodeEncodeError as error:
        raise SubjectError(f"not valid Unicode: {subject!r}") from error
    right = from_key(topic, raw)
    if right != subject:
        raise SubjectError(f"written another way than its one right form {right!r}: {subject!r}")
    return topic, raw


def is_pattern(subject: str) -> bool:
    """Whether this is `/topic/*` or `/topic/prefix/*` rather than a subject."""
    return subject.endswith("/*") and subject != "/*"


def check(subject: str) -> str:
    """The topic of a subject or pattern.

    Raises:
        SubjectError: If it is neither.
    """
    if not is_pattern(subject):
        return to_key(subject)[0]
    topic, prefix = _split(subject[:-2])
    if prefix is not None:
        to_key(subject[:-2])
    return topic


def topic_of(subject: str) -> str:
    """The first segment of a subject or pattern that is known to be one."""
    end = subject.find("/", 1)
    return subject[1:] if end < 0 else subject[1:end]


def patterns_of(subject: str) -> list[str]:
    """All patterns that match a subject, shortest first: `/t/a/b` has `/t/*` and `/t/a/*`."""
    found = []
    end = subject.find("/", 1)
    while end > 0:
        found.append(subject[: end + 1] + "*")
        end = subject.find("/", end + 1)
    return found


def _split(subject: str) -> tuple[str, str | None]:
    if not subject.startswith("/"):
        raise SubjectError(f"a subject begins with `/`: {subject!r}")
    topic, slash, key = subject[1:].partition("/")
    if not TOPIC.match(topic):
        raise SubjectError(
            f"the first segment of a subject is a topic or namespace (1 to 249 of a-z A-Z 0-9 . _ -): {subject!r}"
        )
    return topic, key if slash else None


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"%{code - 0xDC00 if code >= 0xDC80 else code:02X}"


def _unescape(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise SubjectError(
            f"`%` is followed by two hexadecimal digits; a `%` in a key is written %25: {found.string!r}"
        )
    return bytes([int(found[1], 16)])
