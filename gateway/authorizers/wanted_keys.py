"""What an authorizer raises that needs keys which only the node can fetch.

Not here: having them fetched, and asking again (gateway/sessions/authority.py).
"""

from __future__ import annotations


class KeysWanted(Exception):
    """The question can be answered once the keys of `url` have been fetched (again)."""

    def __init__(self, url: str, code: int, reason: str) -> None:
        super().__init__(reason)
        self.url = url
        self.code = code
        """What to refuse with if they do not help."""
        self.reason = reason
