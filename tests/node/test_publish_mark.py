"""Marks of publishes in records of Kafka."""

from __future__ import annotations

import pytest

from mesh.log import Headers
from mesh.repeats import PublishKey
from node.publish_mark import ATTEMPT_HEADER, PUBLISHER_HEADER, SEQ_HEADER, mark, marked

PUBLISH = ("p", 7, "/t/k")
HEADERS, ATTEMPT = mark(PUBLISH, "boot-1")


def test_a_mark_is_found_again_among_other_headers() -> None:
    assert marked("/t/k", HEADERS) == (PUBLISH, ATTEMPT)
    foreign: Headers = [("a", b"1"), (SEQ_HEADER, b"9"), (PUBLISHER_HEADER, None), ("b", None)]
    assert marked("/t/k", [*foreign, *HEADERS]) == (PUBLISH, ATTEMPT)


def test_attempts_differ() -> None:
    assert mark(PUBLISH, "boot-2")[1] != ATTEMPT


@pytest.mark.parametrize("publish", [("q", 7, "/t/k"), ("p", 8, "/t/k"), ("p", 7, "/t/l"), ("p", 7, "/t")])
def test_the_attempt_of_another_publish_is_none(publish: PublishKey) -> None:
    named, _ = mark(publish, "boot-1")
    assert marked(publish[2], [*named[:2], HEADERS[2]]) is None
    assert marked(publish[2], HEADERS) is None or publish[2] == "/t/k"


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        HEADERS[:2],
        HEADERS[1:],
        [HEADERS[0], HEADERS[2]],
        [*HEADERS, (SEQ_HEADER, b"-1")],
        [*HEADERS, (SEQ_HEADER, b"")],
        [*HEADERS, (SEQ_HEADER, b"9" * 17)],
        [*HEADERS, (SEQ_HEADER, None)],
        [*HEADERS, (PUBLISHER_HEADER, b"\xff")],
        [*HEADERS, (ATTEMPT_HEADER, b"")],
        [*HEADERS, (ATTEMPT_HEADER, b"boot-1.\xff")],
        [*HEADERS, (ATTEMPT_HEADER, b"boot-1")],
    ],
)
def test_what_is_no_mark(headers: Headers | None) -> None:
    assert marked("/t/k", headers) is None
