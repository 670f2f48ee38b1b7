"""Permissions: nothing is allowed that is not said, whatever is subscribed to and whatever claims hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authorizers.permissions import BadPermission, filled, permissions
from gateway.authorizers.rules import StaticRules
from gateway.link.jwt_options import Rules
from mesh.subject import SubjectError, check, from_key, is_pattern, patterns_of
from whimbrel_server import Connection, Refusal

parts = st.text(st.sampled_from("ab*%/.\u0430\u00e9"), max_size=5)
subjects = st.builds(lambda key: from_key("t", key.encode()), parts) | st.just("/t")
patterns = subjects.flatmap(lambda subject: st.sampled_from([*patterns_of(subject), "/t/*"]))


@given(st.lists(subjects | patterns | st.just("/*"), max_size=4), patterns, subjects)
def test_a_pattern_yields_no_subject_that_may_not_be_read(said: list[str], pattern: str, subject: str) -> None:
    allowed = permissions(tuple(said), ())
    if allowed.may_subscribe(pattern) and pattern in patterns_of(subject):
        assert allowed.may_subscribe(subject)
    if allowed.may_subscribe(subject):
        assert "/*" in said or subject in said or {*patterns_of(subject)} & {*said}
    assert not allowed.may_publish(subject)


@given(st.text(max_size=8) | st.integers() | st.booleans() | st.none() | st.lists(st.text()), subjects)
def test_a_claim_fills_one_part_and_no_more(claim: object, other: str) -> None:
    try:
        allowed = filled(Rules(subscribe=("/t/{sub}/*",)), {"sub": claim})
    except BadPermission:
        return
    mine = from_key("t", str(claim).encode())
    assert not is_pattern(mine)
    assert "/" not in mine.removeprefix("/t/")
    assert allowed.may_subscribe(f"{mine}/x")
    assert allowed.may_subscribe(other) == other.startswith(f"{mine}/")
    assert not allowed.may_subscribe("/t/*")


@given(st.text(max_size=10))
def test_a_rule_is_a_subject_or_refused(text: str) -> None:
    try:
        permissions_of = filled(Rules(both=(text,)), {})
    except BadPermission:
        return
    if text != "/*":
        check(text)
    assert permissions_of.may_subscribe(text)
    assert permissions_of.may_publish(text)


@pytest.mark.parametrize(
    ("rule", "asked", "is_allowed"),
    [
        ("/orders/alice", "/orders/аlice", False),  # the first letter is Cyrillic
        ("/orders/caf\u00e9", "/orders/cafe\u0301", False),
        ("/orders/alice", "/orders/alice ", False),
        ("/orders/alice", "/orders/ALICE", False),
        ("/orders/alice/*", "/orders/alice/../bob", True),  # a key of alice's: dots mean nothing here
        ("/orders/alice/*", "/orders/../orders/bob", False),
        ("/orders/alice/*", "/orders/alice", False),
        ("/orders/alice/*", "/orders/alicex", False),
        ("/orders/*", "/orders/%2A", True),
        ("/orders/%2A", "/orders/*", False),
        ("/orders/%2A", "/orders/x", False),
        ("/orders/x/%2A", "/orders/x/*", False),
        ("/orders", "/orders/", False),
        ("/orders/", "/orders/*", False),
    ],
)
def test_look_alikes_are_others(rule: str, asked: str, is_allowed: bool) -> None:
    assert filled(Rules(subscribe=(rule,)), {}).may_subscribe(asked) == is_allowed


def test_static_rules() -> None:
    rules = StaticRules(subscribe=["/public/*"], publish=["/feedback"])
    anybody = rules.connect(Connection("1.2.3.4:5"))
    rules.subscribe(anybody, "/public/*")
    rules.publish(anybody, "/feedback")
    with pytest.raises(Refusal):
        rules.subscribe(anybody, "/feedback")
    with pytest.raises(Refusal):
        rules.publish(anybody, "/public/x")
    wrongs: list[dict[str, Any]] = [
        {"subscribe": ["public"]},
        {"subscribe": ["/x/{sub}"]},
        {"subscribe": "/x"},
        {"read": []},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError):
            StaticRules(**wrong)
    with pytest.raises(SubjectError):
        check("public")
