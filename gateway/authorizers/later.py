"""What an authorizer that is asked at once raises when it cannot answer at once.

Not here: having the answer later (gateway/sessions/authority.py).
"""

from __future__ import annotations

from whimbrel_server import Authorizer


class KeysWanted(Exception):
    """The question can be answered once the node has fetched the keys of `url` (again)."""

    def __init__(self, url: str, code: int, reason: str) -> None:
        super().__init__(reason)
        self.url = url
        self.code = code
        """What to refuse with if they do not help."""
        self.reason = reason


class AskBlocking(Exception):
    """The question has to be put to this one instead, which blocks."""

    def __init__(self, authorizer: Authorizer) -> None:
        super().__init__()
        self.authorizer = authorizer
