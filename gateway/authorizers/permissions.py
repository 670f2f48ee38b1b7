"""What a client may subscribe to and publish to: lists of subjects and patterns. Everything else is forbidden.

A permission is a subject, a pattern (`/topic/*`, `/topic/prefix/*`) or `/*`, which is everything. A pattern permits the
subjects and the patterns below it; so no subscription to a pattern yields a subject that is not permitted. Comparing
is by characters: subjects have one form each, and characters that look alike are different.

Invariant: what a client can choose (a claim) fills exactly one part between two slashes, or a piece of one.

Not here: where the lists come from (rules.py, jwt.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from gateway.link.jwt_options import Rules
from mesh.subject import SubjectError, check, from_key

PERMISSIONS_MAX = 1000
_CLAIM = re.compile(r"\{([A-Za-z0-9_.:-]+)\}")


class BadPermission(ValueError):
    """A permission that cannot be used; the message names it and says why."""


class Permissions:
    """Who may do what, ready to be asked."""

    __slots__ = ("_publish", "_publish_below", "_subscribe", "_subscribe_below")

    def __init__(self, subscribe: tuple[str, ...], publish: tuple[str, ...]) -> None:
        self._subscribe, self._subscribe_below = _split(subscribe)
        self._publish, self._publish_below = _split(publish)

    def may_subscribe(self, subject: str) -> bool:
        """Whether this subject, or every subject that this pattern matches, may be subscribed to."""
        return subject in self._subscribe or subject.startswith(self._subscribe_below)

    def may_publish(self, subject: str) -> bool:
        """Whether this subject may be published to."""
        return subject in self._publish or subject.startswith(self._publish_below)


@lru_cache(maxsize=1024)
def permissions(subscribe: tuple[str, ...], publish: tuple[str, ...]) -> Permissions:
    """The permissions of these lists; the same object for the same lists, as many clients have the same."""
    return Permissions(subscribe, publish)


def filled(rules: Rules, claims: Mapping[str, object]) -> Permissions:
    """The permissions that rules give to a token with these claims.

    Raises:
        BadPermission: If one is not a subject or pattern, or a claim that it names cannot stand in it.
    """
    if len(rules.subscribe) + len(rules.publish) + len(rules.both) > PERMISSIONS_MAX:
        raise BadPermission(f"more than {PERMISSIONS_MAX} permissions")
    both = tuple(_fill(one, claims) for one in rules.both)
    subscribe = tuple(_fill(one, claims) for one in rules.subscribe)
    return permissions(subscribe + both, tuple(_fill(one, claims) for one in rules.publish) + both)


def check_rules(rules: Rules) -> None:
    """Check that some claims could make each rule a permission.

    Raises:
        BadPermission: If one is not a subject or pattern whatever the claims are.
    """
    filled(rules, _Anything())


class _Anything(Mapping[str, object]):
    """Has every claim."""

    def __getitem__(self, key: str) -> object:
        return "x"

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(())

    def __len__(self) -> int:
        return 0


def _split(allowed: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Subjects, and the beginnings of what patterns match."""
    patterns = tuple(one[:-1] for one in allowed if one.endswith("/*"))
    return frozenset(one for one in allowed if not one.endswith("/*")), patterns


def _fill(rule: str, claims: Mapping[str, object]) -> str:
    def value(found: re.Match[str]) -> str:
        return _piece(rule, found[1], claims)

    subject = _CLAIM.sub(value, rule)
    if subject == "/*":
        return subject
    try:
        check(subject)
    except SubjectError as error:
        raise BadPermission(f"the permission {rule!r}: {error}") from None
    return subject


def _piece(rule: str, name: str, claims: Mapping[str, object]) -> str:
    """A claim as a piece of a subject."""
    try:
        claim = claims[name]
    except KeyError:
        raise BadPermission(f"the permission {rule!r} needs the claim {name!r}") from None
    if isinstance(claim, bool) or not isinstance(claim, str | int):
        raise BadPermission(f"the claim {name!r} is neither text nor a whole number, as {rule!r} needs it")
    text = str(claim)
    if not text or "/" in text:
        raise BadPermission(f"the claim {name!r} is empty or has a slash: it cannot stand in {rule!r}")
    try:
        return from_key("t", text.encode())[len("/t/") :]
    except UnicodeEncodeError:
        raise BadPermission(f"the claim {name!r} is not valid Unicode") from None
