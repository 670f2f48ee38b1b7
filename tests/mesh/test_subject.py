"""Subjects: every topic and key has exactly one, and what is not one is refused with the right form."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.subject import SubjectError, check, from_key, is_pattern, patterns_of, to_key, topic_of
from tests.support.truth import covers

VECTORS = json.loads((Path(__file__).parents[2] / "client/vectors/subjects.json").read_text())
KEYS = st.none() | st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
SUBJECTS = KEYS.map(lambda key: from_key("t", key))


@given(KEYS)
def test_there_and_back(key: bytes | None) -> None:
    subject = from_key("topic.a-b_C9", key)
    assert to_key(subject) == ("topic.a-b_C9", key)
    assert check(subject) == topic_of(subject) == "topic.a-b_C9"
    assert not is_pattern(subject)
    subject.encode()


@given(KEYS, KEYS)
def test_two_keys_have_two_subjects(one: bytes | None, other: bytes | None) -> None:
    assert (from_key("t", one) == from_key("t", other)) == (one == other)


@given(st.text(max_size=30))
def test_whatever_is_accepted_is_in_its_one_right_form(text: str) -> None:
    try:
        topic, key = to_key(f"/t/{text}")
    except SubjectError:
        return
    assert from_key(topic, key) == f"/t/{text}"


@given(SUBJECTS)
def test_the_patterns_of_a_subject_are_those_that_match_it(subject: str) -> None:
    found = patterns_of(subject)
    assert found == sorted(found, key=len)
    for pattern in found:
        assert is_pattern(pattern)
        assert covers(pattern, subject)
        assert check(pattern) == "t"
    prefixes = {subject[: end + 1] for end in range(1, len(subject)) if subject[end] == "/"}
    assert {pattern[:-1] for pattern in found} == prefixes


@pytest.mark.parametrize(
    ("pattern", "subject", "does"),
    [
        ("/t/*", "/t", False),
        ("/t/*", "/t/", True),
        ("/t/*", "/t/a/b", True),
        ("/t/*", "/tt/a", False),
        ("/t/a/*", "/t/a", False),
        ("/t/a/*", "/t/a/", True),
        ("/t/a/*", "/t/ab/c", False),
        ("/t//*", "/t//", True),
        ("/t//*", "/t/a", False),
        ("/t/a", "/t/a", True),
        ("/t/a", "/t/a/b", False),
        ("/t", "/t", True),
        ("/t", "/t/", False),
    ],
)
def test_matching(pattern: str, subject: str, does: bool) -> None:
    assert covers(pattern, subject) is does
    assert (pattern in [subject, *patterns_of(subject)]) is does


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with `/`"),
        ("t/a", "begins with `/`"),
        ("/", "topic or namespace"),
        ("//a", "topic or namespace"),
        ("/.", "topic or namespace"),
        ("/..", "topic or namespace"),
        ("/a b", "topic or namespace"),
        ("/t\n", "topic or namespace"),
        ("/" + "t" * 250, "topic or namespace"),
        ("/t/%41", "'/t/A'"),
        ("/t/%ff", "'/t/%FF'"),
        ("/t/%C3%BC", "'/t/ü'"),
        ("/t/%", "two hexadecimal digits"),
        ("/t/%4", "two hexadecimal digits"),
        ("/t/a*", "%2A"),
        ("/t/*/a", "%2A"),
        ("/t/\x00", "'/t/%00'"),
        ("/t/\ud800", "not valid Unicode"),
    ],
)
def test_what_is_not_a_subject_says_why(text: str, says: str) -> None:
    with pytest.raises(SubjectError, match=says.replace("*", r"\*")):
        to_key(text)
    with pytest.raises(SubjectError):
        check(text)


@pytest.mark.parametrize("text", ["/*", "/t/**", "/t/a*/*", "/t/*/*", "/t/%41/*", "/a b/*"])
def test_what_is_not_a_pattern(text: str) -> None:
    with pytest.raises(SubjectError):
        check(text)


def test_a_pattern_is_no_subject() -> None:
    with pytest.raises(SubjectError, match="pattern"):
        to_key("/t/*")


@pytest.mark.parametrize("vector", VECTORS["subjects"], ids=lambda vector: vector["subject"])
def test_the_protocols_vectors(vector: dict[str, str | None]) -> None:
    topic, key, subject = vector["topic"], vector["key"], vector["subject"]
    assert topic is not None
    assert subject is not None
    raw = None if key is None else base64.b64decode(key)
    assert from_key(topic, raw) == subject
    assert to_key(subject) == (topic, raw)
