"""Puts a session's question to the authorizer, and makes a decision of whatever comes of it.

Not here: when it is asked (requests.py), in which thread (authority.py).
"""

from __future__ import annotations

from gateway.authorizers.later import AskBlocking, KeysWanted
from gateway.link import codes
from gateway.sessions.session import Decision, Question
from whimbrel_server import Authorizer, Identity, Refusal

YES = Decision()


def ask(authorizer: Authorizer, question: Question) -> tuple[Decision, Exception | None]:
    """Ask, whatever happens. The exception is one that is not a `Refusal`, for the log."""
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
        code = refusal.code if question.client is not None else codes.FORBIDDEN
        return Decision(code, refusal.reason.encode("utf-8", "replace").decode()), None
    except Exception as failure:
        return Decision(codes.INTERNAL, "the authorizer failed"), failure


def _usable(identity: Identity) -> Identity:
    """The identity, which is told to the node, to people and to auditors.

    Raises:
        AttributeError, TypeError, UnicodeEncodeError: If its names are not text that can be written.
    """
    for name in (identity.name, identity.token_id or ""):
        if not name.isascii():
            name.encode()
    return identity
