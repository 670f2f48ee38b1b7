"""Puts a session's question to the authorizer, and makes a decision of whatever comes of it.

Invariant: what an authorizer gives is looked at here. Beyond, it is used in the loop of all clients, where a value of
another kind than is expected would end the worker.

Not here: when it is asked (requests.py), in which thread (authority.py).
"""

from __future__ import annotations

import math

from gateway.authorizers.later import AskBlocking, KeysWanted
from gateway.link import codes
from gateway.sessions.session import Decision, Question
from whimbrel_server import Authorizer, Identity, Refusal

REASON_CHARACTERS_MAX = 1000
YES = Decision()


def ask(authorizer: Authorizer, question: Question) -> tuple[Decision, Exception | None]:
    """Ask, whatever happens. The exception says what was wrong with the authorizer, for the log."""
    try:
        return _asked(authorizer, question)
    except Exception as failure:
        return Decision(codes.INTERNAL, "the authorizer failed"), failure


def _asked(authorizer: Authorizer, question: Question) -> tuple[Decision, Exception | None]:
    try:
        if question.client is not None:
            return Decision(identity=_usable(authorizer.connect(question.client))), None
        if question.kind == "subscribe":
            authorizer.subscribe(question.identity, question.subject)
        else:
            authorizer.publish(question.identity, question.subject)
        return YES, None
    except KeysWanted as wanted:
        return Decision(wanted.code, wanted.reason, wants=wanted.url), None
    except AskBlocking as other:
        return Decision(codes.INTERNAL, "", instead=other.authorizer), None
    except Refusal as refusal:
        reason = str(refusal.reason)[:REASON_CHARACTERS_MAX].encode("utf-8", "replace").decode()
        if question.client is None:
            return Decision(codes.FORBIDDEN, reason), None
        code: object = refusal.code
        if isinstance(code, int) and not isinstance(code, bool) and 4000 <= code < 4400:
            return Decision(int(code), reason), None
        # A no all the same: 0 would be a yes, and others cannot be written, or tell a client something else.
        return Decision(codes.REFUSED, reason), ValueError(f"Refusal with the code {code!r:.40}: not from 4000 to 4399")


def _usable(identity: Identity) -> Identity:
    """The identity, which is told to the node, to people and to auditors, and whose times are compared.

    Raises:
        AttributeError, TypeError, UnicodeEncodeError: If its names are not text that can be written.
        TypeError, ValueError, OverflowError: If its times are not finite numbers.
    """
    _check_text("name", identity.name)
    if identity.token_id is not None:
        _check_text("token_id", identity.token_id)
    _check_time("expires_at", identity.expires_at)
    _check_time("issued_at", identity.issued_at)
    return identity


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"Identity.{name} is not text but {type(text).__name__}")
    if not text.isascii():
        text.encode()


def _check_time(name: str, time: object) -> None:
    if time is None:
        return
    if isinstance(time, bool) or not isinstance(time, int | float):
        raise TypeError(f"Identity.{name} is not a number but {type(time).__name__}")
    if not math.isfinite(time):
        raise ValueError(f"Identity.{name} is {time}")
